from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from engine._core.algos cimport algos_volume
from engine._core.brackets cimport PHASE_CLOSED, bracket_t, brackets_find, brackets_slots
from engine._core.instruments cimport instrument_t
from engine._core.ledger cimport ACCOUNT_CASH, ledger_assets, ledger_symbol_t, ledger_symbols
from engine._core.modes cimport (
    ACT_CANCEL_ALL, ACT_CANCEL_ENTRIES, ACT_CANCEL_PLAN, ACT_DUST, ACT_ENDED, ACT_PLACE_LIMIT, ACT_PLACE_MARKET,
    ACT_VERIFY, MODE_REDUCED, OUTCOME_PARTIAL, PHASE_ENDED, PHASE_IDLE, modes_action_t, modes_fact_t, modes_ready_t,
    modes_step, modes_switch, modes_t,
)
from engine._core.orders cimport (
    ORDER_ACTION_ALARM, ORDER_ACTION_CANCEL, ORDER_NONE, ORDER_REDUCE_ONLY, STATE_PENDING_CANCEL, STATE_UNKNOWN,
    TIF_IOC, TYPE_MARKET, TYPE_STOP, TYPE_STOP_LIMIT, TYPE_TRAILING, order_action_t,
    order_exposure_lots, order_open_lots, order_t, orders_due, orders_find, orders_find_key,
    orders_slots, orders_symbols, orders_t,
)
from engine._core.risk cimport LANE_PROTECTIVE, gate_symbol_t, gate_symbols
from engine._core.step_algos cimport call_off_symbol, work_algos
from engine._core.step_brackets cimport brackets_on_time, flatten_bracket, order_changed, sibling_of, take_back
from engine._core.step_orders cimport cancel, fire, is_armed, place, place_t, query
from engine._core.step_out cimport core_t, dust_lots, incident, next_output, owned_only
from engine._core.triggers cimport SOURCE_TOUCH, trigger_action_t, triggers_on_price, triggers_symbols
from engine._core.types cimport (
    CAN_MARKET, INCIDENT_OVERDUE, INCIDENT_PLAN, INCIDENT_UNPROTECTED, KIND_INTENT_QUERY, KIND_MODE, OK,
    STRATEGY_NONE, SYMBOL_ALL, event_t, intent_t, mode_event_t,
)
from engine._core.world cimport (
    SECTION_ALGOS, SECTION_BRACKETS, SECTION_TRIGGERS, world_algos, world_brackets, world_facts, world_gate,
    world_has, world_instruments, world_ledger, world_modes, world_orders, world_symbols, world_t, world_triggers, world_venues,
)

cdef enum:
    ORDERS_DUE_MAX = 64
    TRIGGERS_MAX = 64
    MODES_ROOM = 256


# ---------------------------------------------------------------------------------------------------------- prices, time
cdef void _triggers_on_price(core_t* core, const event_t* cause, uint16_t symbol) noexcept nogil:
    cdef world_t* w = core.world
    cdef const instrument_t* i = &world_instruments(w)[symbol]
    cdef trigger_action_t actions[TRIGGERS_MAX]
    cdef uint64_t at, count = TRIGGERS_MAX
    cdef bracket_t* b
    cdef order_t* o
    # Only a price that may be believed releases anything. However many it reaches, all of them go now.
    if not gate_symbols(world_gate(w))[symbol].book_trusted:
        return
    while count == TRIGGERS_MAX:
        count = triggers_on_price(world_triggers(w), symbol, SOURCE_TOUCH, i.bid_px_ticks, i.ask_px_ticks, w.now_ns, actions,
                                  TRIGGERS_MAX)
        for at in range(count):
            o = orders_find_key(world_orders(w), actions[at].strategy, symbol, actions[at].sell, actions[at].tag)
            if o == NULL or o.trigger != actions[at].handle:
                continue
            b = brackets_find(world_brackets(w), o.bracket) if o.bracket else NULL
            fire(core, cause, o, sibling_of(core, b, <int>o.leg) if b != NULL else NULL)
            # Gone or refused, it stands no longer: a bracket counts on it again when the venue has it.
            order_changed(core, cause, o, 0)


cdef void plans_on_price(core_t* core, const event_t* cause, uint16_t symbol) noexcept nogil:
    """The touch of a symbol is another one."""
    cdef world_t* w = core.world
    if world_has(w, SECTION_TRIGGERS) and triggers_symbols(world_triggers(w))[symbol].head != <uint32_t>ORDER_NONE:
        _triggers_on_price(core, cause, symbol)
    if world_has(w, SECTION_ALGOS) and world_algos(w).live_count:
        work_algos(core, cause, symbol)


cdef void plans_on_trade(core_t* core, uint16_t symbol, int64_t qty_lots) noexcept nogil:
    if world_has(core.world, SECTION_ALGOS) and world_algos(core.world).live_count:
        algos_volume(world_algos(core.world), symbol, qty_lots)


cdef void _orders_due(core_t* core, const event_t* cause) noexcept nogil:
    """What got no answer is asked for, what is past its date is cancelled, what stays unknown is an incident."""
    cdef order_action_t due[ORDERS_DUE_MAX]
    cdef orders_t* table = world_orders(core.world)
    cdef uint64_t i, count = orders_due(table, core.world.now_ns, due, ORDERS_DUE_MAX)
    cdef order_t* o
    for i in range(count):
        o = orders_find(table, due[i].id_order)
        if due[i].kind == ORDER_ACTION_CANCEL:
            if cancel(core, cause, o):
                order_changed(core, cause, o, 0)
            continue
        query(core, cause, o)
        if due[i].kind == ORDER_ACTION_ALARM:
            incident(core, cause, INCIDENT_OVERDUE, o.symbol, o.id_order, order_exposure_lots(o), 0, o.strategy)
        else:
            order_changed(core, cause, o, 0)


cdef void plans_on_time(core_t* core, const event_t* cause) noexcept nogil:
    """Every deadline that has passed."""
    _orders_due(core, cause)
    if world_has(core.world, SECTION_BRACKETS):
        brackets_on_time(core, cause)
    if world_has(core.world, SECTION_ALGOS) and world_algos(core.world).live_count:
        work_algos(core, cause, SYMBOL_ALL)
    work_modes(core, cause)


# ------------------------------------------------------------------------------------------------------------ protection
cdef inline bint _protects(const order_t* o) noexcept nogil:
    """A stop that lives or is on its way, or an order that closes at once."""
    if o.state == STATE_PENDING_CANCEL or o.state == STATE_UNKNOWN or not o.flags & ORDER_REDUCE_ONLY:
        return False
    return o.type == TYPE_STOP or o.type == TYPE_STOP_LIMIT or o.type == TYPE_TRAILING or o.type == TYPE_MARKET


cdef void plans_on_report(core_t* core, const event_t* cause, uint16_t symbol) noexcept nogil:
    """After every report: is what is held protected? And does the plan, if one runs, have something to do?"""
    cdef world_t* w = core.world
    cdef int64_t lots = gate_symbols(world_gate(w))[symbol].lots, open_lots = lots if lots > 0 else -lots
    open_lots -= dust_lots(w, symbol)
    cdef int64_t nearest = 0
    cdef bint sell = lots > 0
    cdef uint32_t at = orders_symbols(world_orders(w))[symbol].head
    cdef order_t* o
    while at != <uint32_t>ORDER_NONE:
        o = &orders_slots(world_orders(w))[at]
        if o.sell == sell and lots != 0 and _protects(o):
            open_lots -= order_open_lots(o)
            if o.px_stop_ticks and (nearest == 0 or (o.px_stop_ticks > nearest) == sell):
                nearest = o.px_stop_ticks
        at = o.next
    # Where the stop stands is known whoever placed it; that there is one is promised where brackets are.
    world_symbols(w)[symbol].stop_px_ticks = nearest
    if world_has(w, SECTION_BRACKETS):
        if open_lots <= 0:
            world_symbols(w)[symbol].unprotected_lots = 0
        elif world_symbols(w)[symbol].unprotected_lots == 0:
            # Once per spell: it is over when a stop covers everything again.
            world_symbols(w)[symbol].unprotected_lots = open_lots
            incident(core, cause, INCIDENT_UNPROTECTED, symbol, 0, lots, open_lots, STRATEGY_NONE)
    work_modes(core, cause)


# ----------------------------------------------------------------------------------------------------------------- modes
cdef void _say_mode(core_t* core, const event_t* cause, uint16_t symbol, int64_t action, int64_t value) noexcept nogil:
    cdef mode_event_t* out = <mode_event_t*>next_output(core, cause, KIND_MODE)
    cdef modes_t* m = world_modes(core.world)
    out.symbol = symbol
    out.mode = m.mode
    out.phase = m.phase
    out.outcome = m.outcome
    out.action = action
    out.value = value


cdef void _fact(world_t* w, uint16_t symbol, modes_fact_t* f) noexcept nogil:
    """One symbol as it is now: armed stops are not counted as closing, they wait."""
    cdef const gate_symbol_t* s = &gate_symbols(world_gate(w))[symbol]
    cdef uint32_t at = orders_symbols(world_orders(w))[symbol].head
    cdef order_t* o
    memset(f, 0, sizeof(modes_fact_t))
    f.lots = s.lots
    f.bid_px_ticks = s.bid_px_ticks if s.book_trusted else 0
    f.ask_px_ticks = s.ask_px_ticks if s.book_trusted else 0
    f.qty_min_lots = s.qty_min_lots
    f.dust_lots = dust_lots(w, symbol)
    while at != <uint32_t>ORDER_NONE:
        o = &orders_slots(world_orders(w))[at]
        f.orders_live += 1
        f.entries_live += not o.flags & ORDER_REDUCE_ONLY
        f.plan_live += o.tag == TAG_PLAN
        if not is_armed(o):
            if o.sell:
                f.open_sell_lots += order_exposure_lots(o)
            else:
                f.open_buy_lots += order_exposure_lots(o)
        at = o.next


cdef void _sweep(core_t* core, const event_t* cause, uint16_t symbol, int64_t act) noexcept nogil:
    """Cancel the orders of a symbol that an action names. Brackets are told, so that they do not place anew."""
    cdef world_t* w = core.world
    cdef uint32_t at = orders_symbols(world_orders(w))[symbol].head, after
    cdef order_t* o
    cdef uint64_t i
    if act != ACT_CANCEL_PLAN:
        call_off_symbol(core, cause, symbol, act == ACT_CANCEL_ENTRIES)
        at = orders_symbols(world_orders(w))[symbol].head
    if act == ACT_CANCEL_ALL and world_has(w, SECTION_BRACKETS):
        for i in range(world_brackets(w).config.capacity):
            if brackets_slots(world_brackets(w))[i].symbol == symbol and brackets_slots(world_brackets(w))[i].handle:
                if brackets_slots(world_brackets(w))[i].phase != PHASE_CLOSED:
                    flatten_bracket(core, cause, brackets_slots(world_brackets(w))[i].handle)
        at = orders_symbols(world_orders(w))[symbol].head
    while at != <uint32_t>ORDER_NONE:
        o = &orders_slots(world_orders(w))[at]
        after = o.next
        if o.tag == TAG_PLAN if act == ACT_CANCEL_PLAN else act == ACT_CANCEL_ALL or not o.flags & ORDER_REDUCE_ONLY:
            if not (o.bracket and o.leg):
                take_back(core, cause, o)
        at = after


cdef bint _close(core_t* core, const event_t* cause, const modes_action_t* a, bint at_market) noexcept nogil:
    cdef const instrument_t* i = &world_instruments(core.world)[a.symbol]
    cdef place_t p
    memset(&p, 0, sizeof(p))
    p.px_ticks, p.qty_lots, p.symbol, p.sell = a.px_ticks, a.qty_lots, a.symbol, a.sell
    p.strategy, p.tag = STRATEGY_NONE, TAG_PLAN
    p.lane = LANE_PROTECTIVE
    p.reduce_only = p.closing = 1
    if at_market and i.can & CAN_MARKET:
        p.type, p.tif, p.px_ticks = TYPE_MARKET, TIF_IOC, 0
    elif at_market:
        # A venue without market orders: the touch that takes, resting where it does not.
        p.px_ticks = i.bid_px_ticks if a.sell else i.ask_px_ticks
    return place(core, cause, &p) != NULL


cdef int64_t _left_units(const world_t* w, const modes_action_t* a) noexcept nogil:
    """What dust there is, in 1e-8 of the base asset: exactly, since a part of a lot is part of it."""
    cdef const ledger_symbol_t* s = &ledger_symbols(world_ledger(w))[a.symbol]
    if owned_only(w, a.symbol):
        return ledger_assets(world_ledger(w))[s.base].balance[<int>ACCOUNT_CASH]
    return a.qty_lots * world_instruments(w)[a.symbol].lot_e8


cdef void work_modes(core_t* core, const event_t* cause) noexcept nogil:
    """One step of Reduced or of the flatten plan, when there is one."""
    cdef world_t* w = core.world
    cdef modes_t* m = world_modes(w)
    cdef modes_action_t actions[MODES_ROOM]
    cdef const modes_action_t* a
    cdef intent_t* intent
    cdef uint32_t i, count, phase = m.phase
    if m.mode != MODE_REDUCED and (m.phase == PHASE_IDLE or m.phase == PHASE_ENDED):
        return
    for i in range(w.symbol_count):
        _fact(w, <uint16_t>i, &world_facts(w)[i])
    count = modes_step(m, world_facts(w), w.now_ns, actions, MODES_ROOM)
    if m.phase != phase:
        _say_mode(core, cause, SYMBOL_ALL, 0, 0)
    for i in range(count):
        a = &actions[i]
        _say_mode(core, cause, a.symbol, a.kind, _left_units(w, a) if a.kind == ACT_DUST else a.value)
        if a.kind == ACT_CANCEL_ENTRIES or a.kind == ACT_CANCEL_ALL or a.kind == ACT_CANCEL_PLAN:
            _sweep(core, cause, a.symbol, a.kind)
        elif a.kind == ACT_PLACE_LIMIT or a.kind == ACT_PLACE_MARKET:
            _close(core, cause, a, a.kind == ACT_PLACE_MARKET)
        elif a.kind == ACT_VERIFY:
            # Not of an order: what do you hold of this symbol? The answer is a KIND_POSITION.
            intent = <intent_t*>next_output(core, cause, KIND_INTENT_QUERY)
            intent.symbol = a.symbol
            intent.id_order = intent.px_ticks = intent.qty_lots = intent.token = 0
            intent.terms = STRATEGY_NONE
            w.intent_count += 1
        elif a.kind == ACT_ENDED and a.value == OUTCOME_PARTIAL:
            incident(core, cause, INCIDENT_PLAN, SYMBOL_ALL, 0, 0, a.value, STRATEGY_NONE)


cdef bint _reconciled(const world_t* w) noexcept nogil:
    cdef uint32_t i
    for i in range(w.venue_count):
        if world_venues(w)[i].feeds_down or world_venues(w)[i].unreconciled:
            return False
    return True


cdef int switch_mode(core_t* core, const event_t* cause, int64_t to, int64_t who, bint aggressive,
                     int64_t equity) noexcept nogil:
    """Change the mode inside this event, or leave a record of why not. The gate reads the new one from now on."""
    cdef world_t* w = core.world
    cdef modes_t* m = world_modes(w)
    cdef modes_ready_t ready
    cdef uint32_t before = m.mode, phase = m.phase
    cdef int status
    ready.latch_clear = w.account.latch == 0
    ready.reconciled = _reconciled(w)
    ready.equity_first = w.account.equity
    # The second opinion: whoever asks has one, or the venue's own balances do.
    ready.equity_second = equity if equity else w.venue_equity
    status = modes_switch(m, <uint32_t>to if 0 <= to <= 255 else 255, <uint32_t>who if 0 <= who <= 255 else 0, aggressive,
                          &ready, w.now_ns)
    w.account.mode = m.mode
    if status != OK:
        w.mode_refused_count += 1
        _say_mode(core, cause, SYMBOL_ALL, 0, status)
        return status
    if m.mode != before or m.phase != phase:
        _say_mode(core, cause, SYMBOL_ALL, 0, 0)
    work_modes(core, cause)
    return OK
