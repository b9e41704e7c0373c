"""The step over every section: orders of all types, brackets, money, feeds, modes. Each test states one fact."""

from __future__ import annotations

import pytest

from engine._core import types
from engine._core.discipline import Reason
from engine._core.limits import Limit
from engine._core.modes import Act, Mode, Phase, Who
from engine._core.order_table import OrderState
from engine._core.orders import OrderTif, OrderType
from engine._core.risk import Rule
from engine._core.types import Can, Flag, Incident, Kind, Stage, Status, TermsFlag
from engine._core.world import GUARDS, INSTRUMENT, ORDER_RECORD, POSITION, World
from engine.errors import Bot4Error
from tests.support.desks import SECOND, START, Desk, event, terms_of


def stage_of(decision) -> Stage:
    return Stage(int(decision["origin"]) >> 32)


# ---------------------------------------------------------------------------------------------------------- the world
def test_a_world_names_its_sections_and_a_clone_is_equal_to_the_byte():
    world = World(symbols=3, strategies=2, orders=16, brackets=4, triggers=4, algos=2, groups=1, tracked=3, venues=2,
                  book_levels=64, book_ticks=64, validate=True, discipline={}, features=128)  # fmt: skip
    assert world.guards == GUARDS
    other = world.clone()
    assert other.state_hash() == world.state_hash()
    assert World(image=bytes(memoryview(world))).state_hash() == world.state_hash()
    other.check()


@pytest.mark.parametrize("shape", [{"symbols": 0}, {"venues": 0}, {"tracked": 2}, {"strategies": 257}, {"orders": 0}])
def test_a_world_that_cannot_be_is_refused(shape):
    with pytest.raises(Bot4Error):
        World(**({"symbols": 1} | shape))


@pytest.mark.parametrize("name", ["colour", "ts_book"])
def test_a_field_that_is_not_there_is_refused_by_name(name):
    with pytest.raises(Bot4Error, match=name):
        World(symbols=1).set_instrument(0, **{name: 1})


def test_what_is_read_is_a_copy_of_a_dtype_made_once():
    desk = Desk(brackets=0)
    desk.wants()
    desk.quote()
    world = desk.world
    assert desk.out.dtype is types.EVENT
    assert desk.core.outputs().dtype is types.EVENT
    assert (world.live_orders().dtype, world.positions().dtype, world.instruments().dtype) == (
        ORDER_RECORD, POSITION, INSTRUMENT,
    )  # fmt: skip
    rows, before = world.positions(), world.state_hash()
    rows["lots"] = 7
    world.live_orders()["state"] = OrderState.STATE_UNKNOWN
    assert world.state_hash() == before
    assert world.live_orders()["id_order"].tolist() == desk.places["id_order"].tolist()
    desk.core.step(event(Kind.KIND_CONTROL, types.CONTROL, desk.now))
    assert (len(desk.core.outputs()), desk.core.outputs().dtype) == (0, types.EVENT)


def test_the_limits_in_force_are_those_that_were_tightened():
    desk = Desk()
    before = desk.world.limits()
    assert set(before) == {one.name.removeprefix("LIMIT_").lower() for one in Limit if one < Limit.LIMIT_COUNT}
    record = event(Kind.KIND_LIMIT, types.EVENT, 1)
    record["word"][0, :2] = Limit.LIMIT_DRAWDOWN_PPM, before["drawdown_ppm"] - 1
    desk.step(record)
    assert desk.world.limits() == before | {"drawdown_ppm": before["drawdown_ppm"] - 1}
    record["word"][0, 1] = before["drawdown_ppm"]
    desk.step(record)
    assert desk.status == Status.LIMIT_LOOSER
    assert desk.world.limits()["drawdown_ppm"] == before["drawdown_ppm"] - 1


# ---------------------------------------------------------------------------------------------------------- the market
def test_a_refused_quote_changes_no_price_and_leaves_a_record():
    desk = Desk()
    desk.quote(50_000, 50_001)
    out = desk.quote(50_001, 50_001)
    assert desk.status == Status.VALIDATE_CROSSED
    assert out["kind"].tolist() == [Kind.KIND_REFUSAL]
    assert desk.world.instruments()["bid_px_ticks"][0] == 50_000


def test_refusals_in_a_row_halt_the_symbol_alone_and_the_other_trades():
    desk = Desk(symbols=2, strategies=2)
    desk.quote(symbol=0)
    desk.quote(symbol=1)
    for _ in range(12):
        desk.quote(50_001, 50_001, symbol=0)
    desk.wants(strategy=0)
    desk.wants(strategy=1)
    desk.quote(symbol=0)
    assert Rule.RULE_SYMBOL_HALTED in bits(desk.denials[0])
    desk.quote(symbol=1)
    assert len(desk.places) == 1


def bits(decision) -> set[Rule]:
    return {rule for rule in Rule if int(decision["reasons"]) >> int(rule) & 1 and rule < Rule.RULE_COUNT}


def test_depth_makes_the_touch_and_a_gap_takes_the_trust_away():
    desk = Desk(book_levels=64, book_ticks=64)
    desk.world.set_book(0, rule=2)

    def level(px, lots, first, last, previous, *, ask=False, flags=0):
        ends = Flag.FLAG_FIRST | Flag.FLAG_LAST if not flags & 64 else 0
        return desk.say(
            Kind.KIND_BOOK_LEVEL, types.LEVEL, flags=int(ends) | (flags & 63) | (Flag.FLAG_ASK if ask else 0),
            px_ticks=px, qty_lots=lots, id_first=first, id_last=last, id_prev=previous,
        )  # fmt: skip

    desk.say(
        Kind.KIND_BOOK_LEVEL, types.LEVEL, flags=1 | 8, px_ticks=50_000, qty_lots=5, id_first=10, id_last=10, id_prev=-1
    )
    assert desk.world.instruments()["book_trusted"][0] == 0
    desk.say(Kind.KIND_BOOK_LEVEL, types.LEVEL, flags=2 | 4 | 8, px_ticks=50_002, qty_lots=5, id_first=10, id_last=10,
             id_prev=-1)  # fmt: skip
    row = desk.world.instruments()[0]
    assert (row["bid_px_ticks"], row["ask_px_ticks"], row["book_trusted"]) == (50_000, 50_002, 1)
    level(50_001, 3, 10, 11, 9)
    assert desk.world.instruments()["bid_px_ticks"][0] == 50_001
    level(50_001, 4, 14, 15, 13)
    assert desk.status == Status.BOOK_GAP
    assert desk.world.instruments()["book_trusted"][0] == 0
    assert Kind.KIND_REFUSAL in desk.out["kind"]


def test_a_symbol_is_halted_and_resumed_by_an_event_of_its_own():
    desk = Desk()
    desk.quote()
    desk.wants()
    desk.say(Kind.KIND_SYMBOL, types.SYMBOL, halt=1)
    desk.quote()
    assert bits(desk.denials[0]) == {Rule.RULE_SYMBOL_HALTED}
    desk.say(Kind.KIND_SYMBOL, types.SYMBOL, halt=0)
    desk.quote()
    assert len(desk.places) == 1


def test_a_break_of_the_books_is_an_incident_and_halts_beside_what_else_halts():
    desk, books = Desk(), int(Incident.INCIDENT_BALANCE)
    desk.quote()
    desk.wants()

    def say(halt, reason=books, believed=0, found=0, about=0):
        words = {"reserved_0": believed, "reserved_1": found, "reserved_2": about}
        desk.say(Kind.KIND_SYMBOL, types.SYMBOL, halt=halt, reason=reason, **words)

    say(2, believed=7, found=9, about=42)
    said = desk.out[desk.out["kind"] == Kind.KIND_INCIDENT].view(types.INCIDENT)
    assert [tuple(int(i[n]) for n in ("what", "believed", "found", "id_order")) for i in said] == [(books, 7, 9, 42)]
    assert desk.world.symbols()["halted_by"][0] == 0
    say(1)
    say(1, reason=0)
    assert desk.world.symbols()["halted_by"][0] == 9
    say(0, reason=0)
    assert desk.world.symbols()["halted_by"][0] == 8
    desk.quote()
    assert bits(desk.denials[-1]) == {Rule.RULE_SYMBOL_HALTED}
    say(0)
    assert desk.world.symbols()["halted_by"][0] == 0
    for halt, reason in ((3, books), (2, 0), (1, -1), (1, int(Incident.INCIDENT_COUNT))):
        say(halt, reason=reason)
        assert desk.status == Status.WORLD_BAD_EVENT


# ------------------------------------------------------------------------------------------- types and times in force
@pytest.mark.parametrize(
    ("wish", "order_type", "tif"),
    [
        ({}, OrderType.TYPE_LIMIT, OrderTif.TIF_GTC),
        ({"tif": 1}, OrderType.TYPE_LIMIT, OrderTif.TIF_IOC),
        ({"tif": 2}, OrderType.TYPE_LIMIT, OrderTif.TIF_FOK),
        ({"tif": 3}, OrderType.TYPE_LIMIT, OrderTif.TIF_GTX),
        ({"flags": 1}, OrderType.TYPE_LIMIT, OrderTif.TIF_GTX),
        ({"type": 1}, OrderType.TYPE_MARKET, OrderTif.TIF_IOC),
    ],
)
def test_every_type_and_time_in_force_reaches_the_wire_as_wished(wish, order_type, tif):
    desk = Desk(brackets=0)
    desk.wants(**wish)
    desk.quote()
    assert terms_of(desk.places[0])[:2] == (order_type, tif)
    assert terms_of(desk.places[0])[2] == (TermsFlag.TERMS_POST_ONLY if tif == OrderTif.TIF_GTX else 0)


def holding(**options):
    """A desk that holds five lots and wishes for nothing."""
    desk = Desk(brackets=0, **options)
    desk.wants()
    desk.quote()
    desk.fill(desk.places[0])
    desk.wants_nothing()
    return desk


@pytest.mark.parametrize(
    ("wish", "field", "value"),
    [
        ({"type": 2, "trigger_px_ticks": 49_990, "px_ticks": 0}, "trigger_px_ticks", 49_990),
        ({"type": 3, "trigger_px_ticks": 49_990, "px_ticks": 49_980}, "trigger_px_ticks", 49_990),
        ({"type": 4, "trigger_px_ticks": 50_050, "px_ticks": 0}, "trigger_px_ticks", 50_050),
        ({"type": 6, "trail_ticks": 12, "px_ticks": 0}, "trail_ticks", 12),
        ({"type": 7, "display_lots": 2}, "display_lots", 2),
        ({"tif": 4, "expire_ns": START + 3600 * SECOND}, "expire_ns", START + 3600 * SECOND),
    ],
)
def test_what_a_price_and_a_quantity_do_not_say_follows_the_intent(wish, field, value):
    desk = holding()
    desk.wants("ask", **({"flags": 2, "stop_px_ticks": 0} | wish))
    desk.quote()
    assert desk.places[0]["flags"] & Flag.FLAG_FIRST
    assert terms_of(desk.places[0])[0] == wish.get("type", 0)
    terms = desk.these(Kind.KIND_INTENT_TERMS)[0]
    assert (terms["id_order"], terms[field]) == (desk.places[0]["id_order"], value)


def test_a_date_that_the_venue_does_not_keep_is_kept_here():
    desk = Desk(brackets=0, can=0)
    desk.wants(tif=4, expire_ns=START + 5 * SECOND)
    desk.quote()
    order = desk.places[0]
    assert (terms_of(order)[1], order["flags"] & Flag.FLAG_FIRST) == (OrderTif.TIF_GTC, 0)
    desk.ack(order)
    desk.timer(by=4 * SECOND)
    assert len(desk.cancels) == 0
    desk.timer(by=2 * SECOND)
    assert desk.cancels["id_order"].tolist() == [order["id_order"]]


def test_a_stop_that_the_venue_lacks_waits_here_and_is_gated_when_it_fires():
    desk = Desk(can=int(Can.CAN_MARKET), brackets=0)
    desk.wants(stop_px_ticks=49_900)
    desk.quote()
    entry = desk.places[0]
    desk.ack(entry)
    desk.fill(entry)
    assert desk.lots == 5
    desk.wants("ask", type=2, px_ticks=0, trigger_px_ticks=49_980, flags=2, stop_px_ticks=0)
    desk.quote()
    assert len(desk.places) == 0
    waiting = desk.world.live_orders()
    assert (waiting["state"].tolist(), waiting["type"].tolist()) == ([OrderState.STATE_OPEN], [OrderType.TYPE_STOP])
    desk.wants_nothing()
    desk.quote(49_979, 49_981)
    fired = desk.places[0]
    assert (fired["id_order"], terms_of(fired)[0], fired["token"] != 0) == (
        waiting["id_order"][0],
        OrderType.TYPE_MARKET,
        True,
    )
    assert desk.world.live_orders()["state"].tolist() == [OrderState.STATE_SENT]
    desk.fill(fired, px=49_979)
    assert desk.lots == 0


def test_an_amend_keeps_the_order_and_is_gated_anew():
    desk = Desk(brackets=0)
    desk.wants(qty_lots=5)
    desk.quote()
    order = desk.places[0]
    desk.ack(order)
    desk.wants(qty_lots=8, px_ticks=49_998)
    desk.quote()
    amend = desk.these(Kind.KIND_INTENT_AMEND)[0]
    assert (amend["id_order"], amend["qty_lots"], amend["px_ticks"]) == (order["id_order"], 8, 49_998)
    assert amend["token"] not in (0, order["token"])
    desk.report(Kind.KIND_ORDER_REPLACED, amend, qty_lots=8)
    assert desk.world.live_orders()["qty_lots"].tolist() == [8]


def test_an_amend_that_the_gate_denies_is_a_cancel_instead():
    desk = Desk(brackets=0)
    desk.wants(qty_lots=5)
    desk.quote()
    desk.ack(desk.places[0])
    desk.wants(qty_lots=5_000)
    desk.quote()
    assert len(desk.these(Kind.KIND_INTENT_AMEND)) == 0
    assert Rule.RULE_POSITION_SHARE in bits(desk.denials[0])
    assert len(desk.cancels) == 1


# ------------------------------------------------------------------------------------------------------------ brackets
def bracketed(**wish):
    desk = Desk(**wish.pop("desk", {}))
    desk.wants(**({"stop_px_ticks": 49_900, "target_px_ticks": 50_100} | wish))
    desk.quote()
    entry = desk.places[0]
    desk.ack(entry)
    desk.wants_nothing()
    return desk, entry


def test_stop_loss_required():
    desk = Desk()
    desk.wants(stop_px_ticks=0)
    desk.quote()
    assert bits(desk.denials[0]) == {Rule.RULE_STOP_MISSING}


def test_the_stop_is_placed_in_the_event_of_the_fill_and_the_target_when_it_lives():
    desk, entry = bracketed()
    desk.fill(entry, 3)
    stop = desk.places[0]
    assert (terms_of(stop)[0], stop["qty_lots"], bool(stop["flags"] & Flag.FLAG_SELL)) == (OrderType.TYPE_STOP, 3, True)
    assert terms_of(stop)[2] & TermsFlag.TERMS_REDUCE_ONLY
    assert desk.incidents == []
    desk.ack(stop)
    target = desk.places[0]
    assert (terms_of(target)[0], target["px_ticks"], target["qty_lots"]) == (OrderType.TYPE_LIMIT, 50_100, 3)
    assert Kind.KIND_BRACKET in desk.out["kind"]


def test_a_rejected_stop_is_placed_again_and_given_up_for_an_unwind():
    desk, entry = bracketed(desk={"bracket_rules": {"places_max": 2}})
    desk.fill(entry)
    desk.report(Kind.KIND_ORDER_REJECTED, desk.places[0])
    assert terms_of(desk.places[0])[0] == OrderType.TYPE_STOP
    desk.report(Kind.KIND_ORDER_REJECTED, desk.places[0])
    assert Incident.INCIDENT_UNPROTECTED in desk.incidents
    unwind = desk.places[0]
    assert (terms_of(unwind)[0], unwind["qty_lots"]) == (OrderType.TYPE_MARKET, 5)
    desk.fill(unwind, px=49_990)
    assert desk.lots == 0


def test_a_filled_target_takes_the_stop_back_and_the_bracket_closes():
    desk, entry = bracketed()
    desk.fill(entry)
    stop = desk.places[0]
    desk.ack(stop)
    desk.fill(desk.places[0])
    assert desk.cancels["id_order"].tolist() == [stop["id_order"]]
    desk.canceled(stop)
    assert (desk.lots, [b["handle"] for b in desk.world.brackets() if b["phase"] != 8]) == (0, [])


def test_both_filled_is_an_incident_and_unwound():
    desk, entry = bracketed()
    desk.fill(entry)
    stop = desk.places[0]
    desk.ack(stop)
    target = desk.places[0]
    desk.fill(target)
    desk.fill(stop, px=49_900)
    assert Incident.INCIDENT_BOTH_FILLED in desk.incidents
    back = desk.places[0]
    assert (bool(back["flags"] & Flag.FLAG_SELL), back["qty_lots"]) == (False, 5)
    desk.fill(back, px=49_905)
    assert desk.lots == 0


def test_a_venue_without_stops_still_protects_through_a_trigger():
    desk, entry = bracketed(desk={"can": int(Can.CAN_MARKET)})
    desk.fill(entry)
    # The stop stands at once, so the target comes in the same event.
    assert [terms_of(p)[0] for p in desk.places] == [OrderType.TYPE_LIMIT]
    assert desk.incidents == []
    target = desk.places[0]
    desk.ack(target)
    desk.quote(49_899, 49_901)
    fired = desk.places[0]
    assert terms_of(fired)[0] == OrderType.TYPE_MARKET
    desk.fill(fired, px=49_899)
    assert desk.lots == 0
    assert desk.cancels["id_order"].tolist() == [target["id_order"]]


def test_a_position_of_nobodys_order_is_an_incident_within_one_event():
    desk = Desk()
    desk.quote()
    desk.say(Kind.KIND_ORDER_FILL, types.ORDER, id_order=77, px_ticks=50_000, qty_lots=4, id_venue=1)
    assert set(desk.incidents) == {Incident.INCIDENT_UNKNOWN_FILL, Incident.INCIDENT_UNPROTECTED}
    assert desk.lots == 4


def test_a_late_fill_is_booked_and_is_an_incident():
    desk = Desk(brackets=0)
    desk.wants()
    desk.quote()
    order = desk.places[0]
    desk.ack(order)
    desk.canceled(order)
    desk.fill(order, 2)
    assert (desk.incidents, desk.lots) == ([Incident.INCIDENT_LATE_FILL], 2)


# --------------------------------------------------------------------------------------------------------------- money
def test_a_fee_is_booked_once_in_its_own_asset():
    desk = Desk(brackets=0)
    desk.wants()
    desk.quote()
    order = desk.places[0]
    desk.fill(order, trade=9)
    for _ in range(2):
        desk.say(Kind.KIND_FEE, types.FEE, id_order=int(order["id_order"]), id_trade=9, asset=0, amount=250)
    assert desk.status == Status.ORDER_DUPLICATE_FILL
    unit = 1_000
    assert desk.world.assets()["balance"][0, 0] == 100_000 * 10**8 - 5 * 49_999 * unit - 250
    assert desk.world.assets()["balance"][0, 4] == 250


def test_a_fee_whose_fill_nobody_knows_is_refused():
    desk = Desk()
    desk.say(Kind.KIND_FEE, types.FEE, id_order=1, id_trade=3, asset=0, amount=5)
    assert desk.status == Status.ORDER_UNKNOWN_ID


def test_funding_is_booked_once_by_its_number():
    desk = Desk(instrument={"linear": 1}, brackets=0)
    for _ in range(2):
        desk.say(Kind.KIND_FUNDING, types.FUNDING, id_funding=5, asset=0, amount=-300)
    assert desk.status == Status.ORDER_DUPLICATE_FILL
    assert desk.world.assets()["balance"][0, 0] == 100_000 * 10**8 - 300


def test_equity_follows_the_ledger_and_a_drawdown_trips_the_latch():
    desk = Desk(brackets=0, limits={"position_share_ppm": 10**6, "order_notional": 10**15, "drawdown_ppm": 10})
    desk.wants(qty_lots=1_000, px_ticks=50_000, stop_px_ticks=40_000)
    desk.quote()
    desk.fill(desk.places[0])
    desk.wants_nothing()
    assert desk.world.account()["equity"] == 100_000 * 10**8 + 500 * 1_000
    desk.quote(49_900, 49_901)
    assert desk.world.account()["equity"] == 100_000 * 10**8 - 1_000 * 100 * 1_000 + 500 * 1_000
    desk.quote(49_800, 49_801)
    assert desk.world.account()["latch"] != 0
    assert desk.world.modes["mode"] == Mode.MODE_PAUSED


def test_a_balance_or_position_of_the_venues_that_is_another_one_is_an_incident():
    desk = Desk()
    desk.quote()
    desk.say(Kind.KIND_BALANCE, types.BALANCE, asset=0, free=100_000 * 10**8)
    assert desk.incidents == []
    desk.say(Kind.KIND_BALANCE, types.BALANCE, asset=0, free=1)
    assert desk.incidents == [Incident.INCIDENT_BALANCE]
    desk.say(Kind.KIND_POSITION, types.POSITION, lots=3)
    assert desk.incidents == [Incident.INCIDENT_POSITION]
    desk.wants()
    desk.quote()
    assert Rule.RULE_SYMBOL_HALTED in bits(desk.denials[0])


# --------------------------------------------------------------------------------------------------- feeds and clocks
def test_a_lost_user_stream_stops_new_orders_until_somebody_has_compared():
    desk = Desk()
    desk.quote()
    desk.wants()
    for up in (0, 1):
        desk.say(Kind.KIND_FEED, types.FEED, feed=1, up=up)
        desk.quote()
        assert bits(desk.denials[0]) == {Rule.RULE_SYMBOL_HALTED}
    desk.say(Kind.KIND_FEED, types.FEED, feed=1, up=2)
    desk.quote()
    assert len(desk.places) == 1


def test_an_order_in_flight_when_the_connection_goes_is_unknown_and_asked_for_when_it_is_back():
    desk = Desk(brackets=0)
    desk.wants()
    desk.quote()
    order = desk.places[0]
    desk.say(Kind.KIND_FEED, types.FEED, feed=2, up=0)
    assert desk.world.live_orders()["state"].tolist() == [OrderState.STATE_UNKNOWN]
    desk.say(Kind.KIND_FEED, types.FEED, feed=2, up=1)
    assert desk.these(Kind.KIND_INTENT_QUERY)["id_order"].tolist() == [order["id_order"]]


def test_a_clock_that_is_off_stops_orders():
    desk = Desk(validate=False)
    desk.quote()
    desk.wants()
    desk.say(Kind.KIND_CLOCK, types.CLOCK, offset_ns=2 * SECOND, synchronised=1)
    desk.quote(by=1)
    assert Rule.RULE_CLOCK_DRIFT in bits(desk.denials[0])


# --------------------------------------------------------------------------------------------------------------- modes
def test_a_mode_switches_inside_one_event_and_the_next_order_is_denied():
    desk = Desk()
    desk.quote()
    desk.wants()
    desk.control(mode=Mode.MODE_PAUSED, who=Who.WHO_HUMAN)
    assert Kind.KIND_MODE in desk.out["kind"]
    desk.quote()
    assert bits(desk.denials[0]) == {Rule.RULE_MODE}


def test_a_world_starts_paused_when_it_is_told_to_and_only_people_end_that():
    desk = Desk(mode="paused", modes={"cooldown_ns": 0})
    desk.control(mode=Mode.MODE_NORMAL, who=Who.WHO_ENGINE)
    assert (desk.status, desk.world.modes["mode"]) == (Status.MODE_NOT_YOURS, Mode.MODE_PAUSED)
    desk.control(mode=Mode.MODE_NORMAL, who=Who.WHO_HUMAN)
    assert (desk.status, desk.world.modes["mode"]) == (Status.OK, Mode.MODE_NORMAL)


def test_an_emergency_cancels_closes_and_verifies_until_flat():
    desk, entry = bracketed()
    desk.fill(entry)
    stop = desk.places[0]
    desk.ack(stop)
    desk.control(mode=Mode.MODE_EMERGENCY, who=Who.WHO_HUMAN, equity=desk.world.account()["equity"])
    asked = set(desk.cancels["id_order"].tolist())
    assert int(stop["id_order"]) in asked
    # A start in the middle of it carries the plan on.
    desk.world.begin_paused()
    assert desk.world.modes["mode"] == Mode.MODE_EMERGENCY
    for order in desk.world.live_orders():
        record = {"id_order": order["id_order"], "px_ticks": order["px_ticks"], "flags": 4 * order["sell"], "symbol": 0}
        desk.canceled(record)
    closing = [p for p in desk.places if terms_of(p)[0] == OrderType.TYPE_MARKET]
    for _ in range(10):
        if closing:
            break
        desk.timer()
        closing = [p for p in desk.places if terms_of(p)[0] == OrderType.TYPE_MARKET]
    desk.fill(closing[0], px=49_999)
    assert desk.lots == 0
    for _ in range(10):
        desk.timer()
        desk.say(Kind.KIND_POSITION, types.POSITION, lots=0)
        if desk.world.modes["phase"] == Phase.PHASE_ENDED:
            break
    assert desk.world.modes["phase"] == Phase.PHASE_ENDED
    assert desk.world.modes["outcome"] == 1
    # A start behind it is Paused, for the gate too, and its cooldown counts from here.
    desk.world.begin_paused()
    assert (desk.world.modes["mode"], desk.world.account()["mode"]) == (Mode.MODE_PAUSED, Mode.MODE_PAUSED)
    assert desk.world.modes["since_ns"] == desk.world.now_ns
    desk.world.check()


# ---------------------------------------------------------------------------------------------------------- discipline
def test_without_evidence_no_signal_reaches_the_gate():
    desk = Desk(discipline={})
    desk.quote()
    desk.wants()
    desk.quote()
    decision = desk.denials[0]
    assert stage_of(decision) == Stage.STAGE_DISCIPLINE
    assert int(decision["reasons"]) >> Reason.REASON_TOO_FEW_SAMPLES & 1
    assert len(desk.places) == 0


def test_a_strategy_may_earn_a_record_on_paper_and_its_trades_are_told():
    desk = Desk(discipline={"paper": 1}, brackets=0)
    desk.quote()

    def decide(view, wishes):
        wishes["bid"][0]["kind"], wishes["bid"][0]["px_ticks"], wishes["bid"][0]["qty_lots"] = 1, 49_999, 5
        wishes["bid"][0]["stop_px_ticks"] = 49_900
        wishes["signal"]["valid"], wishes["signal"]["sources"] = 1, 7
        wishes["signal"]["p_value"], wishes["signal"]["expected_value"] = 0.01, 1.0
        wishes["signal"]["sharpe"], wishes["signal"]["confidence"] = 3.0, 0.9

    desk.wish[0] = decide
    desk.quote()
    entry = desk.places[0]
    desk.fill(entry)
    desk.wants("ask", flags=2, stop_px_ticks=0)
    desk.quote()
    desk.fill(desk.places[0])
    assert desk.lots == 0
    assert desk.world.trades()["result_count"][0] == 1


# --------------------------------------------------------------------------------------------------------------- slices
def test_the_plans_actions_are_on_the_report_ring():
    desk, _ = bracketed()
    desk.control(mode=Mode.MODE_REDUCED, who=Who.WHO_HUMAN)
    acts = desk.these(Kind.KIND_MODE)["action"].tolist()
    assert Act.ACT_CANCEL_ENTRIES in acts


def test_an_unknown_event_is_refused_and_changes_nothing():
    desk = Desk()
    before = desk.world.counts
    status, out = desk.core.step(event(119, types.EVENT, 1))
    assert (status, len(out)) == (Status.WORLD_BAD_EVENT, 0)
    assert desk.world.counts == before | {"events": before["events"] + 1, "refused": before["refused"] + 1}
