"""The gate: one pass over every rule for one order; all failures in one mask, the headroom to each limit beside it.

No order leaves without its verdict. The pass has no early exit: a denied order learns everything that is wrong with
it, and costs only the mask of its failures more than a good one. Missing, stale or untrusted input fails. Three lanes:

NORMAL      every rule.
REDUCE      a reduce-only order skips the caps on size, exposure and account, never the proof that it really reduces.
PROTECTIVE  made by the core alone (bracket children, flatten plan): also passes a stale book, a pause and a latch.

Owns: rate counters, rejects in a row, the secret behind the tokens, counts of denials by rule. Does not own: limits
(limits), positions and orders (their stems), correlations (correlation): it is handed their words. `gate_check`
changes nothing; `gate_commit` takes the order into the counters once it is really placed.

Amounts are int64 units of the account currency, products go through 128 bits and saturate, so an overflow fails.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._core.limits cimport limits_t


cpdef enum rule_t:
    RULE_LATCH = 0
    RULE_MODE = 1
    RULE_BREAKER = 2
    RULE_SYMBOL_HALTED = 3
    RULE_BOOK_UNTRUSTED = 4
    RULE_BOOK_STALE = 5
    RULE_PX_RANGE = 6
    RULE_PX_PERCENT = 7                   # the venue's own band around its reference price
    RULE_PX_BAND = 8                      # ours, around the mid
    RULE_QTY_RANGE = 9
    RULE_NOTIONAL_RANGE = 10
    RULE_ORDER_NOTIONAL = 11
    RULE_POSITION_SHARE = 12
    RULE_GROSS = 13
    RULE_NET = 14
    RULE_LEVERAGE = 15
    RULE_CORRELATION = 16
    RULE_DRAWDOWN = 17                    # whoever drives the gate trips the latch on it
    RULE_DAILY_LOSS = 18
    RULE_EQUITY_STALE = 19
    RULE_MARGIN = 20
    RULE_LIQUIDATION = 21
    RULE_STOP_MISSING = 22
    RULE_ORDER_RATE = 23
    RULE_CHURN = 24
    RULE_OPEN_ORDERS_SYMBOL = 25
    RULE_OPEN_ORDERS_ALL = 26
    RULE_REJECTS = 27
    RULE_DUPLICATE_INTENT = 28
    RULE_SELF_TRADE = 29
    RULE_CLOCK_DRIFT = 30
    RULE_SIGNAL_STALE = 31
    RULE_NOT_REDUCING = 32
    RULE_NOT_OWNED = 33
    RULE_FEES_STALE = 34
    RULE_COUNT = 35


cdef enum lane_t:
    LANE_NORMAL = 0
    LANE_REDUCE = 1
    LANE_PROTECTIVE = 2
    LANE_COUNT = 3


cdef enum gate_mode_t:
    MODE_NORMAL = 0
    MODE_PAUSED = 1
    MODE_REDUCED = 2
    MODE_EMERGENCY = 3


cdef struct account_t:            # what the gate must know of the whole account: two cache lines
    int64_t equity                # realised + unrealised
    int64_t ts_equity_ns
    int64_t peak                  # highest equity: the base of the drawdown
    int64_t day_base              # equity at the day's cut: the base of the daily loss
    int64_t margin_available
    int64_t gross_worst           # sum over symbols of the larger side if everything open fills
    int64_t long_worst            # sum of signed values if every live buy fills
    int64_t short_worst           # sum of signed values if every live sell fills; negative when short
    int64_t orders_open
    int64_t clock_drift_ns
    int64_t latch                 # not 0: tripped
    int64_t mode                  # gate_mode_t
    int64_t breaker_denied        # not 0: a breaker on the order's way is open
    int64_t position_scale_ppm    # discipline's cap on the position share: 1,000,000 without one
    int64_t reserved[2]


cdef struct gate_symbol_t:        # four cache lines
    # line 0: the price and what it rests on, read together
    int64_t bid_px_ticks
    int64_t ask_px_ticks
    int64_t ts_book_ns
    int64_t book_trusted          # 0: no price
    int64_t halted
    int64_t lots                  # signed position
    int64_t open_buy_lots         # worst case of the live buys, UNKNOWN ones included
    int64_t open_sell_lots
    # line 1
    uint64_t value_q32            # account units of one tick x one lot, 32 bits behind the point, rounded up
    int64_t px_min_ticks
    int64_t px_max_ticks
    int64_t qty_min_lots
    int64_t qty_max_lots
    int64_t notional_min          # account units, as the next
    int64_t notional_max
    int64_t px_ref_ticks          # the venue's reference price; 0 while unknown, which fails
    # line 2
    int64_t buy_up_ppm            # of the reference price: the most for a buy, the least for a sell
    int64_t sell_down_ppm
    int64_t margin_ppm            # initial margin of a unit of notional
    int64_t px_liquidation_ticks  # 0: none (spot, or flat)
    int64_t churn_tat_ns          # theoretical arrival time of the churn counter
    int64_t rejects_in_a_row
    int64_t orders_open
    int64_t fees_until_ns         # what an order costs is known until then; 0: fees of the set-up, which do not age
    # line 3: what this symbol adds to the account's exposure, as last told by `gate_expose`
    int64_t gross_value
    int64_t long_value
    int64_t short_value
    int64_t reserved_3[5]


cdef struct gate_ask_t:           # one order that wants to leave
    int64_t id_order
    int64_t px_ticks              # of a market order: the worst price it may take
    int64_t qty_lots
    int64_t px_stop_ticks         # its protective stop; 0: none
    int64_t px_own_opposite_ticks # our best resting order on the other side; 0: none
    int64_t ts_signal_ns
    int64_t correlation_ppm       # the worst that it would add, from the correlation stem
    int64_t closing_lots          # of a reduction: what other orders of its kind are closing already
    int64_t owned_lots            # of a sell where nothing is lent: what the account has and no other order sells
    uint16_t symbol
    uint8_t sell
    uint8_t lane                  # lane_t
    uint8_t duplicate             # a live intent of the same strategy, symbol, side and tag exists
    uint8_t cash_only             # `owned_lots` rules
    uint8_t reserved[2]


cdef struct verdict_t:
    uint64_t failed               # bit per rule_t; 0 passes
    int64_t token                 # not 0 only if nothing failed
    int64_t headroom[RULE_COUNT]  # limit minus value, in the rule's own unit; negative is by how much it failed
    int64_t notional


cdef struct gate_t:               # the header: one cache line; the counts and the symbol rows follow
    uint64_t secret               # from the world's seed: a token cannot be guessed by an accident in memory
    int64_t orders_tat_ns
    int64_t cancels_tat_ns
    uint64_t symbol_count
    uint64_t passed_count
    uint64_t denied_count
    uint64_t cancels_held_count
    uint64_t reserved
    uint64_t denied_by_rule[40]


cdef size_t gate_bytes(uint64_t symbol_count) noexcept nogil
cdef void gate_init(gate_t* g, uint64_t symbol_count, uint64_t seed) noexcept nogil
cdef void gate_check(const gate_t* g, const limits_t* limits, const account_t* account, const gate_ask_t* ask,
                     int64_t now_ns, verdict_t* out) noexcept nogil
cdef void gate_commit(gate_t* g, const limits_t* limits, const gate_ask_t* ask, int64_t now_ns) noexcept nogil
cdef void gate_deny(gate_t* g, uint64_t failed) noexcept nogil
cdef bint gate_cancel(gate_t* g, const limits_t* limits, uint16_t symbol, int64_t now_ns) noexcept nogil
cdef int64_t gate_largest_lots(const gate_t* g, const limits_t* limits, const account_t* account,
                               const gate_ask_t* ask) noexcept nogil
cdef uint64_t gate_recheck(const verdict_t* verdict, bint paused, bint cut_off) noexcept nogil
cdef void gate_expose(gate_t* g, account_t* account, uint16_t symbol, int64_t px_ticks) noexcept nogil

cdef extern from * nogil:
    """
    #include <stdint.h>
    /* One verdict passes one order: the token is a mix of everything that must not change between gate and wire. */
    static inline uint64_t bot4_mix(uint64_t x) {
        x ^= x >> 33; x *= 0xff51afd7ed558ccdULL; x ^= x >> 33; x *= 0xc4ceb9fe1a85ec53ULL; x ^= x >> 33; return x;
    }
    static inline int64_t bot4_token(uint64_t secret, int64_t id, int64_t px, int64_t qty, uint32_t what) {
        uint64_t t = bot4_mix(secret ^ (uint64_t)id);
        t = bot4_mix(t ^ (uint64_t)px);
        t = bot4_mix(t ^ (uint64_t)qty);
        t = bot4_mix(t ^ what);
        return (int64_t)(t | 1);          /* never 0: 0 means "no verdict" */
    }
    """
    uint64_t gate_mix "bot4_mix"(uint64_t x) noexcept
    int64_t gate_token "bot4_token"(uint64_t secret, int64_t id_order, int64_t px_ticks, int64_t qty_lots,
                                    uint32_t what) noexcept

cdef inline gate_symbol_t* gate_symbols(const gate_t* g) noexcept nogil:
    return <gate_symbol_t*>(g + 1)

cdef inline bint gate_token_ok(const gate_t* g, int64_t token, int64_t id_order, int64_t px_ticks, int64_t qty_lots,
                               uint16_t symbol, bint sell) noexcept nogil:
    """What the send path asks before a byte leaves."""
    return token == gate_token(g.secret, id_order, px_ticks, qty_lots, (<uint32_t>symbol << 1) | <uint32_t>sell)


cdef class Gate:
    cdef gate_t* c
    cdef limits_t limits
    cdef account_t account
    cdef gate_ask_t ask

    cdef int _fill(self, dict ask) except -1
