"""The stop that follows a net position, and exits that shrink when somebody else closes. Each test states one fact."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine._core import types
from engine._core.bracket_table import BracketPhase
from engine._core.brackets import BracketFlag, BracketLeg, Brackets
from engine._core.modes import Mode, Who
from engine._core.orders import OrderType
from engine._core.types import Can, Flag, Incident, Kind
from tests.support.desks import SECOND, Desk, serve, terms_of

CASES = int(os.environ.get("BOT4_STRESS", "0")) * 1000 or 100
STOPS = (OrderType.TYPE_STOP, OrderType.TYPE_STOP_LIMIT)


def stops(desk: Desk) -> list[tuple[bool, int, int]]:
    """(sells, open lots, trigger) of every stop that lives."""
    live = desk.world.live_orders()
    return [
        (bool(o["sell"]), int(o["qty_lots"] - o["filled_lots"]), int(o["px_stop_ticks"]))
        for o in live
        if o["type"] in STOPS
    ]


def maker(can: int = int(Can.CAN_ALL), **shape) -> Desk:
    """A strategy whose two sides net, with a bid and an ask that state their stops."""
    desk = Desk(can=can, **shape)
    desk.world.set_strategy(0, 0, limits={"nets": 1})

    def quotes(view, wishes):
        for side, px, stop in (("bid", 49_999, 49_900), ("ask", 50_002, 50_100)):
            wish = wishes[side][0]
            wish["kind"], wish["px_ticks"], wish["qty_lots"], wish["stop_px_ticks"] = 1, px, 5, stop

    desk.wish[0] = quotes
    desk.quote()
    return desk


def order_of(desk: Desk, sell: bool):
    """The quote of a side that lives, as a report needs it."""
    found = [o for o in desk.world.live_orders() if bool(o["sell"]) == sell and o["type"] == OrderType.TYPE_LIMIT]
    o = found[0]
    flags = int(Flag.FLAG_SELL) if o["sell"] else 0
    return {
        "id_order": o["id_order"],
        "symbol": 0,
        "flags": flags,
        "px_ticks": o["px_ticks"],
        "qty_lots": o["qty_lots"],
    }


def test_stop_loss_required_of_a_market_maker_too():
    desk = maker()
    assert stops(desk) == []
    desk.fill(order_of(desk, sell=False))
    assert stops(desk) == [(True, 5, 49_900)]
    assert desk.incidents == []


def test_the_stop_follows_what_the_two_sides_net_to():
    desk = maker()
    desk.fill(order_of(desk, sell=False))
    desk.ack(desk.places[0])
    desk.fill(order_of(desk, sell=True), 2)
    amends = desk.these(Kind.KIND_INTENT_AMEND)
    assert [int(a["qty_lots"]) for a in amends] == [3]
    desk.report(Kind.KIND_ORDER_REPLACED, amends[0], qty_lots=3, px_ticks=0)
    assert stops(desk) == [(True, 3, 49_900)]
    assert desk.world.brackets()[0]["phase"] == BracketPhase.PHASE_COVERED


def test_a_turn_through_flat_takes_one_stop_back_and_places_the_other():
    desk = maker()
    desk.fill(order_of(desk, sell=False), 3)
    long_stop = desk.places[0]
    desk.ack(long_stop)
    desk.fill(order_of(desk, sell=True), 5)
    assert desk.cancels["id_order"].tolist() == [long_stop["id_order"]]
    assert [(terms_of(p)[0], int(p["qty_lots"]), bool(p["flags"] & Flag.FLAG_SELL)) for p in desk.places] == [
        (OrderType.TYPE_STOP, 2, False)
    ]
    desk.canceled(long_stop)
    assert stops(desk) == [(False, 2, 50_100)]
    phases = {b["sell"]: b["phase"] for b in desk.world.brackets()}
    assert phases[0] == BracketPhase.PHASE_CLOSED
    assert desk.incidents == []


def test_a_filled_stop_leaves_nothing_to_protect():
    desk = maker()
    desk.fill(order_of(desk, sell=False))
    stop = desk.places[0]
    desk.ack(stop)
    desk.fill(stop, px=49_899)
    assert desk.lots == 0
    assert stops(desk) == []
    assert [b["phase"] for b in desk.world.brackets()] == [BracketPhase.PHASE_CLOSED]


def test_a_stop_that_cannot_be_had_in_time_closes_the_net_position():
    desk = maker()
    desk.fill(order_of(desk, sell=False))
    desk.wants_nothing()
    unwinds, told = [], []
    while not unwinds:
        stop = next(p for p in desk.places if terms_of(p)[0] == OrderType.TYPE_STOP)
        desk.report(Kind.KIND_ORDER_REJECTED, stop)
        unwinds = [p for p in desk.places if terms_of(p)[0] == OrderType.TYPE_MARKET]
        told += desk.incidents
    assert [int(p["qty_lots"]) for p in unwinds] == [5]
    assert Incident.INCIDENT_UNPROTECTED in told


def test_a_stop_moves_with_every_trade_from_flat_to_flat_and_not_within_one():
    desk = maker()
    desk.fill(order_of(desk, sell=False), 2)
    desk.ack(desk.places[0])
    desk.fill(order_of(desk, sell=False), 3)
    desk.report(Kind.KIND_ORDER_REPLACED, desk.these(Kind.KIND_INTENT_AMEND)[0], qty_lots=5, px_ticks=0)
    assert stops(desk) == [(True, 5, 49_900)]


def test_a_strategy_without_brackets_or_nets_gets_no_such_stop():
    desk = Desk(brackets=0)
    desk.world.set_strategy(0, 0, limits={"nets": 1})
    desk.wants()
    desk.quote()
    desk.fill(desk.places[0])
    assert stops(desk) == []


# --------------------------------------------------------------------------------------------- somebody else closes
def bracketed(target: int = 50_100, **options) -> Desk:
    desk = Desk(**options)
    desk.wants(target_px_ticks=target)
    desk.quote()
    desk.fill(desk.places[0])
    desk.wants_nothing()
    desk.ack(desk.places[0])
    for order in desk.places:
        desk.ack(order)
    assert desk.world.brackets()[0]["phase"] == BracketPhase.PHASE_COVERED
    return desk


def test_an_exit_of_its_own_shrinks_the_brackets_exits():
    desk = Desk()
    desk.wants()
    desk.quote()
    desk.fill(desk.places[0])
    stop = desk.places[0]
    desk.ack(stop)
    desk.wants_nothing()
    desk.wants("ask", tag=1, qty_lots=5, flags=2, stop_px_ticks=0)
    desk.quote()
    assert [int(p["qty_lots"]) for p in desk.places] == [5]
    leave = desk.places[0]
    desk.ack(leave)
    desk.fill(leave, 2)
    assert [int(a["qty_lots"]) for a in desk.these(Kind.KIND_INTENT_AMEND)] == [3]
    desk.report(Kind.KIND_ORDER_REPLACED, desk.these(Kind.KIND_INTENT_AMEND)[0], qty_lots=3, px_ticks=0)
    desk.fill(leave, 3)
    assert desk.cancels["id_order"].tolist() == [stop["id_order"]]
    desk.canceled(stop)
    assert (desk.lots, desk.world.brackets()[0]["phase"]) == (0, BracketPhase.PHASE_CLOSED)
    assert desk.incidents == []


def test_the_schedule_of_reduced_closes_beside_an_armed_stop_and_the_stop_shrinks():
    plan = {"reduce_interval_ns": SECOND, "reduce_share_ppm": 200_000, "reduce_target_ppm": 0}
    desk = bracketed(target=0, modes=plan)
    desk.control(mode=Mode.MODE_REDUCED, who=Who.WHO_HUMAN)
    for _ in range(4):
        desk.quote(by=SECOND // 4)
        serve(desk)
        desk.timer(by=SECOND // 4)
        serve(desk)
    assert desk.world.counts["denied"] == 0
    assert 0 < desk.lots < 5
    assert desk.world.brackets()[0]["outside_lots"] == 5 - desk.lots


def test_both_exits_filled_beside_an_outside_one_is_still_named_and_bought_back():
    desk = bracketed()
    desk.wants("ask", tag=1, qty_lots=5, flags=2, stop_px_ticks=0)
    stop = next(o for o in desk.world.live_orders() if o["type"] in STOPS)
    target = next(o for o in desk.world.live_orders() if o["type"] == OrderType.TYPE_LIMIT)
    sell = int(Flag.FLAG_SELL)
    for o, px in ((stop, 49_899), (target, 50_100)):
        desk.fill({"id_order": o["id_order"], "symbol": 0, "flags": sell, "px_ticks": px, "qty_lots": 5})
    assert desk.lots == -5
    assert Incident.INCIDENT_BOTH_FILLED in desk.incidents


# -------------------------------------------------------------------------------------------------------- the machine
def test_only_a_following_bracket_is_told_a_position_and_it_has_no_entry():
    table = Brackets()
    status, handle, _ = table.open(kind=0, qty=5, stop_px=90, flags=int(BracketFlag.BRACKET_FOLLOWS))
    assert status == 0
    assert table.follow(handle, 5) == []
    status, other, _ = table.open(kind=0, qty=5, stop_px=90, target_px=120)
    assert table.follow(other, 7) == []
    assert table.find(other)["held_lots"] == 5
    status, _, _ = table.open(kind=1, qty=5, entry_px=100, stop_px=90, flags=int(BracketFlag.BRACKET_FOLLOWS))
    assert status != 0
    table.check()


def test_what_is_told_twice_is_told_once():
    table = Brackets()
    _, handle, placed = table.open(kind=0, qty=5, stop_px=90, flags=int(BracketFlag.BRACKET_FOLLOWS))
    assert [(a["leg"], a["qty_lots"]) for a in placed] == [(BracketLeg.LEG_STOP, 5)]
    assert table.follow(handle, 5) == []
    table.follow(handle, 8)
    table.follow(handle, 8)
    assert table.find(handle)["held_lots"] == 8
    table.outside(handle, 3)
    table.follow(handle, 8)
    assert table.find(handle)["held_lots"] == 5
    table.check()


MOVE = st.one_of(
    st.tuples(st.just("quote"), st.integers(-3, 3)),
    st.tuples(st.just("ack"), st.integers(0, 9)),
    st.tuples(st.just("fill"), st.integers(0, 9), st.integers(1, 5)),
    st.tuples(st.just("end"), st.integers(0, 9), st.sampled_from([Kind.KIND_ORDER_CANCELED, Kind.KIND_ORDER_REJECTED])),
    st.tuples(st.just("refuse"), st.integers(0, 9)),
    st.tuples(st.just("time"), st.sampled_from([1, SECOND, 6 * SECOND])),
)


@pytest.mark.parametrize("can", [int(Can.CAN_ALL), int(Can.CAN_MARKET), int(Can.CAN_MARKET | Can.CAN_STOP)])
def test_whatever_comes_a_net_position_has_its_stop_or_is_being_closed_or_is_an_incident(can):
    """Fills, rejections, cancels and time in any order: after each event the net position is covered by a stop that
    lives or is on its way, or an exit at market is out, or the symbol is on record as unprotected."""

    @settings(
        max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
    )
    @given(st.lists(MOVE, min_size=1, max_size=30))
    def run(moves):
        desk = maker(can)
        sent = []
        mid = 50_000
        inner = desk.core.step

        def step(record):
            status, out = inner(record)
            for kind in (Kind.KIND_INTENT_PLACE, Kind.KIND_INTENT_AMEND):
                sent.extend(out[out["kind"] == kind].view(types.INTENT))
            return status, out

        desk.core = type("Recorded", (), {"step": staticmethod(step), "kept": desk.core})()
        try:
            for move in moves:
                name, *args = move
                if name == "quote":
                    mid += args[0]
                    desk.quote(mid, mid + 1)
                elif name == "time":
                    desk.timer(by=args[0])
                elif sent:
                    order = sent[-1 - args[0] % len(sent)]
                    if name == "ack":
                        desk.ack(order)
                    elif name == "fill":
                        desk.fill(order, args[1])
                    elif name == "end":
                        desk.report(args[1], order)
                    else:
                        desk.report(Kind.KIND_ORDER_CANCEL_REFUSED, order)
                symbol = desk.world.symbols()[0]
                covers = sum(
                    int(o["qty_lots"] - o["filled_lots"])
                    for o in desk.world.live_orders()
                    if bool(o["sell"]) == (desk.lots > 0) and o["flags"] & 1
                )
                assert covers >= abs(desk.lots) or symbol["unprotected_lots"] or not desk.lots, move
        finally:
            desk.close()

    run()
