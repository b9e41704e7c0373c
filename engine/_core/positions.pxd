"""One symbol's position: signed lots, cost at average, and the FIFO lots behind it in a bounded ring.

Cost is in quote units and signed as the position: plus for a long, minus for a short. Bounds are the ledger's work;
nothing here can fail. The ring's policy when full: the new lot joins the newest one, counted; older lots keep
their order and price. Quantity and cost stay exact, only the split inside that one lot becomes an average.

Invariants: the lots sum to |position|, their costs to `cost_fifo`; spent slots are zero.
Cost: a close takes one division when it ends inside a lot, none when it ends at its edge.
"""
from libc.stdint cimport int64_t, uint32_t

from engine._core.debug cimport debug_assert
from engine._core.money cimport mul3, mul_div_ceil


cdef struct position_t:           # two cache lines; values in quote units
    int64_t lots                  # signed
    int64_t cash_value            # the flow: minus for buys, plus for sells
    int64_t bought_lots
    int64_t sold_lots
    int64_t fill_count
    int64_t traded_value          # turnover of all fills, unsigned; saturates
    int64_t ts_changed_ns
    int64_t cost                  # at average: plus for a long, minus for a short
    int64_t cost_fifo             # of the lots in the ring; same sign
    int64_t funding               # paid so far
    uint32_t fifo_head
    uint32_t fifo_count
    int64_t fifo_merged_count     # fills that joined the newest lot because the ring was full
    int64_t correction_count
    int64_t reserved[3]


cdef struct lot_t:                # one FIFO lot
    int64_t lots                  # above zero; the position's sign is the lot's
    int64_t cost                  # signed as the position's


cdef inline int64_t position_realised(const position_t* p) noexcept nogil:
    """Realised P&L at average cost, in quote units, fees and funding apart."""
    return p.cash_value + p.cost


cdef inline int64_t position_realised_fifo(const position_t* p) noexcept nogil:
    return p.cash_value + p.cost_fifo


cdef inline int64_t position_worst_long(const position_t* p, int64_t open_buy_lots) noexcept nogil:
    """The position if every live buy fills and no sell does."""
    return p.lots + open_buy_lots


cdef inline int64_t position_worst_short(const position_t* p, int64_t open_sell_lots) noexcept nogil:
    return p.lots - open_sell_lots


cdef inline int64_t cost_leaving(int64_t cost, int64_t part, int64_t whole) noexcept nogil:
    """The cost that leaves with `part` of `whole` lots, rounded up. The whole takes all: no residue outlives it."""
    cdef int64_t out = cost
    if part != whole:
        # Cannot fail: the result lies between 0 and cost.
        mul_div_ceil(cost, part, whole, &out)
    return out


cdef inline int64_t fifo_close(position_t* p, lot_t* ring, uint32_t mask, int64_t lots) noexcept nogil:
    """Take `lots` out of the oldest lots; returns the cost that left."""
    cdef int64_t left = lots, gone = 0, part
    cdef lot_t* lot
    while left > 0:
        debug_assert(p.fifo_count > 0)
        lot = &ring[p.fifo_head]
        if lot.lots <= left:
            left -= lot.lots
            gone += lot.cost
            lot.lots = 0          # spent lots are zero, so that equal ledgers are equal bytes
            lot.cost = 0
            p.fifo_head = (p.fifo_head + 1) & mask
            p.fifo_count -= 1
        else:
            part = cost_leaving(lot.cost, left, lot.lots)
            lot.lots -= left
            lot.cost -= part
            gone += part
            left = 0
    return gone


cdef inline void fifo_open(position_t* p, lot_t* ring, uint32_t mask, int64_t lots, int64_t cost,
                            int64_t lot_cost) noexcept nogil:
    """Append a lot. One at the newest lot's own price joins it, which changes nothing that FIFO can tell; so does
    one that finds the ring full, which is counted: those lots then leave at their common average."""
    cdef lot_t* newest = &ring[(p.fifo_head + p.fifo_count - 1) & mask]
    cdef int64_t at_its_price = 0
    mul3(newest.lots, lot_cost, 1, &at_its_price)
    if p.fifo_count and (p.fifo_count > mask or at_its_price == newest.cost):
        if at_its_price != newest.cost:
            p.fifo_merged_count += 1
    else:
        newest = &ring[(p.fifo_head + p.fifo_count) & mask]
        p.fifo_count += 1
    newest.lots += lots
    newest.cost += cost
