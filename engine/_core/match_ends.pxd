"""How an order begins and ends, who is told, and what its list makes of it.

Owns: slots taken and handed back, events, order lists, the queue of orders whose turn comes. Does not own: matching.
Invariants: every end is told once; the last leg of a list hands the list back; an order that ends while it is queued
keeps its slot until its turn. Cost: constant, and a heap step where it waited for a price or a time.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memset
from engine._core.debug cimport debug_assert
from engine._core.match cimport (
    LIST_HELD, LIST_OCO, LIST_OTO, LIST_OTOCO, MATCHED_CANCELED, MATCHED_EXPIRED, MATCHED_READY, MATCHED_SELL,
    MATCH_ENDS, MATCH_EVENT_RESERVE, MATCH_NONE, MATCH_SELL, REASON_NONE, REASON_OCO, REASON_OTO, REASON_USER,
    STATE_ARMED, STATE_BOOK, STATE_DEAD, STATE_FREE, STATE_PENDING, STATE_QUEUED, STATE_READY, STATE_TRAILING,
    match_event_t, match_events, match_legs_t, match_order_t, match_orders, match_owner_t, match_request_t,
    match_t,
)
from engine._core.match_heaps cimport heap_add, heap_remove
from engine._core.match_levels cimport unrest_order
from engine._core.match_slots cimport cell_add, cell_remove, lists_of, numbers_at, owners_of
from engine._core.strategy_abi cimport TYPE_ICEBERG, TYPE_STOP, TYPE_TRAILING


cdef enum:
    MARK_FILLED = 1
    MARK_PROGRESS = 2
    MARK_ENDED = 3


cdef inline bint room_for_fill(const match_t* m) noexcept nogil:
    return m.event_count + MATCH_ENDS * m.live_count + MATCH_EVENT_RESERVE < m.config.events_max


cdef inline void tell(match_t* m, uint32_t index, uint8_t kind, uint8_t reason, int64_t qty_lots) noexcept nogil:
    """An event of one order. The crowd's are not told."""
    cdef match_order_t* o = &match_orders(m)[index]
    cdef match_event_t* e
    if o.owner == 0:
        return
    debug_assert(m.event_count < m.config.events_max)
    e = &match_events(m)[m.event_count]
    m.event_count += 1
    memset(e, 0, sizeof(match_event_t))
    e.kind = kind
    e.reason = reason
    e.flags = MATCHED_SELL if o.flags & MATCH_SELL else 0
    e.owner = o.owner
    e.id = o.id
    e.px_ticks = o.px_ticks
    e.qty_lots = qty_lots
    e.filled_lots = o.filled_lots


cdef inline int64_t rest_lots(const match_order_t* o) noexcept nogil:
    return o.left_lots + o.hidden_lots


cdef inline uint32_t make_order(match_t* m, const match_request_t* r) noexcept nogil:
    """A slot with the order's terms. The caller has seen that one is free."""
    cdef uint32_t index = m.free_order
    cdef match_order_t* o = &match_orders(m)[index]
    m.free_order = o.next
    memset(o, 0, sizeof(match_order_t))
    o.id = r.id
    o.px_ticks = r.px_ticks
    o.left_lots = o.qty_lots = r.qty_lots
    o.owner = r.owner
    o.type = r.type
    o.tif = r.tif
    o.stp = r.stp
    o.flags = r.flags
    o.list = MATCH_NONE
    o.display_lots = r.display_lots
    o.trigger_px = r.trigger_px
    o.trail = r.trail
    o.expire_ns = r.expire_ns
    o.budget = r.budget
    cell_add(m, r.id, index)
    m.live_count += 1
    if r.owner:
        m.own_count += 1
        owners_of(m)[r.owner].orders += 1
        owners_of(m)[r.owner].algo += TYPE_STOP <= r.type <= TYPE_TRAILING
        owners_of(m)[r.owner].icebergs += r.type == TYPE_ICEBERG
    if r.expire_ns:
        heap_add(m, 2, index)
    return index


cdef inline void unplace(match_t* m, uint32_t index) noexcept nogil:
    """Take an order out of wherever its state says it stands."""
    cdef match_order_t* o = &match_orders(m)[index]
    if o.state == STATE_BOOK:
        unrest_order(m, index)
    elif o.state == STATE_ARMED:
        heap_remove(m, 0 if o.above else 1, index)
    elif o.state == STATE_TRAILING:
        if o.prev == MATCH_NONE:
            m.trail_first = o.next
        else:
            match_orders(m)[o.prev].next = o.next
        if o.next == MATCH_NONE:
            m.trail_last = o.prev
        else:
            match_orders(m)[o.next].prev = o.prev


cdef inline void free_slot(match_t* m, uint32_t index) noexcept nogil:
    """The order is over. A slot that stands in the work queue is handed back when its turn comes."""
    cdef match_order_t* o = &match_orders(m)[index]
    cdef match_owner_t* owner = &owners_of(m)[o.owner]
    if o.expire_at:
        heap_remove(m, 2, index)
    cell_remove(m, o.id)
    if o.owner:
        m.own_count -= 1
        owner.orders -= 1
        owner.algo -= TYPE_STOP <= o.type <= TYPE_TRAILING
        owner.icebergs -= o.type == TYPE_ICEBERG
    m.live_count -= 1
    o.id = 0
    if o.state == STATE_QUEUED:
        o.state = STATE_DEAD
        return
    o.state = STATE_FREE
    o.next = m.free_order
    m.free_order = index


cdef inline void end_order(match_t* m, uint32_t index, uint8_t kind, uint8_t reason) noexcept nogil:
    """An order ends unfilled: it leaves, that is told, and its list hears of it."""
    cdef match_order_t* o = &match_orders(m)[index]
    cdef uint32_t list_index = o.list
    cdef uint8_t leg = o.leg
    cdef bint pending = o.state == STATE_PENDING
    unplace(m, index)
    tell(m, index, kind, reason, rest_lots(o))
    free_slot(m, index)
    if list_index != MATCH_NONE:
        list_hears(m, list_index, leg, MARK_ENDED, kind, pending)


cdef inline void filled_order(match_t* m, uint32_t index) noexcept nogil:
    cdef match_order_t* o = &match_orders(m)[index]
    cdef uint32_t list_index = o.list
    cdef uint8_t leg = o.leg
    unplace(m, index)
    free_slot(m, index)
    if list_index != MATCH_NONE:
        list_hears(m, list_index, leg, MARK_FILLED, 0, False)


cdef inline void leg_end(match_t* m, uint32_t list_index, uint8_t leg, uint8_t kind, uint8_t reason) noexcept nogil:
    """End one leg as a consequence of another: the list is not told again."""
    cdef match_legs_t* legs = &lists_of(m)[list_index]
    cdef uint32_t index = legs.legs[leg]
    if index == MATCH_NONE:
        return
    legs.legs[leg] = MATCH_NONE
    legs.live -= 1
    match_orders(m)[index].list = MATCH_NONE
    end_order(m, index, kind, reason)


cdef inline void list_hears(match_t* m, uint32_t list_index, uint8_t leg, uint32_t mark, uint8_t kind,
                      bint pending) noexcept nogil:
    """What one leg's progress or end means for the others."""
    cdef match_legs_t* legs = &lists_of(m)[list_index]
    cdef uint32_t what = legs.kind & 7
    cdef uint8_t first = 0 if what == LIST_OCO else 1
    cdef uint8_t last = 2 if what == LIST_OTOCO else 1
    cdef uint8_t other, end_kind, end_reason
    if mark != MARK_PROGRESS:
        legs.legs[leg] = MATCH_NONE
        legs.live -= 1
    end_kind = MATCHED_CANCELED if kind == MATCHED_CANCELED else MATCHED_EXPIRED
    if what != LIST_OCO and leg == 0:
        end_reason = REASON_USER if kind == MATCHED_CANCELED else REASON_OTO
        for other in range(1, last + 1):
            if mark == MARK_ENDED:
                leg_end(m, list_index, other, end_kind, end_reason)
            elif mark == MARK_FILLED and legs.legs[other] != MATCH_NONE:
                leg_wakes(m, legs.legs[other], legs.kind & LIST_HELD)
    else:
        end_reason = REASON_USER if kind == MATCHED_CANCELED else REASON_OCO
        if what != LIST_OTO:
            # A pair: whatever happens to one leg ends the other.
            leg_end(m, list_index, first if leg == last else last, end_kind, end_reason)
        if pending:
            leg_end(m, list_index, 0, end_kind, REASON_USER if kind == MATCHED_CANCELED else REASON_OTO)
    if legs.live == 0 and legs.kind:
        legs.kind = 0
        legs.next = m.free_list
        m.free_list = list_index


cdef inline void leg_wakes(match_t* m, uint32_t index, bint held) noexcept nogil:
    if held:
        match_orders(m)[index].state = STATE_READY
        tell(m, index, MATCHED_READY, REASON_NONE, match_orders(m)[index].left_lots)
    else:
        queue_order(m, index)


cdef inline void queue_order(match_t* m, uint32_t index) noexcept nogil:
    cdef uint32_t at = m.work_head + m.work_count
    match_orders(m)[index].state = STATE_QUEUED
    if at >= m.config.orders_max:
        at -= m.config.orders_max
    numbers_at(m, m.offset_work)[at] = index
    m.work_count += 1
