"""What an order costs, all of it: fee, slippage, funding, network fee, total, and the price that earns it back.

Owns: the fee table, one row per venue and market, in a pointer-free block. Does not own: where rates come from
(files and the venue's answer: engine/settings/fees.py), the book (levels are arguments), the ledger.

Age is enforced: a row older than `warn_ns` still answers, with FEES_OLD; older than `refuse_ns` it answers
FEES_STALE and no rate. A row that was never refreshed is stale.

Maker is charged only what cannot take: a post-only order, or the part of a limit order that does not cross. Whatever
crosses is charged taker, and what is left of it after the crossing levels rests and is charged maker.

Roundings, all against us: a fee rounds up (a rebate towards zero), slippage rounds up, funding rounds up per
settlement; the break-even of a long rounds up and of a short down. Money is quote units, rates are 1e-8.
Cost: a table look-up 2 ns; an estimate some 40 ns plus 1 to 2 ns a level.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t


cdef enum:
    FEE_TIERS_MAX = 16


cdef struct fee_tier_t:
    int64_t volume_min            # traded in the venue's window, in whole report units
    int64_t maker_e8              # minus is a rebate
    int64_t taker_e8


cdef struct fee_row_t:            # 448 bytes
    int64_t ts_ns                 # last refresh
    int64_t maker_e8              # in force
    int64_t taker_e8
    int64_t discount_e8           # rate x this when the fee is paid in the discount asset; 1e8 is no discount
    uint32_t tier_count
    uint32_t tier                 # the one in force
    uint16_t discount_asset
    uint8_t pays_discounted
    uint8_t is_set
    uint8_t is_refreshed
    uint8_t reserved[3]
    int64_t reserved_1[2]
    fee_tier_t tiers[FEE_TIERS_MAX]


cdef struct fees_t:               # one cache line; the rows follow
    uint32_t row_count
    uint32_t reserved_0
    int64_t warn_ns
    int64_t refuse_ns
    int64_t reserved[5]


cdef struct cost_request_t:
    int64_t px_ticks              # limit price; 0 is a market order
    int64_t qty_lots
    int64_t unit_value
    int64_t bid_px_ticks          # the touch: what "crossing" and the mid are measured from
    int64_t ask_px_ticks
    int64_t maker_e8
    int64_t taker_e8
    int64_t funding_rate_e8       # per settlement; plus is paid by longs
    int64_t funding_count         # settlements expected while the position is held
    int64_t network_fee           # quote units
    uint8_t sell
    uint8_t post_only
    uint8_t reserved[6]


cdef struct cost_t:               # quote units, plus is paid
    int64_t value                 # of the entry: sum of price x quantity
    int64_t fee_entry
    int64_t fee_exit              # taker, at the entry's value
    int64_t slippage              # taken levels against the mid
    int64_t funding               # may be minus
    int64_t network
    int64_t total
    int64_t break_even_px_ticks   # exit here as taker and nothing is lost; 0 when no price does
    int64_t worst_px_ticks        # the last level taken, 0 when none was
    int64_t taken_lots


cdef size_t fees_bytes(uint32_t rows) noexcept nogil
cdef int fees_init(fees_t* f, uint32_t rows, int64_t warn_ns, int64_t refuse_ns) noexcept nogil
cdef int fees_add_tier(fees_t* f, uint32_t row, int64_t volume_min, int64_t maker_e8, int64_t taker_e8) noexcept nogil
cdef int fees_set_tier(fees_t* f, uint32_t row, uint32_t tier) noexcept nogil
cdef int fees_set_volume(fees_t* f, uint32_t row, int64_t volume) noexcept nogil
cdef int fees_set_discount(fees_t* f, uint32_t row, int64_t discount_e8, uint16_t asset, bint pays) noexcept nogil
cdef int fees_refresh(fees_t* f, uint32_t row, int64_t maker_e8, int64_t taker_e8, int64_t ts_ns) noexcept nogil
cdef int fees_rate(const fees_t* f, uint32_t row, bint maker, int64_t now_ns, int64_t* rate_e8) noexcept nogil

cdef int cost_walk(const int64_t* px_ticks, const int64_t* qty_lots, uint32_t levels, bint sell, int64_t limit_ticks,
                   int64_t want_lots, int64_t* taken_lots, int64_t* taken_value, int64_t* worst_px) noexcept nogil
cdef int cost_fee(int64_t value, int64_t rate_e8, int64_t* fee) noexcept nogil
cdef int cost_funding(int64_t value, bint short_side, int64_t rate_e8, int64_t* paid) noexcept nogil
cdef int cost_break_even(bint sell, int64_t qty_lots, int64_t unit_value, int64_t value, int64_t paid,
                         int64_t exit_rate_e8, int64_t* px_ticks) noexcept nogil
cdef int cost_estimate(const cost_request_t* r, const int64_t* px_ticks, const int64_t* qty_lots, uint32_t levels,
                       cost_t* out) noexcept nogil


cdef inline fee_row_t* fees_rows(const fees_t* f) noexcept nogil:
    return <fee_row_t*>(f + 1)


cdef inline bint cost_is_maker(bint sell, int64_t px_ticks, int64_t bid_px_ticks, int64_t ask_px_ticks,
                               bint post_only) noexcept nogil:
    """Post-only, or a limit that does not reach the other side."""
    if post_only:
        return True
    return px_ticks > 0 and (px_ticks > bid_px_ticks if sell else px_ticks < ask_px_ticks)


cdef class FeeTable:
    cdef fees_t* c
