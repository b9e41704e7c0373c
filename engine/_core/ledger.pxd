"""What we hold: signed lots per symbol and the exact cash each fill moved.

Cash is kept per symbol in ticks x lots, an exact integer without any rounding; only a report converts it to money.
Invariants: `lots == bought - sold`; the cash equals the sum over fills of price x quantity, signed. The sums stay
below 2**63 because prices and quantities are bounded where they enter.
"""
from libc.stdint cimport int64_t


cdef struct position_t:           # one cache line
    int64_t lots                  # signed
    int64_t cash_value            # in ticks x lots: minus for buys, plus for sells
    int64_t bought_lots
    int64_t sold_lots
    int64_t fill_count
    int64_t traded_value          # ticks x lots of all fills, unsigned: what fees are paid on
    int64_t ts_changed_ns
    int64_t reserved


cdef inline void position_fill(position_t* p, bint sell, int64_t px_ticks, int64_t qty_lots, int64_t now_ns) noexcept nogil:
    cdef int64_t value = px_ticks * qty_lots
    if sell:
        p.lots -= qty_lots
        p.sold_lots += qty_lots
        p.cash_value += value
    else:
        p.lots += qty_lots
        p.bought_lots += qty_lots
        p.cash_value -= value
    p.traded_value += value
    p.fill_count += 1
    p.ts_changed_ns = now_ns


cdef inline int64_t position_worst_long(const position_t* p, int64_t open_buy_lots) noexcept nogil:
    """The position if every live buy fills and no sell does."""
    return p.lots + open_buy_lots


cdef inline int64_t position_worst_short(const position_t* p, int64_t open_sell_lots) noexcept nogil:
    return p.lots - open_sell_lots
