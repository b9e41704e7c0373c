"""Bugs that other engines shipped, as facts about this one's step."""

from __future__ import annotations

from engine._core import types
from engine._core.order_table import OrderState
from engine._core.risk import Rule
from engine._core.types import Incident, Kind, Status
from tests.support.desks import SECOND, Desk


def test_comparing_with_the_venue_twice_changes_nothing_the_second_time():
    """Reconciliation that was not a fixed point."""
    desk = Desk()
    desk.quote()
    desk.say(Kind.KIND_FEED, types.FEED, feed=1, up=1)
    for _ in range(2):
        desk.say(Kind.KIND_POSITION, types.POSITION, lots=0)
        desk.say(Kind.KIND_BALANCE, types.BALANCE, asset=0, free=100_000 * 10**8)
        desk.say(Kind.KIND_FEED, types.FEED, feed=1, up=2)
        assert (desk.incidents, desk.world.venues()["unreconciled"].tolist()) == ([], [0])
    assert desk.world.assets()["balance"][0, 0] == 100_000 * 10**8


def test_an_order_in_flight_is_never_rejected_by_silence_and_its_late_fill_is_booked():
    """An in-flight order set to rejected left an orphan position."""
    desk = Desk(brackets=0)
    desk.wants()
    desk.quote()
    order = desk.places[0]
    desk.wants_nothing()
    desk.timer(by=6 * SECOND)
    assert desk.world.live_orders()["state"].tolist() == [OrderState.STATE_UNKNOWN]
    assert desk.these(Kind.KIND_INTENT_QUERY)["id_order"].tolist() == [order["id_order"]]
    desk.timer(by=40 * SECOND)
    assert desk.incidents == [Incident.INCIDENT_OVERDUE]
    desk.fill(order)
    assert (desk.status, desk.lots) == (Status.OK, 5)


def test_an_intent_that_is_replaced_again_and_again_runs_into_the_churn_limit():
    """A stop was cancelled and replaced 175 times in a quarter of an hour."""
    desk = Desk(brackets=0, can=0, limits={"churn_per_minute": 10})
    refused = set()
    for turn in range(30):
        desk.wants(px_ticks=49_990 + turn % 2)
        desk.quote()
        refused |= {rule for d in desk.denials for rule in Rule if int(d["reasons"]) >> int(rule) & 1}
        for order in desk.cancels:
            desk.canceled(order)
    assert refused == {Rule.RULE_CHURN}
    assert desk.world.counts["intents"] < 25
