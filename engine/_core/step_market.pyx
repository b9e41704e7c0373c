from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from engine._core.book cimport TRUST_LIVE, TRUST_REBUILDING, book_apply, book_distrust, book_t
from engine._core.correlation cimport correlation_price, correlation_sample
from engine._core.debug cimport likely, unlikely
from engine._core.instruments cimport instrument_t
from engine._core.risk cimport gate_symbols
from engine._core.step_account cimport halt, mark_price
from engine._core.step_discipline cimport force_stops
from engine._core.step_out cimport core_t, expose, expose_touch, next_output
from engine._core.step_plans cimport plans_on_price, plans_on_trade
from engine._core.step_strategy cimport run_strategies
from engine._core.types cimport (
    BOOK_CHECKSUM, BOOK_CROSSED, BOOK_GAP, BOOK_MISMATCH, FLAG_LAST, KIND_AGG_TRADE, KIND_BAR_PRICES, KIND_BAR_TOTALS, KIND_BOOK_CLEAR, KIND_BOOK_LEVEL,
    KIND_LIQUIDATION, KIND_MARK, KIND_QUOTE, KIND_REFUSAL, KIND_TRADE, OK, WORLD_BAD_EVENT, event_t, mark_event_t,
    quote_event_t, trade_event_t,
)
from engine._core.validate cimport (
    ACTION_BOOK, ACTION_HALT, ACTION_RESUME, refusal_t, validate_due, validate_event, validate_touch,
)
from engine._core.world cimport (
    SECTION_BOOKS, SECTION_CORRELATION, SECTION_VALIDATE, world_book, world_correlation, world_gate, world_has,
    world_instruments, world_positions, world_symbols, world_t, world_validate,
)
from engine._core.world_rows cimport HALT_VALIDATE, world_symbol_t

cdef enum:
    SILENT_MAX = 64


# ------------------------------------------------------------------------------------------------------------- judging
cdef void _record(core_t* core, const event_t* cause, const refusal_t* refusal) noexcept nogil:
    """The audit record of a refusal, or of what an event that passed brought about."""
    cdef event_t* out = next_output(core, cause, KIND_REFUSAL)
    memcpy(out, refusal, sizeof(event_t))
    out.kind = KIND_REFUSAL
    out.symbol = cause.symbol
    out.seq = cause.seq
    out.ts_recv_ns = core.world.now_ns


cdef void _act(core_t* core, const event_t* cause, const refusal_t* refusal) noexcept nogil:
    cdef world_t* w = core.world
    if refusal.actions & ACTION_HALT:
        halt(core, cause.symbol, HALT_VALIDATE, True)
    if refusal.actions & ACTION_RESUME:
        halt(core, cause.symbol, HALT_VALIDATE, False)
    if refusal.actions & ACTION_BOOK and world_has(w, SECTION_BOOKS) and world_symbols(w)[cause.symbol].book_on:
        # Levels of a message that was refused in its middle stand in the book: only an image makes it whole again.
        book_distrust(world_book(w, cause.symbol), TRUST_REBUILDING, <uint32_t>refusal.reason)
        world_instruments(w)[cause.symbol].book_trusted = 0
    # Suspicion and silence are read by the gate through `validate_usable`: expose tells it now.
    expose(w, cause.symbol)


cdef int _judged(core_t* core, const event_t* event) noexcept nogil:
    cdef refusal_t refusal
    cdef int status = validate_event(world_validate(core.world), event, core.world.now_ns, &refusal)
    if likely(status == OK and refusal.actions == 0):
        return OK
    if status == OK:
        memset(&refusal, 0, <size_t>(<char*>&refusal.actions - <char*>&refusal))
        refusal.ts_venue_ns = event.ts_venue_ns
    _act(core, event, &refusal)
    _record(core, event, &refusal)
    return status


# --------------------------------------------------------------------------------------------------------------- prices
cdef void _price_changed(core_t* core, const event_t* cause) noexcept nogil:
    """A touch was taken over: tell the account, the gate, what waits for a price, and the strategies."""
    cdef world_t* w = core.world
    cdef uint16_t symbol = cause.symbol
    cdef const instrument_t* i = &world_instruments(w)[symbol]
    cdef world_symbol_t* y = &world_symbols(w)[symbol]
    cdef int64_t px2 = i.bid_px_ticks + i.ask_px_ticks
    expose_touch(w, symbol)
    if likely(i.book_trusted):
        if unlikely(w.now_ns - y.next_ns >= w.shape.rise_ns):
            y.anchor_px2, y.anchor_ns = y.next_px2 if y.next_px2 else px2, y.next_ns
            y.next_px2, y.next_ns = px2, w.now_ns
        if world_has(w, SECTION_CORRELATION):
            correlation_price(world_correlation(w), symbol, px2)
        if w.accounted:
            mark_price(core, cause, symbol, px2)
        plans_on_price(core, cause, symbol)
        if world_positions(w)[symbol].lots:
            force_stops(core, cause, symbol)
    run_strategies(core, cause)


cdef int _from_book(core_t* core, const event_t* event, int status) noexcept nogil:
    """Take the book's top over when its message is whole; a book that lost its trust shows none."""
    cdef world_t* w = core.world
    cdef instrument_t* i = &world_instruments(w)[event.symbol]
    cdef const book_t* b = world_book(w, event.symbol)
    cdef refusal_t refusal
    cdef bint trusted = b.trust == TRUST_LIVE
    if unlikely(status == BOOK_GAP or status == BOOK_CHECKSUM or status == BOOK_MISMATCH or status == BOOK_CROSSED):
        # Said, so that whoever reads the feed fetches an image.
        memset(&refusal, 0, sizeof(refusal))
        refusal.ts_venue_ns = event.ts_venue_ns
        refusal.reason, refusal.value, refusal.limit, refusal.actions = status, b.trust, b.update_id, ACTION_BOOK
        _record(core, event, &refusal)
    if not event.flags & FLAG_LAST and trusted:
        return status
    if trusted and (b.top.bid_px_ticks <= 0 or b.top.ask_px_ticks <= b.top.bid_px_ticks):
        trusted = False
    if not trusted:
        if i.book_trusted:
            i.book_trusted = 0
            expose(w, event.symbol)
            run_strategies(core, event)
        return status
    i.bid_px_ticks, i.bid_qty_lots = b.top.bid_px_ticks, b.top.bid_qty_lots
    i.ask_px_ticks, i.ask_qty_lots = b.top.ask_px_ticks, b.top.ask_qty_lots
    i.book_id, i.book_ts_ns, i.book_trusted = b.top.update_id, w.now_ns, 1
    if world_has(w, SECTION_VALIDATE):
        validate_touch(world_validate(w), event.symbol, i.bid_px_ticks, i.ask_px_ticks, w.now_ns)
    _price_changed(core, event)
    return status


cdef int _quote(core_t* core, const quote_event_t* e) noexcept nogil:
    cdef world_t* w = core.world
    cdef instrument_t* i = &world_instruments(w)[e.symbol]
    if world_symbols(w)[e.symbol].book_on:
        # Depth is kept: the quote is a second opinion on its touch, and with some rules ahead of it.
        return _from_book(core, <const event_t*>e, book_apply(world_book(w, e.symbol), <const event_t*>e))
    i.bid_px_ticks, i.bid_qty_lots = e.bid_px_ticks, e.bid_qty_lots
    i.ask_px_ticks, i.ask_qty_lots = e.ask_px_ticks, e.ask_qty_lots
    i.book_id = e.id_book
    i.book_ts_ns = w.now_ns
    i.book_trusted = 0 < e.bid_px_ticks and e.bid_px_ticks < e.ask_px_ticks
    _price_changed(core, <const event_t*>e)
    return OK


cdef void _mark(world_t* w, const mark_event_t* e) noexcept nogil:
    """What strategies are shown of funding. What it costs is the ledger's, when it is charged."""
    cdef world_symbol_t* y = &world_symbols(w)[e.symbol]
    y.mark_px_e8, y.funding_rate_e8, y.funding_ns = e.mark_px_e8, e.funding_rate_e8, e.ts_funding_ns


cdef int market_event(core_t* core, const event_t* event) noexcept nogil:
    cdef world_t* w = core.world
    cdef int status
    if world_has(w, SECTION_VALIDATE):
        status = _judged(core, event)
        if unlikely(status != OK):
            return status
    if event.kind == KIND_QUOTE:
        return _quote(core, <const quote_event_t*>event)
    if event.kind == KIND_TRADE or event.kind == KIND_AGG_TRADE:
        world_instruments(w)[event.symbol].last_px_ticks = (<const trade_event_t*>event).px_ticks
        plans_on_trade(core, event.symbol, (<const trade_event_t*>event).qty_lots)
        return OK
    if event.kind == KIND_BOOK_LEVEL or event.kind == KIND_BOOK_CLEAR:
        if not world_symbols(w)[event.symbol].book_on:
            return WORLD_BAD_EVENT
        return _from_book(core, event, book_apply(world_book(w, event.symbol), event))
    if event.kind == KIND_MARK or event.kind == KIND_LIQUIDATION or event.kind == KIND_BAR_PRICES or event.kind == KIND_BAR_TOTALS:
        if event.kind == KIND_MARK:
            _mark(w, <const mark_event_t*>event)
        # Judged and counted; the feature section reads them through its own pass.
        if core.features != NULL:
            run_strategies(core, event)
        return OK
    return WORLD_BAD_EVENT


cdef void market_on_time(core_t* core, const event_t* cause) noexcept nogil:
    """Silence is reported, and the correlation takes its sample."""
    cdef world_t* w = core.world
    cdef refusal_t silent[SILENT_MAX]
    cdef event_t as_cause
    cdef uint32_t i, count
    if world_has(w, SECTION_VALIDATE):
        count = validate_due(world_validate(w), w.now_ns, silent, SILENT_MAX)
        for i in range(count):
            as_cause = cause[0]
            as_cause.symbol = silent[i].symbol
            _record(core, &as_cause, &silent[i])
            expose(w, silent[i].symbol)
    if world_has(w, SECTION_CORRELATION) and w.now_ns - w.ts_sampled_ns >= w.shape.sample_ns:
        w.ts_sampled_ns = w.now_ns
        correlation_sample(world_correlation(w))
