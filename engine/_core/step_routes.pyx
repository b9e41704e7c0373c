from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.string cimport memset

from engine._core.book cimport book_level_t, book_levels
from engine._core.instruments cimport instrument_t
from engine._core.limits cimport LIMIT_BOOK_AGE_NS, limit
from engine._core.orders cimport TYPE_LIMIT
from engine._core.risk cimport gate_symbol_t, gate_symbols
from engine._core.routing cimport (
    AGAINST_HALTED, AGAINST_INPUT, AGAINST_UNTRUSTED, group_t, route, route_ask_t, route_t, route_venue_t,
    routing_groups,
)
from engine._core.step_out cimport core_t, deny
from engine._core.strategy_abi cimport WISH_REDUCE_ONLY, wish_t
from engine._core.types cimport OK, STAGE_ROUTE, event_t
from engine._core.world cimport (
    SECTION_BOOKS, SECTION_ROUTING, world_book, world_gate, world_has, world_instruments, world_routing,
    world_symbols, world_t,
)

cdef enum:
    ROUTE_VENUES = 8
    ROUTE_LEVELS = 32


cdef uint32_t taken_from(const world_t* w, uint16_t symbol, bint sell, book_level_t* levels, uint32_t most) noexcept nogil:
    cdef const instrument_t* i = &world_instruments(w)[symbol]
    levels[0].px_ticks = i.bid_px_ticks if sell else i.ask_px_ticks
    levels[0].qty_lots = i.bid_qty_lots if sell else i.ask_qty_lots
    if world_has(w, SECTION_BOOKS) and world_symbols(w)[symbol].book_on:
        return book_levels(world_book(w, symbol), 0 if sell else 1, levels, most)
    return 1


cdef uint16_t routed(core_t* core, const event_t* cause, uint32_t strategy, int tag, bint sell, uint16_t symbol,
                      const wish_t* wish, bint* found) noexcept nogil:
    """The instrument, among those that are one underlying, on which this order costs least. All count in the same steps."""
    cdef world_t* w = core.world
    cdef const group_t* g
    cdef route_venue_t venues[ROUTE_VENUES]
    cdef book_level_t levels[ROUTE_VENUES][ROUTE_LEVELS]
    cdef route_ask_t ask
    cdef route_t out
    cdef const instrument_t* here = &world_instruments(w)[symbol]
    cdef const instrument_t* i
    cdef const gate_symbol_t* s
    cdef int64_t against = 0
    cdef uint32_t k
    found[0] = True
    if not world_has(w, SECTION_ROUTING) or world_instruments(w)[symbol].group == 0 or wish.flags & WISH_REDUCE_ONLY:
        return symbol
    g = &routing_groups(world_routing(w))[world_instruments(w)[symbol].group - 1]
    memset(venues, 0, sizeof(venues))
    for k in range(g.count):
        i = &world_instruments(w)[g.symbols[k]]
        venues[k].symbol = g.symbols[k]
        venues[k].levels = levels[k]
        venues[k].level_count = taken_from(w, g.symbols[k], sell, levels[k], ROUTE_LEVELS)
        # The gate's own words, so that no venue is chosen which the gate then denies: halted by whomever, cut off.
        s = &gate_symbols(world_gate(w))[g.symbols[k]]
        venues[k].against = <uint16_t>((AGAINST_HALTED if s.halted else 0) | (0 if s.book_trusted else AGAINST_UNTRUSTED))
        if i.tick_e8 != here.tick_e8 or i.lot_e8 != here.lot_e8:
            venues[k].against |= AGAINST_INPUT
        venues[k].unit_value = i.tick_e8 * i.lot_e8 // 100_000_000
        venues[k].lot_units = i.lot_e8
        venues[k].qty_lots_min, venues[k].qty_lots_max = i.qty_min_lots, i.qty_max_lots
        venues[k].px_rest_ticks = wish.px_ticks
        venues[k].ts_book_ns = i.book_ts_ns
        # What may be spent is the gate's to say; here every venue is equal in it.
        venues[k].balance = <int64_t>1 << 61
        venues[k].budget = 1
        venues[k].fee_maker_e8, venues[k].fee_taker_e8 = i.fee_maker_e8, i.fee_taker_e8
    memset(&ask, 0, sizeof(ask))
    ask.qty_units = wish.qty_lots * world_instruments(w)[symbol].lot_e8
    ask.now_ns, ask.age_ns_max = w.now_ns, limit(&w.limits, LIMIT_BOOK_AGE_NS)
    ask.policy, ask.sell, ask.parts_max = g.policy, sell, 1
    # A maker is who rests on every venue that is open to it; one that any of them would fill pays the taker's way.
    ask.maker = wish.type == TYPE_LIMIT
    for k in range(g.count):
        if not venues[k].against and (wish.px_ticks <= levels[k][0].px_ticks if sell
                                      else wish.px_ticks >= levels[k][0].px_ticks):
            ask.maker = 0
    if route(venues, g.count, &ask, &out) == OK and out.part_count == 1:
        return <uint16_t>out.parts[0].symbol
    for k in range(g.count):
        against |= out.against[k]
    deny(core, cause, strategy, tag, STAGE_ROUTE, symbol, sell, wish.px_ticks, wish.qty_lots, against, 0)
    found[0] = False
    return symbol
