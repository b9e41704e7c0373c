"""What a strategy sees and what it may wish for. Flat records: the same for Python, njit and a compiled pointer.

A strategy asks, it never sends. It states a wish per side, level-triggered: "keep a bid of 5 at 101" is true until
it says otherwise; the core compares the wish with the live order and places or cancels. The view is a record of the
world, so its `state` is journaled, replayed and reset with everything else.
"""
from libc.stdint cimport int64_t


cdef enum:
    STRATEGY_STOP = 0             # a compiled strategy that raised returns 0: it is stopped alone
    STRATEGY_OK = 1

    WISH_KEEP = 0                 # as it is
    WISH_REST = 1                 # one resting order of this price and quantity
    WISH_NONE = 2                 # no order on this side


cdef struct view_t:
    int64_t now_ns
    int64_t symbol
    int64_t bid_px_ticks
    int64_t bid_qty_lots
    int64_t ask_px_ticks
    int64_t ask_qty_lots
    int64_t last_px_ticks
    int64_t position_lots
    int64_t open_buy_lots
    int64_t open_sell_lots
    int64_t reserved[6]
    int64_t params[8]
    int64_t state[16]             # the strategy's own, kept from call to call


cdef struct wish_t:
    int64_t kind
    int64_t px_ticks
    int64_t qty_lots
    int64_t px_stop_ticks         # its protective stop; the gate asks for one


cdef struct wishes_t:
    wish_t bid
    wish_t ask


ctypedef int (*decide_t)(view_t* view, wishes_t* wishes) noexcept nogil
