"""Conditional orders of our own, for venues that lack them: stop, take-profit, trailing stop.

Owns: what waits for which price, the trailing water marks. Does not own: the orders that come out of it (orders), nor whether a price may be believed: only trusted prices are shown to it.

A trigger fires once. A price that crosses it marks it at once, so a price that jumps back does not undo it and a full
output array does not lose it: what did not fit comes out first at the next call. Nothing is sent to the venue while it
waits, so it counts in no exposure; and it protects only while this process lives, which is why a venue's own stop is
preferred wherever there is one.

Invariants: an armed trigger is never crossed by a price it was shown; a sell's trailing trigger only rises, a buy's
only falls. Cost: two compares a price while nothing is near; a walk over the
symbol's triggers when one is crossed or one trails.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cpdef enum trigger_kind_t:
    TRIGGER_STOP = 0              # a stop or stop-limit: fires when the price moves against
    TRIGGER_TAKE_PROFIT = 1       # fires when the price moves in favour
    TRIGGER_TRAILING = 2          # a stop that follows the best price at a distance
    TRIGGER_KIND_COUNT = 3


cpdef enum trigger_state_t:
    TRIGGER_FREE = 0
    TRIGGER_SLEEPING = 1          # trailing, before its activation price
    TRIGGER_ARMED = 2
    TRIGGER_DUE = 3               # crossed, not yet handed out


cpdef enum trigger_source_t:
    SOURCE_LAST = 0
    SOURCE_TOUCH = 1              # buys watch the ask, sells the bid: where they would trade
    SOURCE_MARK = 2
    SOURCE_COUNT = 3


cdef struct trigger_terms_t:
    int64_t qty_lots
    int64_t px_stop_ticks         # trailing: the activation price, 0 for at once
    int64_t px_ticks              # limit price when it fires; 0: at market
    int64_t trail_ticks           # distance; or
    int64_t trail_e8              # distance as a share of the best price, in 1e-8
    int64_t reserved
    uint16_t symbol
    uint16_t strategy
    uint16_t tag
    uint8_t kind
    uint8_t sell
    uint8_t source
    uint8_t reduce_only
    uint16_t reserved16
    uint32_t bracket


cdef struct trigger_t:
    int64_t px_stop_ticks
    int64_t water_ticks           # best price seen, 0 before the first
    trigger_terms_t terms         # 64 bytes
    int64_t reserved_0
    int64_t ts_changed_ns
    uint32_t handle               # generation << 16 | slot + 1
    uint32_t next                 # of the symbol's list, or of the free list
    uint32_t prev
    uint32_t reserved32
    uint8_t state
    uint8_t reserved8[7]
    int64_t reserved


cdef struct trigger_action_t:     # its price was reached: a limit order where it has a price, else at market
    int64_t px_ticks
    int64_t qty_lots
    uint32_t handle
    uint32_t bracket
    uint16_t symbol
    uint16_t strategy
    uint16_t tag
    uint8_t sell
    uint8_t reduce_only
    uint16_t reserved8
    uint16_t reserved16
    uint32_t reserved32


cdef struct triggers_symbol_t:
    int64_t above_ticks           # no armed trigger fires upward below this price
    int64_t below_ticks           # none fires downward above this one
    uint32_t head
    uint32_t trailing_count
    int64_t reserved


cdef struct triggers_t:           # symbol rows and slots follow
    uint64_t capacity
    uint64_t symbol_count
    uint64_t live_count
    uint64_t due_count
    uint64_t refused_count
    uint64_t fired_count
    uint32_t free_head
    uint32_t reserved32
    int64_t reserved


cdef size_t triggers_bytes(uint64_t capacity, uint64_t symbol_count) noexcept nogil
cdef int triggers_init(triggers_t* t, uint64_t capacity, uint64_t symbol_count) noexcept nogil
cdef int triggers_add(triggers_t* t, const trigger_terms_t* terms, int64_t now_ns, uint32_t* handle) noexcept nogil
cdef int triggers_cancel(triggers_t* t, uint32_t handle) noexcept nogil
cdef int triggers_resize(triggers_t* t, uint32_t handle, int64_t qty_lots, int64_t now_ns) noexcept nogil
cdef uint64_t triggers_on_price(triggers_t* t, uint16_t symbol, int source, int64_t bid_ticks, int64_t ask_ticks,
                                int64_t now_ns, trigger_action_t* out, uint64_t out_max) noexcept nogil
cdef trigger_t* triggers_find(triggers_t* t, uint32_t handle) noexcept nogil
cdef int triggers_check(triggers_t* t) noexcept nogil


cdef inline triggers_symbol_t* triggers_symbols(triggers_t* t) noexcept nogil:
    return <triggers_symbol_t*>(t + 1)

cdef inline trigger_t* triggers_slots(triggers_t* t) noexcept nogil:
    return <trigger_t*>(triggers_symbols(t) + t.symbol_count)

cdef inline bint trigger_fires_up(const trigger_t* g) noexcept nogil:
    """Whether a rising price fires it: a stop that buys, a take-profit that sells."""
    return (g.terms.kind == TRIGGER_TAKE_PROFIT) == (g.terms.sell != 0)


cdef class Triggers:
    cdef triggers_t* c
    cdef size_t size
