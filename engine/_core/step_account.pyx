from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from engine._core.debug cimport unlikely
from engine._core.equity cimport equity_t, ledger_mark, ledger_mark_asset, ledger_revalue, ledger_unrealised, ledger_value
from engine._core.instruments cimport instrument_t
from engine._core.ledger cimport (
    ACCOUNT_CASH, BASE_DAY, BASE_PEAK, ledger_assets, ledger_positions, ledger_symbol_t, ledger_symbols, ledger_t,
)
from engine._core.limits cimport LIMIT_COUNT, LIMIT_DRAWDOWN_PPM, limit, limits_tighten
from engine._core.modes cimport MODE_PAUSED, WHO_ENGINE
from engine._core.money cimport mul_div_ceil, mul_div_floor
from engine._core.orders cimport (
    ON_TIMEOUT, ORDER_NONE, STATE_OPEN, STATE_PARTIAL, STATE_UNKNOWN, order_t, orders_report, orders_slots, orders_symbols, orders_t,
)
from engine._core.risk cimport gate_symbol_t, gate_symbols
from engine._core.step_brackets cimport order_changed
from engine._core.step_orders cimport query
from engine._core.step_out cimport DRAWDOWN_LATCH, core_t, expose, expose_venue, incident
from engine._core.step_plans cimport switch_mode
from engine._core.types cimport (
    FEED_MARKET, FEED_ORDERS, FEED_USER, INCIDENT_COUNT, OK, STRATEGY_NONE, SYMBOL_ALL, WORLD_BAD_EVENT, clock_event_t,
    SYMBOL_FEES, control_event_t, event_t, feed_event_t, symbol_event_t,
)
from engine._core.validate cimport validate_clock
from engine._core.world cimport (
    SECTION_VALIDATE, world_gate, world_has, world_instruments, world_ledger, world_modes, world_orders, world_symbols, world_t,
    world_validate, world_venues,
)
from engine._core.world_rows cimport HALT_BOOKS, HALT_EVENT, world_symbol_t, world_venue_t

cdef enum:
    FEE_E8_MAX = 25_000_000       # a quarter: what routing takes as a fee

cdef int64_t PPM = 1_000_000


# ---------------------------------------------------------------------------------------------------------- the account
cdef int _holding(const world_t* w, uint16_t symbol, int64_t* value) noexcept nogil:
    """What a symbol's holding adds to the equity, in report units: the base asset's cash on spot, else the unrealised."""
    cdef const ledger_t* l = world_ledger(w)
    cdef const ledger_symbol_t* s = &ledger_symbols(l)[symbol]
    cdef int64_t amount = 0
    cdef int status
    if not s.linear:
        return ledger_value(l, s.base, ledger_assets(l)[s.base].balance[<int>ACCOUNT_CASH], w.now_ns, w.shape.mark_age_ns, value)
    status = ledger_unrealised(l, symbol, False, w.now_ns, w.shape.mark_age_ns, &amount)
    return status if status != OK else ledger_value(l, s.quote, amount, w.now_ns, w.shape.mark_age_ns, value)


cdef int64_t _margin_held(const world_t* w) noexcept nogil:
    """Initial margin of everything at its worst case, rounded up."""
    cdef const gate_symbol_t* s
    cdef int64_t held = 0, one
    cdef uint32_t i
    for i in range(w.symbol_count):
        s = &gate_symbols(world_gate(w))[i]
        one = 0
        if s.gross_value and mul_div_ceil(s.gross_value, s.margin_ppm, PPM, &one) == 0 and one > 0:
            held += one
    return held


cdef void _judge_drawdown(core_t* core, const event_t* cause) noexcept nogil:
    """Past the limit the latch trips: a loss of that size is looked at by a person before anything opens again."""
    cdef world_t* w = core.world
    cdef int64_t room = 0
    if w.account.peak <= 0 or w.account.latch & DRAWDOWN_LATCH:
        return
    if mul_div_floor(w.account.peak, limit(&w.limits, LIMIT_DRAWDOWN_PPM), PPM, &room):
        return
    if w.account.peak - w.account.equity > room:
        w.account.latch |= DRAWDOWN_LATCH
        switch_mode(core, cause, MODE_PAUSED, WHO_ENGINE, False, 0)


cdef void revalue(core_t* core, const event_t* cause) noexcept nogil:
    """Value everything, move the bases, and write down what each holding is worth."""
    cdef world_t* w = core.world
    cdef ledger_t* l = world_ledger(w)
    cdef equity_t out
    cdef world_symbol_t* y
    cdef uint32_t i
    if not w.accounted:
        return
    if unlikely(ledger_revalue(l, w.now_ns, w.shape.mark_age_ns, &out) != OK):
        w.revalue_failed_count += 1
        return
    w.account.equity = out.equity
    w.account.ts_equity_ns = l.equity_oldest_ns
    w.account.peak = l.base_value[<int>BASE_PEAK]
    w.account.day_base = l.base_value[<int>BASE_DAY]
    w.account.margin_available = out.equity - _margin_held(w)
    if w.symbol_count > SYMBOLS_FULL:
        for i in range(w.symbol_count):
            y = &world_symbols(w)[i]
            y.value_lots = ledger_positions(l)[i].lots
            if y.value_lots == 0 or _holding(w, <uint16_t>i, &y.value) != OK:
                y.value = y.value_lots = 0
    _judge_drawdown(core, cause)


cdef inline bint _is_flat(const world_t* w) noexcept nogil:
    cdef uint32_t i
    for i in range(w.symbol_count):
        if ledger_positions(world_ledger(w))[i].lots:
            return False
    return True


cdef void mark_price(core_t* core, const event_t* cause, uint16_t symbol, int64_t px2_ticks) noexcept nogil:
    """The mid of a trusted touch is the mark of the symbol, and on spot of its base asset."""
    cdef world_t* w = core.world
    cdef ledger_t* l = world_ledger(w)
    cdef const ledger_symbol_t* s = &ledger_symbols(l)[symbol]
    cdef world_symbol_t* y = &world_symbols(w)[symbol]
    cdef int64_t px_e8 = px2_ticks * s.tick_e8 // 2, value = 0
    if unlikely(px2_ticks <= 0 or px2_ticks > <int64_t>1 << 61 or not s.is_set):
        return
    ledger_mark(l, symbol, px_e8, w.now_ns)
    if not s.linear and s.quote == l.report_asset:
        ledger_mark_asset(l, s.base, px_e8, w.now_ns)
    if w.symbol_count <= SYMBOLS_FULL:
        if ledger_positions(l)[symbol].lots or (not s.linear and ledger_assets(l)[s.base].balance[<int>ACCOUNT_CASH]):
            revalue(core, cause)
        elif not world_ledger(w).equity_is_set:
            revalue(core, cause)
        elif _is_flat(w):
            # No price moves what is held in cash alone: the equity is as young as this event.
            w.account.ts_equity_ns = w.now_ns
    elif y.value_lots and y.value_lots == ledger_positions(l)[symbol].lots and _holding(w, symbol, &value) == OK:
        # Not where the position is another one than at the last whole valuation, as after a fill while some mark was
        # too old: what was paid or received for the difference is not in the equity yet either.
        w.account.equity += value - y.value
        y.value = value
        _judge_drawdown(core, cause)


# --------------------------------------------------------------------------------------------------------------- venues
cdef void _doubt_orders(core_t* core, const event_t* cause, int64_t venue, bint ask) noexcept nogil:
    """The connection went: whatever had no answer yet may be anything. It came back: every such order is asked for."""
    cdef world_t* w = core.world
    cdef orders_t* t = world_orders(w)
    cdef uint32_t at = t.live_head, after
    cdef order_t* o
    while at != <uint32_t>ORDER_NONE:
        o = &orders_slots(t)[at]
        after = o.next_all
        if world_instruments(w)[o.symbol].venue == venue and o.trigger == 0:
            if ask and o.state == STATE_UNKNOWN:
                query(core, cause, o)
            elif not ask and o.state != STATE_UNKNOWN and o.state != STATE_OPEN and o.state != STATE_PARTIAL:
                orders_report(t, o, ON_TIMEOUT, 0, w.now_ns)
                expose(w, o.symbol)
                order_changed(core, cause, o, 0)
        at = after


cdef int feed_event(core_t* core, const event_t* event) noexcept nogil:
    """A connection went (up 0), came (1), or what it may have missed has been compared (2)."""
    cdef const feed_event_t* e = <const feed_event_t*>event
    cdef world_t* w = core.world
    cdef world_venue_t* v
    cdef uint32_t bit, i
    if not 0 <= e.feed <= <int64_t>FEED_ORDERS or not 0 <= e.venue < <int64_t>w.venue_count or not 0 <= e.up <= 2:
        return WORLD_BAD_EVENT
    v = &world_venues(w)[e.venue]
    bit = <uint32_t>1 << e.feed
    v.feed_ns = w.now_ns
    if e.up == 2:
        v.unreconciled = 0
    elif e.up == 1:
        v.feeds_down &= ~bit
        # What was said while nobody listened is not known: no new orders until somebody has compared.
        v.unreconciled |= e.feed == <int64_t>FEED_USER
        if e.feed != <int64_t>FEED_MARKET:
            _doubt_orders(core, event, e.venue, True)
    else:
        v.feeds_down |= bit
        if e.feed != <int64_t>FEED_MARKET:
            _doubt_orders(core, event, e.venue, False)
        for i in range(w.symbol_count if e.feed == <int64_t>FEED_MARKET else 0):
            if world_instruments(w)[i].venue == e.venue and (e.symbol == SYMBOL_ALL or e.symbol == i):
                world_instruments(w)[i].book_trusted = 0
    expose_venue(w, e.venue)
    return OK


cdef int clock_event(core_t* core, const event_t* event) noexcept nogil:
    """The worst venue's clock is the account's: an order signed with a wrong time is refused wherever it goes."""
    cdef const clock_event_t* e = <const clock_event_t*>event
    cdef world_t* w = core.world
    cdef world_venue_t* v
    cdef int64_t worst = 0, one
    cdef uint32_t i
    if (not 0 <= e.venue < <int64_t>w.venue_count or not -(<int64_t>1 << 60) < e.offset_ns < <int64_t>1 << 60
            or not 0 <= e.uncertainty_ns < <int64_t>1 << 60):
        return WORLD_BAD_EVENT
    v = &world_venues(w)[e.venue]
    v.offset_ns, v.uncertainty_ns, v.clock_ns, v.synchronised = e.offset_ns, e.uncertainty_ns, w.now_ns, e.synchronised == 1
    for i in range(w.venue_count):
        v = &world_venues(w)[i]
        one = (v.offset_ns if v.offset_ns > 0 else -v.offset_ns) + v.uncertainty_ns
        worst = max(worst, one)
    w.account.clock_drift_ns = worst
    if world_has(w, SECTION_VALIDATE):
        for i in range(w.symbol_count):
            if world_instruments(w)[i].venue == e.venue:
                validate_clock(world_validate(w), <uint16_t>i, e.offset_ns)
    return OK


cdef int denied_event(core_t* core, const event_t* event) noexcept nogil:
    """Which breakers on the order's way deny calls just now; none: new orders may leave again."""
    core.world.account.breaker_denied = event.word[0]
    return OK


# -------------------------------------------------------------------------------------------------------------- control
cdef int control_event(core_t* core, const event_t* event) noexcept nogil:
    """The latch is set at once, by whoever; a mode is asked for by exactly one `who`."""
    cdef const control_event_t* e = <const control_event_t*>event
    core.world.account.latch |= e.latch
    if e.who == 0:
        return OK
    return switch_mode(core, event, e.mode, e.who, e.aggressive != 0, e.equity)


cdef int limit_event(core_t* core, const event_t* event) noexcept nogil:
    """A limit is tightened at once and, by an event, at the same place in every replay. Looser is refused."""
    if not 0 <= event.word[0] < LIMIT_COUNT:
        return WORLD_BAD_EVENT
    return limits_tighten(&core.world.limits, <int>event.word[0], event.word[1])


cdef void halt(core_t* core, uint16_t symbol, int cause_bit, bint halted) noexcept nogil:
    cdef world_symbol_t* y = &world_symbols(core.world)[symbol]
    y.halted_by = y.halted_by | <uint32_t>cause_bit if halted else y.halted_by & ~<uint32_t>cause_bit
    expose(core.world, symbol)


cdef int _fees(world_t* w, uint16_t symbol, int64_t reason, int64_t maker_e8, int64_t taker_e8) noexcept nogil:
    """Rates that the venue says: of the size of a fee, the maker's at most the taker's. From now on they are known."""
    cdef instrument_t* i = &world_instruments(w)[symbol]
    if reason or not -FEE_E8_MAX <= maker_e8 <= taker_e8 <= FEE_E8_MAX:
        return WORLD_BAD_EVENT
    i.fee_maker_e8, i.fee_taker_e8 = maker_e8, taker_e8
    if i.fees_age_ns:
        gate_symbols(world_gate(w))[symbol].fees_until_ns = w.now_ns + i.fees_age_ns
    return OK


cdef int symbol_event(core_t* core, const event_t* event) noexcept nogil:
    """One symbol is halted or resumed alone. What halted it for another reason goes on halting it.

    A reason above 1 is an incident_code_t: a comparison with the venue's books speaks, whose halt is a cause of its own.
    SYMBOL_BREAK says what broke: an incident with what was believed, what was found, and an id. SYMBOL_FEES (and no reason):
    what the account pays from now on, the maker's rate and the taker's, in 1e-8.
    """
    cdef const symbol_event_t* e = <const symbol_event_t*>event
    cdef bint books = e.reason > 1
    if e.halt == SYMBOL_FEES:
        return _fees(core.world, e.symbol, e.reason, event.word[2], event.word[3])
    if not 0 <= e.halt <= 1 + books or not 0 <= e.reason < INCIDENT_COUNT:
        return WORLD_BAD_EVENT
    if e.halt <= 1:
        halt(core, e.symbol, HALT_BOOKS if books else HALT_EVENT, e.halt == 1)
    else:
        incident(core, event, e.reason, e.symbol, event.word[4], event.word[2], event.word[3], STRATEGY_NONE)
    return OK
