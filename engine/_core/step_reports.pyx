from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from engine._core.brackets cimport LEG_STOP, bracket_t, brackets_find, leg_of
from engine._core.debug cimport unlikely
from engine._core.equity cimport ledger_value
from engine._core.ledger cimport (
    ACCOUNT_CASH, ASSET_NONE, ledger_assets, ledger_fee, ledger_fill, ledger_funding, ledger_reconcile,
    ledger_symbols, posting_t,
)
from engine._core.modes cimport modes_verified
from engine._core.orders cimport (
    ON_ABSENT, ON_ACK, ON_CANCELED, ON_CANCEL_NO_ORDER, ON_CANCEL_REFUSED, ON_CANCEL_TOO_LATE, ON_EXPIRE, ON_REJECT,
    ON_REPLACE_NO_ORDER, ON_REPLACE_REFUSED, ON_TIMEOUT, STATE_OPEN, STATE_PARTIAL, order_fill_t, order_is_live, order_t, orders_fill,
    orders_fills, orders_find, orders_replaced, orders_report, orders_symbols, orders_t,
)
from engine._core.recent cimport recent_entry_t, recent_find
from engine._core.risk cimport gate_symbol_t, gate_symbols
from engine._core.step_account cimport halt, revalue
from engine._core.step_brackets cimport fee_took, guard_position, order_changed, take_back
from engine._core.step_discipline cimport strategy_charged, strategy_filled
from engine._core.step_orders cimport recheck
from engine._core.step_out cimport LEDGER_LATCH, core_t, expose, expose_venue, incident, owned_only
from engine._core.step_plans cimport plans_on_report
from engine._core.types cimport (
    FLAG_SELL, INCIDENT_BALANCE, INCIDENT_LATE_FILL, INCIDENT_LEDGER, INCIDENT_POSITION, INCIDENT_TERMS,
    INCIDENT_UNKNOWN_FILL, KIND_ORDER_ACK, KIND_ORDER_FILL, KIND_ORDER_REJECTED, KIND_ORDER_REPLACED, OK,
    ORDER_DUPLICATE_FILL, ORDER_LATE_FILL, ORDER_MISMATCH, ORDER_OVERFILL, ORDER_UNKNOWN_ID, STRATEGY_NONE,
    WORLD_BAD_EVENT, balance_event_t, event_t, fee_event_t, funding_event_t, order_event_t, position_event_t,
)
from engine._core.world cimport (
    SECTION_BRACKETS, world_brackets, world_gate, world_has, world_instruments, world_ledger, world_modes, world_orders, world_positions,
    world_symbols, world_t, world_venues,
)
from engine._core.world_rows cimport HALT_POSITION, world_symbol_t

# What each report says to the order it names; fills and amends carry quantities and are told apart below.
cdef int SAYS[16]
SAYS[:] = [
    ON_ACK, -1, ON_CANCELED, ON_REJECT, ON_EXPIRE, ON_CANCEL_REFUSED, ON_CANCEL_TOO_LATE, ON_CANCEL_NO_ORDER, -1,
    ON_REPLACE_REFUSED, ON_REPLACE_NO_ORDER, ON_ABSENT, ON_TIMEOUT, -1, -1, -1,
]


# ---------------------------------------------------------------------------------------------------------------- fills
cdef int64_t _stop_of(core_t* core, const order_t* o) noexcept nogil:
    cdef bracket_t* b
    if o.bracket == 0 or not world_has(core.world, SECTION_BRACKETS):
        return 0
    b = brackets_find(world_brackets(core.world), o.bracket)
    return leg_of(b, LEG_STOP).px_stop_ticks if b != NULL else 0


cdef int _fill(core_t* core, const order_event_t* e, order_t** o) noexcept nogil:
    """Book a fill on its order and in the position: also one that comes late, and one of no order of ours."""
    cdef world_t* w = core.world
    cdef const event_t* cause = <const event_t*>e
    cdef bint sell = (e.flags & FLAG_SELL) != 0
    cdef order_fill_t f
    cdef posting_t posting
    cdef int status, posted
    memset(&f, 0, sizeof(f))
    f.id_order, f.id_trade = e.id_order, e.id_venue
    f.px_ticks, f.qty_lots, f.told_lots = e.px_ticks, e.qty_lots, e.filled_lots
    f.symbol, f.sell = e.symbol, sell
    status = orders_fill(world_orders(w), &f, w.now_ns, o)
    if status != OK and status != ORDER_LATE_FILL and status != ORDER_UNKNOWN_ID:
        if status == ORDER_MISMATCH or status == ORDER_OVERFILL:
            # The venue traded something that this order cannot have: what is held is not known until it is compared.
            incident(core, cause, INCIDENT_TERMS, e.symbol, e.id_order, status, e.qty_lots, STRATEGY_NONE)
            world_venues(w)[world_instruments(w)[e.symbol].venue].unreconciled = 1
            expose_venue(w, world_instruments(w)[e.symbol].venue)
        return status
    posted = ledger_fill(world_ledger(w), e.symbol, sell, e.px_ticks, e.qty_lots, <uint16_t>ASSET_NONE, 0, False, w.now_ns,
                         &posting)
    if unlikely(posted != OK):
        incident(core, cause, INCIDENT_LEDGER, e.symbol, e.id_order, posted, e.qty_lots, STRATEGY_NONE)
        w.account.latch |= LEDGER_LATCH
        return posted
    w.fill_count += 1
    if status == ORDER_UNKNOWN_ID:
        incident(core, cause, INCIDENT_UNKNOWN_FILL, e.symbol, e.id_order, 0, -e.qty_lots if sell else e.qty_lots,
                 STRATEGY_NONE)
    else:
        if status == ORDER_LATE_FILL:
            incident(core, cause, INCIDENT_LATE_FILL, e.symbol, e.id_order, o[0].state, e.qty_lots, o[0].strategy)
        strategy_filled(core, o[0].strategy, e.symbol, sell, e.px_ticks, e.qty_lots, _stop_of(core, o[0]))
    return status


# -------------------------------------------------------------------------------------------------------------- reports
cdef void _count_reject(world_t* w, const order_event_t* e, int status) noexcept nogil:
    cdef gate_symbol_t* s = &gate_symbols(world_gate(w))[e.symbol]
    if e.kind == KIND_ORDER_REJECTED and status == OK:
        s.rejects_in_a_row += 1
    elif e.kind == KIND_ORDER_ACK and status == OK:
        s.rejects_in_a_row = 0


cdef int report_event(core_t* core, const event_t* event) noexcept nogil:
    cdef const order_event_t* e = <const order_event_t*>event
    cdef world_t* w = core.world
    cdef orders_t* table = world_orders(w)
    cdef order_t* o = NULL
    cdef int status, before = 0
    cdef int64_t filled = 0
    if e.kind == KIND_ORDER_FILL:
        status = _fill(core, e, &o)
        filled = e.qty_lots if status == OK or status == ORDER_LATE_FILL else 0
    else:
        o = orders_find(table, e.id_order)
        if o == NULL:
            table.unknown_id_count += 1
            return ORDER_UNKNOWN_ID
        before = o.state
        if e.kind == KIND_ORDER_REPLACED:
            status = orders_replaced(table, o, e.px_ticks, e.qty_lots, w.now_ns)
        elif SAYS[e.kind - KIND_ORDER_ACK] < 0:
            return WORLD_BAD_EVENT
        else:
            status = orders_report(table, o, SAYS[e.kind - KIND_ORDER_ACK], e.filled_lots, w.now_ns)
        _count_reject(w, e, status)
    # By the order's own symbol: a report that names another one has no say about it.
    expose(w, e.symbol)
    if o != NULL and o.symbol != e.symbol:
        expose(w, o.symbol)
    if filled or status == ORDER_UNKNOWN_ID:
        revalue(core, event)
    if o != NULL and status != ORDER_DUPLICATE_FILL:
        order_changed(core, event, o, filled)
        if filled:
            guard_position(core, event, o.strategy, e.symbol)
        if e.kind == KIND_ORDER_ACK and status == OK:
            o.id_venue = e.id_venue
            # Once, when it becomes known that the venue has it.
            if before != o.state and order_is_live(o) and not recheck(core, event, o) and not (o.bracket and o.leg):
                take_back(core, event, o)
    plans_on_report(core, event, e.symbol)
    return status


# ---------------------------------------------------------------------------------------------------------------- money
cdef int fee_event(core_t* core, const event_t* event) noexcept nogil:
    """What a fill cost. Its fill is known by (symbol, side, trade id), so a fee is booked once like its fill."""
    cdef const fee_event_t* e = <const fee_event_t*>event
    cdef world_t* w = core.world
    cdef uint32_t b = ((<uint32_t>e.symbol << 1) | (1 if e.flags & FLAG_SELL else 0)) + 1
    cdef recent_entry_t* entry = recent_find(orders_fills(world_orders(w)), <uint64_t>e.id_trade, b, w.now_ns)
    cdef order_t* o
    cdef posting_t posting
    cdef int64_t value = 0
    cdef int status
    if entry == NULL:
        world_orders(w).unknown_id_count += 1
        return ORDER_UNKNOWN_ID
    if entry.mark & 1:
        world_orders(w).duplicate_fill_count += 1
        return ORDER_DUPLICATE_FILL
    if not 0 <= e.asset < <int64_t>w.shape.assets:
        status = WORLD_BAD_EVENT
    else:
        status = ledger_fee(world_ledger(w), <uint16_t>e.asset, e.amount, &posting)
    if unlikely(status != OK):
        incident(core, event, INCIDENT_LEDGER, e.symbol, e.id_order, status, e.amount, STRATEGY_NONE)
        w.account.latch |= LEDGER_LATCH
        return status
    entry.mark |= 1
    o = orders_find(world_orders(w), e.id_order)
    if o != NULL and ledger_value(world_ledger(w), <uint16_t>e.asset, e.amount, w.now_ns, w.shape.mark_age_ns, &value) == OK:
        strategy_charged(core, o.strategy, value)
    revalue(core, event)
    if e.asset != ledger_symbols(world_ledger(w))[e.symbol].quote and owned_only(w, e.symbol):
        fee_took(core, event, o.strategy if o != NULL else <uint16_t>STRATEGY_NONE, e.symbol)
        plans_on_report(core, event, e.symbol)
    return OK


cdef int funding_event(core_t* core, const event_t* event) noexcept nogil:
    """Payments are numbered and rise; one that was booked before is known by its number."""
    cdef const funding_event_t* e = <const funding_event_t*>event
    cdef world_t* w = core.world
    cdef posting_t posting
    cdef int status
    if e.id_funding and e.id_funding <= w.id_funding:
        world_orders(w).duplicate_fill_count += 1
        return ORDER_DUPLICATE_FILL
    if e.asset != ledger_symbols(world_ledger(w))[e.symbol].quote:
        return WORLD_BAD_EVENT
    status = ledger_funding(world_ledger(w), e.symbol, -e.amount, w.now_ns, &posting)
    if unlikely(status != OK):
        incident(core, event, INCIDENT_LEDGER, e.symbol, 0, status, e.amount, STRATEGY_NONE)
        w.account.latch |= LEDGER_LATCH
        return status
    w.id_funding = max(w.id_funding, e.id_funding)
    revalue(core, event)
    return OK


cdef int balance_event(core_t* core, const event_t* event) noexcept nogil:
    """The venue's word on one asset, against ours. Nothing is adjusted by it: a difference is somebody's mistake."""
    cdef const balance_event_t* e = <const balance_event_t*>event
    cdef world_t* w = core.world
    cdef int64_t difference = 0, cash
    if (not 0 <= e.asset < <int64_t>w.shape.assets or not 0 <= e.free < <int64_t>1 << 61
            or not 0 <= e.locked < <int64_t>1 << 61):
        return WORLD_BAD_EVENT
    if not w.accounted:
        return OK
    cash = ledger_assets(world_ledger(w))[e.asset].balance[<int>ACCOUNT_CASH]
    if e.asset == world_ledger(w).report_asset:
        # The second opinion on the equity: the venue's cash in place of ours.
        w.venue_equity = w.account.equity + e.free + e.locked - cash
        w.ts_venue_equity_ns = w.now_ns
    if ledger_reconcile(world_ledger(w), <uint16_t>e.asset, e.free + e.locked, 0, &difference) != OK:
        incident(core, event, INCIDENT_BALANCE, event.symbol, e.asset, cash, e.free + e.locked, STRATEGY_NONE)
    return OK


cdef int position_event(core_t* core, const event_t* event) noexcept nogil:
    """The venue's word on one position. What live orders may still explain is no difference."""
    cdef const position_event_t* e = <const position_event_t*>event
    cdef world_t* w = core.world
    cdef world_symbol_t* y = &world_symbols(w)[e.symbol]
    cdef gate_symbol_t* s = &gate_symbols(world_gate(w))[e.symbol]
    cdef int64_t lots = world_positions(w)[e.symbol].lots, tick = world_instruments(w)[e.symbol].tick_e8
    cdef bint explained = lots - s.open_sell_lots <= e.lots <= lots + s.open_buy_lots
    y.venue_lots, y.venue_ns = e.lots, w.now_ns
    # Towards the market, so that the distance is never shown larger than it is: up for a long, down for a short.
    if e.liquidation_px_e8 > 0 and tick > 0:
        s.px_liquidation_ticks = e.liquidation_px_e8 // tick + (e.lots > 0 and e.liquidation_px_e8 % tick != 0)
    else:
        s.px_liquidation_ticks = 0
    modes_verified(world_modes(w), e.symbol, e.lots, e.ts_venue_ns if e.ts_venue_ns > 0 else w.now_ns)
    if not explained and not y.halted_by & HALT_POSITION:
        incident(core, event, INCIDENT_POSITION, e.symbol, 0, lots, e.lots, STRATEGY_NONE)
    halt(core, e.symbol, HALT_POSITION, not explained)
    plans_on_report(core, event, e.symbol)
    return OK
