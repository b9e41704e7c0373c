cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memset

import numpy as np

from engine._core.types import EVENT

from engine._core.correlation cimport CORRELATION_LEAST
from engine._core.debug cimport unlikely
from engine._core.instruments cimport instrument_t
from engine._core.ledger cimport ASSET_NONE, ledger_fill, posting_t
from engine._core.memory cimport block_free, block_new
from engine._core.orders cimport (
    ON_ABSENT, ON_ACK, ON_CANCELED, ON_CANCEL_ASKED, ON_CANCEL_NO_ORDER, ON_CANCEL_REFUSED, ON_CANCEL_TOO_LATE,
    ON_EXPIRE, ON_GATE, ON_JOURNAL, ON_REJECT, ON_REPLACE_NO_ORDER, ON_REPLACE_REFUSED, ON_SEND, ON_TIMEOUT,
    ORDER_ACTION_CANCEL, STATE_PENDING_CANCEL, order_action_t, order_fill_t, order_is_live, order_open_lots, order_t,
    order_terms_t, orders_apply, orders_create, orders_due, orders_fill, orders_find, orders_id_next, orders_replaced, orders_report,
    orders_symbols, orders_t,
)
from engine._core.risk cimport (
    gate_ask_t, gate_check, gate_commit, gate_deny, gate_expose, gate_largest_lots, gate_symbol_t, gate_symbols,
    verdict_t,
)
from engine._core.strategy cimport (
    STOPPED_RETURN, STRATEGY_RULE_CARRY, strategy_act, strategy_check_limits, strategy_decided, strategy_fill,
    strategy_held, strategy_placed, strategy_stop, strategy_t,
)
from engine._core.strategy_abi cimport (
    STRATEGY_OK, TAGS, TIF_GTC, TYPE_LIMIT, WISH_KEEP, WISH_REST, decide_t, view_t, wish_t, wishes_at, wishes_clear,
    wishes_t,
)
from engine._core.types cimport (
    FLAG_SELL, KIND_AGG_TRADE, KIND_CONTROL, KIND_DECISION, KIND_INTENT_CANCEL, KIND_INTENT_PLACE, KIND_INTENT_QUERY,
    KIND_ORDER_ACK, KIND_ORDER_FILL, KIND_ORDER_LOST, KIND_ORDER_REPLACED, KIND_QUOTE, KIND_STRATEGY, KIND_TIMER,
    KIND_TRADE, OK, ORDER_LATE_FILL, ORDER_UNKNOWN_ID, WORLD_BAD_EVENT, WORLD_UNKNOWN_SYMBOL, decision_t, event_t,
    intent_t, order_event_t, origin_pack, quote_event_t, raise_status, stage_t, STAGE_GATE, STAGE_STRATEGY, terms_pack,
    trade_event_t,
)
from engine._core.world cimport (
    World, world_gate, world_instruments, world_ledger, world_orders, world_positions, world_strategies, world_t,
)


cdef enum:
    ORDERS_DUE_MAX = 64


cdef inline event_t* _next_output(core_t* core, const event_t* cause, uint8_t kind) noexcept nogil:
    cdef event_t* out = &core.out[core.out_count]
    core.out_count += 1
    out.kind = kind
    out.flags = 0
    out.symbol = cause.symbol
    out.seq = cause.seq
    out.ts_venue_ns = 0
    out.ts_recv_ns = core.world.now_ns
    return out


cdef void _expose(world_t* w, uint16_t symbol) noexcept nogil:
    """Tell the gate what a symbol holds now: after every change of its position, its live orders or its price."""
    cdef gate_symbol_t* s = &gate_symbols(world_gate(w))[symbol]
    cdef instrument_t* i = &world_instruments(w)[symbol]
    s.bid_px_ticks = i.bid_px_ticks
    s.ask_px_ticks = i.ask_px_ticks
    s.ts_book_ns = i.book_ts_ns
    s.book_trusted = i.book_trusted
    s.px_ref_ticks = i.ask_px_ticks
    s.halted = i.halted
    s.lots = world_positions(w)[symbol].lots
    s.open_buy_lots = orders_symbols(world_orders(w))[symbol].open_buy_lots
    s.open_sell_lots = orders_symbols(world_orders(w))[symbol].open_sell_lots
    s.orders_open = orders_symbols(world_orders(w))[symbol].live_count
    w.account.orders_open = <int64_t>world_orders(w).live_count
    w.account.ts_equity_ns = w.now_ns
    gate_expose(world_gate(w), &w.account, symbol, i.ask_px_ticks)


# --------------------------------------------------------------------------------------------------- orders going out
cdef void _cancel(core_t* core, const event_t* cause, order_t* o) noexcept nogil:
    cdef intent_t* intent
    if o.state == STATE_PENDING_CANCEL:
        return
    if orders_apply(world_orders(core.world), o, ON_CANCEL_ASKED, core.world.now_ns) != OK:
        return
    intent = <intent_t*>_next_output(core, cause, KIND_INTENT_CANCEL)
    intent.flags = FLAG_SELL if o.sell else 0
    intent.symbol = o.symbol
    intent.id_order = o.id_order
    intent.px_ticks = o.px_ticks
    intent.qty_lots = order_open_lots(o)
    intent.token = 0              # a cancel only ever reduces: it needs no verdict
    intent.terms = terms_pack(o.strategy, o.type, o.tif, 0)
    core.world.intent_count += 1


cdef void _deny(core_t* core, const event_t* cause, int64_t strategy, int64_t tag, stage_t stage, bint sell,
                const wish_t* wish, int64_t reasons, int64_t headroom_lots) noexcept nogil:
    """A denial leaves a record."""
    cdef decision_t* decision = <decision_t*>_next_output(core, cause, KIND_DECISION)
    decision.flags = FLAG_SELL if sell else 0
    decision.origin = origin_pack(strategy, tag, stage)
    decision.reasons = reasons
    decision.headroom_lots = headroom_lots
    decision.px_ticks = wish.px_ticks
    decision.qty_lots = wish.qty_lots
    core.world.denied_count += 1


cdef inline bint _carries(const wish_t* wish) noexcept nogil:
    """What the order path carries out: resting limit orders. The stop of an entry is stated, gated and kept with the
    order's record; a target asks for a bracket, which this path does not place."""
    return (wish.type == TYPE_LIMIT and wish.tif == TIF_GTC and wish.flags == 0 and wish.target_px_ticks == 0)


cdef bint _passes_own_limits(core_t* core, const event_t* cause, uint32_t strategy, int at_tag, bint sell,
                             const wish_t* wish) noexcept nogil:
    cdef orders_t* table = world_orders(core.world)
    cdef strategy_t* s = &world_strategies(core.world)[strategy]
    cdef int64_t open_lots = 0, order_count = 0, reasons = 0
    cdef order_t* o
    cdef bint other
    cdef int tag
    for tag in range(TAGS):
        for other in range(2):
            o = orders_find(table, strategy_held(s, tag, other)[0]) if strategy_held(s, tag, other)[0] else NULL
            if o != NULL:
                order_count += 1
                open_lots += order_open_lots(o) if other == sell else 0
    if not strategy_check_limits(s, wish, sell, open_lots, order_count, core.world.now_ns, &reasons):
        _deny(core, cause, strategy, at_tag, STAGE_STRATEGY, sell, wish, reasons, 0)
        return False
    if not _carries(wish):
        _deny(core, cause, strategy, at_tag, STAGE_STRATEGY, sell, wish, <int64_t>1 << STRATEGY_RULE_CARRY, 0)
        return False
    return True


cdef int64_t _place(core_t* core, const event_t* cause, uint32_t strategy, int tag, bint sell,
                    const wish_t* wish) noexcept nogil:
    """Create, gate and emit one order. Returns its id, or 0 when it was denied."""
    cdef world_t* w = core.world
    cdef orders_t* table = world_orders(w)
    cdef strategy_t* s = &world_strategies(w)[strategy]
    cdef uint16_t symbol = <uint16_t>s.symbol
    cdef verdict_t verdict
    cdef gate_ask_t ask
    cdef intent_t* intent
    cdef order_terms_t terms
    cdef order_t* o = NULL
    if not _passes_own_limits(core, cause, strategy, tag, sell, wish):
        return 0
    memset(&ask, 0, sizeof(ask))
    ask.id_order = orders_id_next(table)
    ask.symbol = symbol
    ask.sell = sell
    ask.px_ticks = wish.px_ticks
    ask.qty_lots = wish.qty_lots
    ask.px_stop_ticks = wish.stop_px_ticks
    ask.ts_signal_ns = w.now_ns
    ask.correlation_ppm = CORRELATION_LEAST
    gate_check(world_gate(w), &w.limits, &w.account, &ask, w.now_ns, &verdict)
    if verdict.failed == 0:
        memset(&terms, 0, sizeof(terms))
        terms.px_ticks = wish.px_ticks
        terms.qty_lots = wish.qty_lots
        terms.symbol = symbol
        terms.strategy = <uint16_t>strategy
        terms.tag = <uint16_t>tag
        terms.sell = sell
        orders_create(table, &terms, w.now_ns, &o)
    if o == NULL:
        _deny(core, cause, strategy, tag, STAGE_GATE, sell, wish, <int64_t>verdict.failed,
              gate_largest_lots(world_gate(w), &w.limits, &w.account, &ask))
        gate_deny(world_gate(w), verdict.failed)
        return 0
    gate_commit(world_gate(w), &w.limits, &ask, w.now_ns)
    strategy_placed(s)
    _expose(w, symbol)
    orders_apply(table, o, ON_GATE, w.now_ns)
    # Emitting the intent is the journal's and the sender's order to act; if either fails, an event says so.
    orders_apply(table, o, ON_JOURNAL, w.now_ns)
    orders_apply(table, o, ON_SEND, w.now_ns)
    intent = <intent_t*>_next_output(core, cause, KIND_INTENT_PLACE)
    intent.flags = FLAG_SELL if sell else 0
    intent.symbol = symbol
    intent.id_order = o.id_order
    intent.px_ticks = o.px_ticks
    intent.qty_lots = o.qty_lots
    intent.token = verdict.token
    intent.terms = terms_pack(strategy, o.type, o.tif, 0)
    w.intent_count += 1
    return o.id_order


cdef int64_t _grant(core_t* core, const event_t* cause, uint32_t strategy, int tag, bint sell, int64_t held,
                    const wish_t* wish) noexcept nogil:
    """Level-triggered: make the live order of a side and tag look like the wish. Returns the id now held, or 0."""
    cdef order_t* o = orders_find(world_orders(core.world), held) if held else NULL
    if wish.kind == WISH_KEEP:
        return held
    if o != NULL:
        if wish.kind == WISH_REST and o.px_ticks == wish.px_ticks and order_open_lots(o) == wish.qty_lots:
            return held
        # The new order waits until the old one is gone: two at once could both fill.
        _cancel(core, cause, o)
        return held
    if wish.kind == WISH_REST:
        return _place(core, cause, strategy, tag, sell, wish)
    return 0


cdef void _take_back(core_t* core, const event_t* cause, strategy_t* s) noexcept nogil:
    """Cancel every order of a stopped strategy. Level-triggered as well: asked for again with each of its events."""
    cdef order_t* o
    cdef int at
    for at in range(2 * TAGS):
        o = orders_find(world_orders(core.world), s.held[at]) if s.held[at] else NULL
        if o != NULL:
            _cancel(core, cause, o)


cdef void _show(world_t* w, const event_t* cause, strategy_t* s) noexcept nogil:
    """Fill the view's head with the state of the world now."""
    cdef instrument_t* i = &world_instruments(w)[s.symbol]
    cdef view_t* view = &s.view
    view.now_ns = w.now_ns
    view.cause = cause.kind
    view.bid_px_ticks = i.bid_px_ticks
    view.bid_qty_lots = i.bid_qty_lots
    view.ask_px_ticks = i.ask_px_ticks
    view.ask_qty_lots = i.ask_qty_lots
    view.last_px_ticks = i.last_px_ticks
    view.position_lots = s.position_lots
    view.symbol_position_lots = world_positions(w)[s.symbol].lots
    view.open_buy_lots = orders_symbols(world_orders(w))[s.symbol].open_buy_lots
    view.open_sell_lots = orders_symbols(world_orders(w))[s.symbol].open_sell_lots
    view.book_trusted = i.book_trusted


cdef void _decide(core_t* core, const event_t* cause, uint32_t strategy) noexcept nogil:
    cdef world_t* w = core.world
    cdef strategy_t* s = &world_strategies(w)[strategy]
    cdef wishes_t* wishes = &core.wishes
    cdef int64_t* held
    cdef bint sell
    cdef int tag, answer
    wishes_clear(wishes)
    _show(w, cause, s)
    answer = core.decide[strategy](&s.view, wishes)
    if unlikely(answer != STRATEGY_OK):
        # Stopped alone; the rest runs. What it wished for counts for nothing, its orders are taken back.
        s.decided_count += 1
        strategy_stop(s, STOPPED_RETURN, answer, w.now_ns)
        w.stopped_count += 1
        _take_back(core, cause, s)
        return
    strategy_decided(s, wishes)
    for tag in range(TAGS):
        for sell in range(2):
            held = strategy_held(s, tag, sell)
            held[0] = _grant(core, cause, strategy, tag, sell, held[0], wishes_at(wishes, tag, sell))
    if unlikely(s.stopped):
        w.stopped_count += 1
        _take_back(core, cause, s)


cdef int _strategy_event(core_t* core, const event_t* e) noexcept nogil:
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
        _take_back(core, e, s)
    return status


cdef void _run_strategies(core_t* core, const event_t* cause) noexcept nogil:
    cdef uint32_t strategy
    cdef strategy_t* s
    for strategy in range(core.world.strategy_count):
        s = &world_strategies(core.world)[strategy]
        if s.symbol == cause.symbol and core.decide[strategy] != NULL:
            if unlikely(s.stopped):
                _take_back(core, cause, s)
            else:
                _decide(core, cause, strategy)


# ------------------------------------------------------------------------------------------------ reports coming in
# What each report says to the order it names; fills and amends carry quantities and are told apart below.
cdef int SAYS[16]
SAYS[:] = [
    ON_ACK, -1, ON_CANCELED, ON_REJECT, ON_EXPIRE, ON_CANCEL_REFUSED, ON_CANCEL_TOO_LATE, ON_CANCEL_NO_ORDER, -1,
    ON_REPLACE_REFUSED, ON_REPLACE_NO_ORDER, ON_ABSENT, ON_TIMEOUT, -1, -1, -1,
]


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


cdef int _fill(core_t* core, const order_event_t* e, order_t** o) noexcept nogil:
    """Book a fill on its order and in the position: also one that comes late, and one of no order of ours."""
    cdef world_t* w = core.world
    cdef bint sell = (e.flags & FLAG_SELL) != 0
    cdef order_fill_t f
    cdef posting_t posting
    cdef int status, posted
    memset(&f, 0, sizeof(f))
    f.id_order = e.id_order
    f.id_trade = e.id_venue
    f.px_ticks = e.px_ticks
    f.qty_lots = e.qty_lots
    f.told_lots = e.filled_lots
    f.symbol = e.symbol
    f.sell = sell
    status = orders_fill(world_orders(w), &f, w.now_ns, o)
    if status == OK or status == ORDER_LATE_FILL or status == ORDER_UNKNOWN_ID:
        posted = ledger_fill(world_ledger(w), e.symbol, sell, e.px_ticks, e.qty_lots, <uint16_t>ASSET_NONE, 0, False,
                             w.now_ns, &posting)
        if posted != OK:
            return posted
        if o[0] != NULL and o[0].strategy < w.strategy_count:
            strategy_fill(&world_strategies(w)[o[0].strategy], sell, e.qty_lots)
        w.fill_count += 1
    return status


cdef int _report(core_t* core, const order_event_t* e) noexcept nogil:
    cdef world_t* w = core.world
    cdef orders_t* table = world_orders(w)
    cdef order_t* o = NULL
    cdef int status
    if e.kind == KIND_ORDER_FILL:
        status = _fill(core, e, &o)
    else:
        o = orders_find(table, e.id_order)
        if o == NULL:
            table.unknown_id_count += 1
            return ORDER_UNKNOWN_ID
        if e.kind == KIND_ORDER_REPLACED:
            status = orders_replaced(table, o, e.px_ticks, e.qty_lots, w.now_ns)
        else:
            status = orders_report(table, o, SAYS[e.kind - KIND_ORDER_ACK], e.filled_lots, w.now_ns)
        if e.kind == KIND_ORDER_ACK and status == OK:
            o.id_venue = e.id_venue
    if o != NULL and not order_is_live(o):
        _forget(core, o)
    _expose(w, e.symbol)
    return status


cdef void _timer(core_t* core, const event_t* cause) noexcept nogil:
    """Deadlines of orders: what got no answer is asked for, what is past its date is cancelled."""
    cdef order_action_t due[ORDERS_DUE_MAX]
    cdef orders_t* table = world_orders(core.world)
    cdef uint64_t i, count = orders_due(table, core.world.now_ns, due, ORDERS_DUE_MAX)
    cdef intent_t* intent
    cdef order_t* o
    for i in range(count):
        o = orders_find(table, due[i].id_order)
        if due[i].kind == ORDER_ACTION_CANCEL:
            _cancel(core, cause, o)
            continue
        intent = <intent_t*>_next_output(core, cause, KIND_INTENT_QUERY)
        intent.symbol = o.symbol
        intent.flags = FLAG_SELL if o.sell else 0
        intent.id_order = o.id_order
        intent.px_ticks = o.px_ticks
        intent.qty_lots = order_open_lots(o)
        intent.token = 0          # a question: nothing is traded by it
        intent.terms = terms_pack(o.strategy, o.type, o.tif, 0)
        core.world.intent_count += 1


# ----------------------------------------------------------------------------------------------------------- the step
cdef void _quote(world_t* w, const quote_event_t* e) noexcept nogil:
    cdef instrument_t* i = &world_instruments(w)[e.symbol]
    i.bid_px_ticks = e.bid_px_ticks
    i.bid_qty_lots = e.bid_qty_lots
    i.ask_px_ticks = e.ask_px_ticks
    i.ask_qty_lots = e.ask_qty_lots
    i.book_id = e.id_book
    i.book_ts_ns = w.now_ns
    i.book_trusted = 0 < e.bid_px_ticks and e.bid_px_ticks < e.ask_px_ticks
    _expose(w, e.symbol)


cdef int step(core_t* core, const event_t* event) noexcept nogil:
    cdef world_t* w = core.world
    cdef int status = OK
    core.out_count = 0
    if unlikely(event.symbol >= w.symbol_count):
        w.refused_count += 1
        return WORLD_UNKNOWN_SYMBOL
    w.event_count += 1
    # Time never runs backwards inside: a late stamp is taken as "now".
    if event.ts_recv_ns > w.now_ns:
        w.now_ns = event.ts_recv_ns
    if event.kind == KIND_QUOTE:
        _quote(w, <const quote_event_t*>event)
        _run_strategies(core, event)
    elif event.kind == KIND_TRADE or event.kind == KIND_AGG_TRADE:
        world_instruments(w)[event.symbol].last_px_ticks = (<const trade_event_t*>event).px_ticks
    elif KIND_ORDER_ACK <= event.kind <= KIND_ORDER_LOST:
        status = _report(core, <const order_event_t*>event)
    elif event.kind == KIND_CONTROL:
        w.account.latch |= event.word[0]
        w.account.mode = event.word[1]
    elif event.kind == KIND_STRATEGY:
        status = _strategy_event(core, event)
    elif event.kind == KIND_TIMER:
        _timer(core, event)
    else:
        status = WORLD_BAD_EVENT
    if unlikely(status != OK):
        w.refused_count += 1
    return status


@cython.final
cdef class Core:
    """A world with its strategies' pointers and the room for outputs: what a driver steps."""

    def __cinit__(self, World world not None):
        self.c = <core_t*>block_new(sizeof(core_t))
        self.c.world = world.c
        self.world = world
        self.kept = []

    def __dealloc__(self):
        block_free(self.c)

    def bind(self, uint32_t strategy, address, keep=None):
        """Give a strategy slot its compiled `decide`. `keep` is held as long as the core: the owner of the code."""
        if strategy >= self.world.c.strategy_count:
            raise_status(WORLD_UNKNOWN_SYMBOL, f"strategy {strategy}")
        self.c.decide[strategy] = <decide_t><uintptr_t>address
        self.kept.append(keep)

    def step(self, event):
        """Step one 64-byte record; returns (status, outputs as an EVENT array). For tests and tools."""
        cdef const unsigned char[::1] view = memoryview(event).cast("B")
        if view.shape[0] != sizeof(event_t):
            raise_status(WORLD_BAD_EVENT, f"{view.shape[0]} bytes")
        status = step(self.c, <const event_t*>&view[0])
        return status, self.outputs()

    def outputs(self):
        return np.array(<event_t[:self.c.out_count]>self.c.out) if self.c.out_count else np.zeros(0, EVENT)

