"""Where orders stand: the lists of those that live, the queue of those that ended, the two indexes, the sums by symbol.

Owns: nothing of its own; these are the only functions that write links, indexes and sums. Invariant: an order's exposure
is in its symbol's sums exactly once while it stands in the table. Cost: a link some 5 ns, an index some 10 ns.
"""
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from engine._core.order_table cimport STATE_UNKNOWN
from engine._core.orders cimport (
    NEVER_NS, ORDER_KEYED, ORDER_NONE, ORDER_REDUCE_ONLY, order_exposure_lots, order_t, orders_requests,
    orders_slots, orders_symbol_t, orders_symbols, orders_t,
)
from engine._core.recent cimport probe_drop, probe_t, recent_entry_t, recent_find


cdef inline probe_t* ids_of(orders_t* t) noexcept nogil:
    return <probe_t*>(<char*>t + t.ids_at)


cdef inline probe_t* keys_of(orders_t* t) noexcept nogil:
    return <probe_t*>(<char*>t + t.keys_at)


cdef inline uint64_t key_of(uint16_t strategy, uint16_t symbol, bint sell, uint16_t tag) noexcept nogil:
    return (<uint64_t>strategy << 48) | (<uint64_t>symbol << 32) | (<uint64_t>tag << 16) | <uint64_t>sell


cdef inline uint32_t slot_of(orders_t* t, const order_t* o) noexcept nogil:
    return <uint32_t>(o - orders_slots(t))


cdef inline void tally(orders_t* t, const order_t* o, int64_t sign) noexcept nogil:
    """Put an order's exposure into its symbol's sums, or take it out before it changes."""
    cdef orders_symbol_t* row = &orders_symbols(t)[o.symbol]
    cdef int64_t lots = sign * order_exposure_lots(o)
    if o.sell:
        row.open_sell_lots += lots
        if o.state == STATE_UNKNOWN:
            row.unknown_sell_lots += lots
        if o.flags & ORDER_REDUCE_ONLY:
            row.reduce_sell_lots += lots
    else:
        row.open_buy_lots += lots
        if o.state == STATE_UNKNOWN:
            row.unknown_buy_lots += lots
        if o.flags & ORDER_REDUCE_ONLY:
            row.reduce_buy_lots += lots


cdef inline void link(orders_t* t, order_t* o) noexcept nogil:
    """Into the live lists: of its symbol, and of all."""
    cdef uint32_t slot = slot_of(t, o)
    cdef orders_symbol_t* row = &orders_symbols(t)[o.symbol]
    o.prev = o.prev_all = ORDER_NONE
    o.next = row.head
    o.next_all = t.live_head
    if o.next != <uint32_t>ORDER_NONE:
        orders_slots(t)[o.next].prev = slot
    if o.next_all != <uint32_t>ORDER_NONE:
        orders_slots(t)[o.next_all].prev_all = slot
    row.head = t.live_head = slot
    row.live_count += 1
    row.order_count += 1
    t.live_count += 1


cdef inline void retire(orders_t* t, order_t* o) noexcept nogil:
    """From the live lists to the young end of the ended ones; the request cache learns how it ended."""
    cdef uint32_t slot = slot_of(t, o)
    cdef orders_symbol_t* row = &orders_symbols(t)[o.symbol]
    cdef order_t* slots = orders_slots(t)
    cdef recent_entry_t* entry
    if o.prev != <uint32_t>ORDER_NONE:
        slots[o.prev].next = o.next
    else:
        row.head = o.next
    if o.next != <uint32_t>ORDER_NONE:
        slots[o.next].prev = o.prev
    if o.prev_all != <uint32_t>ORDER_NONE:
        slots[o.prev_all].next_all = o.next_all
    else:
        t.live_head = o.next_all
    if o.next_all != <uint32_t>ORDER_NONE:
        slots[o.next_all].prev_all = o.prev_all
    row.live_count -= 1
    t.live_count -= 1
    if o.flags & ORDER_KEYED:
        probe_drop(keys_of(t), t.index_mask, key_of(o.strategy, o.symbol, o.sell, o.tag), 1)
        o.flags &= ~<uint16_t>ORDER_KEYED
    o.deadline_ns = NEVER_NS
    o.next = o.prev = ORDER_NONE
    o.next_all = ORDER_NONE
    o.prev_all = t.ended_tail
    if t.ended_tail != <uint32_t>ORDER_NONE:
        slots[t.ended_tail].next_all = slot
    else:
        t.ended_head = slot
    t.ended_tail = slot
    t.ended_count += 1
    entry = recent_find(orders_requests(t), <uint64_t>o.id_order, 1, o.ts_changed_ns)
    if entry != NULL:
        entry.mark = o.state
        entry.value = o.reasons


cdef inline void release_oldest(orders_t* t) noexcept nogil:
    """Give the longest-ended record's slot back. Its id lives on in the request cache."""
    cdef uint32_t slot = t.ended_head
    cdef order_t* o = &orders_slots(t)[slot]
    # What it still owes leaves the exposure with it: after this nobody could take it out again.
    tally(t, o, -1)
    probe_drop(ids_of(t), t.index_mask, <uint64_t>o.id_order, 1)
    t.ended_head = o.next_all
    if t.ended_head != <uint32_t>ORDER_NONE:
        orders_slots(t)[t.ended_head].prev_all = ORDER_NONE
    else:
        t.ended_tail = ORDER_NONE
    t.ended_count -= 1
    memset(o, 0, sizeof(order_t))
    o.next_all = t.free_head
    t.free_head = slot
