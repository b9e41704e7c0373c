"""What an event does to the state of an order: the table's row, what it means here, and entering the new state.

Owns: the way from a row of the table to a state. Does not own: the table (order_table), lists and sums (orders_lists), fills
and amends, which carry quantities. Invariant: an illegal pair changes nothing but a counter.
"""
from libc.stdint cimport int64_t, uint8_t

from engine._core.debug cimport debug_assert, unlikely
from engine._core.order_table cimport (
    ON_CANCEL_ASKED, ON_REPLACE_NO_ORDER, ON_REPLACE_REFUSED, STATE_COUNT, STATE_FILLED, STATE_FREE,
    STATE_JOURNALED, STATE_OPEN, STATE_PENDING_CANCEL, STATE_PENDING_REPLACE, STATE_REJECTED, STATE_SENT,
    STATE_UNKNOWN, TO_REJECTED, TO_WORKING, order_next,
)
from engine._core.orders cimport (
    NEVER_NS, STATE_PARTIAL, TIF_GTD, TO_ABSENT, order_bound_lots, order_is_live, order_t, orders_t, state_is_live,
)
from engine._core.orders_lists cimport retire, tally
from engine._core.types cimport OK, ORDER_ILLEGAL, ORDER_OVERFILL


cdef inline int resolve(const order_t* o, int target) noexcept nogil:
    """A target that the order's quantities decide, decided."""
    if target < STATE_COUNT:
        return target
    if target == TO_WORKING:
        if o.qty_new_lots:
            return STATE_PENDING_REPLACE
        if o.filled_lots >= o.qty_lots:
            return STATE_FILLED
        return STATE_PARTIAL if o.filled_lots else STATE_OPEN
    if o.filled_lots == 0 and o.told_lots == 0:
        return STATE_REJECTED
    return STATE_UNKNOWN if target == TO_REJECTED else STATE_FREE


cdef inline void drop_amend(order_t* o) noexcept nogil:
    """No amend is in flight any more. One whose quantity was reached was accepted, whatever was said about it."""
    if o.told_lots > o.qty_lots or o.filled_lots > o.qty_lots:
        o.qty_lots = o.qty_new_lots
    o.qty_new_lots = 0
    o.px_new_ticks = 0


cdef inline void enter(orders_t* t, order_t* o, int target, int64_t now_ns) noexcept nogil:
    """Stand in a state, with its deadline. Exposure and lists are the caller's."""
    cdef int state = resolve(o, target)
    debug_assert(state != STATE_FREE)
    if state == STATE_UNKNOWN and o.state != STATE_UNKNOWN:
        t.unknown_count += 1
    if state != o.state or state == STATE_PENDING_CANCEL:
        if state == STATE_UNKNOWN:
            o.deadline_ns = now_ns + t.unknown_ns
        elif state == STATE_JOURNALED or state == STATE_SENT:
            o.deadline_ns = now_ns + t.ack_ns
        elif state == STATE_PENDING_CANCEL:
            o.deadline_ns = now_ns + t.cancel_ns
        elif state == STATE_PENDING_REPLACE:
            o.deadline_ns = now_ns + t.replace_ns
        elif state == STATE_OPEN or state == STATE_PARTIAL:
            o.deadline_ns = o.ts_expire_ns if o.tif == TIF_GTD else NEVER_NS
        else:
            o.deadline_ns = NEVER_NS
        if o.deadline_ns < t.due_least_ns:
            t.due_least_ns = o.deadline_ns
    o.state = <uint8_t>state
    o.ts_changed_ns = now_ns


cdef inline int apply_event(orders_t* t, order_t* o, int what, int64_t told_lots, int64_t now_ns) noexcept nogil:
    cdef bint was_live = order_is_live(o)
    cdef int row = order_next(o.state, what), target
    if unlikely(row == STATE_FREE or (row == TO_ABSENT and (o.filled_lots or o.told_lots or told_lots))):
        t.illegal_count += 1
        return ORDER_ILLEGAL
    if unlikely(told_lots > order_bound_lots(o)):
        t.overfill_count += 1
        return ORDER_OVERFILL
    if not was_live and told_lots <= o.told_lots:
        t.repeat_count += 1
        return OK
    tally(t, o, -1)
    if told_lots > o.told_lots:
        o.told_lots = told_lots
    if was_live:
        target = resolve(o, row)
        # The amend is answered, or the order is gone and the amend with it.
        if what == ON_REPLACE_REFUSED or what == ON_REPLACE_NO_ORDER or not state_is_live(target):
            drop_amend(o)
            target = resolve(o, row)
            if o.filled_lots >= o.qty_lots and state_is_live(target):
                target = STATE_FILLED
        if target == o.state and what != ON_CANCEL_ASKED:
            t.repeat_count += 1
        enter(t, o, target, now_ns)
    tally(t, o, 1)
    if was_live and not order_is_live(o):
        retire(t, o)
    return OK
