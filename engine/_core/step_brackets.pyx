from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from engine._core.brackets cimport (
    BRACKET_ACTIONS_MAX, BRACKET_AMEND, BRACKET_AMEND_DOWN, BRACKET_AMEND_UP, BRACKET_CANCEL, BRACKET_FOLLOWS,
    BRACKET_OCO, BRACKET_PLACE, LEG_ENTRY, LEG_STOP, LEG_TARGET, LEG_UNWIND, PHASE_CLOSED, bracket_action_t,
    bracket_held_lots, bracket_t, bracket_terms_t, brackets_due, brackets_find, brackets_flatten, brackets_follow,
    brackets_on_order, brackets_open, brackets_outside, brackets_placed, brackets_recall, brackets_refused,
    brackets_slots, brackets_t, leg_of,
)
from engine._core.orders cimport ORDER_REDUCE_ONLY, order_is_live, order_t, orders_find
from engine._core.risk cimport LANE_NORMAL, LANE_PROTECTIVE
from engine._core.step_algos cimport TAG_ALGO, tell_algo
from engine._core.step_orders cimport amend, cancel, place, place_t
from engine._core.step_out cimport core_t, dust_lots, incident, next_output
from engine._core.strategy cimport strategy_t
from engine._core.strategy_abi cimport TAGS
from engine._core.types cimport (
    CAN_AMEND, CAN_AMEND_DOWN, FLAG_SELL, INCIDENT_BOTH_FILLED, INCIDENT_BRACKET, INCIDENT_UNPROTECTED, KIND_BRACKET,
    OK, STRATEGY_NONE, bracket_event_t, event_t,
)
from engine._core.world cimport (
    SECTION_BRACKETS, world_brackets, world_has, world_instruments, world_orders, world_strategies, world_t,
    world_symbols, world_trades,
)
from engine._core.world_rows cimport world_symbol_t, world_trade_t

cdef int64_t GUARD_HOLD_NS = 365 * 24 * 3_600_000_000_000


# ------------------------------------------------------------------------------------------------------------- brackets
cdef void _say_bracket(core_t* core, const event_t* cause, uint32_t handle, int phase_before) noexcept nogil:
    cdef bracket_t* b = brackets_find(world_brackets(core.world), handle)
    cdef bracket_event_t* out
    if b == NULL or b.phase == phase_before:
        return
    out = <bracket_event_t*>next_output(core, cause, KIND_BRACKET)
    out.symbol = b.symbol
    out.flags = FLAG_SELL if b.sell else 0
    out.bracket = b.handle
    out.phase = b.phase
    out.phase_before = phase_before
    out.held_lots = bracket_held_lots(b)
    out.strategy = b.strategy


cdef inline int _phase(core_t* core, uint32_t handle) noexcept nogil:
    cdef bracket_t* b = brackets_find(world_brackets(core.world), handle)
    return b.phase if b != NULL else 0


cdef const order_t* sibling_of(core_t* core, const bracket_t* b, int leg) noexcept nogil:
    """The bracket's other exit: it closes the same position, and only one of the two will."""
    cdef int other = <int>LEG_TARGET if leg == LEG_STOP else <int>LEG_STOP
    if (leg != LEG_STOP and leg != LEG_TARGET) or leg_of(b, other).id_order == 0:
        return NULL
    return orders_find(world_orders(core.world), leg_of(b, other).id_order)


cdef order_t* _place_leg(core_t* core, const event_t* cause, const bracket_action_t* a) noexcept nogil:
    cdef bracket_t* b = brackets_find(world_brackets(core.world), a.handle)
    cdef place_t p
    memset(&p, 0, sizeof(p))
    p.px_ticks, p.qty_lots, p.px_trigger_ticks = a.px_ticks, a.qty_lots, a.px_stop_ticks
    p.bracket, p.leg = a.handle, a.leg
    p.symbol, p.strategy, p.tag, p.sell = a.symbol, a.strategy, a.tag, a.sell
    p.type, p.tif = a.type, a.tif
    p.reduce_only = a.reduce_only
    p.lane = LANE_PROTECTIVE if a.leg != LEG_ENTRY else LANE_NORMAL
    p.signal = b.signal
    p.px_protect_ticks = leg_of(b, LEG_STOP).px_stop_ticks
    p.sibling = sibling_of(core, b, a.leg)
    return place(core, cause, &p)


cdef void _carry_out(core_t* core, const event_t* cause, const bracket_action_t* actions, uint64_t count) noexcept nogil:
    """Do what a bracket asks for, and tell it how that went; what it then asks for comes before the next action."""
    cdef brackets_t* t = world_brackets(core.world)
    cdef bracket_action_t more[BRACKET_ACTIONS_MAX]
    cdef const bracket_action_t* a
    cdef order_t* o
    cdef uint64_t i, n
    cdef int64_t what
    for i in range(count):
        a = &actions[i]
        if a.kind == BRACKET_PLACE:
            o = _place_leg(core, cause, a)
            if o != NULL:
                brackets_placed(t, o)
                if o.trigger:
                    # Held back here, so it stands at once: nobody will report that it does.
                    order_changed(core, cause, o, 0)
            else:
                n = brackets_refused(t, a.handle, a.leg, core.world.now_ns, more)
                _carry_out(core, cause, more, n)
            continue
        o = orders_find(world_orders(core.world), a.id_order) if a.id_order else NULL
        if a.kind == BRACKET_AMEND and o != NULL:
            amend(core, cause, o, a.px_ticks, a.qty_lots, 0, sibling_of(core, brackets_find(t, a.handle), a.leg))
            brackets_placed(t, o)
            if o.trigger:
                order_changed(core, cause, o, 0)
        elif a.kind == BRACKET_CANCEL and o != NULL:
            if cancel(core, cause, o):
                order_changed(core, cause, o, 0)
            else:
                brackets_placed(t, o)
        elif a.kind != BRACKET_AMEND and a.kind != BRACKET_CANCEL:
            # The first two have names of their own in the engine's list; the rest is told by the bracket's.
            what = INCIDENT_BOTH_FILLED if a.qty_lots == 1 else INCIDENT_UNPROTECTED if a.qty_lots == 2 else INCIDENT_BRACKET
            incident(core, cause, what, a.symbol, a.id_order, a.qty_lots, a.handle, a.strategy)


cdef int64_t open_bracket(core_t* core, const event_t* cause, const bracket_terms_t* terms, uint32_t* handle) noexcept nogil:
    """An entry with its exits. Returns the id of the entry's order, 0 when there is none; `handle` 0: terms refused."""
    cdef brackets_t* t = world_brackets(core.world)
    cdef bracket_action_t actions[BRACKET_ACTIONS_MAX]
    cdef uint64_t count = 0
    cdef bracket_t* b
    if brackets_open(t, terms, core.world.now_ns, actions, &count, handle) != OK:
        return 0
    _carry_out(core, cause, actions, count)
    _say_bracket(core, cause, handle[0], 0)
    b = brackets_find(t, handle[0])
    return leg_of(b, LEG_ENTRY).id_order if b != NULL and b.phase != PHASE_CLOSED else 0


cdef void recall_bracket(core_t* core, const event_t* cause, uint32_t handle) noexcept nogil:
    cdef bracket_action_t actions[BRACKET_ACTIONS_MAX]
    cdef int before = _phase(core, handle)
    _carry_out(core, cause, actions, brackets_recall(world_brackets(core.world), handle, core.world.now_ns, actions))
    _say_bracket(core, cause, handle, before)


cdef void flatten_bracket(core_t* core, const event_t* cause, uint32_t handle) noexcept nogil:
    cdef bracket_action_t actions[BRACKET_ACTIONS_MAX]
    cdef int before = _phase(core, handle)
    _carry_out(core, cause, actions, brackets_flatten(world_brackets(core.world), handle, core.world.now_ns, actions))
    _say_bracket(core, cause, handle, before)


cdef void brackets_on_time(core_t* core, const event_t* cause) noexcept nogil:
    cdef brackets_t* t = world_brackets(core.world)
    cdef bracket_action_t actions[4 * BRACKET_ACTIONS_MAX]
    cdef uint64_t count, turns
    if core.world.now_ns < t.due_least_ns:
        return
    for turns in range(t.config.capacity):
        count = brackets_due(t, core.world.now_ns, actions, 4 * BRACKET_ACTIONS_MAX)
        _carry_out(core, cause, actions, count)
        if count == 0:
            break


# ------------------------------------------------------------------------------------- what others do to a position
cdef void _close_outside(core_t* core, const event_t* cause, uint16_t strategy, uint16_t symbol, bint sell,
                         int64_t lots) noexcept nogil:
    """What brackets hold was closed by something that is none of their legs, so their exits shrink by it. Those of one
    strategy; of any where the engine's plan closes. A stop that follows hears its strategy's fills by itself."""
    cdef brackets_t* t = world_brackets(core.world)
    cdef bracket_action_t actions[BRACKET_ACTIONS_MAX]
    cdef uint64_t i, count
    cdef int64_t part
    cdef int before
    cdef bracket_t* b
    for i in range(t.config.capacity):
        b = &brackets_slots(t)[i]
        if (b.handle == 0 or b.phase == PHASE_CLOSED or b.symbol != symbol or b.sell == sell
                or bracket_held_lots(b) <= 0):
            continue
        if strategy != <uint16_t>STRATEGY_NONE and (b.strategy != strategy or b.flags & BRACKET_FOLLOWS):
            continue
        part = min(lots, bracket_held_lots(b))
        before = b.phase
        count = brackets_outside(t, b.handle, part, core.world.now_ns, actions)
        _carry_out(core, cause, actions, count)
        _say_bracket(core, cause, b.handle, before)
        lots -= part
        if lots == 0:
            return


cdef void fee_took(core_t* core, const event_t* cause, uint16_t strategy, uint16_t symbol) noexcept nogil:
    """A fee in the base asset took a part of what is held: brackets protect and close what is owned, and no more."""
    cdef world_symbol_t* y = &world_symbols(core.world)[symbol]
    cdef int64_t dust = dust_lots(core.world, symbol)
    cdef int64_t more = dust - y.dust_lots
    y.dust_lots = dust
    if not world_has(core.world, SECTION_BRACKETS):
        return
    if more > 0:
        _close_outside(core, cause, strategy, symbol, True, more)
    guard_position(core, cause, strategy, symbol)


cdef int64_t _owed_lots(core_t* core, const bracket_t* b) noexcept nogil:
    """Fills of its legs' orders that the venue's tally knows and that have not come yet."""
    cdef int64_t owed = 0
    cdef const order_t* o
    cdef int leg
    for leg in range(<int>LEG_STOP, <int>LEG_UNWIND + 1):
        o = orders_find(world_orders(core.world), leg_of(b, leg).id_order) if leg_of(b, leg).id_order else NULL
        if o != NULL and o.told_lots > o.filled_lots:
            owed += o.told_lots - o.filled_lots
    return owed


cdef void _open_guard(core_t* core, const event_t* cause, const strategy_t* s, uint16_t strategy, bint short_side,
                      int64_t lots) noexcept nogil:
    """A stop over a net position, where the wish that opened it stated one."""
    cdef world_trade_t* t = &world_trades(core.world)[strategy]
    cdef uint32_t can = world_instruments(core.world)[s.symbol].can
    cdef bracket_action_t actions[BRACKET_ACTIONS_MAX]
    cdef bracket_terms_t terms
    cdef uint64_t count = 0
    cdef uint32_t handle = 0
    memset(&terms, 0, sizeof(terms))
    terms.kind, terms.sell, terms.qty_lots = <uint8_t>BRACKET_OCO, short_side, lots
    terms.stop_px_ticks = t.px_stop_ticks[<int>short_side]
    terms.entry_ns = terms.hold_ns = GUARD_HOLD_NS
    terms.symbol, terms.strategy = <uint16_t>s.symbol, strategy
    terms.flags = BRACKET_FOLLOWS
    if can & CAN_AMEND:
        terms.flags |= BRACKET_AMEND_DOWN | BRACKET_AMEND_UP
    elif can & CAN_AMEND_DOWN:
        terms.flags |= BRACKET_AMEND_DOWN
    if brackets_open(world_brackets(core.world), &terms, core.world.now_ns, actions, &count, &handle) == OK:
        t.guards[<int>short_side] = handle
        _carry_out(core, cause, actions, count)
        _say_bracket(core, cause, handle, 0)


cdef void guard_position(core_t* core, const event_t* cause, uint16_t strategy, uint16_t symbol) noexcept nogil:
    """Bring the stop of a strategy whose sides net to its net position: by level, after each of its fills.

    One bracket while it is long and one while it is short, so a turn through flat takes the one back and opens the other.
    Where the stop stands is what the wish stated that last passed before the position was opened; it stays until flat.
    What no stop can be placed for is found by `plans_on_report`, as for everybody.
    """
    cdef world_t* w = core.world
    cdef bracket_action_t actions[BRACKET_ACTIONS_MAX]
    cdef const strategy_t* s
    cdef bracket_t* b
    cdef int64_t lots
    cdef uint64_t count
    cdef int side, before
    if strategy >= w.strategy_count or not world_has(w, SECTION_BRACKETS):
        return
    s = &world_strategies(w)[strategy]
    # Routed orders stand on several instruments: their sum is no position of one of them.
    if not s.limits.nets or s.symbol != symbol or world_instruments(w)[symbol].group:
        return
    for side in range(2):
        lots = -s.position_lots if side else s.position_lots - dust_lots(w, symbol)
        lots = lots if lots > 0 else 0
        b = brackets_find(world_brackets(w), world_trades(w)[strategy].guards[side])
        if b != NULL and b.phase != PHASE_CLOSED:
            lots -= _owed_lots(core, b)
            before = b.phase
            count = brackets_follow(world_brackets(w), b.handle, lots if lots > 0 else 0, w.now_ns, actions)
            _carry_out(core, cause, actions, count)
            _say_bracket(core, cause, b.handle, before)
        elif lots > 0 and world_trades(w)[strategy].px_stop_ticks[side] > 0:
            _open_guard(core, cause, s, strategy, side, lots)


# ------------------------------------------------------------------------------------------------- after an order changed
cdef void _forget(core_t* core, const order_t* o) noexcept nogil:
    """Free the side of the strategy that held an order which has ended. The record stays for late reports."""
    cdef strategy_t* s
    cdef int at
    if o.strategy >= core.world.strategy_count:
        return
    s = &world_strategies(core.world)[o.strategy]
    for at in range(2 * TAGS):
        if s.held[at] == o.id_order:
            s.held[at] = 0


cdef void order_changed(core_t* core, const event_t* cause, order_t* o, int64_t filled_lots) noexcept nogil:
    """Tell everybody who waits for this order: its strategy, its bracket, its parent. `filled_lots` is new in it."""
    cdef bracket_action_t actions[BRACKET_ACTIONS_MAX]
    cdef uint32_t handle = o.bracket
    cdef uint64_t count
    cdef int before
    if not order_is_live(o):
        _forget(core, o)
    if handle:
        before = _phase(core, handle)
        count = brackets_on_order(world_brackets(core.world), o, core.world.now_ns, actions)
        _carry_out(core, cause, actions, count)
        _say_bracket(core, cause, handle, before)
        return
    if filled_lots and o.flags & ORDER_REDUCE_ONLY and world_has(core.world, SECTION_BRACKETS):
        _close_outside(core, cause, o.strategy, o.symbol, o.sell, filled_lots)
    if o.tag & 0xC000 == TAG_ALGO:
        tell_algo(core, cause, o, filled_lots)


cdef void take_back(core_t* core, const event_t* cause, order_t* o) noexcept nogil:
    """Somebody does not want this order any more. A bracket's entry is recalled, its exits stay."""
    if o.bracket:
        if o.leg == LEG_ENTRY:
            recall_bracket(core, cause, o.bracket)
    elif cancel(core, cause, o):
        order_changed(core, cause, o, 0)
