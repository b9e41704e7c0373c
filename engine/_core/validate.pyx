cimport cython
from libc.stdint cimport INT64_MAX, int64_t, uint16_t, uint32_t, uint8_t
from libc.string cimport memcpy, memset

import numpy as np

from engine._core.types import Status

from engine._core.debug cimport likely, static_assert_c, unlikely
from engine._core.memory cimport block_free, block_new
from engine._core.types cimport (
    KIND_CONTROL, KIND_ORDER_LOST, KIND_REFUSAL, KIND_TIMER, OK, VALIDATE_BAD_CONFIG, VALIDATE_BAD_KIND,
    VALIDATE_BAD_SYMBOL, VALIDATE_CROSSED, VALIDATE_DUPLICATE, VALIDATE_SILENT, event_t, level_event_t,
    liquidation_event_t, mark_event_t, quote_event_t, raise_status, trade_event_t,
)
from engine._core.validate_kinds cimport judge_bar, judge_depth, judge_mark, judge_quote, judge_trade, no_row
from engine._core.validate_limits cimport config_is_good
from engine._core.validate_outcome cimport CLASS_OF, accept, as_it_is, refuse
from engine._core.validate_price cimport (
    anchor, forget_jump, judge_amounts, judge_number, judge_price, judge_time, suspect, take_quote,
)

cdef int64_t MS = 1_000_000
cdef int64_t SECOND = 1_000_000_000


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


cdef int validate_configure(validate_t* v, uint16_t symbol, const validate_config_t* config) noexcept nogil:
    """Give a symbol its limits and start it from nothing: no reference, no positions, all counts zero."""
    cdef validate_row_t* r
    cdef validate_class_t* c
    cdef int i
    if symbol >= v.symbol_count:
        return VALIDATE_BAD_SYMBOL
    if not config_is_good(config):
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
    forget_jump(r)
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
    if judge_price(r, PRICE_QUOTE, bid_px_ticks + ask_px_ticks, now_ns, &value, &limit, &out) != OK:
        anchor(r, bid_px_ticks + ask_px_ticks, now_ns)
        forget_jump(r)
    take_quote(r, bid_px_ticks, ask_px_ticks, now_ns)
    return OK


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
        return no_row(v, e, VALIDATE_BAD_SYMBOL, e.symbol, v.symbol_count, now_ns, out)
    r = &validate_rows(v)[e.symbol]
    of = CLASS_OF[e.kind]
    if of == CLASS_DEPTH:
        return judge_depth(v, r, <const level_event_t*>e, now_ns, out)
    if of == CLASS_BAR:
        return judge_bar(v, r, e, now_ns, out)
    if unlikely(of == 255):
        return refuse(v, r, e, VALIDATE_BAD_KIND, e.kind, 0, now_ns, out)
    c = <validate_class_t*>as_it_is(&r.classes[of])
    id = 0
    status = judge_time(r, c, e, now_ns, &value, &limit)
    if likely(status == OK):
        if of == CLASS_QUOTE:
            id = (<const quote_event_t*>e).id_book
            status = judge_number(c, id, &value, &limit)
            if likely(status == OK):
                status = judge_quote(r, <const quote_event_t*>e, now_ns, &value, &limit, out)
        elif of <= CLASS_AGG:
            id = (<const trade_event_t*>e).id_trade
            status = judge_number(c, id, &value, &limit)
            if likely(status == OK):
                status = judge_trade(r, <const trade_event_t*>e, now_ns, &value, &limit, out)
        elif of == CLASS_MARK:
            status = judge_mark(r, <const mark_event_t*>e, now_ns, &value, &limit, out)
        else:
            # A liquidation is priced at bankruptcy, far from the market by nature.
            status = judge_amounts(r, (<const liquidation_event_t*>e).px_ticks,
                                   (<const liquidation_event_t*>e).qty_lots, 1, &value, &limit)
    if unlikely(status != OK):
        return refuse(v, r, e, status, value, limit, now_ns, out)
    accept(v, r, c, e, id, now_ns, out)
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
