"""The gate inside the step: what counts as closing, and what an acknowledged order is held against again."""

from __future__ import annotations

import pytest

from engine._core import types
from engine._core.limits import Limit
from engine._core.modes import Mode, Who
from engine._core.order_table import OrderState
from engine._core.orders import OrderType
from engine._core.risk import RECHECK_NEEDS_TOUCH, RECHECK_SKIPS, Rule
from engine._core.types import Can, Feed, Incident, Kind
from tests.support.desks import SECOND, Desk, event, terms_of

REDUCE = {"flags": 2, "stop_px_ticks": 0}


def rules(decision) -> set[Rule]:
    return {rule for rule in Rule if int(decision["reasons"]) >> int(rule) & 1}


def held(lots: int = 5, **options) -> Desk:
    """A desk without brackets that holds `lots`."""
    desk = Desk(brackets=0, **options)
    desk.wants(qty_lots=lots)
    desk.quote()
    desk.fill(desk.places[0])
    desk.wants_nothing()
    assert desk.lots == lots
    return desk


# ----------------------------------------------------------------------------------------------- what counts as closing
def test_a_stop_is_placed_beside_somebodys_entry_on_its_side():
    desk = Desk(strategies=2)
    desk.wants("ask", strategy=1)
    desk.quote()
    desk.ack(desk.places[0])
    desk.wants(strategy=0)
    desk.quote()
    desk.fill(desk.places[0])
    assert [terms_of(p)[0] for p in desk.places] == [OrderType.TYPE_STOP]
    assert (len(desk.denials), desk.incidents) == (0, [])


def test_a_reduce_only_wish_closes_all_that_is_held_beside_an_entry_on_its_side():
    desk = held()
    desk.wants("ask", tag=0)
    desk.quote()
    desk.ack(desk.places[0])
    desk.wants("ask", tag=1, px_ticks=50_003, **REDUCE)
    desk.quote()
    assert [int(p["qty_lots"]) for p in desk.places] == [5]


def test_what_one_reduce_only_order_closes_another_cannot_close_again():
    desk = held()
    desk.wants("ask", tag=0, qty_lots=3, **REDUCE)
    desk.quote()
    desk.ack(desk.places[0])
    desk.wants("ask", tag=1, qty_lots=3, px_ticks=50_003, **REDUCE)
    desk.quote()
    assert rules(desk.denials[0]) == {Rule.RULE_NOT_REDUCING}
    assert desk.denials[0]["headroom_lots"] == 2
    desk.wants("ask", tag=1, qty_lots=2, px_ticks=50_003, **REDUCE)
    desk.quote()
    assert len(desk.places) == 1


def test_a_stop_that_waits_closes_nothing_and_one_of_ours_that_fired_does():
    desk = held(can=int(Can.CAN_MARKET))
    desk.wants("ask", tag=0, type=2, trigger_px_ticks=49_950, px_ticks=0, **REDUCE)
    desk.quote()
    assert desk.world.live_orders()["state"].tolist() == [OrderState.STATE_OPEN]
    desk.wants("ask", tag=1, px_ticks=50_010, **REDUCE)
    desk.quote()
    exit_order = desk.places[0]
    desk.ack(exit_order)
    # The exit closes all of it, so the stop that fires now would close it twice.
    desk.quote(49_940, 49_941)
    assert [rules(d) for d in desk.denials] == [{Rule.RULE_NOT_REDUCING}]
    desk.canceled(exit_order)
    desk.wants("ask", tag=0, type=2, trigger_px_ticks=49_930, px_ticks=0, **REDUCE)
    desk.quote(49_940, 49_941)
    desk.quote(49_929, 49_930)
    assert [int(p["qty_lots"]) for p in desk.places] == [5]
    desk.wants("ask", tag=1, px_ticks=50_010, **REDUCE)
    desk.quote(49_929, 49_930)
    assert [rules(d) for d in desk.denials] == [{Rule.RULE_NOT_REDUCING}]


def test_two_stops_that_wait_protect_no_more_than_is_held():
    desk = held()
    desk.wants("ask", tag=0, type=2, trigger_px_ticks=49_950, px_ticks=0, qty_lots=3, **REDUCE)
    desk.quote()
    desk.ack(desk.places[0])
    desk.wants("ask", tag=1, type=2, trigger_px_ticks=49_940, px_ticks=0, qty_lots=3, **REDUCE)
    desk.quote()
    assert rules(desk.denials[0]) == {Rule.RULE_NOT_REDUCING}


def test_an_amend_of_a_half_filled_reduction_counts_itself_once():
    desk = held()
    desk.wants("ask", qty_lots=4, **REDUCE)
    desk.quote()
    order = desk.places[0]
    desk.ack(order)
    desk.fill(order, 2)
    desk.wants("ask", qty_lots=4, **REDUCE)
    desk.quote()
    assert rules(desk.denials[0]) == {Rule.RULE_NOT_REDUCING}  # 3 are held, 4 more were asked for
    desk.wants("ask", qty_lots=3, px_ticks=50_004, **REDUCE)
    for report in desk.cancels:
        desk.canceled(report)
    desk.quote()
    sent = [*desk.places, *desk.these(Kind.KIND_INTENT_AMEND)]
    assert [int(p["qty_lots"]) for p in sent] in ([3], [5])


def test_what_was_filled_and_not_told_yet_is_being_closed():
    desk = held()
    desk.wants("ask", **REDUCE)
    desk.quote()
    order = desk.places[0]
    desk.ack(order)
    # The venue counts three filled of the cancelled order; their fills are still on their way.
    desk.report(Kind.KIND_ORDER_CANCELED, order, filled_lots=3)
    desk.quote()
    assert rules(desk.denials[0]) == {Rule.RULE_NOT_REDUCING}
    assert desk.denials[0]["headroom_lots"] == 2


# ------------------------------------------------------------------------------------------------------- the ack again
def resting(**options) -> tuple[Desk, object]:
    desk = Desk(brackets=0, **options)
    desk.wants()
    desk.quote()
    return desk, desk.places[0]


def state(desk: Desk) -> list[int]:
    return desk.world.live_orders()["state"].tolist()


def market_lost(desk: Desk) -> None:
    desk.say(Kind.KIND_FEED, types.FEED, symbol=0xFFFF, feed=Feed.FEED_MARKET, up=0)


def user_stream_not_compared(desk: Desk) -> None:
    desk.say(Kind.KIND_FEED, types.FEED, symbol=0xFFFF, feed=Feed.FEED_USER, up=1)


def time_passed(desk: Desk) -> None:
    desk.now += 4 * SECOND


def clock_off(desk: Desk) -> None:
    desk.say(Kind.KIND_CLOCK, types.CLOCK, offset_ns=5 * SECOND, synchronised=1)


def paused(desk: Desk) -> None:
    desk.control(mode=Mode.MODE_PAUSED, who=Who.WHO_HUMAN)


@pytest.mark.parametrize("lost", [market_lost, user_stream_not_compared, time_passed, clock_off, paused])
def test_an_acknowledged_order_rests_though_data_are_not_there(lost):
    desk, order = resting()
    lost(desk)
    desk.ack(order)
    assert (state(desk), desk.incidents, len(desk.cancels)) == ([OrderState.STATE_OPEN], [], 0)


def test_after_a_restart_nothing_is_known_and_what_the_venue_shows_rests():
    desk, order = resting()
    user_stream_not_compared(desk)
    market_lost(desk)
    desk.say(Kind.KIND_ORDER_LOST, types.ORDER, id_order=int(order["id_order"]))
    assert state(desk) == [OrderState.STATE_UNKNOWN]
    desk.now += 3600 * SECOND
    desk.wants_nothing()
    desk.ack(order)
    assert (state(desk), desk.incidents, len(desk.cancels)) == ([OrderState.STATE_OPEN], [], 0)


def tightened(desk: Desk) -> None:
    record = event(Kind.KIND_LIMIT, types.EVENT, desk.now)
    record["word"][0, :2] = Limit.LIMIT_ORDER_NOTIONAL, 1
    desk.step(record)


def latched(desk: Desk) -> None:
    desk.control(latch=1)


def halted(desk: Desk) -> None:
    desk.say(Kind.KIND_SYMBOL, types.SYMBOL, halt=1)


def another_position(desk: Desk) -> None:
    desk.say(Kind.KIND_POSITION, types.POSITION, lots=-3)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (tightened, Rule.RULE_ORDER_NOTIONAL),
        (latched, Rule.RULE_LATCH),
        (halted, Rule.RULE_SYMBOL_HALTED),
        (another_position, Rule.RULE_SYMBOL_HALTED),
    ],
)
@pytest.mark.parametrize("blind", [False, True])
def test_an_acknowledged_order_that_limits_or_positions_forbid_now_is_taken_back(change, rule, blind):
    desk, order = resting()
    if blind:
        market_lost(desk)
    change(desk)
    desk.ack(order)
    found = desk.these(Kind.KIND_INCIDENT)[0]
    assert (found["what"], found["found"]) == (Incident.INCIDENT_GATE_ON_ACK, 1 << rule)
    assert desk.cancels["id_order"].tolist() == [order["id_order"]]


def test_a_price_that_is_there_is_looked_at_again():
    desk, order = resting(validate=False)
    desk.wants_nothing()
    desk.quote(60_000, 60_001)
    desk.ack(order)
    assert int(desk.these(Kind.KIND_INCIDENT)["found"][0]) >> Rule.RULE_PX_BAND & 1


def test_what_is_not_asked_again_is_data_counts_and_rates():
    assert not set(RECHECK_SKIPS) & set(RECHECK_NEEDS_TOUCH)
    kept = {rule for rule in Rule if rule < Rule.RULE_COUNT} - set(RECHECK_SKIPS)
    assert {Rule.RULE_LATCH, Rule.RULE_MODE, Rule.RULE_POSITION_SHARE, Rule.RULE_GROSS, Rule.RULE_NET, Rule.RULE_MARGIN,
            Rule.RULE_DRAWDOWN, Rule.RULE_DAILY_LOSS, Rule.RULE_LEVERAGE, Rule.RULE_SYMBOL_HALTED} <= kept  # fmt: skip


def test_what_an_ended_order_owed_leaves_its_symbol_with_its_record():
    """A cancel that tells of a fill nobody heard of leaves that lot in the exposure, until the record's place is
    needed for another symbol's order. At the next touch of its symbol the gate knows that it is gone."""
    desk = Desk(symbols=2, strategies=2, orders=2, brackets=0)
    desk.quote()
    desk.wants("ask", strategy=1)
    desk.quote(symbol=1)
    (sold,) = desk.places
    desk.wants_nothing(strategy=1)
    desk.report(Kind.KIND_ORDER_CANCELED, sold, filled_lots=1)
    assert desk.world.gate_symbols()["open_sell_lots"].tolist() == [0, 1]
    for tag in (0, 1):
        desk.wants("bid", tag=tag)
        desk.quote()
    assert len(desk.world.live_orders()) == 2
    desk.quote(symbol=1)
    assert desk.world.gate_symbols()["open_sell_lots"].tolist() == [0, 0]
    desk.close()
