from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

from engine._core.debug cimport likely, static_assert_c, unlikely
from engine._core.instruments cimport instrument_t
from engine._core.orders cimport orders_symbol_t, orders_symbols
from engine._core.positions cimport position_t
from engine._core.risk cimport gate_symbol_t, gate_symbols
from engine._core.step_out cimport core_t
from engine._core.step_wishes cimport grant, take_back_all
from engine._core.strategy cimport (
    STOPPED_RETURN, strategy_act, strategy_decided, strategy_held, strategy_stop, strategy_t,
)
from engine._core.strategy_abi cimport (
    STRATEGY_OK, TAGS, WISH_KEEP, WISH_NONE, peer_t, view_peer, view_t, wish_t, wishes_at, wishes_clear,
)
from engine._core.types cimport WORLD_BAD_EVENT, event_t
from engine._core.world cimport (
    SECTION_FEATURES, world_gate, world_instruments, world_orders, world_positions, world_section, world_strategies,
    world_symbols, world_t,
)
from engine._core.world_rows cimport world_symbol_t


cdef void _show_peer(const world_t* w, peer_t* p) noexcept nogil:
    """Another symbol as it stands now; prices and lots are its own, so what they mean stands beside them."""
    cdef const instrument_t* i = &world_instruments(w)[p.symbol]
    cdef const world_symbol_t* y = &world_symbols(w)[p.symbol]
    p.bid_px_ticks, p.bid_qty_lots = i.bid_px_ticks, i.bid_qty_lots
    p.ask_px_ticks, p.ask_qty_lots = i.ask_px_ticks, i.ask_qty_lots
    p.last_px_ticks, p.book_ns = i.last_px_ticks, i.book_ts_ns
    p.position_lots = world_positions(w)[p.symbol].lots
    p.open_buy_lots = orders_symbols(world_orders(w))[p.symbol].open_buy_lots
    p.open_sell_lots = orders_symbols(world_orders(w))[p.symbol].open_sell_lots
    p.book_trusted = gate_symbols(world_gate(w))[p.symbol].book_trusted
    p.mark_px_e8, p.funding_rate_e8, p.funding_ns = y.mark_px_e8, y.funding_rate_e8, y.funding_ns
    p.tick_e8, p.lot_e8 = i.tick_e8, i.lot_e8


cdef void _layout() noexcept nogil:
    # The touch stands the same way in both: four words are copied as one.
    static_assert_c(<size_t>&(<view_t*>NULL).ask_qty_lots - <size_t>&(<view_t*>NULL).bid_px_ticks == 24)
    static_assert_c(<size_t>&(<instrument_t*>NULL).ask_qty_lots - <size_t>&(<instrument_t*>NULL).bid_px_ticks == 24)
    static_assert_c(<size_t>&(<view_t*>NULL).ask_px_ticks - <size_t>&(<view_t*>NULL).bid_px_ticks == 16)
    static_assert_c(<size_t>&(<instrument_t*>NULL).ask_px_ticks - <size_t>&(<instrument_t*>NULL).bid_px_ticks == 16)


cdef inline void _show(core_t* core, const event_t* cause, strategy_t* s) noexcept nogil:
    """Fill the view's head with the state of the world now."""
    cdef world_t* w = core.world
    # Found once: a store into the view could change where a section begins, for all the compiler knows.
    cdef const instrument_t* i = &world_instruments(w)[s.symbol]
    cdef const world_symbol_t* y = &world_symbols(w)[s.symbol]
    cdef const orders_symbol_t* o = &orders_symbols(world_orders(w))[s.symbol]
    cdef const position_t* p = &world_positions(w)[s.symbol]
    cdef const gate_symbol_t* g = &gate_symbols(world_gate(w))[s.symbol]
    cdef view_t* view = &s.view
    cdef int64_t at
    view.now_ns = w.now_ns
    view.cause = cause.kind
    memcpy(&view.bid_px_ticks, &i.bid_px_ticks, 4 * sizeof(int64_t))
    view.last_px_ticks = i.last_px_ticks
    view.position_lots = s.position_lots
    view.symbol_position_lots = p.lots
    view.open_buy_lots = o.open_buy_lots
    view.open_sell_lots = o.open_sell_lots
    view.book_trusted = g.book_trusted
    view.mark_px_e8, view.funding_rate_e8, view.funding_ns = y.mark_px_e8, y.funding_rate_e8, y.funding_ns
    view.tick_e8, view.lot_e8, view.book_ns = i.tick_e8, i.lot_e8, i.book_ts_ns
    for at in range(view.peer_count):
        _show_peer(w, view_peer(view, at))
    if core.features != NULL:
        view.feature_count = core.features(world_section(w, SECTION_FEATURES), cause, <uint32_t>view.strategy, view)


cdef void _decide(core_t* core, const event_t* cause, uint32_t strategy) noexcept nogil:
    cdef world_t* w = core.world
    cdef strategy_t* s = &world_strategies(w)[strategy]
    cdef const wish_t* wish
    cdef int64_t* held
    cdef bint sell
    cdef int tag, answer
    wishes_clear(&core.wishes)
    _show(core, cause, s)
    answer = core.decide[strategy](&s.view, &core.wishes)
    if unlikely(answer != STRATEGY_OK):
        # Stopped alone; the rest runs. What it wished for counts for nothing, its orders are taken back.
        s.decided_count += 1
        strategy_stop(s, STOPPED_RETURN, answer, w.now_ns)
        w.stopped_count += 1
        take_back_all(core, cause, s)
        return
    strategy_decided(s, &core.wishes)
    for tag in range(TAGS):
        for sell in range(2):
            wish = wishes_at(&core.wishes, tag, sell)
            if wish.kind == WISH_KEEP:
                continue
            held = strategy_held(s, tag, sell)
            # Most wishes of most strategies: none, where there is none.
            if wish.kind == WISH_NONE and held[0] == 0:
                continue
            held[0] = grant(core, cause, strategy, tag, sell, held[0], wish)
    if unlikely(s.stopped):
        w.stopped_count += 1
        take_back_all(core, cause, s)


cdef bint _watches(strategy_t* s, uint32_t symbol) noexcept nogil:
    """Whether an event of this symbol wakes it: its own, or a peer's."""
    cdef int64_t at
    if likely(s.symbol == symbol):
        return True
    for at in range(s.view.peer_count):
        if view_peer(&s.view, at).symbol == symbol:
            return True
    return False


cdef void run_strategies(core_t* core, const event_t* cause) noexcept nogil:
    cdef uint32_t strategy
    cdef strategy_t* s
    for strategy in range(core.world.strategy_count):
        s = &world_strategies(core.world)[strategy]
        if _watches(s, cause.symbol) and core.decide[strategy] != NULL:
            if unlikely(s.stopped):
                take_back_all(core, cause, s)
            else:
                _decide(core, cause, strategy)


cdef int strategy_event(core_t* core, const event_t* e) noexcept nogil:
    """KIND_STRATEGY: the driver or the operator stops or resumes one strategy."""
    cdef world_t* w = core.world
    cdef strategy_t* s
    cdef uint32_t before
    cdef int status
    if e.word[0] < 0 or e.word[0] >= w.strategy_count:
        return WORLD_BAD_EVENT
    s = &world_strategies(w)[e.word[0]]
    before = s.stopped
    status = strategy_act(s, e.word[1], e.word[2], e.word[3], w.now_ns)
    if s.stopped and not before:
        w.stopped_count += 1
        take_back_all(core, e, s)
    return status
