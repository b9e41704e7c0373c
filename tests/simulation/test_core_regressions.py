"""Bugs that other engines shipped, as facts about this one's step."""

from __future__ import annotations

import pytest

from engine._core import types
from engine._core.brackets import BracketLeg
from engine._core.order_table import OrderState
from engine._core.orders import OrderType
from engine._core.risk import Rule
from engine._core.strategy import StrategyRule
from engine._core.types import Incident, Kind, Status, TermsFlag
from tests.support.desks import SECOND, Desk, terms_of


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


def test_peers_7_fills_of_a_bracket_told_again_change_nothing():
    """A replay counted the fills of a bracket twice: position, cash, legs and exits count each once."""
    desk = Desk()
    desk.wants("bid", stop_px_ticks=49_900, target_px_ticks=50_100)
    desk.quote()
    desk.wants_nothing()
    entry = desk.places[0]
    desk.fill(entry, 3, trade=1)
    stop = desk.places[0]
    desk.ack(stop)
    target = desk.places[0]
    desk.ack(target)
    desk.fill(target, 2, trade=2)

    def facts() -> list[object]:
        legs = [(leg["total_lots"], leg["qty_lots"]) for leg in desk.world.brackets()[0]["legs"]]
        return [desk.lots, desk.world.assets()["balance"][0].tolist(), legs, desk.world.live_orders().tobytes()]

    before = facts()
    assert (desk.lots, before[2][0][0], before[2][2][0]) == (1, 3, 2)
    for order, lots, trade in ((entry, 3, 1), (target, 2, 2), (entry, 3, 1)):
        desk.fill(order, lots, trade=trade)
        assert (desk.status, len(desk.out), facts()) == (Status.ORDER_DUPLICATE_FILL, 0, before)


@pytest.mark.parametrize("sell", [False, True])
def test_peers_37_a_bracket_stands_as_a_table_of_what_was_meant_before_anything_is_sent(sell):
    """An exit did something else than its author meant: side, trigger and limit were found out by trading.

    The table of the bracket stands in the world in the event of its entry, and each leg that leaves later is its row.
    """
    desk = Desk()
    side, stop, target = ("ask", 50_100, 49_900) if sell else ("bid", 49_900, 50_100)
    desk.wants(side, stop_px_ticks=stop, target_px_ticks=target)
    desk.quote()
    entry = desk.places[0]
    legs = desk.world.brackets()[0]["legs"]
    meant = {
        BracketLeg.LEG_STOP: (not sell, OrderType.TYPE_STOP, stop),
        BracketLeg.LEG_TARGET: (not sell, OrderType.TYPE_LIMIT, target),
    }
    told = {
        BracketLeg.LEG_STOP: (OrderType(legs[1]["type"]), legs[1]["px_stop_ticks"], legs[1]["px_ticks"]),
        BracketLeg.LEG_TARGET: (OrderType(legs[2]["type"]), legs[2]["px_ticks"], legs[2]["px_stop_ticks"]),
    }
    assert told == {leg: (kind, px, 0) for leg, (_, kind, px) in meant.items()}
    assert legs[0]["px_ticks"] == entry["px_ticks"]
    desk.fill(entry)
    sent = [desk.places[0]]
    desk.ack(sent[0])
    sent += list(desk.places)
    left = []
    for order in sent:
        o = desk.world.live_orders()
        o = o[o["id_order"] == order["id_order"]][0]
        px = int(o["px_stop_ticks"] or o["px_ticks"])
        left.append((BracketLeg(int(o["leg"])), bool(o["sell"]), OrderType(int(o["type"])), px))
        assert terms_of(order)[2] & TermsFlag.TERMS_REDUCE_ONLY
        assert int(order["qty_lots"]) == 5
    assert left == [(leg, *row) for leg, row in meant.items()]


@pytest.mark.parametrize(("stop", "target"), [(50_100, 49_900), (49_900, 49_950), (50_050, 50_100)])
def test_peers_37_exits_on_the_wrong_side_are_refused_whole(stop, target):
    desk = Desk()
    desk.wants("bid", stop_px_ticks=stop, target_px_ticks=target)
    desk.quote()
    assert len(desk.places) == 0
    assert int(desk.denials[0]["reasons"]) == 1 << StrategyRule.STRATEGY_RULE_WISH
    assert desk.world.brackets() == []
