from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from engine._core.algos cimport algo_is_live, algo_t
from engine._core.brackets cimport (
    BRACKET_AMEND_DOWN, BRACKET_AMEND_UP, BRACKET_OTO, BRACKET_OTOCO, bracket_terms_t,
)
from engine._core.debug cimport likely, unlikely
from engine._core.instruments cimport instrument_t
from engine._core.orders cimport (
    STATE_OPEN, STATE_PARTIAL, TIF_GTC, TIF_GTX, TIF_IOC, TYPE_LIMIT, TYPE_MARKET, TYPE_TRAILING, order_open_lots,
    order_t, orders_find,
)
from engine._core.risk cimport LANE_NORMAL, LANE_REDUCE
from engine._core.step_algos cimport algo_looks_like, call_off, find_algo, forget_algo, is_sliced, start_algo
from engine._core.step_brackets cimport open_bracket, take_back
from engine._core.step_discipline cimport disciplined
from engine._core.step_orders cimport CARRY_NOT, CARRY_VENUE, amend, carries, place, place_t
from engine._core.step_out cimport core_t, deny, dust_lots
from engine._core.step_routes cimport routed
from engine._core.step_size cimport cost_reasons, size_lots
from engine._core.step_stake cimport needs_word
from engine._core.strategy cimport (
    SIZE_BY_WISH, STRATEGY_RULE_APPROVAL, STRATEGY_RULE_CARRY, STRATEGY_RULE_SIZE, strategy_approves,
    strategy_check_limits, strategy_held, strategy_placed, strategy_spend, strategy_t,
)
from engine._core.strategy_abi cimport (
    TAGS, TYPE_ICEBERG, TYPE_POV, WISH_KEEP, WISH_POST_ONLY, WISH_REDUCE_ONLY, WISH_REST, wish_check, wish_t,
)
from engine._core.types cimport CAN_AMEND, CAN_AMEND_DOWN, OK, STAGE_ORDERS, STAGE_STRATEGY, event_t
from engine._core.world cimport (
    SECTION_ALGOS, SECTION_BRACKETS, world_has, world_instruments, world_orders, world_positions, world_strategies,
    world_t, world_trades,
)

cdef int64_t ENTRY_NS = 3_600_000_000_000              # how long an entry may rest unfilled before its bracket asks
cdef int64_t HOLD_NS = 30 * 24 * 3_600_000_000_000


# --------------------------------------------------------------------------------------------------------- own limits
cdef bint _passes_own_limits(core_t* core, const event_t* cause, uint32_t strategy, int at_tag, bint sell,
                             const wish_t* wish, bint* on_word) noexcept nogil:
    """`on_word`: it passes on a person's word, which is spent once the order is out."""
    cdef strategy_t* s = &world_strategies(core.world)[strategy]
    cdef int64_t open_lots = 0, replaced_lots = 0, order_count = 0, reasons = 0, held, lots
    cdef order_t* o
    cdef algo_t* a
    cdef bint other
    cdef int tag
    for tag in range(TAGS):
        for other in range(2):
            held = strategy_held(s, tag, other)[0]
            if held == 0:
                continue
            if held < 0:
                # A parent counts with all that it has left, whatever of it is out just now.
                a = find_algo(core, -held)
                if a == NULL or not algo_is_live(a):
                    continue
                lots = max(a.config.qty_lots - a.filled_lots, 0)
            else:
                o = orders_find(world_orders(core.world), held)
                if o == NULL:
                    continue
                lots = order_open_lots(o)
            order_count += 1
            if other == sell:
                open_lots += lots
                # What this wish takes the place of is not at stake beside it.
                replaced_lots += lots if tag == at_tag else 0
    on_word[0] = False
    if strategy_check_limits(s, wish, sell, open_lots, order_count, core.world.now_ns, &reasons):
        if likely(not needs_word(core, strategy, sell, wish, open_lots - replaced_lots)):
            return True
        if strategy_approves(s, sell, wish.qty_lots, core.world.now_ns):
            on_word[0] = True
            return True
        s.refused_count += 1
        reasons = <int64_t>1 << STRATEGY_RULE_APPROVAL
    deny(core, cause, strategy, at_tag, STAGE_STRATEGY, <uint16_t>s.symbol, sell, wish.px_ticks, wish.qty_lots, reasons, 0)
    return False


# ------------------------------------------------------------------------------------------------------ wish to order
cdef int64_t _owned_of(const world_t* w, uint16_t symbol, int64_t qty_lots) noexcept nogil:
    """Of what is to be sold the part that the account has whole."""
    cdef int64_t whole = world_positions(w)[symbol].lots - dust_lots(w, symbol)
    return whole if 0 < whole < qty_lots else qty_lots


cdef void _as_place(const world_t* w, uint32_t strategy, int tag, bint sell, uint16_t symbol, const wish_t* wish,
                    place_t* p) noexcept nogil:
    cdef const instrument_t* i = &world_instruments(w)[symbol]
    memset(p, 0, sizeof(place_t))
    p.px_ticks = 0 if wish.type == TYPE_MARKET or wish.type == TYPE_TRAILING else wish.px_ticks
    p.qty_lots = wish.qty_lots
    p.px_trigger_ticks = wish.trigger_px_ticks
    p.px_protect_ticks = wish.stop_px_ticks
    p.display_lots = wish.display_lots
    p.expire_ns = wish.expire_ns if wish.tif == 4 else 0
    p.ts_signal_ns = w.now_ns
    p.symbol, p.strategy, p.tag, p.sell = symbol, <uint16_t>strategy, <uint16_t>tag, sell
    p.signal = <uint16_t>(world_strategies(w)[strategy].signal.id & 0xFFFF)
    p.type, p.tif = <uint8_t>wish.type, <uint8_t>wish.tif
    if wish.flags & WISH_POST_ONLY and wish.type == TYPE_LIMIT:
        p.tif = TIF_GTX
    if wish.type == TYPE_MARKET and wish.tif != 2:
        p.tif = TIF_IOC
    if wish.type == 2 or wish.type == 4:
        p.px_ticks = 0            # a stop and a take-profit go at market when triggered
    if wish.type == TYPE_TRAILING:
        p.trail_ticks = wish.trail_ticks
        p.px_trigger_ticks = i.bid_px_ticks - wish.trail_ticks if sell else i.ask_px_ticks + wish.trail_ticks
    p.reduce_only = (wish.flags & WISH_REDUCE_ONLY) != 0
    p.lane = LANE_REDUCE if p.reduce_only else LANE_NORMAL
    if p.reduce_only and sell and p.tif == TIF_IOC:
        # What fees took of a spot holding is not there to be sold; the rest goes. A resting order is left as it is wished
        # for, because it is compared with the wish again and again.
        p.qty_lots = _owned_of(w, symbol, p.qty_lots)


cdef int64_t _bracketed(core_t* core, const event_t* cause, const place_t* p, const wish_t* wish) noexcept nogil:
    """The wish as a bracket: its stop is placed with the first fill. Returns the entry's id, or 0."""
    cdef const instrument_t* i = &world_instruments(core.world)[p.symbol]
    cdef uint64_t said = core.out_count
    cdef bracket_terms_t terms
    cdef uint32_t handle = 0
    cdef int64_t id_order
    memset(&terms, 0, sizeof(terms))
    terms.qty_lots = p.qty_lots
    terms.entry_px_ticks, terms.stop_px_ticks, terms.target_px_ticks = p.px_ticks, wish.stop_px_ticks, wish.target_px_ticks
    terms.entry_ns, terms.hold_ns = ENTRY_NS, HOLD_NS
    terms.symbol, terms.strategy, terms.signal = p.symbol, p.strategy, p.signal
    terms.kind = <uint8_t>(BRACKET_OTOCO if wish.target_px_ticks else BRACKET_OTO)
    terms.sell = p.sell
    terms.entry_tif = p.tif if p.type == TYPE_LIMIT else <uint8_t>TIF_IOC
    if i.can & CAN_AMEND:
        terms.flags = BRACKET_AMEND_DOWN | BRACKET_AMEND_UP
    elif i.can & CAN_AMEND_DOWN:
        terms.flags = BRACKET_AMEND_DOWN
    id_order = open_bracket(core, cause, &terms, &handle)
    if handle == 0 and core.out_count == said:
        deny(core, cause, p.strategy, p.tag, STAGE_ORDERS, p.symbol, p.sell, p.px_ticks, p.qty_lots, 0, 0)
    return id_order


cdef bint _wants_bracket(const world_t* w, const place_t* p, const wish_t* wish) noexcept nogil:
    # Two sides that net against each other have no trade of their own each: one stop follows what they net to.
    return (world_has(w, SECTION_BRACKETS) and wish.stop_px_ticks > 0 and not p.reduce_only
            and not (p.strategy < w.strategy_count and world_strategies(w)[p.strategy].limits.nets)
            and (p.type == TYPE_LIMIT or p.type == TYPE_MARKET))


cdef inline void _note_stop(world_t* w, uint32_t strategy, bint sell, const wish_t* wish) noexcept nogil:
    """Where the stop over the net position shall stand, should this order open it."""
    if world_strategies(w)[strategy].limits.nets and wish.stop_px_ticks > 0:
        world_trades(w)[strategy].px_stop_ticks[<int>sell] = wish.stop_px_ticks


cdef inline void _placed(strategy_t* s, bint sell, bint on_word) noexcept nogil:
    strategy_placed(s)
    if unlikely(on_word):
        strategy_spend(s, sell)


cdef int64_t _place(core_t* core, const event_t* cause, uint32_t strategy, int tag, bint sell,
                    const wish_t* wish) noexcept nogil:
    """Own limits, route, discipline, then the gate. Returns the id of the order that now carries it, or 0."""
    cdef world_t* w = core.world
    cdef strategy_t* s = &world_strategies(w)[strategy]
    cdef uint16_t symbol = <uint16_t>s.symbol
    cdef int64_t px, reasons, id_order = 0
    cdef order_t* o
    cdef place_t p
    cdef bint found = False, on_word = False
    if not _passes_own_limits(core, cause, strategy, tag, sell, wish, &on_word):
        return 0
    symbol = routed(core, cause, strategy, tag, sell, symbol, wish, &found)
    if not found:
        return 0
    _as_place(w, strategy, tag, sell, symbol, wish, &p)
    # A target is part of the trade that was asked for: without brackets nobody would place it.
    if carries(core, &p) == CARRY_NOT or (wish.target_px_ticks and not _wants_bracket(w, &p, wish)):
        deny(core, cause, strategy, tag, STAGE_STRATEGY, symbol, sell, wish.px_ticks, wish.qty_lots,
             <int64_t>1 << STRATEGY_RULE_CARRY, 0)
        return 0
    reasons = cost_reasons(core, strategy, &p, wish)
    if unlikely(reasons):
        deny(core, cause, strategy, tag, STAGE_STRATEGY, symbol, sell, wish.px_ticks, wish.qty_lots, reasons, 0)
        return 0
    px = p.px_ticks
    if px == 0:
        px = p.px_trigger_ticks if p.px_trigger_ticks else (
            world_instruments(w)[symbol].bid_px_ticks if sell else world_instruments(w)[symbol].ask_px_ticks)
    if not disciplined(core, cause, strategy, tag, sell, symbol, px, wish, &s.signal):
        return 0
    if _wants_bracket(w, &p, wish):
        id_order = _bracketed(core, cause, &p, wish)
    else:
        o = place(core, cause, &p)
        id_order = o.id_order if o != NULL else 0
    if id_order:
        _placed(s, sell, on_word)
        _note_stop(w, strategy, sell, wish)
    return id_order


# ------------------------------------------------------------------------------------------------------ sliced parents
cdef bint _can_slice(core_t* core, uint32_t strategy, const wish_t* wish) noexcept nogil:
    """Whether the children can be carried, their stop placed, and the share of the volume is named where it rules."""
    cdef world_t* w = core.world
    cdef const strategy_t* s = &world_strategies(w)[strategy]
    cdef place_t p
    if not world_has(w, SECTION_ALGOS) or (wish.type == TYPE_POV and s.limits.share_ppm <= 0):
        return False
    # An iceberg's wish may name a target, or a date: its parts have none.
    if wish.target_px_ticks or (wish.type == TYPE_ICEBERG and wish.tif != TIF_GTC and wish.tif != TIF_GTX):
        return False
    # Many children are no bracket each: with brackets the stop is the one that follows the net position.
    if (world_has(w, SECTION_BRACKETS) and not wish.flags & WISH_REDUCE_ONLY
            and (not s.limits.nets or world_instruments(w)[s.symbol].group)):
        return False
    memset(&p, 0, sizeof(p))
    p.symbol = <uint16_t>s.symbol
    p.tif = <uint8_t>(TIF_GTX if wish.tif == TIF_GTX or wish.flags & WISH_POST_ONLY else TIF_IOC)
    if wish.type == TYPE_ICEBERG and p.tif == TIF_IOC:
        p.tif = <uint8_t>TIF_GTC
    return carries(core, &p) == CARRY_VENUE


cdef int64_t _start(core_t* core, const event_t* cause, uint32_t strategy, int tag, bint sell,
                    const wish_t* wish) noexcept nogil:
    """A parent: own limits and discipline for all of it; each of its children passes the gate. Returns -id, or 0."""
    cdef strategy_t* s = &world_strategies(core.world)[strategy]
    cdef uint16_t symbol = <uint16_t>s.symbol
    cdef int64_t id_algo
    cdef int status = OK
    cdef bint on_word = False
    if not _passes_own_limits(core, cause, strategy, tag, sell, wish, &on_word):
        return 0
    if not _can_slice(core, strategy, wish):
        deny(core, cause, strategy, tag, STAGE_STRATEGY, symbol, sell, wish.px_ticks, wish.qty_lots,
             <int64_t>1 << STRATEGY_RULE_CARRY, 0)
        return 0
    if not disciplined(core, cause, strategy, tag, sell, symbol, wish.px_ticks, wish, &s.signal):
        return 0
    id_algo = start_algo(core, cause, strategy, sell, wish, &status)
    if id_algo == 0:
        deny(core, cause, strategy, tag, STAGE_ORDERS, symbol, sell, wish.px_ticks, wish.qty_lots, status, 0)
        return 0
    _placed(s, sell, on_word)
    _note_stop(core.world, strategy, sell, wish)
    return -id_algo


cdef bint _amends(const world_t* w, const order_t* o, const wish_t* wish) noexcept nogil:
    """Whether the live order can become what is wished for without leaving its place in the table."""
    cdef uint32_t can = world_instruments(w)[o.symbol].can
    if o.bracket or o.type != TYPE_LIMIT or wish.type != TYPE_LIMIT or (o.state != STATE_OPEN and o.state != STATE_PARTIAL):
        return False
    return (can & CAN_AMEND) != 0 or ((can & CAN_AMEND_DOWN) != 0 and wish.px_ticks == o.px_ticks
                                      and wish.qty_lots < order_open_lots(o))


cdef inline bint _looks_like(const order_t* o, const wish_t* wish) noexcept nogil:
    if order_open_lots(o) != wish.qty_lots or o.type != <uint8_t>wish.type:
        return False
    if o.type == TYPE_MARKET or o.type == TYPE_TRAILING:
        return True
    return o.px_stop_ticks == wish.trigger_px_ticks and (o.px_ticks == wish.px_ticks or o.px_ticks == 0)


cdef int64_t _sized(core_t* core, uint32_t strategy, bint sell, int64_t held, const wish_t* wish) noexcept nogil:
    """What a wish's quantity stands for, where the strategy leaves the size to us: that of its order or parent while there
    is one, else what sizing allows now; 0: nothing. A malformed wish stays as it is: its fault is told elsewhere."""
    cdef world_t* w = core.world
    cdef order_t* o
    cdef algo_t* a
    if held > 0:
        o = orders_find(world_orders(w), held)
        if o != NULL:
            return order_open_lots(o)
    elif held < 0:
        a = find_algo(core, -held)
        if a != NULL:
            return a.config.qty_lots
    if wish_check(wish, sell, w.now_ns):
        return wish.qty_lots
    return size_lots(core, strategy, <uint16_t>world_strategies(w)[strategy].symbol, sell, wish)


cdef int64_t grant(core_t* core, const event_t* cause, uint32_t strategy, int tag, bint sell, int64_t held,
                   const wish_t* wish) noexcept nogil:
    """A wish as it is, or as large as its strategy's sizing makes it. Returns the id now held, or 0."""
    cdef const strategy_t* s = &world_strategies(core.world)[strategy]
    cdef wish_t sized
    if likely(s.limits.size_by == SIZE_BY_WISH or wish.kind != WISH_REST or wish.flags & WISH_REDUCE_ONLY):
        return _grant_whole(core, cause, strategy, tag, sell, held, wish)
    sized = wish[0]
    sized.qty_lots = _sized(core, strategy, sell, held, wish)
    if sized.qty_lots == 0 and wish.qty_lots > 0:
        if held:
            return held
        deny(core, cause, strategy, tag, STAGE_STRATEGY, <uint16_t>s.symbol, sell, wish.px_ticks, wish.qty_lots,
             <int64_t>1 << STRATEGY_RULE_SIZE, 0)
        return 0
    if 0 < sized.qty_lots < sized.display_lots:
        sized.display_lots = sized.qty_lots
    return _grant_whole(core, cause, strategy, tag, sell, held, &sized)


cdef int64_t _grant_whole(core_t* core, const event_t* cause, uint32_t strategy, int tag, bint sell, int64_t held,
                          const wish_t* wish) noexcept nogil:
    """Level-triggered: make the live order of a side and tag look like the wish. Returns the id now held, or 0."""
    cdef order_t* o
    cdef algo_t* a
    cdef bint sliced, on_word = False
    if wish.kind == WISH_KEEP:
        return held
    sliced = is_sliced(core.world, <uint16_t>world_strategies(core.world)[strategy].symbol, wish)
    if held < 0:
        a = find_algo(core, -held)
        if a != NULL:
            # An ended parent stands for its wish until that is another one: what was done is not begun again.
            if wish.kind == WISH_REST and sliced and algo_looks_like(a, wish):
                return held
            call_off(core, cause, a)
            if algo_is_live(a):
                return held
            forget_algo(core, a)
    o = orders_find(world_orders(core.world), held) if held > 0 else NULL
    if o != NULL:
        if wish.kind == WISH_REST and _looks_like(o, wish):
            return held
        if wish.kind == WISH_REST and _amends(core.world, o, wish):
            # Own limits, discipline and the gate again: a larger order is a new risk, whatever its id.
            if (_passes_own_limits(core, cause, strategy, tag, sell, wish, &on_word)
                    and disciplined(core, cause, strategy, tag, sell, o.symbol, wish.px_ticks, wish,
                                     &world_strategies(core.world)[strategy].signal)
                    and amend(core, cause, o, wish.px_ticks, o.filled_lots + wish.qty_lots, wish.stop_px_ticks, NULL)):
                if unlikely(on_word):
                    strategy_spend(&world_strategies(core.world)[strategy], sell)
                _note_stop(core.world, strategy, sell, wish)
                return held
        # The new order waits until the old one is gone: two at once could both fill.
        take_back(core, cause, o)
        return strategy_held(&world_strategies(core.world)[strategy], tag, sell)[0]
    if wish.kind == WISH_REST and sliced:
        return _start(core, cause, strategy, tag, sell, wish)
    if wish.kind == WISH_REST:
        return _place(core, cause, strategy, tag, sell, wish)
    return 0


cdef void take_back_all(core_t* core, const event_t* cause, strategy_t* s) noexcept nogil:
    """Cancel every order of a stopped strategy. Level-triggered as well: asked for again with each of its events."""
    cdef order_t* o
    cdef algo_t* a
    cdef int at
    for at in range(2 * TAGS):
        if s.held[at] < 0:
            a = find_algo(core, -s.held[at])
            if a != NULL:
                call_off(core, cause, a)
            if a == NULL or not algo_is_live(a):
                s.held[at] = 0
                if a != NULL:
                    forget_algo(core, a)
            continue
        o = orders_find(world_orders(core.world), s.held[at]) if s.held[at] else NULL
        if o != NULL:
            take_back(core, cause, o)
