from libc.stdint cimport INT64_MAX, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from engine._core.brackets cimport PHASE_CLOSED, bracket_held_lots, bracket_t, brackets_slots, brackets_t
from engine._core.debug cimport unlikely
from engine._core.discipline cimport (
    CLAIM_CONFIDENCE, CLAIM_EV, CLAIM_P, CLAIM_SHARPE, FACT_UNKNOWN, corrective_action_t, discipline_check,
    discipline_position, discipline_result, discipline_verdict_t, facts_t, signal_t as claim_signal_t,
)
from engine._core.instruments cimport instrument_t
from engine._core.limits cimport LIMIT_POSITION_SHARE_PPM, limit
from engine._core.money cimport mul_div_ceil
from engine._core.orders cimport TIF_GTC, TIF_IOC, TYPE_LIMIT, TYPE_MARKET, orders_find_key
from engine._core.risk cimport LANE_PROTECTIVE, gate_symbol_t, gate_symbols
from engine._core.step_brackets cimport flatten_bracket
from engine._core.step_orders cimport place, place_t
from engine._core.step_out cimport core_t, deny, note
from engine._core.step_plans cimport TAG_PLAN
from engine._core.strategy cimport strategy_fill, strategy_t
from engine._core.strategy_abi cimport signal_t, wish_t
from engine._core.types cimport CAN_MARKET, OK, STAGE_DISCIPLINE, STRATEGY_NONE, event_t
from engine._core.world cimport (
    SECTION_BRACKETS, SECTION_DISCIPLINE, world_brackets, world_discipline, world_gate, world_has,
    world_instruments, world_orders, world_strategies, world_symbols, world_t, world_trades,
)
from engine._core.world_rows cimport world_symbol_t, world_trade_t

cdef int64_t PPM = 1_000_000


# ------------------------------------------------------------------------------------------------------------ signals
cdef int64_t _rise_ppm(const world_t* w, uint16_t symbol) noexcept nogil:
    """How far the mid has come since the anchor; unknown while there is none."""
    cdef const world_symbol_t* y = &world_symbols(w)[symbol]
    cdef const instrument_t* i = &world_instruments(w)[symbol]
    if y.anchor_px2 <= 0:
        return FACT_UNKNOWN
    return (i.bid_px_ticks + i.ask_px_ticks - y.anchor_px2) * PPM // y.anchor_px2


cdef void _facts(const world_t* w, uint16_t symbol, facts_t* f) noexcept nogil:
    cdef const instrument_t* i = &world_instruments(w)[symbol]
    cdef const gate_symbol_t* s = &gate_symbols(world_gate(w))[symbol]
    memset(f, 0, sizeof(facts_t))
    f.equity = w.account.equity
    f.position_share_ppm = limit(&w.limits, LIMIT_POSITION_SHARE_PPM)
    f.position_lots = s.lots
    f.px_stop_ticks = world_symbols(w)[symbol].stop_px_ticks
    f.bid_px_ticks = i.bid_px_ticks if s.book_trusted else 0
    f.ask_px_ticks = i.ask_px_ticks if s.book_trusted else 0
    f.rise_ppm = _rise_ppm(w, symbol)
    f.sentiment_ppm = FACT_UNKNOWN
    # An entry beyond the venue's own band around the touch chases by definition.
    f.px_band_low_ticks = i.bid_px_ticks - i.bid_px_ticks // 20
    f.px_band_high_ticks = i.ask_px_ticks + i.ask_px_ticks // 20


cdef uint64_t _sources(const world_t* w, uint16_t symbol, const signal_t* said, const facts_t* facts) noexcept nogil:
    """Who says so: the strategy's own sources, one where it names none; the quotes and the trades as the core sees them."""
    cdef uint64_t sources = 1
    cdef int64_t last = world_instruments(w)[symbol].last_px_ticks
    cdef int64_t low = facts.bid_px_ticks - facts.bid_px_ticks // 100, high = facts.ask_px_ticks + facts.ask_px_ticks // 100
    if said.valid:
        sources = <uint32_t>said.sources
    if 0 < facts.bid_px_ticks < facts.ask_px_ticks:
        sources |= <uint64_t>1 << 32
    # A last trade far from the touch says something else than the quotes do.
    if facts.bid_px_ticks > 0 and low <= last <= high:
        sources |= <uint64_t>1 << 33
    return sources


cdef int64_t _value_of(const world_t* w, uint16_t symbol, int64_t px_ticks, int64_t qty_lots) noexcept nogil:
    """In account units, rounded up; INT64_MAX when it does not fit, which every limit fails."""
    cdef int64_t value = 0, per_tick = 0
    cdef uint64_t q32 = gate_symbols(world_gate(w))[symbol].value_q32
    if q32 >> 62 or mul_div_ceil(px_ticks, qty_lots, 1, &per_tick) or mul_div_ceil(per_tick, <int64_t>q32,
                                                                                    <int64_t>1 << 32, &value):
        return INT64_MAX
    return value


cdef int64_t _stop_ppm(int64_t px_ticks, int64_t px_stop_ticks) noexcept nogil:
    cdef int64_t away = px_ticks - px_stop_ticks if px_ticks > px_stop_ticks else px_stop_ticks - px_ticks
    return away * PPM // px_ticks if px_ticks > 0 and 0 < away < <int64_t>1 << 40 else 0


cdef bint disciplined(core_t* core, const event_t* cause, uint32_t strategy, int tag, bint sell, uint16_t symbol,
                       int64_t px_ticks, const wish_t* wish, const signal_t* said) noexcept nogil:
    """The rules that protect from people, before the gate. What they detect is acted upon whether or not it passes."""
    cdef world_t* w = core.world
    cdef claim_signal_t signal
    cdef discipline_verdict_t verdict
    cdef facts_t facts
    if not world_has(w, SECTION_DISCIPLINE):
        return True
    memset(&signal, 0, sizeof(signal))
    signal.px_ticks, signal.qty_lots = px_ticks, wish.qty_lots
    signal.notional = _value_of(w, symbol, px_ticks, wish.qty_lots)
    signal.stop_ppm = _stop_ppm(px_ticks, wish.stop_px_ticks)
    signal.strategy, signal.symbol, signal.sell = <uint16_t>strategy, symbol, sell
    if said.valid and said.sample_count > 0:
        # What a signal says of itself can only make its case worse.
        signal.p, signal.ev, signal.sharpe, signal.confidence = said.p_value, said.expected_value, said.sharpe, said.confidence
        signal.claims = CLAIM_P | CLAIM_EV | CLAIM_SHARPE | CLAIM_CONFIDENCE
    _facts(w, symbol, &facts)
    signal.sources = _sources(w, symbol, said, &facts)
    if discipline_check(world_discipline(w), &signal, &facts, w.now_ns, &verdict) == OK:
        w.account.position_scale_ppm = verdict.scale_ppm if not verdict.reducing else w.account.position_scale_ppm
        if unlikely(verdict.news):
            note(core, cause, strategy, tag, symbol, sell, px_ticks, wish.qty_lots, <int64_t>verdict.observed)
        return True
    deny(core, cause, strategy, tag, STAGE_DISCIPLINE, symbol, sell, px_ticks, wish.qty_lots, <int64_t>verdict.reasons, 0)
    return False


cdef bint _flatten_brackets(core_t* core, const event_t* cause, uint16_t symbol) noexcept nogil:
    """Out of every bracket of a symbol. True when one of them holds something: it closes that by itself."""
    cdef brackets_t* t = world_brackets(core.world)
    cdef bint holds = False
    cdef bracket_t* b
    cdef uint64_t i
    for i in range(t.config.capacity):
        b = &brackets_slots(t)[i]
        if b.symbol == symbol and b.handle and b.phase != PHASE_CLOSED:
            holds = holds or bracket_held_lots(b) != 0
            flatten_bracket(core, cause, b.handle)
    return holds


cdef void force_stops(core_t* core, const event_t* cause, uint16_t symbol) noexcept nogil:
    """A position beyond its stop that is still there is closed now: nobody waits for it to come back.

    Brackets close what they hold; what no bracket holds, like a position behind a stop of its own, is closed here. Not
    both at once: a fill of the one would count as closing what the other holds. The demand comes again, so the rest
    follows when the brackets are done.
    """
    cdef world_t* w = core.world
    cdef corrective_action_t action
    cdef facts_t facts
    cdef place_t p
    if not world_has(w, SECTION_DISCIPLINE) or gate_symbols(world_gate(w))[symbol].lots == 0:
        return
    _facts(w, symbol, &facts)
    if not discipline_position(world_discipline(w), symbol, &facts, w.now_ns, &action):
        return
    if world_has(w, SECTION_BRACKETS) and _flatten_brackets(core, cause, symbol):
        return
    memset(&p, 0, sizeof(p))
    p.symbol, p.strategy, p.tag, p.lane = symbol, STRATEGY_NONE, TAG_PLAN, LANE_PROTECTIVE
    p.reduce_only = p.closing = 1
    p.sell = action.value > 0
    p.qty_lots = action.value if action.value > 0 else -action.value
    p.type, p.tif = TYPE_MARKET, TIF_IOC
    if not world_instruments(w)[symbol].can & CAN_MARKET:
        p.type, p.tif, p.px_ticks = TYPE_LIMIT, TIF_GTC, facts.bid_px_ticks if p.sell else facts.ask_px_ticks
    # One at a time: the one before it is on its way, or the plan's own order closes already.
    if orders_find_key(world_orders(w), STRATEGY_NONE, symbol, p.sell, TAG_PLAN) == NULL:
        place(core, cause, &p)


# ------------------------------------------------------------------------------------------------------------ results
cdef void _close_trade(core_t* core, uint16_t strategy, uint16_t symbol, world_trade_t* t) noexcept nogil:
    if world_has(core.world, SECTION_DISCIPLINE) and t.stake > 0:
        discipline_result(world_discipline(core.world), strategy, symbol, t.cash, t.stake, t.stop_ppm, core.world.now_ns)
    t.cash = t.stake = t.stop_ppm = t.ts_open_ns = 0
    t.result_count += 1


cdef void strategy_filled(core_t* core, uint16_t strategy, uint16_t symbol, bint sell, int64_t px_ticks,
                          int64_t qty_lots, int64_t px_stop_ticks) noexcept nogil:
    """Every fill of its orders, late ones too. From flat to flat is one trade, and a turn through zero two."""
    cdef strategy_t* s
    cdef world_trade_t* t
    cdef int64_t before, closing = 0, value
    if strategy >= core.world.strategy_count:
        return
    s = &world_strategies(core.world)[strategy]
    t = &world_trades(core.world)[strategy]
    before = s.position_lots
    strategy_fill(s, sell, qty_lots)
    if before != 0 and (before > 0) == sell:
        closing = min(qty_lots, before if before > 0 else -before)
        value = _value_of(core.world, symbol, px_ticks, closing)
        t.cash += value if sell else -value
        if closing == (before if before > 0 else -before):
            _close_trade(core, strategy, symbol, t)
    if qty_lots > closing:
        value = _value_of(core.world, symbol, px_ticks, qty_lots - closing)
        if t.stake == 0:
            t.ts_open_ns = core.world.now_ns
            t.stop_ppm = _stop_ppm(px_ticks, px_stop_ticks) if px_stop_ticks else 0
        t.cash += value if sell else -value
        t.stake += value


cdef void strategy_charged(core_t* core, uint16_t strategy, int64_t amount) noexcept nogil:
    """A fee of one of its fills, in account units. It comes after its fill: of a trade just closed it counts in the next."""
    if strategy < core.world.strategy_count:
        world_trades(core.world)[strategy].cash -= amount
