"""What we own and owe: a double-entry ledger in whole units, and the positions that follow from its fills.

Owns: the accounts of every asset, one position per symbol at average cost and as FIFO lots, mark prices with their
time, and the equity bases (session, day, peak). Does not own: orders, the deduplication of fills (the order table's
work), margin rules, fees to come.

Every posting is a set of legs; the legs sum to zero in each asset they touch. Debit is plus. The accounts of one
asset are one cache line:

CASH        what the venue's wallet shows
POSITION    open positions at average cost, in their quote asset
COUNTER     the other side of what is held: base units bought on spot, the notional of perpetuals
REALISED    gains are minus
FEES        paid is plus, a rebate minus
FUNDING     paid is plus
CAPITAL     deposits are minus, withdrawals plus
ADJUSTMENT  what was booked to agree with the venue: plus is a loss; zero on a good day

With flow = -bought value + sold value of a symbol, realised P&L is `flow + cost` under both bases: an identity in
integers, so it is derived and cannot drift. The REALISED account is summed from legs and `check()` holds it against
the identity.

Rounding: cash is never rounded. `cost_leaving` is the one division: cost that leaves with a part of a position is
rounded up, so that realised profit never shows more than was earned; the residue stays with the position and is
gone when that closes.

Overflow: amounts up to 2**60, balances up to 2**62 (46 billion whole units at 1e-8); beyond, the posting is refused
whole. A refused fill is real all the same, so the caller trips the latch on it.
Cost: see bench_ledger.py; a fill is one 64-bit division at most.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._core.positions cimport lot_t, position_t, position_worst_long, position_worst_short


cpdef enum account_t:
    ACCOUNT_CASH = 0
    ACCOUNT_POSITION = 1
    ACCOUNT_COUNTER = 2
    ACCOUNT_REALISED = 3
    ACCOUNT_FEES = 4
    ACCOUNT_FUNDING = 5
    ACCOUNT_CAPITAL = 6
    ACCOUNT_ADJUSTMENT = 7
    ACCOUNT_COUNT = 8


cpdef enum base_t:
    BASE_SESSION = 0              # first valuation after start
    BASE_DAY = 1                  # first valuation at or after the day's cut
    BASE_PEAK = 2                 # highest valuation so far
    BASE_COUNT = 3


cdef enum:
    ASSET_NONE = 0xFFFF
    LEGS_MAX = 8


cdef struct leg_t:
    int64_t amount
    uint16_t asset
    uint16_t account
    uint32_t reserved


cdef struct posting_t:            # what one event did, for the journal and the reports
    uint32_t leg_count
    uint32_t reserved
    leg_t legs[LEGS_MAX]


cdef struct asset_t:              # two cache lines
    int64_t balance[8]            # by account_t
    int64_t units_per_whole
    int64_t mark_px_e8            # whole units of the report asset for one whole of this one, in 1e-8
    int64_t mark_ts_ns
    int64_t pending_flow          # transfers that the equity bases have not been shifted by yet
    int64_t reserved[4]


cdef struct ledger_symbol_t:      # one cache line: set once, then only the mark changes
    int64_t unit_value            # quote units of one tick x one lot, at least 1
    int64_t lot_units             # base units of one lot; unused for perpetuals
    int64_t tick_e8               # one tick in 1e-8 of the quote asset
    int64_t mark_px_e8
    int64_t mark_ts_ns
    uint16_t base
    uint16_t quote
    uint8_t linear                # a perpetual settled in its quote asset; 0 is spot
    uint8_t is_set
    uint16_t reserved_0
    int64_t reserved[2]


cdef struct ledger_t:             # three cache lines; assets, symbols, positions, lots follow
    uint32_t asset_count
    uint32_t symbol_count
    uint32_t fifo_capacity        # lots per symbol, a power of two
    uint32_t report_asset
    uint64_t posting_count
    uint64_t refused_count
    int64_t day_cut_ns            # time of day at which a trading day begins
    int64_t day_number            # of BASE_DAY
    int64_t equity                # last good valuation, in report units
    int64_t equity_ts_ns          # when it was made
    int64_t equity_oldest_ns      # the oldest mark that it used
    int64_t base_value[3]         # by base_t; shifted by transfers, so that these are not profit
    int64_t base_ts_ns[3]
    uint32_t equity_is_set
    uint32_t reserved_0
    int64_t reserved[8]


cdef size_t ledger_bytes(uint32_t assets, uint32_t symbols, uint32_t fifo_capacity) noexcept nogil
cdef int ledger_init(ledger_t* l, uint32_t assets, uint32_t symbols, uint32_t fifo_capacity,
                     int64_t day_cut_ns) noexcept nogil
cdef int ledger_set_asset(ledger_t* l, uint32_t asset, int64_t units_per_whole) noexcept nogil
cdef int ledger_set_symbol(ledger_t* l, uint32_t symbol, bint linear, uint16_t base, uint16_t quote,
                           int64_t unit_value, int64_t lot_units, int64_t tick_e8) noexcept nogil

# A fill, late or in time: the ledger takes whatever the order table passes on. With `correction` it takes a fill
# back (a bust): the same legs with the other sign, at that fill's own price.
cdef int ledger_fill(ledger_t* l, uint32_t symbol, bint sell, int64_t px_ticks, int64_t qty_lots, uint16_t fee_asset,
                     int64_t fee, bint correction, int64_t now_ns, posting_t* out) noexcept nogil
cdef int ledger_fee(ledger_t* l, uint16_t asset, int64_t paid, posting_t* out) noexcept nogil
cdef int ledger_funding(ledger_t* l, uint32_t symbol, int64_t paid, int64_t now_ns, posting_t* out) noexcept nogil
cdef int ledger_transfer(ledger_t* l, uint16_t asset, int64_t amount, posting_t* out) noexcept nogil
cdef int ledger_adjust(ledger_t* l, uint16_t asset, int64_t amount, posting_t* out) noexcept nogil
cdef int ledger_reconcile(const ledger_t* l, uint16_t asset, int64_t venue_cash, int64_t tolerance,
                          int64_t* difference) noexcept nogil
cdef int ledger_post(ledger_t* l, const posting_t* p) noexcept nogil
cdef bint posting_balances(const posting_t* p) noexcept nogil
cdef int ledger_check(ledger_t* l) except -1


cdef inline asset_t* ledger_assets(const ledger_t* l) noexcept nogil:
    return <asset_t*>(l + 1)


cdef inline ledger_symbol_t* ledger_symbols(const ledger_t* l) noexcept nogil:
    return <ledger_symbol_t*>(ledger_assets(l) + l.asset_count)


cdef inline position_t* ledger_positions(const ledger_t* l) noexcept nogil:
    return <position_t*>(ledger_symbols(l) + l.symbol_count)


cdef inline int64_t ledger_owned_lots(const ledger_t* l, uint32_t symbol) noexcept nogil:
    """Of spot: how many whole lots of the base asset the account has. What a fee took a part of is no whole lot."""
    cdef const ledger_symbol_t* s = &ledger_symbols(l)[symbol]
    cdef int64_t units = ledger_assets(l)[s.base].balance[<int>ACCOUNT_CASH]
    return units // s.lot_units if units > 0 and s.lot_units > 0 else 0


cdef inline lot_t* ledger_lots(const ledger_t* l, uint32_t symbol) noexcept nogil:
    return <lot_t*>(ledger_positions(l) + l.symbol_count) + <size_t>symbol * l.fifo_capacity


cdef class Ledger:
    cdef ledger_t* c
