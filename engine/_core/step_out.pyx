from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._core.correlation cimport correlation_hold, correlation_slot, correlation_slots
from engine._core.debug cimport unlikely
from engine._core.discipline cimport DECISION_OBSERVED
from engine._core.instruments cimport instrument_t
from engine._core.orders cimport orders_symbol_t, orders_symbols
from engine._core.risk cimport gate_expose, gate_symbol_t, gate_symbols
from engine._core.types cimport (
    FEED_ORDERS, FEED_USER, FLAG_SELL, KIND_DECISION, KIND_INCIDENT, STAGE_DISCIPLINE, decision_t,
    event_t, incident_t, origin_pack, stage_t,
)
from engine._core.validate cimport validate_usable
from engine._core.world cimport (
    SECTION_CORRELATION, SECTION_VALIDATE, world_correlation, world_gate, world_has, world_instruments, world_orders,
    world_positions, world_symbols, world_t, world_validate, world_venues,
)
from engine._core.world_rows cimport world_venue_t


cdef event_t* next_output(core_t* core, const event_t* cause, uint8_t kind) noexcept nogil:
    """A record with its head filled and its words as the step before left them: the caller writes all five."""
    cdef event_t* out = &core.out[core.out_count]
    if unlikely(core.out_count >= OUTPUTS_MAX):
        core.world.output_lost_count += 1
        core.world.account.latch |= OUTPUT_LATCH
        out = &core.out[<int>OUTPUTS_MAX]
    else:
        core.out_count += 1
    out.kind = kind
    out.flags = 0
    out.symbol = cause.symbol
    out.seq = cause.seq
    out.ts_venue_ns = 0
    out.ts_recv_ns = core.world.now_ns
    return out


cdef void deny(core_t* core, const event_t* cause, int64_t strategy, int64_t tag, stage_t stage, uint16_t symbol,
               bint sell, int64_t px_ticks, int64_t qty_lots, int64_t reasons, int64_t headroom_lots) noexcept nogil:
    """A denial leaves a record: who asked for what, which stage refused, every rule that failed, what would pass."""
    cdef decision_t* decision = <decision_t*>next_output(core, cause, KIND_DECISION)
    decision.symbol = symbol
    decision.flags = FLAG_SELL if sell else 0
    decision.origin = origin_pack(strategy, tag, stage)
    decision.reasons = reasons
    decision.headroom_lots = headroom_lots
    decision.px_ticks = px_ticks
    decision.qty_lots = qty_lots
    core.world.denied_count += 1


cdef void note(core_t* core, const event_t* cause, int64_t strategy, int64_t tag, uint16_t symbol, bint sell,
               int64_t px_ticks, int64_t qty_lots, int64_t reasons) noexcept nogil:
    """Nothing is refused: what a validator that only observes has against a signal that passes."""
    cdef decision_t* decision = <decision_t*>next_output(core, cause, KIND_DECISION)
    decision.symbol = symbol
    decision.flags = <uint8_t>DECISION_OBSERVED | (FLAG_SELL if sell else 0)
    decision.origin = origin_pack(strategy, tag, STAGE_DISCIPLINE)
    decision.reasons = reasons
    decision.headroom_lots, decision.px_ticks, decision.qty_lots = qty_lots, px_ticks, qty_lots


cdef void incident(core_t* core, const event_t* cause, int64_t what, uint16_t symbol, int64_t id_order,
                   int64_t believed, int64_t found, int64_t strategy) noexcept nogil:
    """Something that must not happen did."""
    cdef incident_t* out = <incident_t*>next_output(core, cause, KIND_INCIDENT)
    out.symbol = symbol
    out.what = what
    out.id_order = id_order
    out.believed = believed
    out.found = found
    out.strategy = strategy
    core.world.incident_count += 1


cdef inline uint32_t _venue_blocks(const world_venue_t* v) noexcept nogil:
    return (v.feeds_down & ((1 << <int>FEED_USER) | (1 << <int>FEED_ORDERS))) | v.unreconciled


cdef inline void _tell_touch(world_t* w, uint16_t symbol, const instrument_t* i, gate_symbol_t* s) noexcept nogil:
    s.bid_px_ticks = i.bid_px_ticks
    s.ask_px_ticks = i.ask_px_ticks
    s.ts_book_ns = i.book_ts_ns
    s.book_trusted = i.book_trusted
    if world_has(w, SECTION_VALIDATE):
        s.book_trusted = i.book_trusted and validate_usable(world_validate(w), symbol)
    s.px_ref_ticks = i.ask_px_ticks
    if not w.accounted:
        # Nobody keeps books here: the account's words are what the set-up stated, and they are true by definition.
        w.account.ts_equity_ns = w.now_ns


cdef void expose_touch(world_t* w, uint16_t symbol) noexcept nogil:
    """A symbol's touch is another one, and nothing else: what it holds was told when that changed."""
    cdef gate_symbol_t* s = &gate_symbols(world_gate(w))[symbol]
    cdef const orders_symbol_t* row
    if unlikely(s.ts_book_ns == 0):
        # The first one, or the set-up is not told yet.
        expose(w, symbol)
        return
    _tell_touch(w, symbol, &world_instruments(w)[symbol], s)
    # Nothing held and nothing on its way is worth nothing at any price.
    if s.lots | s.open_buy_lots | s.open_sell_lots:
        # What an ended record still owed went with it, when its place was needed for another symbol's order.
        row = &orders_symbols(world_orders(w))[symbol]
        s.open_buy_lots, s.open_sell_lots = row.open_buy_lots, row.open_sell_lots
        gate_expose(world_gate(w), &w.account, symbol, s.px_ref_ticks)


cdef void expose(world_t* w, uint16_t symbol) noexcept nogil:
    """Tell the gate and the correlation what a symbol holds now."""
    cdef gate_symbol_t* s = &gate_symbols(world_gate(w))[symbol]
    cdef const instrument_t* i = &world_instruments(w)[symbol]
    cdef const orders_symbol_t* row = &orders_symbols(world_orders(w))[symbol]
    _tell_touch(w, symbol, i, s)
    # Halted alone, or its venue's user stream is down or came back without anybody having compared.
    s.halted = i.halted | world_symbols(w)[symbol].halted_by | _venue_blocks(&world_venues(w)[i.venue])
    s.lots = world_positions(w)[symbol].lots
    s.open_buy_lots = row.open_buy_lots
    s.open_sell_lots = row.open_sell_lots
    s.orders_open = row.live_count
    w.account.orders_open = <int64_t>world_orders(w).live_count
    gate_expose(world_gate(w), &w.account, symbol, i.ask_px_ticks)
    if world_has(w, SECTION_CORRELATION):
        _correlate(w, symbol, s.lots)


cdef inline void _correlate(world_t* w, uint16_t symbol, int64_t lots) noexcept nogil:
    # Re-reading the covariances costs a pass over them: only when the side that is held has changed.
    cdef uint16_t slot = correlation_slot(world_correlation(w), symbol)
    cdef int64_t direction = (lots > 0) - (lots < 0)
    if slot < world_correlation(w).tracked_count:
        if correlation_slots(world_correlation(w))[slot].direction != direction:
            correlation_hold(world_correlation(w), symbol, lots)
    elif lots != 0 or world_correlation(w).blind_count:
        correlation_hold(world_correlation(w), symbol, lots)


cdef void expose_venue(world_t* w, int64_t venue) noexcept nogil:
    """What a venue's connections allow has changed, for each of its symbols."""
    cdef uint32_t i
    for i in range(w.symbol_count):
        if world_instruments(w)[i].venue == venue:
            expose(w, <uint16_t>i)
