"""Is it possible, young and in order; and is its price near the others: the reference, spikes, jumps, suspicion.

Owns: the reference and its widths, the last outlier, what contradicts the quote. Does not own: what a kind of event
holds, what follows from a verdict. Invariant: a refused price moves neither reference nor quote.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._core.debug cimport likely, unlikely
from engine._core.types cimport (
    FLAG_NO_VENUE_TIME, OK, VALIDATE_BAD_PRICE, VALIDATE_BAD_QUANTITY, VALIDATE_BAND, VALIDATE_CLOCK,
    VALIDATE_DUPLICATE, VALIDATE_NO_ID, VALIDATE_NO_TIME, VALIDATE_ORDER, VALIDATE_PX_RANGE, VALIDATE_QTY_RANGE,
    VALIDATE_SPIKE, VALIDATE_STALE, event_t,
)
from engine._core.validate cimport (
    ACTION_CLEAR, ACTION_JUMP, ACTION_SUSPECT, CLASS_NEEDS_ID, CLASS_NEEDS_TIME, ID_STEP_END, PRICE_TRADE,
    SUSPECT_FROZEN, SUSPECT_OUTSIDE, SUSPECT_SPLIT, TS_END, refusal_t, validate_class_t, validate_row_t,
)
from engine._core.validate_outcome cimport part_ppm


# ----------------------------------------------------------------------------------------------------- time and number
cdef inline int judge_time(const validate_row_t* r, const validate_class_t* c, const event_t* e, int64_t now_ns,
                           int64_t* value, int64_t* limit) noexcept nogil:
    """Is there a time, is it possible, is it young, and does it not run backwards?"""
    cdef int64_t ours
    # One comparison for both stamps: a negative one is a very large unsigned one.
    if unlikely((<uint64_t>e.ts_venue_ns | <uint64_t>e.ts_recv_ns) >= <uint64_t>TS_END):
        value[0] = e.ts_venue_ns if not 0 <= e.ts_venue_ns < TS_END else e.ts_recv_ns
        limit[0] = TS_END
        return VALIDATE_CLOCK
    if unlikely(e.ts_venue_ns == 0 or e.flags & FLAG_NO_VENUE_TIME):
        if c.needs & CLASS_NEEDS_TIME:
            value[0] = limit[0] = 0
            return VALIDATE_NO_TIME
        ours = e.ts_recv_ns
    else:
        ours = e.ts_venue_ns - r.clock_offset_ns
        if unlikely(e.ts_venue_ns < c.ts_venue_ns - r.config.backward_ns_max):
            value[0], limit[0] = e.ts_venue_ns, c.ts_venue_ns
            return VALIDATE_ORDER
        if unlikely(c.strict and e.ts_venue_ns == c.ts_venue_ns):
            value[0] = limit[0] = c.ts_venue_ns
            return VALIDATE_DUPLICATE
    value[0] = now_ns - ours
    limit[0] = c.stale_ns_max
    if unlikely(value[0] > c.stale_ns_max):
        return VALIDATE_STALE
    if unlikely(value[0] < -r.drift_ns_max):
        value[0] = -value[0]
        limit[0] = r.drift_ns_max
        return VALIDATE_CLOCK
    return OK


cdef inline int judge_number(const validate_class_t* c, int64_t id, int64_t* value, int64_t* limit) noexcept nogil:
    """Numbers rise. A step of 2**40 is no step of any venue; taken for one, it would shut the stream for ever."""
    if not c.needs & CLASS_NEEDS_ID:
        return OK
    if likely(<uint64_t>(id - c.id_last - 1) < ID_STEP_END and id >= 0 and c.id_last >= 0):
        return OK
    value[0], limit[0] = id, c.id_last
    if id < 0:
        return VALIDATE_NO_ID
    if c.id_last < 0:
        return OK
    return VALIDATE_DUPLICATE if id == c.id_last else VALIDATE_ORDER


cdef inline int judge_amounts(const validate_row_t* r, int64_t px, int64_t qty, int64_t qty_least, int64_t* value,
                              int64_t* limit) noexcept nogil:
    if likely(r.px_ticks_min <= px and px <= r.px_ticks_max and qty_least <= qty and qty <= r.qty_lots_max):
        return OK
    if px < r.px_ticks_min or px > r.px_ticks_max:
        value[0] = px
        limit[0] = r.px_ticks_max if px > r.px_ticks_max else r.px_ticks_min if px > 0 else 0
        return VALIDATE_PX_RANGE if px > 0 else VALIDATE_BAD_PRICE
    value[0] = qty
    limit[0] = qty_least if qty < qty_least else r.qty_lots_max
    return VALIDATE_BAD_QUANTITY if qty < qty_least else VALIDATE_QTY_RANGE


# ------------------------------------------------------------------------------------------ reference, spikes and jumps
cdef inline int64_t distance(int64_t a, int64_t b) noexcept nogil:
    cdef int64_t way = a - b
    return -way if way < 0 else way


cdef inline bint ref_is_live(const validate_row_t* r, int64_t now_ns) noexcept nogil:
    return r.ts_ref_ns != 0 and now_ns - r.ts_ref_ns <= r.config.ref_ns_max


cdef inline void take_widths(validate_row_t* r, int64_t ref2) noexcept nogil:
    cdef int64_t least = 2 * r.config.floor_ticks
    r.widths_at = ref2
    r.band2 = max(least, part_ppm(ref2, r.config.band_ppm))
    r.spike2 = max(least, part_ppm(ref2, r.config.spike_ppm))
    r.agree2 = max(least, part_ppm(ref2, r.config.agree_ppm))
    r.outside2 = max(least, part_ppm(ref2, r.config.outside_ppm))
    r.far2 = max(r.outside2, part_ppm(ref2, r.config.far_ppm))


cdef inline void anchor(validate_row_t* r, int64_t px2, int64_t now_ns) noexcept nogil:
    """Begin anew from this price: there was no reference, it was too old, or a jump was confirmed."""
    r.ref16 = px2 * 16
    r.ts_ref_ns = max(now_ns, 1)
    r.last2[0] = r.last2[1] = px2
    r.mad256[0] = r.mad256[1] = 0
    take_widths(r, px2)


cdef inline void forget_jump(validate_row_t* r) noexcept nogil:
    r.jump2 = r.ts_jump_ns = 0
    r.jump_seen[0] = r.jump_seen[1] = 0


cdef inline void suspect(validate_row_t* r, uint32_t why, refusal_t* out) noexcept nogil:
    if not r.suspect & why:
        r.suspect |= why
        r.suspect_count += 1
        r.changed = 0
        out.actions |= ACTION_SUSPECT
    r.agree_count = 0


cdef inline void agree(validate_row_t* r, refusal_t* out) noexcept nogil:
    """A trade or the mark agrees with the quote; enough of them clear a suspicion once the quote has moved."""
    if not r.changed:
        return
    r.agree_count += 1
    if r.agree_count >= r.config.clear_count:
        r.suspect = 0
        r.agree_count = 0
        out.actions |= ACTION_CLEAR


cdef inline bint confirms(validate_row_t* r, int which, int64_t px2, int64_t now_ns, refusal_t* out) noexcept nogil:
    """An outlier: remember it, and accept it if others said the same.

    The rule: `confirm_prints` outliers in all, or `confirm_each` of quotes and as many of trades, each within
    `agree_ppm` of the one before it and not later than `confirm_ns` after it. A good price of the same kind takes
    back what its kind had said. So a wrong print is refused, and a crash is taken in after a few prints.
    """
    cdef uint32_t* seen = &r.jump_seen[0]
    if r.ts_jump_ns == 0 or now_ns - r.ts_jump_ns > r.config.confirm_ns or distance(px2, r.jump2) > r.agree2:
        seen[0] = seen[1] = 0
    r.jump2 = px2
    r.ts_jump_ns = max(now_ns, 1)
    seen[which] += 1
    if (seen[0] + seen[1] < r.config.confirm_prints
            and not (seen[0] >= r.config.confirm_each and seen[1] >= r.config.confirm_each)):
        return False
    # One kind alone moved the price while a fresh quote stands elsewhere: taken in, but not believed blindly.
    if seen[1 - which] == 0 and r.ts_quote_ns and now_ns - r.ts_quote_ns <= r.config.frozen_ns and which == PRICE_TRADE:
        suspect(r, SUSPECT_SPLIT, out)
    anchor(r, px2, now_ns)
    forget_jump(r)
    r.jump_count += 1
    out.actions |= ACTION_JUMP
    return True


cdef inline int64_t step_most(const validate_row_t* r, int which) noexcept nogil:
    return max(r.spike2, <int64_t>r.config.spike_k * r.mad256[which] >> 8)


cdef inline int outlier(validate_row_t* r, int which, int64_t px2, int64_t now_ns, int64_t* value, int64_t* limit,
                        refusal_t* out) noexcept nogil:
    cdef int64_t away = distance(px2, r.ref16 >> 4)
    cdef int64_t step = distance(px2, r.last2[which])
    if not ref_is_live(r, now_ns):
        anchor(r, px2, now_ns)
        forget_jump(r)
        return OK
    value[0] = away if away > r.band2 else min(step, away)
    limit[0] = r.band2 if away > r.band2 else step_most(r, which)
    if confirms(r, which, px2, now_ns, out):
        return OK
    # Only a confirmation changes the widths, so the band is still the one it was held against.
    return VALIDATE_BAND if away > r.band2 else VALIDATE_SPIKE


cdef inline void take_back(validate_row_t* r, int which) noexcept nogil:
    r.jump_seen[which] = 0
    if r.jump_seen[1 - which] == 0:
        forget_jump(r)


cdef inline bint price_fits(validate_row_t* r, int which, int64_t px2, int64_t now_ns) noexcept nogil:
    """Hold a price against the reference and against the one before it; one that fits moves the reference along."""
    cdef int64_t away = distance(px2, r.ref16 >> 4)
    cdef int64_t step = distance(px2, r.last2[which])
    cdef int64_t most = step_most(r, which)
    # A price that agrees with the reference is no spike, however old the last one of its kind is.
    if unlikely(away > r.band2 or min(step, away) > most or not ref_is_live(r, now_ns)):
        return False
    if unlikely(r.jump_seen[which] != 0):
        take_back(r, which)
    # Clipped at its own limit, the mean step cannot be driven up by one wild print.
    r.mad256[which] += ((min(step, most) << 8) - r.mad256[which]) >> 5
    r.last2[which] = px2
    r.ref16 += (px2 * 16 - r.ref16) >> 3
    r.ts_ref_ns = max(now_ns, 1)
    # Widths follow in steps of a thousandth: three divisions are not worth an exact width on every event.
    if unlikely(distance(r.ref16 >> 4, r.widths_at) > r.widths_at >> 10):
        take_widths(r, r.ref16 >> 4)
    return True


# Apart from the way of a price that fits, so that the compiler keeps this one short: 2 ns of each judgement.
cdef inline int judge_price(validate_row_t* r, int which, int64_t px2, int64_t now_ns, int64_t* value, int64_t* limit,
                            refusal_t* out) noexcept nogil:
    if likely(price_fits(r, which, px2, now_ns)):
        return OK
    return outlier(r, which, px2, now_ns, value, limit, out)


cdef inline void take_quote(validate_row_t* r, int64_t bid, int64_t ask, int64_t now_ns) noexcept nogil:
    if r.bid_px_ticks != bid or r.ask_px_ticks != ask:
        r.bid_px_ticks = bid
        r.ask_px_ticks = ask
        r.ts_changed_ns = now_ns
        r.outside_count = 0
        r.mark_anchor_e8 = 0
        r.changed = 1
    r.ts_quote_ns = max(now_ns, 1)


cdef inline void trade_against_quote(validate_row_t* r, int64_t px, int64_t now_ns, refusal_t* out) noexcept nogil:
    cdef int64_t past2
    if r.bid_px_ticks == 0:
        return
    past2 = 2 * max(px - r.ask_px_ticks, r.bid_px_ticks - px)
    if likely(past2 <= r.outside2):
        r.outside_count = 0
        if unlikely(r.suspect):
            agree(r, out)
        return
    if past2 > r.far2 and now_ns - r.ts_quote_ns <= r.config.frozen_ns:
        suspect(r, SUSPECT_OUTSIDE, out)
    # Sweeps print past a quote within milliseconds; only a quote that goes on standing there is frozen.
    if r.outside_count == 0:
        r.ts_outside_ns = now_ns
    r.outside_count += r.outside_count < r.config.suspect_trades
    r.agree_count = 0
    if r.outside_count >= r.config.suspect_trades and now_ns - r.ts_outside_ns >= r.config.frozen_ns:
        suspect(r, SUSPECT_FROZEN, out)
