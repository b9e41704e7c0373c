"""Matching: an order takes what it crosses, in price-time order, and rests or ends with what is left.

Owns: trades, self-trade prevention, icebergs that show their next slice, fill-or-kill, the turn of queued orders.
Does not own: whether an order may come in (match_filters), lists, triggers. Fills stop short before the events could run
out: every live order keeps room for its end. Cost: constant for each fill.
"""
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t
from engine._core.debug cimport debug_assert, unlikely
from engine._core.match cimport (
    MATCHED_EXPIRED, MATCHED_MAKER_DONE, MATCHED_MAKER_OWNED, MATCHED_NEW, MATCHED_PREVENTED, MATCHED_REJECTED,
    MATCHED_SELL, MATCHED_TAKER_DONE, MATCHED_TAKER_OWNED, MATCHED_TRADE, MATCH_NONE, MATCH_SELL, REASON_BUDGET,
    REASON_CAPACITY, REASON_FOK, REASON_IOC, REASON_LIQUIDITY, REASON_NONE, REASON_NO_ROOM, REASON_STP,
    REASON_WOULD_TAKE, REASON_WOULD_TRIGGER, STATE_DEAD, STATE_FREE, STATE_TAKING, STP_DECREMENT,
    STP_EXPIRE_BOTH, STP_EXPIRE_TAKER, STP_NONE, match_event_t, match_events, match_level_t, match_order_t,
    match_orders, match_t,
)
from engine._core.match_ends cimport (
    MARK_PROGRESS, end_order, filled_order, list_hears, rest_lots, room_for_fill, tell,
)
from engine._core.match_levels cimport level_above, level_below, level_of, rest_order, touch_level, unrest_order
from engine._core.match_slots cimport numbers_at
from engine._core.match_triggers cimport arm_order, is_reached, last_traded, trigger_above
from engine._core.strategy_abi cimport TIF_FOK, TIF_GTX, TIF_IOC, TYPE_MARKET, TYPE_STOP, TYPE_TAKE, TYPE_TRAILING


cdef inline bint crosses(const match_t* m, const match_order_t* o, bint market) noexcept nogil:
    if o.flags & MATCH_SELL:
        return m.best_bid != 0 and (market or m.best_bid >= o.px_ticks)
    return m.best_ask != INT64_MAX and (market or m.best_ask <= o.px_ticks)


cdef inline bint is_market(const match_order_t* o) noexcept nogil:
    if o.type == TYPE_TRAILING:
        return o.px_ticks == 0
    return o.type == TYPE_MARKET or o.type == TYPE_STOP or o.type == TYPE_TAKE


cdef inline bint can_fill(const match_t* m, const match_order_t* o, bint market) noexcept nogil:
    """Fill-or-kill: is all of it there, at its price, from others?"""
    cdef bint sell = o.flags & MATCH_SELL
    cdef int64_t px = m.best_bid if sell else m.best_ask, found = 0, money = o.budget
    cdef match_level_t* level
    cdef uint32_t at
    cdef int64_t lots
    cdef match_order_t* maker
    while px != 0 and px != INT64_MAX and (market or (px >= o.px_ticks if sell else px <= o.px_ticks)):
        level = level_of(m, px)
        lots = level.qty_lots + level.hidden_lots
        if o.owner and o.stp != STP_NONE:
            at = level.head
            while at != MATCH_NONE:
                maker = &match_orders(m)[at]
                if maker.owner == o.owner:
                    lots -= rest_lots(maker)
                at = maker.next
        if o.budget:
            lots = min(lots, money // px)
            money -= lots * px
        found += lots
        if found >= o.left_lots:
            return True
        px = level_below(m, px) if sell else level_above(m, px)
    return False


cdef inline void prevent_self(match_t* m, uint32_t taker_index, uint32_t maker_index) noexcept nogil:
    """Two orders of one owner meet: the taker's mode decides who gives way. No trade happens."""
    cdef match_order_t* taker = &match_orders(m)[taker_index]
    cdef match_order_t* maker = &match_orders(m)[maker_index]
    cdef match_level_t* level = level_of(m, maker.px_ticks)
    cdef int64_t lots = min(taker.left_lots, maker.left_lots)
    cdef match_event_t* e
    tell(m, taker_index, MATCHED_PREVENTED, REASON_STP, lots)
    e = &match_events(m)[m.event_count - 1]
    e.id_other = maker.id
    e.px_ticks = maker.px_ticks
    e.filled_other = maker.filled_lots
    if taker.stp == STP_DECREMENT:
        taker.left_lots -= lots
        taker.prevented_lots += lots
        maker.left_lots -= lots
        maker.prevented_lots += lots
        level.qty_lots -= lots
        touch_level(m, level, maker.px_ticks)
        if maker.left_lots == 0 and not refill(m, maker_index):
            end_order(m, maker_index, MATCHED_EXPIRED, REASON_STP)
        return
    if taker.stp != STP_EXPIRE_TAKER:
        end_order(m, maker_index, MATCHED_EXPIRED, REASON_STP)


cdef inline bint refill(match_t* m, uint32_t index) noexcept nogil:
    """Show the next slice of an iceberg, behind the others of its price. False: nothing is left of it."""
    cdef match_order_t* o = &match_orders(m)[index]
    if o.hidden_lots == 0:
        return False
    unrest_order(m, index)
    o.left_lots = o.hidden_lots
    o.hidden_lots = 0
    # Its page may have gone with it a moment ago; then it has just come free, so one is there.
    rest_order(m, index)
    return True


cdef inline int64_t trade(match_t* m, uint32_t taker_index, uint32_t maker_index, int64_t lots) noexcept nogil:
    cdef match_order_t* taker = &match_orders(m)[taker_index]
    cdef match_order_t* maker = &match_orders(m)[maker_index]
    cdef match_level_t* level = level_of(m, maker.px_ticks)
    cdef match_event_t* e = &match_events(m)[m.event_count]
    cdef int64_t px = maker.px_ticks
    debug_assert(lots > 0 and lots <= maker.left_lots and lots <= taker.left_lots)
    taker.left_lots -= lots
    taker.filled_lots += lots
    maker.left_lots -= lots
    maker.filled_lots += lots
    level.qty_lots -= lots
    touch_level(m, level, px)
    m.id_trade += 1
    m.event_count += 1
    e.kind = MATCHED_TRADE
    e.reason = REASON_NONE
    e.reserved = 0
    e.flags = ((MATCHED_SELL if taker.flags & MATCH_SELL else 0)
               | (MATCHED_TAKER_DONE if taker.left_lots == 0 else 0)
               | (MATCHED_MAKER_DONE if maker.left_lots == 0 and maker.hidden_lots == 0 else 0)
               | (MATCHED_TAKER_OWNED if taker.owner else 0) | (MATCHED_MAKER_OWNED if maker.owner else 0))
    e.owner = taker.owner
    e.id = taker.id
    e.id_other = maker.id
    e.px_ticks = px
    e.qty_lots = lots
    e.filled_lots = taker.filled_lots
    e.filled_other = maker.filled_lots
    e.id_trade = m.id_trade
    if maker.left_lots == 0:
        if maker.hidden_lots == 0:
            filled_order(m, maker_index)
        else:
            if maker.list != MATCH_NONE:
                list_hears(m, maker.list, maker.leg, MARK_PROGRESS, 0, False)
            refill(m, maker_index)
    elif maker.list != MATCH_NONE:
        list_hears(m, maker.list, maker.leg, MARK_PROGRESS, 0, False)
    if taker.list != MATCH_NONE and taker.left_lots:
        list_hears(m, taker.list, taker.leg, MARK_PROGRESS, 0, False)
    last_traded(m, px)
    return px * lots


cdef inline uint8_t take(match_t* m, uint32_t index, bint market) noexcept nogil:
    """Trade as far as price, book and money reach. Returns why the rest must end, or REASON_NONE."""
    cdef match_order_t* o = &match_orders(m)[index]
    cdef match_order_t* maker
    cdef uint32_t maker_index
    cdef int64_t px, lots, spent
    cdef bint bounded = o.budget > 0
    o.state = STATE_TAKING
    while o.left_lots and crosses(m, o, market):
        if unlikely(not room_for_fill(m)):
            return REASON_NO_ROOM
        px = m.best_bid if o.flags & MATCH_SELL else m.best_ask
        maker_index = level_of(m, px).head
        maker = &match_orders(m)[maker_index]
        if unlikely(maker.owner == o.owner and o.owner and o.stp != STP_NONE):
            prevent_self(m, index, maker_index)
            if o.stp == STP_EXPIRE_TAKER or o.stp == STP_EXPIRE_BOTH or o.left_lots == 0:
                return REASON_STP
            continue
        lots = min(o.left_lots, maker.left_lots)
        if bounded:
            lots = min(lots, o.budget // px)
            if lots == 0:
                return REASON_BUDGET
        spent = trade(m, index, maker_index, lots)
        if bounded:
            o.budget -= spent
    return REASON_NONE


cdef inline void enter_order(match_t* m, uint32_t index) noexcept nogil:
    """Match an order as what it is now, and rest or end what is left of it."""
    cdef match_order_t* o = &match_orders(m)[index]
    cdef bint market = is_market(o)
    cdef uint8_t reason
    if o.tif == TIF_FOK and not can_fill(m, o, market):
        o.state = STATE_TAKING
        end_order(m, index, MATCHED_EXPIRED, REASON_FOK)
        return
    reason = take(m, index, market)
    if o.left_lots == 0 and reason == REASON_NONE:
        filled_order(m, index)
    elif reason != REASON_NONE:
        end_order(m, index, MATCHED_EXPIRED, reason)
    elif market:
        end_order(m, index, MATCHED_EXPIRED, REASON_LIQUIDITY)
    elif o.tif == TIF_IOC or o.tif == TIF_FOK:
        end_order(m, index, MATCHED_EXPIRED, REASON_IOC)
    elif not rest_order(m, index):
        end_order(m, index, MATCHED_EXPIRED, REASON_CAPACITY)


cdef inline void wake_order(match_t* m, uint32_t index) noexcept nogil:
    """A queued order's turn: one that was triggered enters; a leg begins as if it had just been sent."""
    cdef match_order_t* o = &match_orders(m)[index]
    if o.state == STATE_DEAD:
        o.state = STATE_FREE
        o.next = m.free_order
        m.free_order = index
        return
    o.state = STATE_TAKING
    if o.triggered:
        # Post-only holds for a triggered limit order too: it ends rather than takes.
        if o.tif == TIF_GTX and crosses(m, o, False):
            end_order(m, index, MATCHED_REJECTED, REASON_WOULD_TAKE)
        else:
            enter_order(m, index)
        return
    tell(m, index, MATCHED_NEW, REASON_NONE, o.left_lots)
    start_order(m, index)


cdef inline void start_order(match_t* m, uint32_t index) noexcept nogil:
    """A leg whose time has come. What a plain order would be refused for ends it here."""
    cdef match_order_t* o = &match_orders(m)[index]
    if TYPE_STOP <= o.type <= TYPE_TRAILING:
        if o.type != TYPE_TRAILING and is_reached(m, o.trigger_px, trigger_above(o)):
            end_order(m, index, MATCHED_REJECTED, REASON_WOULD_TRIGGER)
        else:
            arm_order(m, index)
    elif o.tif == TIF_GTX and crosses(m, o, False):
        end_order(m, index, MATCHED_REJECTED, REASON_WOULD_TAKE)
    else:
        enter_order(m, index)


cdef inline bint run_work(match_t* m) noexcept nogil:
    """Work through what was triggered. False: the events must be read first; call again."""
    cdef uint32_t index
    while m.work_count:
        if not room_for_fill(m):
            return False
        index = numbers_at(m, m.offset_work)[m.work_head]
        m.work_head += 1
        if m.work_head == m.config.orders_max:
            m.work_head = 0
        m.work_count -= 1
        wake_order(m, index)
    return True
