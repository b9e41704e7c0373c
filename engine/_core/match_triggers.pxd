"""Orders that wait for a price: armed in a heap, or trailing the price at a distance.

Owns: when they fire, where a trailing trigger stands. Does not own: what they do then (they are queued). A price fires
what lies above first, then what lies below, then what trails. Cost: one comparison a trade when nothing fires; one
step for each trailing order.
"""
from libc.stdint cimport int64_t, uint32_t
from engine._core.match cimport (
    MATCHED_TRIGGERED, MATCH_NONE, MATCH_SELL, MATCH_TRAIL_BIPS, REASON_NONE, STATE_ARMED, STATE_TRAILING,
    match_order_t, match_orders, match_t,
)
from engine._core.match_ends cimport MARK_PROGRESS, list_hears, queue_order, tell, unplace
from engine._core.match_heaps cimport heap_add
from engine._core.match_slots cimport numbers_at
from engine._core.strategy_abi cimport TYPE_TAKE, TYPE_TAKE_LIMIT, TYPE_TRAILING


cdef extern from * nogil:
    """
    typedef __int128 bot4_match_wide_t;
    static inline int64_t bot4_match_share(int64_t px, int64_t ppm) {
        return (int64_t)((bot4_match_wide_t)px * ppm / 1000000);
    }
    """
    int64_t share_ppm "bot4_match_share"(int64_t px, int64_t ppm) noexcept


cdef inline int64_t trail_away(const match_order_t* o, int64_t px) noexcept nogil:
    cdef int64_t away
    if not o.flags & MATCH_TRAIL_BIPS:
        return o.trail
    away = share_ppm(px, o.trail * 100)
    return away if away > 0 else 1


cdef inline void fire(match_t* m, uint32_t index) noexcept nogil:
    """A trigger is reached: the order waits for its turn behind whatever is being matched."""
    cdef match_order_t* o = &match_orders(m)[index]
    unplace(m, index)
    if o.type == TYPE_TRAILING and o.state == STATE_ARMED:
        # Its activation price: from now on it trails.
        o.trigger_px = 0
        trail_order(m, index)
        return
    o.triggered = 1
    queue_order(m, index)
    tell(m, index, MATCHED_TRIGGERED, REASON_NONE, o.left_lots)
    if o.list != MATCH_NONE:
        list_hears(m, o.list, o.leg, MARK_PROGRESS, 0, False)


cdef inline void trail_order(match_t* m, uint32_t index) noexcept nogil:
    cdef match_order_t* o = &match_orders(m)[index]
    o.state = STATE_TRAILING
    o.next = MATCH_NONE
    o.prev = m.trail_last
    if m.trail_last == MATCH_NONE:
        m.trail_first = index
    else:
        match_orders(m)[m.trail_last].next = index
    m.trail_last = index
    trail_follow(m, o)


cdef inline bint trail_follow(match_t* m, match_order_t* o) noexcept nogil:
    """Move a trailing trigger after the price; True when the price has reached it."""
    cdef int64_t trigger
    if m.last_px == 0:
        return False
    if o.flags & MATCH_SELL:
        if o.trigger_px and m.last_px <= o.trigger_px:
            return True
        trigger = m.last_px - trail_away(o, m.last_px)
        if trigger > o.trigger_px:
            o.trigger_px = trigger
    else:
        if o.trigger_px and m.last_px >= o.trigger_px:
            return True
        trigger = m.last_px + trail_away(o, m.last_px)
        if o.trigger_px == 0 or trigger < o.trigger_px:
            o.trigger_px = trigger
    return False


cdef inline void last_traded(match_t* m, int64_t px) noexcept nogil:
    """A trade's price: fire what it reaches, those above first, then those below, then what trails."""
    cdef uint32_t index, after
    if px == m.last_px:
        return
    m.last_px = px
    while m.above_count:
        index = numbers_at(m, m.offset_above)[0]
        if match_orders(m)[index].trigger_px > px:
            break
        fire(m, index)
    while m.below_count:
        index = numbers_at(m, m.offset_below)[0]
        if match_orders(m)[index].trigger_px < px:
            break
        fire(m, index)
    index = m.trail_first
    while index != MATCH_NONE:
        after = match_orders(m)[index].next
        if trail_follow(m, &match_orders(m)[index]):
            fire(m, index)
            # Its sibling may have been the next one in line; begin again, since nobody follows the same price twice.
            after = m.trail_first
        index = after


cdef inline bint trigger_above(const match_order_t* o) noexcept nogil:
    cdef bint sell = o.flags & MATCH_SELL
    return sell if o.type == TYPE_TAKE or o.type == TYPE_TAKE_LIMIT else not sell


cdef inline bint is_reached(const match_t* m, int64_t trigger_px, bint above) noexcept nogil:
    if m.last_px == 0:
        return False
    return m.last_px >= trigger_px if above else m.last_px <= trigger_px


cdef inline void arm_order(match_t* m, uint32_t index) noexcept nogil:
    cdef match_order_t* o = &match_orders(m)[index]
    if o.type == TYPE_TRAILING and (o.trigger_px == 0 or o.trigger_px == m.last_px):
        o.trigger_px = 0
        trail_order(m, index)
        return
    # A trailing order's activation price may lie on either side of the last price.
    o.above = o.trigger_px > m.last_px if o.type == TYPE_TRAILING else trigger_above(o)
    o.state = STATE_ARMED
    heap_add(m, 0 if o.above else 1, index)
