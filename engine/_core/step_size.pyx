from libc.stdint cimport INT64_MAX, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from engine._core.book cimport book_level_t
from engine._core.cost cimport cost_estimate, cost_request_t, cost_t
from engine._core.discipline cimport discipline_record_t, discipline_records, discipline_strategies, discipline_t
from engine._core.instruments cimport instrument_t
from engine._core.ledger cimport ledger_symbol_t, ledger_symbols
from engine._core.money cimport mul3, mul3_div_floor, mul_div_floor
from engine._core.orders cimport TIF_GTX, TYPE_LIMIT, TYPE_MARKET
from engine._core.risk cimport gate_symbol_t, gate_symbols
from engine._core.sizing cimport size_kelly_e8, size_largest, size_request_t, sized_t
from engine._core.step_routes cimport taken_from
from engine._core.strategy cimport (
    SIZE_BY_KELLY, STRATEGY_RULE_COST, STRATEGY_RULE_SLIPPAGE, strategy_limits_t, strategy_t,
)
from engine._core.types cimport OK
from engine._core.world cimport (
    SECTION_DISCIPLINE, world_discipline, world_gate, world_has, world_instruments, world_ledger,
    world_strategies, world_symbols, world_t,
)

cdef enum:
    COST_LEVELS = 32

cdef int64_t E8 = 100_000_000
cdef int64_t PPM = 1_000_000
cdef int64_t E8_PER_PPM = 100
cdef int64_t SHARE_PPM = 20_000                  # 2 %, where a limit names none
cdef int64_t KELLY_PART_PPM = 500_000
cdef int64_t PAYOFF_MOST = 1_000_000_000_000


cdef inline int64_t _or(int64_t value, int64_t otherwise) noexcept nogil:
    return value if value > 0 else otherwise


# ------------------------------------------------------------------------------------------------------------ how much
cdef int64_t _equity(const world_t* w, uint16_t symbol) noexcept nogil:
    """The account's equity in the symbol's quote units, rounded down; 0 where it cannot be said."""
    cdef uint64_t value_q32 = gate_symbols(world_gate(w))[symbol].value_q32
    cdef int64_t equity = 0
    if value_q32 == 0 or value_q32 >> 62 or w.account.equity <= 0:
        return 0
    if mul3_div_floor(w.account.equity, ledger_symbols(world_ledger(w))[symbol].unit_value, <int64_t>1 << 32,
                      <int64_t>value_q32, 1, &equity):
        return 0
    return equity


cdef int _kelly(const world_t* w, uint32_t strategy, const strategy_limits_t* l, int64_t* fraction_e8) noexcept nogil:
    """The part of the equity that the strategy's own record speaks for; not OK without any record."""
    cdef const discipline_t* d
    cdef const discipline_record_t* r
    cdef int64_t wins = 0, losses = 0, won = 0, lost = 0, payoff = PAYOFF_MOST, most
    cdef uint32_t i, count
    if not world_has(w, SECTION_DISCIPLINE):
        return 1
    d = world_discipline(w)
    count = discipline_strategies(d)[strategy].count
    if count < d.config.samples_min:
        fraction_e8[0] = d.config.explore_share_ppm * E8_PER_PPM
        return OK
    r = discipline_records(d, strategy)
    for i in range(count):
        if r[i].return_e8 > 0:
            wins += 1
            won += r[i].return_e8
        elif r[i].return_e8 < 0:
            losses += 1
            lost -= r[i].return_e8
    fraction_e8[0] = 0
    if wins == 0:
        return OK
    # Mean win over mean loss; who never lost is cut by the cap alone.
    if losses and mul3_div_floor(won, losses, E8, wins, lost, &payoff):
        payoff = PAYOFF_MOST
    payoff = min(payoff, PAYOFF_MOST)
    if payoff < 1:
        return OK
    most = _or(l.kelly_cap_ppm, SHARE_PPM) * E8_PER_PPM
    return size_kelly_e8(wins * E8 // count, payoff, _or(l.kelly_part_ppm, KELLY_PART_PPM) * E8_PER_PPM, most, fraction_e8)


cdef int64_t size_lots(core_t* core, uint32_t strategy, uint16_t symbol, bint sell, const wish_t* wish) noexcept nogil:
    """What a wish gets: at most what it names, at most what its strategy's sizing allows. 0: no order can be made of it."""
    cdef const world_t* w = core.world
    cdef const strategy_t* s = &world_strategies(w)[strategy]
    cdef const strategy_limits_t* l = &s.limits
    cdef const instrument_t* i = &world_instruments(w)[symbol]
    cdef const gate_symbol_t* g = &gate_symbols(world_gate(w))[symbol]
    cdef size_request_t r
    cdef sized_t out
    cdef int64_t held = g.lots if g.lots > 0 else -g.lots, own
    memset(&r, 0, sizeof(r))
    r.px_ticks = wish.px_ticks
    if wish.type == TYPE_MARKET:
        r.px_ticks = i.bid_px_ticks if sell else i.ask_px_ticks
    r.equity, r.stop_px_ticks = _equity(w, symbol), wish.stop_px_ticks
    r.unit_value = ledger_symbols(world_ledger(w))[symbol].unit_value
    r.notional_share_e8 = _or(l.size_share_ppm, SHARE_PPM) * E8_PER_PPM
    r.risk_share_e8 = _or(l.size_risk_ppm, SHARE_PPM) * E8_PER_PPM
    r.fee_rate_e8 = i.fee_taker_e8 if i.fee_taker_e8 > 0 else 0
    r.kelly_e8 = r.margin_headroom = r.depth_lots = -1
    r.position_room_lots, r.qty_max_lots = INT64_MAX, min(g.qty_max_lots, wish.qty_lots)
    r.qty_min_lots, r.qty_step_lots, r.notional_min = g.qty_min_lots if g.qty_min_lots > 0 else 1, 1, i.notional_min_e8
    if l.order_lots_max:
        r.qty_max_lots = min(r.qty_max_lots, l.order_lots_max)
    if l.position_lots_max:
        own = -s.position_lots if sell else s.position_lots
        r.position_room_lots = l.position_lots_max - own if own < l.position_lots_max else 0
    if mul3(held, i.ask_px_ticks, r.unit_value, &r.held_value):
        return 0
    if l.size_by == SIZE_BY_KELLY and _kelly(w, strategy, l, &r.kelly_e8) != OK:
        return 0
    return out.lots if size_largest(&r, &out) == OK else 0


# ---------------------------------------------------------------------------------------------------------- at what cost
cdef uint32_t _levels(const world_t* w, uint16_t symbol, bint sell, int64_t* px_ticks, int64_t* qty_lots) noexcept nogil:
    """What the order would take from, as the estimate reads it."""
    cdef book_level_t levels[COST_LEVELS]
    cdef uint32_t k, count = taken_from(w, symbol, sell, levels, COST_LEVELS)
    for k in range(count):
        px_ticks[k], qty_lots[k] = levels[k].px_ticks, levels[k].qty_lots
    return count


cdef int64_t cost_reasons(core_t* core, uint32_t strategy, const place_t* p, const wish_t* wish) noexcept nogil:
    """The bits of the strategy's own limits on cost that an entry fails. What cannot be estimated fails what is asked."""
    cdef const world_t* w = core.world
    cdef const strategy_limits_t* l = &world_strategies(w)[strategy].limits
    cdef const instrument_t* i = &world_instruments(w)[p.symbol]
    cdef int64_t px_ticks[COST_LEVELS]
    cdef int64_t qty_lots[COST_LEVELS]
    cdef int64_t failed = 0, most = 0
    cdef cost_request_t r
    cdef cost_t out
    cdef int status
    if (not l.slippage_ppm_max and not l.earns) or p.reduce_only or (p.type != TYPE_LIMIT and p.type != TYPE_MARKET):
        return 0
    memset(&r, 0, sizeof(r))
    r.px_ticks, r.qty_lots, r.sell = p.px_ticks, p.qty_lots, p.sell
    r.unit_value = ledger_symbols(world_ledger(w))[p.symbol].unit_value
    r.bid_px_ticks, r.ask_px_ticks = i.bid_px_ticks, i.ask_px_ticks
    r.maker_e8, r.taker_e8, r.post_only = i.fee_maker_e8, i.fee_taker_e8, p.tif == TIF_GTX
    r.funding_rate_e8 = world_symbols(w)[p.symbol].funding_rate_e8
    r.funding_count = r.funding_rate_e8 != 0     # the next one: how long it is held nobody knows yet
    status = cost_estimate(&r, px_ticks, qty_lots, _levels(w, p.symbol, p.sell, px_ticks, qty_lots), &out)
    if l.slippage_ppm_max and (status != OK or mul_div_floor(out.value, l.slippage_ppm_max, PPM, &most)
                               or out.slippage > most):
        failed |= <int64_t>1 << STRATEGY_RULE_SLIPPAGE
    if l.earns and wish.target_px_ticks > 0 and (status != OK or out.break_even_px_ticks == 0 or (
            wish.target_px_ticks > out.break_even_px_ticks if p.sell else wish.target_px_ticks < out.break_even_px_ticks)):
        failed |= <int64_t>1 << STRATEGY_RULE_COST
    return failed
