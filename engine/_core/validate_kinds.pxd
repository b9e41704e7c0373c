"""One kind of event at a time: a level and its message, quote, trade, mark, bar.

Owns: the message being judged. Does not own: prices against the reference (validate_price), counts and records
(validate_outcome). Invariant: of a depth message with one bad level nothing more passes until its end.
"""
from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t

from engine._core.debug cimport likely, unlikely
from engine._core.types cimport (
    FLAG_ASK, FLAG_CLOSED, FLAG_FIRST, FLAG_LAST, FLAG_SNAPSHOT, KIND_BAR_PRICES, KIND_BAR_TOTALS, KIND_BOOK_LEVEL, OK,
    VALIDATE_BAD_BAR, VALIDATE_BAD_PRICE, VALIDATE_BAD_QUANTITY, VALIDATE_BAND, VALIDATE_CONDEMNED, VALIDATE_CROSSED,
    VALIDATE_DUPLICATE, VALIDATE_ORDER, VALIDATE_PX_RANGE, VALIDATE_TORN, bar_prices_event_t, bar_totals_event_t,
    event_t, level_event_t, mark_event_t, quote_event_t, trade_event_t,
)
from engine._core.validate cimport (
    ACTION_BOOK, CLASS_BAR, CLASS_DEPTH, CLASS_IMAGE, CLASS_NEEDS_ID, MESSAGE_CONDEMNED, MESSAGE_NONE, MESSAGE_OPEN,
    PRICE_QUOTE, PRICE_TRADE, REASON_BASE, SUSPECT_FROZEN, TS_END, refusal_t, validate_class_t, validate_row_t,
    validate_t,
)
from engine._core.validate_outcome cimport accept, doubled, moved_past, record, refuse
from engine._core.validate_price cimport (
    agree, confirms, distance, judge_amounts, judge_number, judge_price, judge_time, ref_is_live, suspect, take_quote,
    trade_against_quote,
)


cdef inline int condemn(validate_t* v, validate_row_t* r, const event_t* e, int status, int64_t value, int64_t limit,
                        int64_t now_ns, refusal_t* out) noexcept nogil:
    """A depth message is refused as a whole. What of it already passed stands in the book, so the book has to go."""
    if r.message == MESSAGE_OPEN and r.message_levels:
        out.actions |= ACTION_BOOK
    r.message = MESSAGE_NONE if e.flags & FLAG_LAST else MESSAGE_CONDEMNED
    return refuse(v, r, e, status, value, limit, now_ns, out)


cdef inline int message_begin(validate_row_t* r, validate_class_t* c, uint32_t of, const level_event_t* e,
                              int64_t now_ns, int64_t* value, int64_t* limit) noexcept nogil:
    cdef int status
    # An image heals whatever stood half-built before it; an update does not.
    if unlikely(r.message == MESSAGE_OPEN and of == CLASS_DEPTH):
        value[0], limit[0] = e.id_last, r.message_id
        return VALIDATE_TORN
    r.message_levels = 0
    status = judge_time(r, c, <const event_t*>e, now_ns, value, limit)
    if status == OK:
        status = judge_number(c, e.id_last, value, limit)
    r.message = MESSAGE_OPEN
    r.message_class = of
    r.message_id = e.id_last
    r.message_bid = 0
    r.message_ask = INT64_MAX
    return status


cdef inline int judge_level(validate_row_t* r, const level_event_t* e, int64_t now_ns, int64_t* value, int64_t* limit,
                            refusal_t* out) noexcept nogil:
    cdef int64_t past2
    cdef int status = judge_amounts(r, e.px_ticks, e.qty_lots, 0, value, limit)
    if status != OK or e.qty_lots == 0:
        return status
    if e.flags & FLAG_ASK:
        r.message_ask = min(r.message_ask, e.px_ticks)
        past2 = (r.ref16 >> 4) - 2 * e.px_ticks
    else:
        r.message_bid = max(r.message_bid, e.px_ticks)
        past2 = 2 * e.px_ticks - (r.ref16 >> 4)
    if unlikely(r.message_bid >= r.message_ask):
        value[0], limit[0] = r.message_bid, r.message_ask
        return VALIDATE_CROSSED
    # Deep levels are no outliers on their own side of the market, only past the touch.
    if unlikely(past2 > r.band2 and ref_is_live(r, now_ns)):
        value[0], limit[0] = past2, r.band2
        return OK if confirms(r, PRICE_QUOTE, 2 * e.px_ticks, now_ns, out) else VALIDATE_BAND
    return OK


cdef inline int judge_depth(validate_t* v, validate_row_t* r, const level_event_t* e, int64_t now_ns,
                            refusal_t* out) noexcept nogil:
    cdef const event_t* event = <const event_t*>e
    cdef uint32_t of = CLASS_IMAGE if e.flags & FLAG_SNAPSHOT else CLASS_DEPTH
    cdef validate_class_t* c = &r.classes[of]
    cdef int64_t value = 0, limit = 0
    cdef int status = OK
    if e.flags & FLAG_FIRST:
        status = message_begin(r, c, of, e, now_ns, &value, &limit)
    elif unlikely(r.message == MESSAGE_CONDEMNED):
        # Counted, and nothing else: the message was one refusal.
        v.refused_count += 1
        r.reason_count[<int>VALIDATE_CONDEMNED - REASON_BASE] += 1
        record(event, VALIDATE_CONDEMNED, e.id_last, r.message_id, now_ns, out)
        if e.flags & FLAG_LAST:
            r.message = MESSAGE_NONE
        return VALIDATE_CONDEMNED
    elif unlikely(r.message == MESSAGE_NONE or of != r.message_class or e.id_last != r.message_id):
        value, limit = e.id_last, r.message_id
        status = VALIDATE_TORN
    # Price and quantity both zero: a message without a level, which still moves the sequence.
    if likely(status == OK and e.kind == KIND_BOOK_LEVEL and (e.px_ticks != 0 or e.qty_lots != 0)):
        status = judge_level(r, e, now_ns, &value, &limit, out)
    if unlikely(status != OK):
        return condemn(v, r, event, status, value, limit, now_ns, out)
    if e.flags & FLAG_LAST:
        r.message = MESSAGE_NONE
        accept(v, r, c, event, e.id_last, now_ns, out)
    else:
        r.message_levels += 1
        v.accepted_count += 1
        c.accepted_count += 1
    return OK


cdef inline int misfit(const validate_row_t* r, const quote_event_t* e, int64_t* value, int64_t* limit) noexcept nogil:
    """Why a quote has no place, the first reason of them; OK never."""
    cdef int status = judge_amounts(r, e.bid_px_ticks, e.bid_qty_lots, 1, value, limit)
    if status == OK:
        status = judge_amounts(r, e.ask_px_ticks, e.ask_qty_lots, 1, value, limit)
    if status == OK:
        value[0], limit[0] = e.bid_px_ticks, e.ask_px_ticks
        return VALIDATE_CROSSED
    return status


cdef inline int judge_quote(validate_row_t* r, const quote_event_t* e, int64_t now_ns, int64_t* value, int64_t* limit,
                            refusal_t* out) noexcept nogil:
    cdef int64_t bid = e.bid_px_ticks, ask = e.ask_px_ticks
    cdef int64_t px2 = bid + ask, past
    cdef uint64_t most = <uint64_t>r.qty_lots_max
    cdef int status = OK
    # Between its ends and not crossed is three comparisons, a quantity of 1 to the most is one each.
    if unlikely(not (r.px_ticks_min <= bid and bid < ask and ask <= r.px_ticks_max
                     and <uint64_t>e.bid_qty_lots - 1 < most and <uint64_t>e.ask_qty_lots - 1 < most)):
        return misfit(r, e, value, limit)
    # Both sides, not the middle alone: a bid of one tick and an ask of twice the price have a perfect middle. The
    # farther side is as far off as the middle, and half the spread (all of it, doubled).
    past = distance(px2, r.ref16 >> 4) + (ask - bid)
    if unlikely(past > r.band2 and ref_is_live(r, now_ns)):
        value[0], limit[0] = past, r.band2
        if not confirms(r, PRICE_QUOTE, px2, now_ns, out):
            return VALIDATE_BAND
    else:
        status = judge_price(r, PRICE_QUOTE, px2, now_ns, value, limit, out)
    if status == OK:
        take_quote(r, bid, ask, now_ns)
    return status


cdef inline int judge_trade(validate_row_t* r, const trade_event_t* e, int64_t now_ns, int64_t* value, int64_t* limit,
                            refusal_t* out) noexcept nogil:
    cdef int status = judge_amounts(r, e.px_ticks, e.qty_lots, 1, value, limit)
    if likely(status == OK):
        status = judge_price(r, PRICE_TRADE, 2 * e.px_ticks, now_ns, value, limit, out)
    if likely(status == OK):
        trade_against_quote(r, e.px_ticks, now_ns, out)
    return status


cdef inline int judge_mark(validate_row_t* r, const mark_event_t* e, int64_t now_ns, int64_t* value, int64_t* limit,
                           refusal_t* out) noexcept nogil:
    cdef int64_t mark2
    if e.mark_px_e8 <= 0 or e.index_px_e8 < 0 or e.settle_px_e8 < 0:
        value[0], limit[0] = min(e.mark_px_e8, min(e.index_px_e8, e.settle_px_e8)), 0
        return VALIDATE_BAD_PRICE
    mark2 = doubled(e.mark_px_e8, r.config.tick_e8)
    if mark2 > 2 * r.px_ticks_max or mark2 < 2 * r.px_ticks_min - 1:
        value[0], limit[0] = mark2 >> 1, r.px_ticks_max if mark2 > 2 * r.px_ticks_max else r.px_ticks_min
        return VALIDATE_PX_RANGE
    if ref_is_live(r, now_ns) and distance(mark2, r.ref16 >> 4) > r.band2:
        value[0], limit[0] = distance(mark2, r.ref16 >> 4), r.band2
        return VALIDATE_BAND
    if r.bid_px_ticks == 0:
        return OK
    if r.mark_anchor_e8 == 0:
        r.mark_anchor_e8 = e.mark_px_e8
    elif (now_ns - r.ts_changed_ns >= r.config.frozen_ns
            and moved_past(e.mark_px_e8, r.mark_anchor_e8, r.config.mark_ppm)):
        suspect(r, SUSPECT_FROZEN, out)
    if r.suspect and distance(mark2, r.bid_px_ticks + r.ask_px_ticks) <= r.far2:
        agree(r, out)
    return OK


cdef inline int judge_bar_event(validate_row_t* r, validate_class_t* c, const event_t* e, int64_t* value,
                                int64_t* limit) noexcept nogil:
    """A bar is two events, prices then totals; totals without their prices are no bar."""
    cdef const bar_prices_event_t* p = <const bar_prices_event_t*>e
    cdef const bar_totals_event_t* t = <const bar_totals_event_t*>e
    cdef int status
    if e.kind == KIND_BAR_PRICES:
        status = judge_amounts(r, p.low_ticks, p.volume_lots if p.volume_lots < 0 else 0, 0, value, limit)
        if status == OK:
            status = judge_amounts(r, p.high_ticks, 0, 0, value, limit)
        if status == OK and not (p.low_ticks <= min(p.open_ticks, p.close_ticks)
                                 and max(p.open_ticks, p.close_ticks) <= p.high_ticks):
            value[0], limit[0] = p.low_ticks, p.high_ticks
            status = VALIDATE_BAD_BAR
        return status
    if not (0 < t.ts_open_ns and t.ts_open_ns < t.ts_close_ns and t.ts_close_ns < TS_END // 2):
        value[0], limit[0] = t.ts_open_ns, t.ts_close_ns
        return VALIDATE_BAD_BAR
    if t.trade_count < 0 or t.quote_volume_e8 < 0 or t.taker_buy_lots < 0:
        value[0], limit[0] = min(t.trade_count, min(t.quote_volume_e8, t.taker_buy_lots)), 0
        return VALIDATE_BAD_QUANTITY
    # Openings strictly rise. An open bar may be sent again, a closed one never; so a bar's number is its opening,
    # doubled, and one more when it is closed.
    if c.needs & CLASS_NEEDS_ID:
        value[0], limit[0] = 2 * t.ts_open_ns + ((t.flags & FLAG_CLOSED) != 0), c.id_last
        if value[0] < c.id_last:
            return VALIDATE_ORDER
        if value[0] == c.id_last and value[0] & 1:
            return VALIDATE_DUPLICATE
    return OK


cdef inline int judge_bar(validate_t* v, validate_row_t* r, const event_t* e, int64_t now_ns,
                          refusal_t* out) noexcept nogil:
    cdef validate_class_t* c = &r.classes[<int>CLASS_BAR]
    cdef int64_t value = 0, limit = 0, id = c.id_last
    cdef uint32_t before = r.message_bar
    cdef int status
    r.message_bar = MESSAGE_NONE
    if e.kind == KIND_BAR_TOTALS and before != MESSAGE_OPEN:
        if before == MESSAGE_CONDEMNED:
            v.refused_count += 1
            r.reason_count[<int>VALIDATE_CONDEMNED - REASON_BASE] += 1
            record(e, VALIDATE_CONDEMNED, 0, 0, now_ns, out)
            return VALIDATE_CONDEMNED
        return refuse(v, r, e, VALIDATE_TORN, e.kind, KIND_BAR_PRICES, now_ns, out)
    status = judge_time(r, c, e, now_ns, &value, &limit)
    if status == OK:
        status = judge_bar_event(r, c, e, &value, &limit)
    if e.kind == KIND_BAR_PRICES:
        r.message_bar = MESSAGE_OPEN if status == OK else MESSAGE_CONDEMNED
    elif status == OK:
        id = 2 * (<const bar_totals_event_t*>e).ts_open_ns + ((e.flags & FLAG_CLOSED) != 0)
    if status != OK:
        return refuse(v, r, e, status, value, limit, now_ns, out)
    accept(v, r, c, e, id, now_ns, out)
    return OK


cdef inline int no_row(validate_t* v, const event_t* e, int status, int64_t value, int64_t limit, int64_t now_ns,
                       refusal_t* out) noexcept nogil:
    v.refused_count += 1
    v.unknown_count += 1
    record(e, status, value, limit, now_ns, out)
    return status
