cimport cython
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from engine._core.types import Status

from engine._core.debug cimport likely, static_assert_c, unlikely
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport (
    FLAG_ASK, FLAG_CLOSED, FLAG_FIRST, FLAG_LAST, FLAG_NO_VENUE_TIME, FLAG_SNAPSHOT, KIND_AGG_TRADE, KIND_BAR_PRICES,
    KIND_BAR_TOTALS, KIND_BOOK_CLEAR, KIND_BOOK_LEVEL, KIND_CONTROL, KIND_LIQUIDATION, KIND_MARK, KIND_ORDER_LOST,
    KIND_QUOTE, KIND_REFUSAL, KIND_TIMER, KIND_TRADE, OK, VALIDATE_BAD_BAR, VALIDATE_BAD_CONFIG,
    VALIDATE_BAD_KIND, VALIDATE_BAD_PRICE, VALIDATE_BAD_QUANTITY, VALIDATE_BAD_SYMBOL, VALIDATE_BAND, VALIDATE_CLOCK,
    VALIDATE_CONDEMNED, VALIDATE_CROSSED, VALIDATE_DUPLICATE, VALIDATE_NO_ID, VALIDATE_NO_TIME, VALIDATE_ORDER,
    VALIDATE_PX_RANGE, VALIDATE_QTY_RANGE, VALIDATE_SILENT, VALIDATE_SPIKE, VALIDATE_STALE, VALIDATE_TORN,
    bar_prices_event_t, bar_totals_event_t, event_t, level_event_t, liquidation_event_t, mark_event_t, quote_event_t,
    raise_status, trade_event_t,
)

cdef extern from * nogil:
    """
    static inline int64_t bot4_part_ppm(int64_t base, int64_t ppm) { return (int64_t)((__int128)base * ppm / 1000000); }
    static inline int bot4_moved_past(int64_t value, int64_t base, int64_t ppm) {
        __int128 way = (__int128)value - base;
        return (way < 0 ? -way : way) * 1000000 > (__int128)base * ppm;
    }
    /* Twice a price in 1e-8, in ticks; what does not fit is the largest, which no band holds. */
    static inline int64_t bot4_doubled(int64_t px_e8, int64_t tick_e8) {
        __int128 v = (__int128)px_e8 * 2 / tick_e8;
        return v > ((int64_t)1 << 60) ? ((int64_t)1 << 60) : (int64_t)v;
    }
    #define bot4_ones(x) __builtin_popcountll(x)
    /* Ones at the low end: refusals in a row. */
    #define bot4_row(x) (~(x) ? __builtin_ctzll(~(x)) : 64)
    static const uint8_t bot4_class_of[64] = {255, 0, 2, 3, 4, 5, 5, 6, 7, 0, [10 ... 63] = 255};
    """
    int64_t part_ppm "bot4_part_ppm"(int64_t base, int64_t ppm) noexcept
    bint moved_past "bot4_moved_past"(int64_t value, int64_t base, int64_t ppm) noexcept
    int64_t doubled "bot4_doubled"(int64_t px_e8, int64_t tick_e8) noexcept
    uint32_t ones "bot4_ones"(uint64_t x) noexcept
    uint32_t row_of_ones "bot4_row"(uint64_t x) noexcept
    const uint8_t* CLASS_OF "bot4_class_of"

cdef int64_t MS = 1_000_000
cdef int64_t SECOND = 1_000_000_000
cdef uint32_t PPM = 1_000_000


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(validate_t) == 128)
    static_assert_c(sizeof(validate_class_t) == 64)
    static_assert_c(sizeof(refusal_t) == 64)
    static_assert_c(sizeof(validate_row_t) == 1344)
    static_assert_c(<size_t>&(<validate_row_t*>NULL).classes == 320)


# ------------------------------------------------------------------------------------------------------------- set-up
cdef size_t validate_bytes(uint32_t symbol_count) noexcept nogil:
    return sizeof(validate_t) + <size_t>symbol_count * sizeof(validate_row_t)


cdef int validate_init(validate_t* v, uint32_t symbol_count) noexcept nogil:
    if symbol_count < 1 or symbol_count > 65535:
        return VALIDATE_BAD_CONFIG
    memset(v, 0, validate_bytes(symbol_count))
    v.symbol_count = symbol_count
    return OK


cdef void validate_defaults(validate_config_t* c) noexcept nogil:
    """A liquid symbol on a venue that stamps and numbers everything; the instrument's own range has to be given."""
    cdef int i
    memset(c, 0, sizeof(validate_config_t))
    c.px_ticks_min = 1
    c.px_ticks_max = PX_LIMIT
    c.qty_lots_max = <int64_t>1 << 53
    c.tick_e8 = 1
    c.drift_ns_max = 250 * MS
    c.ref_ns_max = 60 * SECOND
    c.confirm_ns = 5 * SECOND
    c.frozen_ns = SECOND
    c.halt_ns = 5 * SECOND
    c.floor_ticks = 10
    c.band_ppm = 50_000
    c.spike_ppm = 5_000
    c.spike_k = 16
    c.agree_ppm = 10_000
    c.outside_ppm = 1_000
    c.far_ppm = 20_000
    c.mark_ppm = 2_000
    c.confirm_prints = 5
    c.confirm_each = 2
    c.suspect_trades = 5
    c.clear_count = 3
    c.window = 64
    c.window_bad = 16
    c.row_bad = 10
    c.recover_count = 32
    # A second feed repeats what the first has brought: nothing is wrong with the symbol then.
    c.breaker_mask = 0xFFFFFF & ~(<uint32_t>1 << (<int>VALIDATE_DUPLICATE - REASON_BASE))
    c.needs_time = 0xFF & ~(1 << <int>CLASS_IMAGE)
    c.needs_id = 1 << <int>CLASS_DEPTH | 1 << <int>CLASS_QUOTE | 1 << <int>CLASS_TRADE | 1 << <int>CLASS_AGG
    c.needs_id |= 1 << <int>CLASS_BAR
    for i in range(CLASSES):
        c.stale_ns_max[i] = 500 * MS
    # An image is fetched by request and its age is made up by the updates that follow it.
    c.stale_ns_max[<int>CLASS_IMAGE] = 5 * SECOND


cdef bint _config_is_good(const validate_config_t* c) noexcept nogil:
    cdef int i
    for i in range(CLASSES):
        if not 0 <= c.stale_ns_max[i] < TS_END or not 0 <= c.silent_ns_max[i] < TS_END:
            return False
    return (
        0 < c.px_ticks_min <= c.px_ticks_max <= PX_LIMIT and 0 < c.qty_lots_max and 0 < c.tick_e8
        and 0 <= c.drift_ns_max < TS_END and 0 <= c.backward_ns_max < TS_END and 0 < c.ref_ns_max < TS_END
        and 0 <= c.confirm_ns < TS_END and 0 <= c.frozen_ns < TS_END and 0 <= c.halt_ns < TS_END
        and 0 < c.floor_ticks <= PX_LIMIT and 0 < c.band_ppm <= PPM and 0 < c.spike_ppm <= PPM
        and 0 < c.spike_k <= 32 and c.agree_ppm <= PPM and c.outside_ppm <= c.far_ppm <= PPM and c.mark_ppm <= PPM
        and 2 <= c.confirm_prints and 1 <= c.confirm_each and 1 <= c.suspect_trades and 1 <= c.clear_count
        and 1 <= c.window <= 64 and c.window_bad <= c.window and c.row_bad <= 64 and 1 <= c.recover_count
        and c.needs_time < 256 and c.needs_id < 256
    )


cdef int validate_configure(validate_t* v, uint16_t symbol, const validate_config_t* config) noexcept nogil:
    """Give a symbol its limits and start it from nothing: no reference, no positions, all counts zero."""
    cdef validate_row_t* r
    cdef validate_class_t* c
    cdef int i
    if symbol >= v.symbol_count:
        return VALIDATE_BAD_SYMBOL
    if not _config_is_good(config):
        return VALIDATE_BAD_CONFIG
    r = &validate_rows(v)[symbol]
    # The header counts what the rows count: a row that starts anew takes its share along.
    for i in range(CLASSES):
        v.accepted_count -= r.classes[i].accepted_count
    for i in range(REASONS):
        v.refused_count -= r.reason_count[i] if i != <int>VALIDATE_SILENT - REASON_BASE else 0
    memset(r, 0, sizeof(validate_row_t))
    memcpy(&r.config, config, sizeof(validate_config_t))
    r.px_ticks_min = config.px_ticks_min
    r.px_ticks_max = config.px_ticks_max
    r.qty_lots_max = config.qty_lots_max
    r.drift_ns_max = config.drift_ns_max
    for i in range(CLASSES):
        c = &r.classes[i]
        c.stale_ns_max = config.stale_ns_max[i] if config.stale_ns_max[i] else INT64_MAX
        c.silent_ns_max = config.silent_ns_max[i]
        c.needs = CLASS_NEEDS_TIME if config.needs_time >> i & 1 else 0
        c.needs |= CLASS_NEEDS_ID if config.needs_id >> i & 1 else 0
    r.classes[<int>CLASS_MARK].strict = 1
    r.configured = 1
    return validate_reset(v, symbol, False)


cdef int validate_reset(validate_t* v, uint16_t symbol, bint keep_reference) noexcept nogil:
    """After a reconnect: numbers and times start anew. A halt, a suspicion and the counts stay."""
    cdef validate_row_t* r
    cdef int i
    if symbol >= v.symbol_count or not validate_rows(v)[symbol].configured:
        return VALIDATE_BAD_SYMBOL
    r = &validate_rows(v)[symbol]
    for i in range(CLASSES):
        r.classes[i].id_last = -1
        r.classes[i].ts_venue_ns = 0
        r.classes[i].ts_heard_ns = 0
    r.bid_px_ticks = r.ask_px_ticks = r.ts_quote_ns = r.ts_changed_ns = 0
    _forget_jump(r)
    r.mark_anchor_e8 = r.ts_outside_ns = 0
    r.outside_count = r.agree_count = 0
    r.message = r.message_class = r.message_bar = r.message_levels = 0
    r.message_id = r.message_bid = r.message_ask = 0
    if not keep_reference:
        r.ref16 = r.ts_ref_ns = r.widths_at = 0
        r.band2 = r.spike2 = r.agree2 = r.outside2 = r.far2 = 0
        r.last2[0] = r.last2[1] = r.mad256[0] = r.mad256[1] = 0
    return OK


cdef int validate_clock(validate_t* v, uint16_t symbol, int64_t offset_ns) noexcept nogil:
    """The venue's clock minus ours, as measured by whoever keeps time with the venue."""
    if symbol >= v.symbol_count or not validate_rows(v)[symbol].configured:
        return VALIDATE_BAD_SYMBOL
    if not -TS_END < offset_ns < TS_END:
        return VALIDATE_BAD_CONFIG
    validate_rows(v)[symbol].clock_offset_ns = offset_ns
    return OK


# ------------------------------------------------------------------------------------------------ outcome and breaker
cdef int64_t _number_of(const event_t* e) noexcept nogil:
    if e.kind == KIND_BOOK_LEVEL or e.kind == KIND_BOOK_CLEAR:
        return (<const level_event_t*>e).id_last
    if e.kind == KIND_QUOTE:
        return (<const quote_event_t*>e).id_book
    if e.kind == KIND_TRADE or e.kind == KIND_AGG_TRADE:
        return (<const trade_event_t*>e).id_trade
    if e.kind == KIND_BAR_TOTALS:
        return (<const bar_totals_event_t*>e).ts_open_ns
    return 0


cdef void _record(const event_t* e, int status, int64_t value, int64_t limit, int64_t now_ns,
                  refusal_t* out) noexcept nogil:
    out.kind = KIND_REFUSAL
    out.flags = CLASS_OF[e.kind] if e.kind < 64 else 255
    if out.flags == CLASS_DEPTH and e.flags & FLAG_SNAPSHOT:
        out.flags = CLASS_IMAGE
    out.symbol = e.symbol
    out.seq = e.seq
    out.ts_venue_ns = e.ts_venue_ns
    out.ts_recv_ns = now_ns
    out.reason = status
    out.value = value
    out.limit = limit
    out.id_event = _number_of(e)


cdef void _count_bad(validate_row_t* r, int status, int64_t now_ns, refusal_t* out) noexcept nogil:
    cdef uint64_t window
    r.reason_count[status - REASON_BASE] += 1
    if not r.config.breaker_mask >> (status - REASON_BASE) & 1:
        return
    r.history = r.history << 1 | 1
    r.good_count = 0
    if r.halted:
        return
    window = r.history & (~<uint64_t>0 >> (64 - r.config.window))
    if ((r.config.window_bad and ones(window) >= r.config.window_bad)
            or (r.config.row_bad and row_of_ones(r.history) >= r.config.row_bad)):
        r.halted = 1
        r.halt_count += 1
        r.ts_halted_ns = now_ns
        r.history = 0
        out.actions |= ACTION_HALT


cdef inline void _count_good(validate_row_t* r, int64_t now_ns, refusal_t* out) noexcept nogil:
    r.history <<= 1
    if unlikely(r.halted):
        # A halt ends by time and by proof: so long, and so many good ones in a row.
        r.good_count += 1
        if r.good_count >= r.config.recover_count and now_ns - r.ts_halted_ns >= r.config.halt_ns:
            r.halted = 0
            r.good_count = 0
            r.history = 0
            out.actions |= ACTION_RESUME


cdef int _refuse(validate_t* v, validate_row_t* r, const event_t* e, int status, int64_t value, int64_t limit,
                 int64_t now_ns, refusal_t* out) noexcept nogil:
    v.refused_count += 1
    _record(e, status, value, limit, now_ns, out)
    _count_bad(r, status, now_ns, out)
    return status


cdef inline void _accept(validate_t* v, validate_row_t* r, validate_class_t* c, const event_t* e, int64_t id,
                         int64_t now_ns, refusal_t* out) noexcept nogil:
    """The stream moved on: remember where it stands."""
    c.id_last = id
    if likely(e.ts_venue_ns > c.ts_venue_ns and not e.flags & FLAG_NO_VENUE_TIME):
        c.ts_venue_ns = e.ts_venue_ns
    c.ts_heard_ns = now_ns
    if unlikely(r.silent):
        if r.silent >> (c - &r.classes[0]) & 1:
            r.silent &= ~(<uint32_t>1 << (c - &r.classes[0]))
            out.actions |= ACTION_HEARD
    c.accepted_count += 1
    v.accepted_count += 1
    _count_good(r, now_ns, out)


# ----------------------------------------------------------------------------------------------------- time and number
cdef inline int _time(const validate_row_t* r, const validate_class_t* c, const event_t* e, int64_t now_ns,
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


cdef inline int _number(const validate_class_t* c, int64_t id, int64_t* value, int64_t* limit) noexcept nogil:
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


cdef inline int _amounts(const validate_row_t* r, int64_t px, int64_t qty, int64_t qty_least, int64_t* value,
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
cdef inline int64_t _distance(int64_t a, int64_t b) noexcept nogil:
    return a - b if a > b else b - a


cdef inline bint _ref_is_live(const validate_row_t* r, int64_t now_ns) noexcept nogil:
    return r.ts_ref_ns != 0 and now_ns - r.ts_ref_ns <= r.config.ref_ns_max


cdef void _take_widths(validate_row_t* r, int64_t ref2) noexcept nogil:
    cdef int64_t least = 2 * r.config.floor_ticks
    r.widths_at = ref2
    r.band2 = max(least, part_ppm(ref2, r.config.band_ppm))
    r.spike2 = max(least, part_ppm(ref2, r.config.spike_ppm))
    r.agree2 = max(least, part_ppm(ref2, r.config.agree_ppm))
    r.outside2 = max(least, part_ppm(ref2, r.config.outside_ppm))
    r.far2 = max(r.outside2, part_ppm(ref2, r.config.far_ppm))


cdef void _anchor(validate_row_t* r, int64_t px2, int64_t now_ns) noexcept nogil:
    """Begin anew from this price: there was no reference, it was too old, or a jump was confirmed."""
    r.ref16 = px2 * 16
    r.ts_ref_ns = max(now_ns, 1)
    r.last2[0] = r.last2[1] = px2
    r.mad256[0] = r.mad256[1] = 0
    _take_widths(r, px2)


cdef void _forget_jump(validate_row_t* r) noexcept nogil:
    r.jump2 = r.ts_jump_ns = 0
    r.jump_seen[0] = r.jump_seen[1] = 0


cdef void _suspect(validate_row_t* r, uint32_t why, refusal_t* out) noexcept nogil:
    if not r.suspect & why:
        r.suspect |= why
        r.suspect_count += 1
        r.changed = 0
        out.actions |= ACTION_SUSPECT
    r.agree_count = 0


cdef void _agree(validate_row_t* r, refusal_t* out) noexcept nogil:
    """A trade or the mark agrees with the quote; enough of them clear a suspicion once the quote has moved."""
    if not r.changed:
        return
    r.agree_count += 1
    if r.agree_count >= r.config.clear_count:
        r.suspect = 0
        r.agree_count = 0
        out.actions |= ACTION_CLEAR


cdef bint _confirms(validate_row_t* r, int which, int64_t px2, int64_t now_ns, refusal_t* out) noexcept nogil:
    """An outlier: remember it, and accept it if others said the same.

    The rule: `confirm_prints` outliers in all, or `confirm_each` of quotes and as many of trades, each within
    `agree_ppm` of the one before it and not later than `confirm_ns` after it. A good price of the same kind takes
    back what its kind had said. So a wrong print is refused, and a crash is taken in after a few prints.
    """
    cdef uint32_t* seen = &r.jump_seen[0]
    if r.ts_jump_ns == 0 or now_ns - r.ts_jump_ns > r.config.confirm_ns or _distance(px2, r.jump2) > r.agree2:
        seen[0] = seen[1] = 0
    r.jump2 = px2
    r.ts_jump_ns = max(now_ns, 1)
    seen[which] += 1
    if (seen[0] + seen[1] < r.config.confirm_prints
            and not (seen[0] >= r.config.confirm_each and seen[1] >= r.config.confirm_each)):
        return False
    # One kind alone moved the price while a fresh quote stands elsewhere: taken in, but not believed blindly.
    if seen[1 - which] == 0 and r.ts_quote_ns and now_ns - r.ts_quote_ns <= r.config.frozen_ns and which == PRICE_TRADE:
        _suspect(r, SUSPECT_SPLIT, out)
    _anchor(r, px2, now_ns)
    _forget_jump(r)
    r.jump_count += 1
    out.actions |= ACTION_JUMP
    return True


cdef int _outlier(validate_row_t* r, int which, int64_t px2, int64_t most, int64_t now_ns, int64_t* value,
                  int64_t* limit, refusal_t* out) noexcept nogil:
    cdef int64_t away = _distance(px2, r.ref16 >> 4)
    cdef int64_t step = _distance(px2, r.last2[which])
    if not _ref_is_live(r, now_ns):
        _anchor(r, px2, now_ns)
        _forget_jump(r)
        return OK
    value[0] = away if away > r.band2 else min(step, away)
    limit[0] = r.band2 if away > r.band2 else most
    if _confirms(r, which, px2, now_ns, out):
        return OK
    # Only a confirmation changes the widths, so the band is still the one it was held against.
    return VALIDATE_BAND if away > r.band2 else VALIDATE_SPIKE


cdef void _take_back(validate_row_t* r, int which) noexcept nogil:
    r.jump_seen[which] = 0
    if r.jump_seen[1 - which] == 0:
        _forget_jump(r)


cdef inline int _price(validate_row_t* r, int which, int64_t px2, int64_t now_ns, int64_t* value, int64_t* limit,
                       refusal_t* out) noexcept nogil:
    """Hold a price against the reference and against the one before it, and move the reference along."""
    cdef int64_t away = _distance(px2, r.ref16 >> 4)
    cdef int64_t step = _distance(px2, r.last2[which])
    cdef int64_t most = max(r.spike2, <int64_t>r.config.spike_k * r.mad256[which] >> 8)
    # A price that agrees with the reference is no spike, however old the last one of its kind is.
    if unlikely(away > r.band2 or min(step, away) > most or not _ref_is_live(r, now_ns)):
        return _outlier(r, which, px2, most, now_ns, value, limit, out)
    if unlikely(r.jump_seen[which] != 0):
        _take_back(r, which)
    # Clipped at its own limit, the mean step cannot be driven up by one wild print.
    r.mad256[which] += ((min(step, most) << 8) - r.mad256[which]) >> 5
    r.last2[which] = px2
    r.ref16 += (px2 * 16 - r.ref16) >> 3
    r.ts_ref_ns = max(now_ns, 1)
    # Widths follow in steps of a thousandth: three divisions are not worth an exact width on every event.
    if unlikely(_distance(r.ref16 >> 4, r.widths_at) > r.widths_at >> 10):
        _take_widths(r, r.ref16 >> 4)
    return OK


cdef inline void _take_quote(validate_row_t* r, int64_t bid, int64_t ask, int64_t now_ns) noexcept nogil:
    if r.bid_px_ticks != bid or r.ask_px_ticks != ask:
        r.bid_px_ticks = bid
        r.ask_px_ticks = ask
        r.ts_changed_ns = now_ns
        r.outside_count = 0
        r.mark_anchor_e8 = 0
        r.changed = 1
    r.ts_quote_ns = max(now_ns, 1)


cdef inline void _trade_against_quote(validate_row_t* r, int64_t px, int64_t now_ns, refusal_t* out) noexcept nogil:
    cdef int64_t past2
    if r.bid_px_ticks == 0:
        return
    past2 = 2 * max(px - r.ask_px_ticks, r.bid_px_ticks - px)
    if likely(past2 <= r.outside2):
        r.outside_count = 0
        if unlikely(r.suspect):
            _agree(r, out)
        return
    if past2 > r.far2 and now_ns - r.ts_quote_ns <= r.config.frozen_ns:
        _suspect(r, SUSPECT_OUTSIDE, out)
    # Sweeps print past a quote within milliseconds; only a quote that goes on standing there is frozen.
    if r.outside_count == 0:
        r.ts_outside_ns = now_ns
    r.outside_count += r.outside_count < r.config.suspect_trades
    r.agree_count = 0
    if r.outside_count >= r.config.suspect_trades and now_ns - r.ts_outside_ns >= r.config.frozen_ns:
        _suspect(r, SUSPECT_FROZEN, out)


cdef int validate_touch(validate_t* v, uint16_t symbol, int64_t bid_px_ticks, int64_t ask_px_ticks,
                        int64_t now_ns) noexcept nogil:
    """The touch of a whole, trusted book: the quote of a venue that sends only depth."""
    cdef validate_row_t* r
    cdef refusal_t out
    cdef int64_t value = 0, limit = 0
    if symbol >= v.symbol_count or not validate_rows(v)[symbol].configured:
        return VALIDATE_BAD_SYMBOL
    out.actions = 0
    r = &validate_rows(v)[symbol]
    if not (r.px_ticks_min <= bid_px_ticks and bid_px_ticks < ask_px_ticks and ask_px_ticks <= r.px_ticks_max):
        return VALIDATE_CROSSED
    # The book is the judge here: its price becomes the reference where ours disagrees.
    if _price(r, PRICE_QUOTE, bid_px_ticks + ask_px_ticks, now_ns, &value, &limit, &out) != OK:
        _anchor(r, bid_px_ticks + ask_px_ticks, now_ns)
        _forget_jump(r)
    _take_quote(r, bid_px_ticks, ask_px_ticks, now_ns)
    return OK


# ---------------------------------------------------------------------------------------------------- one kind at a time
cdef int _condemn(validate_t* v, validate_row_t* r, const event_t* e, int status, int64_t value, int64_t limit,
                  int64_t now_ns, refusal_t* out) noexcept nogil:
    """A depth message is refused as a whole. What of it already passed stands in the book, so the book has to go."""
    if r.message == MESSAGE_OPEN and r.message_levels:
        out.actions |= ACTION_BOOK
    r.message = MESSAGE_NONE if e.flags & FLAG_LAST else MESSAGE_CONDEMNED
    return _refuse(v, r, e, status, value, limit, now_ns, out)


cdef inline int _begin(validate_row_t* r, validate_class_t* c, uint32_t of, const level_event_t* e, int64_t now_ns,
                       int64_t* value, int64_t* limit) noexcept nogil:
    cdef int status
    # An image heals whatever stood half-built before it; an update does not.
    if unlikely(r.message == MESSAGE_OPEN and of == CLASS_DEPTH):
        value[0], limit[0] = e.id_last, r.message_id
        return VALIDATE_TORN
    r.message_levels = 0
    status = _time(r, c, <const event_t*>e, now_ns, value, limit)
    if status == OK:
        status = _number(c, e.id_last, value, limit)
    r.message = MESSAGE_OPEN
    r.message_class = of
    r.message_id = e.id_last
    r.message_bid = 0
    r.message_ask = INT64_MAX
    return status


cdef inline int _level(validate_row_t* r, const level_event_t* e, int64_t now_ns, int64_t* value, int64_t* limit,
                       refusal_t* out) noexcept nogil:
    cdef int64_t past2
    cdef int status = _amounts(r, e.px_ticks, e.qty_lots, 0, value, limit)
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
    if unlikely(past2 > r.band2 and _ref_is_live(r, now_ns)):
        value[0], limit[0] = past2, r.band2
        return OK if _confirms(r, PRICE_QUOTE, 2 * e.px_ticks, now_ns, out) else VALIDATE_BAND
    return OK


cdef int _depth(validate_t* v, validate_row_t* r, const level_event_t* e, int64_t now_ns,
                refusal_t* out) noexcept nogil:
    cdef const event_t* event = <const event_t*>e
    cdef uint32_t of = CLASS_IMAGE if e.flags & FLAG_SNAPSHOT else CLASS_DEPTH
    cdef validate_class_t* c = &r.classes[of]
    cdef int64_t value = 0, limit = 0
    cdef int status = OK
    if e.flags & FLAG_FIRST:
        status = _begin(r, c, of, e, now_ns, &value, &limit)
    elif unlikely(r.message == MESSAGE_CONDEMNED):
        # Counted, and nothing else: the message was one refusal.
        v.refused_count += 1
        r.reason_count[<int>VALIDATE_CONDEMNED - REASON_BASE] += 1
        _record(event, VALIDATE_CONDEMNED, e.id_last, r.message_id, now_ns, out)
        if e.flags & FLAG_LAST:
            r.message = MESSAGE_NONE
        return VALIDATE_CONDEMNED
    elif unlikely(r.message == MESSAGE_NONE or of != r.message_class or e.id_last != r.message_id):
        value, limit = e.id_last, r.message_id
        status = VALIDATE_TORN
    # Price and quantity both zero: a message without a level, which still moves the sequence.
    if likely(status == OK and e.kind == KIND_BOOK_LEVEL and (e.px_ticks != 0 or e.qty_lots != 0)):
        status = _level(r, e, now_ns, &value, &limit, out)
    if unlikely(status != OK):
        return _condemn(v, r, event, status, value, limit, now_ns, out)
    if e.flags & FLAG_LAST:
        r.message = MESSAGE_NONE
        _accept(v, r, c, event, e.id_last, now_ns, out)
    else:
        r.message_levels += 1
        v.accepted_count += 1
        c.accepted_count += 1
    return OK


cdef inline int _quote(validate_row_t* r, const quote_event_t* e, int64_t now_ns, int64_t* value, int64_t* limit,
                       refusal_t* out) noexcept nogil:
    cdef int64_t ref2 = r.ref16 >> 4
    cdef int64_t px2
    cdef int status = _amounts(r, e.bid_px_ticks, e.bid_qty_lots, 1, value, limit)
    if status == OK:
        status = _amounts(r, e.ask_px_ticks, e.ask_qty_lots, 1, value, limit)
    if unlikely(status != OK):
        return status
    if unlikely(e.bid_px_ticks >= e.ask_px_ticks):
        value[0], limit[0] = e.bid_px_ticks, e.ask_px_ticks
        return VALIDATE_CROSSED
    px2 = e.bid_px_ticks + e.ask_px_ticks
    # Both sides, not the middle alone: a bid of one tick and an ask of twice the price have a perfect middle.
    if unlikely(max(ref2 - 2 * e.bid_px_ticks, 2 * e.ask_px_ticks - ref2) > r.band2 and _ref_is_live(r, now_ns)):
        value[0], limit[0] = max(ref2 - 2 * e.bid_px_ticks, 2 * e.ask_px_ticks - ref2), r.band2
        if not _confirms(r, PRICE_QUOTE, px2, now_ns, out):
            return VALIDATE_BAND
    else:
        status = _price(r, PRICE_QUOTE, px2, now_ns, value, limit, out)
    if status == OK:
        _take_quote(r, e.bid_px_ticks, e.ask_px_ticks, now_ns)
    return status


cdef inline int _trade(validate_row_t* r, const trade_event_t* e, int64_t now_ns, int64_t* value, int64_t* limit,
                       refusal_t* out) noexcept nogil:
    cdef int status = _amounts(r, e.px_ticks, e.qty_lots, 1, value, limit)
    if likely(status == OK):
        status = _price(r, PRICE_TRADE, 2 * e.px_ticks, now_ns, value, limit, out)
    if likely(status == OK):
        _trade_against_quote(r, e.px_ticks, now_ns, out)
    return status


cdef int _mark(validate_row_t* r, const mark_event_t* e, int64_t now_ns, int64_t* value, int64_t* limit,
               refusal_t* out) noexcept nogil:
    cdef int64_t mark2
    if e.mark_px_e8 <= 0 or e.index_px_e8 < 0 or e.settle_px_e8 < 0:
        value[0], limit[0] = min(e.mark_px_e8, min(e.index_px_e8, e.settle_px_e8)), 0
        return VALIDATE_BAD_PRICE
    mark2 = doubled(e.mark_px_e8, r.config.tick_e8)
    if mark2 > 2 * r.px_ticks_max or mark2 < 2 * r.px_ticks_min - 1:
        value[0], limit[0] = mark2 >> 1, r.px_ticks_max if mark2 > 2 * r.px_ticks_max else r.px_ticks_min
        return VALIDATE_PX_RANGE
    if _ref_is_live(r, now_ns) and _distance(mark2, r.ref16 >> 4) > r.band2:
        value[0], limit[0] = _distance(mark2, r.ref16 >> 4), r.band2
        return VALIDATE_BAND
    if r.bid_px_ticks == 0:
        return OK
    if r.mark_anchor_e8 == 0:
        r.mark_anchor_e8 = e.mark_px_e8
    elif (now_ns - r.ts_changed_ns >= r.config.frozen_ns
            and moved_past(e.mark_px_e8, r.mark_anchor_e8, r.config.mark_ppm)):
        _suspect(r, SUSPECT_FROZEN, out)
    if r.suspect and _distance(mark2, r.bid_px_ticks + r.ask_px_ticks) <= r.far2:
        _agree(r, out)
    return OK


cdef int _bar(validate_row_t* r, validate_class_t* c, const event_t* e, int64_t* value, int64_t* limit) noexcept nogil:
    """A bar is two events, prices then totals; totals without their prices are no bar."""
    cdef const bar_prices_event_t* p = <const bar_prices_event_t*>e
    cdef const bar_totals_event_t* t = <const bar_totals_event_t*>e
    cdef int status
    if e.kind == KIND_BAR_PRICES:
        status = _amounts(r, p.low_ticks, p.volume_lots if p.volume_lots < 0 else 0, 0, value, limit)
        if status == OK:
            status = _amounts(r, p.high_ticks, 0, 0, value, limit)
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


cdef int _judge_bar(validate_t* v, validate_row_t* r, const event_t* e, int64_t now_ns, refusal_t* out) noexcept nogil:
    cdef validate_class_t* c = &r.classes[<int>CLASS_BAR]
    cdef int64_t value = 0, limit = 0, id = c.id_last
    cdef uint32_t before = r.message_bar
    cdef int status
    r.message_bar = MESSAGE_NONE
    if e.kind == KIND_BAR_TOTALS and before != MESSAGE_OPEN:
        if before == MESSAGE_CONDEMNED:
            v.refused_count += 1
            r.reason_count[<int>VALIDATE_CONDEMNED - REASON_BASE] += 1
            _record(e, VALIDATE_CONDEMNED, 0, 0, now_ns, out)
            return VALIDATE_CONDEMNED
        return _refuse(v, r, e, VALIDATE_TORN, e.kind, KIND_BAR_PRICES, now_ns, out)
    status = _time(r, c, e, now_ns, &value, &limit)
    if status == OK:
        status = _bar(r, c, e, &value, &limit)
    if e.kind == KIND_BAR_PRICES:
        r.message_bar = MESSAGE_OPEN if status == OK else MESSAGE_CONDEMNED
    elif status == OK:
        id = 2 * (<const bar_totals_event_t*>e).ts_open_ns + ((e.flags & FLAG_CLOSED) != 0)
    if status != OK:
        return _refuse(v, r, e, status, value, limit, now_ns, out)
    _accept(v, r, c, e, id, now_ns, out)
    return OK


cdef int _no_row(validate_t* v, const event_t* e, int status, int64_t value, int64_t limit, int64_t now_ns,
                 refusal_t* out) noexcept nogil:
    v.refused_count += 1
    v.unknown_count += 1
    _record(e, status, value, limit, now_ns, out)
    return status


# ------------------------------------------------------------------------------------------------------------ the gate
cdef int validate_event(validate_t* v, const event_t* e, int64_t now_ns, refusal_t* out) noexcept nogil:
    """Judge one event. On OK only `out.actions` is set; on any other status `out` is the whole record."""
    cdef validate_row_t* r
    cdef validate_class_t* c
    cdef int64_t value = 0, limit = 0, id
    cdef uint8_t of
    cdef int status
    out.actions = 0
    if unlikely(e.kind >= 64):
        # Reports on our own orders, timers and control are never refused here: a fill that is late is still a fill.
        if e.kind <= KIND_ORDER_LOST or e.kind == KIND_TIMER or e.kind == KIND_CONTROL:
            return OK
    if unlikely(e.symbol >= v.symbol_count or not validate_rows(v)[e.symbol].configured):
        return _no_row(v, e, VALIDATE_BAD_SYMBOL, e.symbol, v.symbol_count, now_ns, out)
    r = &validate_rows(v)[e.symbol]
    of = CLASS_OF[e.kind] if e.kind < 64 else 255
    if of == CLASS_DEPTH:
        return _depth(v, r, <const level_event_t*>e, now_ns, out)
    if of == CLASS_BAR:
        return _judge_bar(v, r, e, now_ns, out)
    if unlikely(of == 255):
        return _refuse(v, r, e, VALIDATE_BAD_KIND, e.kind, 0, now_ns, out)
    c = &r.classes[of]
    id = 0
    status = _time(r, c, e, now_ns, &value, &limit)
    if likely(status == OK):
        if of == CLASS_QUOTE:
            id = (<const quote_event_t*>e).id_book
            status = _number(c, id, &value, &limit)
            if likely(status == OK):
                status = _quote(r, <const quote_event_t*>e, now_ns, &value, &limit, out)
        elif of <= CLASS_AGG:
            id = (<const trade_event_t*>e).id_trade
            status = _number(c, id, &value, &limit)
            if likely(status == OK):
                status = _trade(r, <const trade_event_t*>e, now_ns, &value, &limit, out)
        elif of == CLASS_MARK:
            status = _mark(r, <const mark_event_t*>e, now_ns, &value, &limit, out)
        else:
            # A liquidation is priced at bankruptcy, far from the market by nature.
            status = _amounts(r, (<const liquidation_event_t*>e).px_ticks, (<const liquidation_event_t*>e).qty_lots, 1,
                              &value, &limit)
    if unlikely(status != OK):
        return _refuse(v, r, e, status, value, limit, now_ns, out)
    _accept(v, r, c, e, id, now_ns, out)
    return OK


cdef uint32_t validate_due(validate_t* v, int64_t now_ns, refusal_t* out, uint32_t room) noexcept nogil:
    """On a timer: report each class that has been silent for longer than its limit, once per silence."""
    cdef validate_row_t* r
    cdef validate_class_t* c
    cdef uint32_t symbol, count = 0
    cdef int i
    for symbol in range(v.symbol_count):
        r = &validate_rows(v)[symbol]
        if not r.configured:
            continue
        for i in range(CLASSES):
            c = &r.classes[i]
            if c.silent_ns_max == 0 or r.silent >> i & 1:
                continue
            if c.ts_heard_ns == 0:
                # Armed by the first timer: who never spoke is silent since then.
                c.ts_heard_ns = max(now_ns, 1)
            if now_ns - c.ts_heard_ns <= c.silent_ns_max or count == room:
                continue
            r.silent |= <uint32_t>1 << i
            r.reason_count[<int>VALIDATE_SILENT - REASON_BASE] += 1
            memset(&out[count], 0, sizeof(refusal_t))
            out[count].kind = KIND_REFUSAL
            out[count].flags = <uint8_t>i
            out[count].symbol = <uint16_t>symbol
            out[count].ts_recv_ns = now_ns
            out[count].reason = VALIDATE_SILENT
            out[count].value = now_ns - c.ts_heard_ns
            out[count].limit = c.silent_ns_max
            count += 1
    return count


# ---------------------------------------------------------------------------------------------------------------- Python
Class = class_t
Action = action_t
Suspect = suspect_t
cdef refusal_t _refusal
REFUSAL = np.asarray(<refusal_t[:1]>&_refusal).dtype
_SCALARS = (
    "clock_offset_ns", "history", "halted", "suspect", "silent", "ref16", "ts_ref_ns", "widths_at", "band2", "spike2",
    "agree2", "outside2", "far2", "bid_px_ticks", "ask_px_ticks", "ts_quote_ns", "ts_changed_ns", "last2", "mad256",
    "jump2", "ts_jump_ns", "jump_seen", "mark_anchor_e8", "ts_outside_ns", "outside_count", "agree_count", "changed",
    "good_count", "ts_halted_ns", "message", "message_bar", "message_levels", "halt_count", "jump_count",
    "suspect_count",
)


def defaults():
    """The limits a symbol has unless it is given others."""
    cdef validate_config_t config
    validate_defaults(&config)
    return {name: list(value) if isinstance(value, list) else value for name, value in config.items()
            if name != "reserved"}


@cython.final
cdef class Validate:
    """The ingest gate over a table of symbols."""

    def __cinit__(self, *, uint32_t symbols):
        if not 1 <= symbols <= 65535:
            raise_status(VALIDATE_BAD_CONFIG, f"{symbols} symbols")
        self.c = <validate_t*>block_new(validate_bytes(symbols))
        validate_init(self.c, symbols)

    def __dealloc__(self):
        block_free(self.c)

    cdef int _known(self, uint32_t symbol) except -1:
        if symbol >= self.c.symbol_count or not validate_rows(self.c)[symbol].configured:
            raise_status(VALIDATE_BAD_SYMBOL, f"symbol {symbol} of {self.c.symbol_count}")
        return 0

    def configure(self, uint32_t symbol, **limits):
        cdef validate_config_t config
        values = defaults()
        unknown = limits.keys() - values.keys()
        if unknown:
            raise TypeError(f"no such limit: {', '.join(sorted(unknown))}")
        for name, value in limits.items():
            if isinstance(value, dict):
                for key, one in value.items():
                    values[name][int(key)] = one
            else:
                values[name] = value
        config = {**values, "reserved": [0] * 4}
        cdef int status = VALIDATE_BAD_SYMBOL
        if symbol < self.c.symbol_count:
            status = validate_configure(self.c, <uint16_t>symbol, &config)
        if status != OK:
            raise_status(status, f"symbol {symbol}: {limits}")

    def events(self, events, now_ns=None):
        """Judge an array of events in turn, each at `now_ns` or at its own receive time; returns their statuses."""
        cdef const unsigned char[::1] view = np.atleast_1d(np.ascontiguousarray(events)).view(np.uint8)
        cdef Py_ssize_t count = view.shape[0] // sizeof(event_t), i
        cdef const event_t* e = <const event_t*>&view[0] if count else NULL
        statuses = np.zeros(count, dtype=np.int32)
        cdef int[::1] out = statuses
        cdef bint given = now_ns is not None
        cdef int64_t now = now_ns if given else 0
        cdef int64_t actions = 0
        for i in range(count):
            if not given and now < e[i].ts_recv_ns < TS_END:
                now = e[i].ts_recv_ns
            out[i] = validate_event(self.c, &e[i], now, &self.refusal)
            actions |= self.refusal.actions
        self.refusal.actions = actions
        return statuses

    def event(self, event, int64_t now_ns):
        """Judge one 64-byte record; `refusal` and `actions` tell the rest."""
        return Status(int(self.events(event, now_ns)[0]))

    @property
    def actions(self):
        return Action(int(self.refusal.actions))

    @property
    def refusal(self):
        """The record of the last refused event, as the report ring carries it."""
        return np.array(<refusal_t[:1]>&self.refusal)[0]

    def touch(self, uint32_t symbol, int64_t bid_px_ticks, int64_t ask_px_ticks, int64_t now_ns):
        self._known(symbol)
        return Status(validate_touch(self.c, <uint16_t>symbol, bid_px_ticks, ask_px_ticks, now_ns))

    def clock(self, uint32_t symbol, int64_t offset_ns):
        self._known(symbol)
        cdef int status = validate_clock(self.c, <uint16_t>symbol, offset_ns)
        if status != OK:
            raise_status(status, f"offset {offset_ns}")

    def reset(self, uint32_t symbol, *, bint keep_reference=True):
        self._known(symbol)
        validate_reset(self.c, <uint16_t>symbol, keep_reference)

    def due(self, int64_t now_ns, uint32_t room=64):
        out = np.zeros(room, dtype=REFUSAL)
        cdef refusal_t[::1] view = out
        count = validate_due(self.c, now_ns, &view[0], room) if room else 0
        return out[:count]

    def usable(self, uint32_t symbol):
        # A table ends below the last number of sixteen bits.
        return bool(validate_usable(self.c, <uint16_t>min(symbol, <uint32_t>0xFFFF)))

    def row(self, uint32_t symbol):
        """What a symbol's row holds."""
        self._known(symbol)
        cdef object whole = validate_rows(self.c)[symbol]
        out = {name: whole[name] for name in _SCALARS}
        classes = whole["classes"]
        for name in ("id_last", "ts_venue_ns", "ts_heard_ns", "accepted_count"):
            out[name] = [one[name] for one in classes]
        return out

    def counts(self, uint32_t symbol):
        """Refusals by reason."""
        self._known(symbol)
        found = validate_rows(self.c)[symbol].reason_count
        return {Status(REASON_BASE + i).name: found[i] for i in range(REASONS) if found[i]}

    def totals(self):
        return self.c.accepted_count, self.c.refused_count, self.c.unknown_count

    def image(self):
        """The block's bytes, as a snapshot carries them."""
        return bytes(<const char[:validate_bytes(self.c.symbol_count)]><char*>self.c)

    def check(self):
        cdef validate_row_t* r
        cdef uint32_t symbol
        cdef int i
        accepted, refused = 0, <object>self.c.unknown_count
        for symbol in range(self.c.symbol_count):
            r = &validate_rows(self.c)[symbol]
            accepted += sum(r.classes[i].accepted_count for i in range(CLASSES))
            refused += sum(r.reason_count[i] for i in range(REASONS)) - r.reason_count[<int>VALIDATE_SILENT - REASON_BASE]
            if not r.configured:
                assert bytes(<const char[:sizeof(validate_row_t)]><char*>r) == bytes(sizeof(validate_row_t))
                continue
            assert r.halted <= 1 and r.message <= 2 and r.message_bar <= 2, f"flags of {symbol}"
            assert (r.ts_ref_ns == 0) == (r.ref16 == 0), f"reference of {symbol}"
            assert r.ts_ref_ns == 0 or 16 <= r.ref16 <= 32 * r.px_ticks_max, f"reference of {symbol}: {r.ref16}"
            assert r.ts_ref_ns == 0 or 0 < r.outside2 <= r.far2, f"widths of {symbol}"
            assert r.bid_px_ticks == 0 or r.bid_px_ticks < r.ask_px_ticks, f"quote of {symbol}"
            assert (r.ts_jump_ns == 0) == (r.jump_seen[0] + r.jump_seen[1] == 0), f"jump of {symbol}"
            assert r.mad256[0] >= 0 and r.mad256[1] >= 0, f"deviation of {symbol}"
        assert accepted == self.c.accepted_count and refused == self.c.refused_count, "conservation of events"
