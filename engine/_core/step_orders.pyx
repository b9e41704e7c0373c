from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from engine._core.correlation cimport CORRELATION_LEAST, correlation_worst
from engine._core.instruments cimport instrument_t
from engine._core.ledger cimport ledger_owned_lots
from engine._core.orders cimport (
    ON_ACK, ON_CANCELED, ON_CANCEL_ASKED, ON_FIRE, ON_GATE, ON_JOURNAL, ON_SEND, ORDER_EMULATED, ORDER_NONE,
    ORDER_REDUCE_ONLY, STATE_PENDING_CANCEL, STRATEGY_NONE, TIF_GTC, TIF_GTD, TIF_GTX, TIF_IOC,
    TYPE_ICEBERG, TYPE_LIMIT, TYPE_MARKET, TYPE_STOP, TYPE_STOP_LIMIT, TYPE_TRAILING,
    order_exposure_lots, order_open_lots, order_t, order_terms_t, orders_apply, orders_ask_replace, orders_create,
    orders_find_key, orders_id_next, orders_replaced, orders_slots, orders_symbols, orders_t,
)
from engine._core.risk cimport (
    LANE_NORMAL, LANE_PROTECTIVE, LANE_REDUCE, MODE_PAUSED, gate_ask_t, gate_cancel, gate_check, gate_commit, gate_deny,
    gate_largest_lots, gate_recheck, gate_symbol_t, gate_symbols, verdict_t,
)
from engine._core.step_out cimport core_t, deny, expose, incident, next_output, owned_only
from engine._core.triggers cimport (
    SOURCE_TOUCH, TRIGGER_STOP, TRIGGER_TAKE_PROFIT, TRIGGER_TRAILING, trigger_terms_t,
    triggers_add, triggers_cancel, triggers_resize,
)
from engine._core.types cimport (
    CAN_FOK, CAN_GTD, CAN_ICEBERG, CAN_IOC, CAN_MARKET, CAN_POST, CAN_REDUCE, CAN_STOP, CAN_STOP_LIMIT,
    CAN_TAKE, CAN_TAKE_LIMIT, CAN_TRAILING, FLAG_FIRST, FLAG_SELL, INCIDENT_GATE_ON_ACK, KIND_INTENT_AMEND,
    KIND_INTENT_CANCEL, KIND_INTENT_PLACE, KIND_INTENT_QUERY, KIND_INTENT_TERMS, OK, STAGE_GATE, STAGE_ORDERS,
    TERMS_CLOSING, TERMS_POST_ONLY, TERMS_REDUCE_ONLY, event_t, intent_t, intent_terms_t, terms_pack,
)
from engine._core.world cimport (
    SECTION_CORRELATION, SECTION_TRIGGERS, world_correlation, world_gate, world_has, world_instruments, world_ledger, world_orders,
    world_symbols, world_t, world_triggers,
)

# What a venue must be able to do for each type and time in force, by their numbers.
cdef uint32_t TYPE_NEEDS[8]
TYPE_NEEDS[:] = [0, CAN_MARKET, CAN_STOP, CAN_STOP_LIMIT, CAN_TAKE, CAN_TAKE_LIMIT, CAN_TRAILING, CAN_ICEBERG]
cdef uint32_t TIF_NEEDS[5]
TIF_NEEDS[:] = [0, CAN_IOC, CAN_FOK, CAN_POST, 0]


# ------------------------------------------------------------------------------------------------------- can it be done
cdef int carries(const core_t* core, const place_t* p) noexcept nogil:
    """Whether the venue takes it, a trigger of ours stands in for it, or neither: never placed as something else."""
    cdef uint32_t can = world_instruments(core.world)[p.symbol].can
    # A market order is immediate by itself; its IOC asks nothing more of the venue.
    if p.type != TYPE_MARKET and TIF_NEEDS[p.tif] & ~can:
        return CARRY_NOT
    if not TYPE_NEEDS[p.type] & ~can:
        return CARRY_VENUE
    if not world_has(core.world, SECTION_TRIGGERS) or p.type == TYPE_MARKET or p.type == TYPE_ICEBERG:
        return CARRY_NOT
    # What comes out of the trigger must be something that the venue takes.
    return CARRY_TRIGGER if p.px_ticks or can & CAN_MARKET else CARRY_NOT


cdef inline int64_t _judged_px(const instrument_t* i, const place_t* p) noexcept nogil:
    if p.px_ticks:
        return p.px_ticks
    if p.px_trigger_ticks:
        return p.px_trigger_ticks
    return i.bid_px_ticks if p.sell else i.ask_px_ticks


# --------------------------------------------------------------------------------------------------------------- gating
cdef bint is_armed(const order_t* o) noexcept nogil:
    """A stop that waits for its price: it closes nothing yet. One of ours that has fired does."""
    if o.flags & ORDER_EMULATED and o.trigger == 0:
        return False
    return o.type == TYPE_STOP or o.type == TYPE_STOP_LIMIT or o.type == TYPE_TRAILING


cdef int64_t _closing_lots(core_t* core, const place_t* p, const order_t* own, bint armed) noexcept nogil:
    """What other reduce-only orders of a side close already: those that wait for a price if this one waits too, else
    those that do not. Fills that an ended order still owes are closing; entries are not, whatever they would close."""
    cdef orders_t* t = world_orders(core.world)
    cdef int64_t every, waiting = 0
    cdef uint32_t at = orders_symbols(t)[p.symbol].head
    cdef const order_t* o
    every = orders_symbols(t)[p.symbol].reduce_sell_lots if p.sell else orders_symbols(t)[p.symbol].reduce_buy_lots
    while at != <uint32_t>ORDER_NONE:
        o = &orders_slots(t)[at]
        at = o.next
        if o.sell != p.sell or not o.flags & ORDER_REDUCE_ONLY:
            continue
        if o == own or o == p.sibling:
            every -= order_exposure_lots(o)
        elif is_armed(o):
            waiting += order_exposure_lots(o)
    return waiting if armed else every - waiting


cdef void _judge(core_t* core, const place_t* p, int64_t id_order, int64_t px_ticks, const order_t* own,
                 int64_t own_filled_lots, gate_ask_t* ask, verdict_t* verdict) noexcept nogil:
    """Ask the gate. `own` is this very order when it lives already: the new verdict must not count it twice.
    `own_filled_lots` are those that the quantity asked for includes."""
    cdef world_t* w = core.world
    cdef gate_symbol_t* s = &gate_symbols(world_gate(w))[p.symbol]
    cdef int64_t off = own_filled_lots
    cdef bint armed
    if own != NULL:
        off += order_exposure_lots(own)
    if p.sibling != NULL:
        off += order_exposure_lots(p.sibling)
    memset(ask, 0, sizeof(gate_ask_t))
    ask.id_order = id_order
    ask.symbol = p.symbol
    ask.sell = p.sell
    ask.lane = p.lane
    ask.px_ticks = px_ticks
    ask.qty_lots = p.qty_lots
    ask.px_stop_ticks = p.px_protect_ticks
    ask.ts_signal_ns = p.ts_signal_ns if p.ts_signal_ns else w.now_ns
    ask.correlation_ppm = CORRELATION_LEAST
    if world_has(w, SECTION_CORRELATION):
        ask.correlation_ppm = correlation_worst(world_correlation(w), p.symbol, p.sell)
    if p.lane != LANE_NORMAL:
        armed = is_armed(own) if own != NULL else (p.type == TYPE_STOP or p.type == TYPE_STOP_LIMIT
                                                   or p.type == TYPE_TRAILING)
        ask.closing_lots = _closing_lots(core, p, own, armed) - own_filled_lots
    if p.sell and owned_only(w, p.symbol):
        # What other sells have bespoken cannot be sold twice: an exit is held against its like, an entry against all.
        ask.cash_only = 1
        ask.owned_lots = ledger_owned_lots(world_ledger(w), p.symbol)
        ask.owned_lots -= ask.closing_lots if p.lane != LANE_NORMAL else s.open_sell_lots - off
    if own == NULL:
        ask.duplicate = orders_find_key(world_orders(w), p.strategy, p.symbol, p.sell, p.tag) != NULL
    # Two exits over one position: only one of them will fill, so the other is no exposure beside it.
    if p.sell:
        s.open_sell_lots -= off
    else:
        s.open_buy_lots -= off
    gate_check(world_gate(w), &w.limits, &w.account, ask, w.now_ns, verdict)
    if p.sell:
        s.open_sell_lots += off
    else:
        s.open_buy_lots += off


cdef void _denied(core_t* core, const event_t* cause, const place_t* p, const gate_ask_t* ask, int64_t failed) noexcept nogil:
    cdef world_t* w = core.world
    gate_deny(world_gate(w), <uint64_t>failed)
    deny(core, cause, p.strategy, p.tag, STAGE_GATE, p.symbol, p.sell, ask.px_ticks, p.qty_lots, failed,
         gate_largest_lots(world_gate(w), &w.limits, &w.account, ask))


cdef inline uint8_t _lane_of(const order_t* o) noexcept nogil:
    """The lane that an order of the table was placed in: what protects or closes is told by who asked for it."""
    if (o.bracket and o.leg) or (o.flags & ORDER_REDUCE_ONLY and o.strategy == STRATEGY_NONE):
        return LANE_PROTECTIVE
    return LANE_REDUCE if o.flags & ORDER_REDUCE_ONLY else LANE_NORMAL


# -------------------------------------------------------------------------------------------------------------- intents
cdef inline intent_t* _intent(core_t* core, const event_t* cause, uint8_t kind, const order_t* o, int64_t px_ticks,
                              int64_t qty_lots, int64_t token, int64_t order_type, int64_t tif,
                              int64_t flags) noexcept nogil:
    cdef intent_t* intent = <intent_t*>next_output(core, cause, kind)
    intent.flags = FLAG_SELL if o.sell else 0
    intent.symbol = o.symbol
    intent.id_order = o.id_order
    intent.px_ticks = px_ticks
    intent.qty_lots = qty_lots
    intent.token = token
    intent.terms = terms_pack(o.strategy, order_type, tif, flags)
    core.world.intent_count += 1
    return intent


cdef inline int64_t _flags(const core_t* core, const order_t* o, bint closing) noexcept nogil:
    cdef int64_t flags = TERMS_POST_ONLY if o.tif == TIF_GTX else 0
    if o.flags & ORDER_REDUCE_ONLY and world_instruments(core.world)[o.symbol].can & CAN_REDUCE:
        flags |= TERMS_REDUCE_ONLY
    return flags | TERMS_CLOSING if closing else flags


cdef void _send(core_t* core, const event_t* cause, order_t* o, const place_t* p, int64_t px_ticks,
                int64_t token) noexcept nogil:
    """The intent, and beside it whatever a price and a quantity do not say."""
    cdef bint dated = o.tif == TIF_GTD and world_instruments(core.world)[o.symbol].can & CAN_GTD
    cdef int64_t tif = TIF_GTC if o.tif == TIF_GTD and not dated else o.tif
    cdef intent_t* intent = _intent(core, cause, KIND_INTENT_PLACE, o, px_ticks, o.qty_lots, token, o.type, tif,
                                    _flags(core, o, p.closing))
    cdef intent_terms_t* terms
    if not (p.px_trigger_ticks or p.trail_ticks or p.display_lots or dated):
        return
    intent.flags |= FLAG_FIRST
    terms = <intent_terms_t*>next_output(core, cause, KIND_INTENT_TERMS)
    terms.symbol = o.symbol
    terms.flags = FLAG_SELL if o.sell else 0
    terms.id_order = o.id_order
    terms.trigger_px_ticks = p.px_trigger_ticks
    terms.trail_ticks = p.trail_ticks
    terms.display_lots = p.display_lots
    terms.expire_ns = p.expire_ns if dated else 0


cdef bint _hold_back(core_t* core, order_t* o, const place_t* p) noexcept nogil:
    """Let a trigger of ours wait for the price. The record then stands as if the venue had it."""
    cdef world_t* w = core.world
    cdef trigger_terms_t terms
    memset(&terms, 0, sizeof(terms))
    terms.qty_lots = p.qty_lots
    terms.symbol, terms.strategy, terms.tag, terms.sell = p.symbol, p.strategy, p.tag, p.sell
    terms.px_ticks = p.px_ticks
    terms.source = SOURCE_TOUCH
    terms.reduce_only = p.reduce_only
    terms.bracket = p.bracket
    if p.type == TYPE_TRAILING:
        terms.kind = TRIGGER_TRAILING
        terms.trail_ticks = p.trail_ticks
    else:
        terms.kind = TRIGGER_STOP if p.type == TYPE_STOP or p.type == TYPE_STOP_LIMIT else TRIGGER_TAKE_PROFIT
        terms.px_stop_ticks = p.px_trigger_ticks
    if triggers_add(world_triggers(w), &terms, w.now_ns, &o.trigger) != OK:
        return False
    orders_apply(world_orders(w), o, ON_ACK, w.now_ns)
    return True


# -------------------------------------------------------------------------------------------------------------- placing
cdef void _terms(const place_t* p, bint emulated, order_terms_t* terms) noexcept nogil:
    memset(terms, 0, sizeof(order_terms_t))
    terms.px_ticks = p.px_ticks
    terms.px_stop_ticks = p.px_trigger_ticks
    terms.qty_lots = p.qty_lots
    terms.display_lots = p.display_lots
    terms.ts_expire_ns = p.expire_ns
    terms.bracket, terms.leg = p.bracket, p.leg
    terms.symbol, terms.strategy, terms.signal, terms.tag = p.symbol, p.strategy, p.signal, p.tag
    terms.sell, terms.type, terms.tif = p.sell, p.type, p.tif
    terms.flags = (ORDER_REDUCE_ONLY if p.reduce_only else 0) | (ORDER_EMULATED if emulated else 0)


cdef order_t* place(core_t* core, const event_t* cause, const place_t* p) noexcept nogil:
    """Gate, create and emit one order. NULL when it was refused; the record of why is among the outputs."""
    cdef world_t* w = core.world
    cdef orders_t* table = world_orders(w)
    cdef int64_t px = _judged_px(&world_instruments(w)[p.symbol], p)
    cdef int how = carries(core, p), status
    cdef order_terms_t terms
    cdef gate_ask_t ask
    cdef verdict_t verdict
    cdef order_t* o = NULL
    _judge(core, p, orders_id_next(table), px, NULL, 0, &ask, &verdict)
    if verdict.failed:
        _denied(core, cause, p, &ask, <int64_t>verdict.failed)
        return NULL
    _terms(p, how == CARRY_TRIGGER, &terms)
    status = orders_create(table, &terms, w.now_ns, &o) if how != CARRY_NOT else CARRY_NOT
    if o == NULL or status != OK:
        deny(core, cause, p.strategy, p.tag, STAGE_ORDERS, p.symbol, p.sell, px, p.qty_lots, status, 0)
        return NULL
    gate_commit(world_gate(w), &w.limits, &ask, w.now_ns)
    orders_apply(table, o, ON_GATE, w.now_ns)
    # Emitting the intent is the journal's and the sender's order to act; if either fails, an event says so.
    orders_apply(table, o, ON_JOURNAL, w.now_ns)
    orders_apply(table, o, ON_SEND, w.now_ns)
    o.px_sent_ticks = px
    if how == CARRY_VENUE:
        _send(core, cause, o, p, px, verdict.token)
    elif not _hold_back(core, o, p):
        # Nothing has left: it ends here, and whoever asked hears that it was refused.
        orders_apply(table, o, ON_CANCELED, w.now_ns)
        deny(core, cause, p.strategy, p.tag, STAGE_ORDERS, p.symbol, p.sell, px, p.qty_lots, 0, 0)
        o = NULL
    expose(w, p.symbol)
    return o


cdef bint _amend_held_back(world_t* w, order_t* o, int64_t px_ticks, int64_t qty_lots) noexcept nogil:
    """Nothing of it has left, so it is what it shall be at once."""
    if orders_ask_replace(world_orders(w), o, px_ticks, qty_lots, w.now_ns) != OK:
        return False
    triggers_resize(world_triggers(w), o.trigger, qty_lots - o.filled_lots, w.now_ns)
    orders_replaced(world_orders(w), o, px_ticks, qty_lots, w.now_ns)
    expose(w, o.symbol)
    return True


cdef bint amend(core_t* core, const event_t* cause, order_t* o, int64_t px_ticks, int64_t qty_lots,
                int64_t px_protect_ticks, const order_t* sibling) noexcept nogil:
    """Ask for another price and quantity of a live order: gated like a new one, under the id it has."""
    cdef world_t* w = core.world
    cdef int64_t px_judged = px_ticks if px_ticks else o.px_sent_ticks
    cdef place_t p
    cdef gate_ask_t ask
    cdef verdict_t verdict
    memset(&p, 0, sizeof(p))
    p.px_ticks, p.qty_lots, p.px_protect_ticks, p.sibling = px_ticks, qty_lots, px_protect_ticks, sibling
    p.symbol, p.strategy, p.tag, p.sell = o.symbol, o.strategy, o.tag, o.sell
    p.type, p.tif = o.type, o.tif
    p.lane = _lane_of(o)
    # What is filled stands in the position already, so it is taken off beside what is still open: the token is bound
    # to the whole new quantity, the exposure grows by the rest alone.
    _judge(core, &p, o.id_order, px_judged, o, o.filled_lots, &ask, &verdict)
    if verdict.failed:
        _denied(core, cause, &p, &ask, <int64_t>verdict.failed)
        return False
    if o.trigger:
        return _amend_held_back(w, o, px_ticks, qty_lots)
    if orders_ask_replace(world_orders(w), o, px_ticks, qty_lots, w.now_ns) != OK:
        return False
    gate_commit(world_gate(w), &w.limits, &ask, w.now_ns)
    o.px_sent_ticks = px_judged
    _intent(core, cause, KIND_INTENT_AMEND, o, px_judged, qty_lots, verdict.token, o.type, o.tif, _flags(core, o, False))
    expose(w, o.symbol)
    return True


# ------------------------------------------------------------------------------------------------- cancels and questions
cdef bint cancel(core_t* core, const event_t* cause, order_t* o) noexcept nogil:
    """Ask for its end. True when it has ended here and now, because nothing of it had left."""
    cdef world_t* w = core.world
    if o.state == STATE_PENDING_CANCEL:
        return False
    if orders_apply(world_orders(w), o, ON_CANCEL_ASKED, w.now_ns) != OK:
        return False
    if o.trigger:
        triggers_cancel(world_triggers(w), o.trigger)
        o.trigger = 0
        orders_apply(world_orders(w), o, ON_CANCELED, w.now_ns)
        expose(w, o.symbol)
        return True
    # A cancel only ever reduces: it needs no verdict. Its rate is counted, never refused here.
    gate_cancel(world_gate(w), &w.limits, o.symbol, w.now_ns)
    _intent(core, cause, KIND_INTENT_CANCEL, o, o.px_sent_ticks, order_open_lots(o), 0, o.type, o.tif, 0)
    return False


cdef void fire(core_t* core, const event_t* cause, order_t* o, const order_t* sibling) noexcept nogil:
    """The price of a held-back order was reached: gate it anew and let it go, or end it here."""
    cdef world_t* w = core.world
    cdef const instrument_t* i = &world_instruments(w)[o.symbol]
    cdef int64_t px = o.px_ticks
    cdef place_t p
    cdef gate_ask_t ask
    cdef verdict_t verdict
    memset(&p, 0, sizeof(p))
    o.trigger = 0
    if px == 0:
        px = i.bid_px_ticks if o.sell else i.ask_px_ticks
    p.qty_lots, p.sibling = order_open_lots(o), sibling
    p.symbol, p.strategy, p.tag, p.sell, p.lane = o.symbol, o.strategy, o.tag, o.sell, _lane_of(o)
    # An entry that a trigger lets go stated its stop when it was placed; the gate's side of it is asked again.
    p.px_protect_ticks = (px + 1 if o.sell else px - 1)
    _judge(core, &p, o.id_order, px, o, 0, &ask, &verdict)
    if verdict.failed:
        _denied(core, cause, &p, &ask, <int64_t>verdict.failed)
        orders_apply(world_orders(w), o, ON_CANCEL_ASKED, w.now_ns)
        orders_apply(world_orders(w), o, ON_CANCELED, w.now_ns)
        expose(w, o.symbol)
        return
    gate_commit(world_gate(w), &w.limits, &ask, w.now_ns)
    orders_apply(world_orders(w), o, ON_FIRE, w.now_ns)
    o.px_sent_ticks = px
    _intent(core, cause, KIND_INTENT_PLACE, o, px, p.qty_lots, verdict.token, TYPE_LIMIT if o.px_ticks else TYPE_MARKET,
            TIF_GTC if o.px_ticks else TIF_IOC, _flags(core, o, False))
    expose(w, o.symbol)


cdef bint recheck(core_t* core, const event_t* cause, order_t* o) noexcept nogil:
    """The gate again on the ack. True when it would pass; one that would not is an incident."""
    cdef world_t* w = core.world
    cdef const instrument_t* i = &world_instruments(w)[o.symbol]
    cdef place_t p
    cdef gate_ask_t ask
    cdef verdict_t verdict
    cdef uint64_t failed
    memset(&p, 0, sizeof(p))
    p.px_ticks, p.qty_lots = o.px_ticks, order_open_lots(o)
    p.symbol, p.strategy, p.tag, p.sell, p.lane = o.symbol, o.strategy, o.tag, o.sell, _lane_of(o)
    if p.qty_lots <= 0:
        return True
    # The stop that an entry stated is in its bracket or was judged before it left; here the rule has nothing to ask.
    p.px_protect_ticks = o.px_sent_ticks + 1 if o.sell else o.px_sent_ticks - 1
    _judge(core, &p, o.id_order, o.px_sent_ticks, o, 0, &ask, &verdict)
    failed = gate_recheck(&verdict, w.account.mode == MODE_PAUSED,
                          not (i.halted or world_symbols(w)[o.symbol].halted_by))
    if failed == 0:
        return True
    incident(core, cause, INCIDENT_GATE_ON_ACK, o.symbol, o.id_order, o.px_sent_ticks, <int64_t>failed, o.strategy)
    return False


cdef void query(core_t* core, const event_t* cause, const order_t* o) noexcept nogil:
    """Ask the venue what became of an order: nothing is traded by it."""
    _intent(core, cause, KIND_INTENT_QUERY, o, o.px_sent_ticks, order_open_lots(o), 0, o.type, o.tif, 0)
