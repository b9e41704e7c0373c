"""Execution algorithms through the whole step: from a wish to slices, through the gate, to an end on the record."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine._core import types
from engine._core.algos import AlgoKind, AlgoState
from engine._core.modes import Mode, Who
from engine._core.orders import OrderTif, OrderType
from engine._core.risk import Rule
from engine._core.strategy import StopReason, StrategyAct, StrategyRule
from engine._core.strategy_abi import WishType
from engine._core.types import Can, Kind, Stage, Status
from tests.support.desks import SECOND, START, Desk, terms_of

CASES = int(os.environ.get("BOT4_STRESS", "0")) * 1000 or 100
IOC, GTX = 1, 3


def sliced(kind: int = WishType.TYPE_TWAP, *, seconds: int = 10, share: int = 0, **fields: Any) -> Desk:
    """A parent of ten lots in slices of two over ten seconds, with a stop that follows what it buys."""
    options = fields.pop("desk", {})
    desk = Desk(**options)
    desk.world.set_strategy(0, 0, limits={"nets": 1, "share_ppm": share})
    values = {"type": kind, "px_ticks": 50_020, "qty_lots": 10, "display_lots": 2, "stop_px_ticks": 49_900,
              "expire_ns": START + seconds * SECOND, "tif": IOC} | fields  # fmt: skip
    desk.wants("bid", **values)
    desk.quote(by=0)
    return desk


def records(desk: Desk) -> list[tuple[AlgoState, int]]:
    rows = desk.out[desk.out["kind"] == Kind.KIND_ALGO].view(types.ALGO)
    return [(AlgoState(int(r["state"])), int(r["filled_lots"])) for r in rows]


def children(desk: Desk) -> list[Any]:
    return [p for p in desk.places if terms_of(p)[0] == OrderType.TYPE_LIMIT]


def run_out(desk: Desk, *, fill: bool = True, seconds: int = 12) -> tuple[int, list[tuple[AlgoState, int]]]:
    """Half-second steps to the end; children fill whole. Returns lots placed and every record of the parent."""
    placed, told = 0, list(records(desk))
    for _ in range(2 * seconds):
        desk.quote(by=SECOND // 2)
        told += records(desk)
        for child in children(desk):
            placed += int(child["qty_lots"])
            if fill:
                desk.fill(child)
            else:
                desk.report(Kind.KIND_ORDER_EXPIRED, child)
            told += records(desk)
            for stop in [p for p in desk.places if terms_of(p)[0] == OrderType.TYPE_STOP]:
                desk.ack(stop)
            for amend in desk.these(Kind.KIND_INTENT_AMEND):
                desk.report(Kind.KIND_ORDER_REPLACED, amend, qty_lots=int(amend["qty_lots"]), px_ticks=0)
    return placed, told


# ------------------------------------------------------------------------------------------------------------- starting
def test_a_wish_starts_a_parent_and_its_slices_pass_the_gate_one_at_a_time():
    desk = sliced()
    assert records(desk) == [(AlgoState.ALGO_WAITING, 0)]
    assert len(desk.places) == 0
    desk.quote(by=1)
    first = children(desk)
    assert [(int(c["qty_lots"]), int(c["px_ticks"]), terms_of(c)[1]) for c in first] == [(2, 50_001, OrderTif.TIF_IOC)]
    assert first[0]["token"] != 0
    desk.quote(by=SECOND // 2)
    assert children(desk) == []


def test_a_parent_that_fills_ends_on_the_record_and_is_not_begun_again():
    desk = sliced()
    placed, told = run_out(desk, seconds=20)
    assert (placed, desk.lots) == (10, 10)
    assert [state for state, _ in told] == [AlgoState.ALGO_WAITING, AlgoState.ALGO_WORKING, AlgoState.ALGO_FILLED]
    assert told[-1] == (AlgoState.ALGO_FILLED, 10)
    assert [a["state"] for a in desk.world.algos()] == [AlgoState.ALGO_FILLED]


def test_another_wish_gives_the_row_of_an_ended_parent_back():
    desk = sliced()
    run_out(desk)
    desk.wants("bid", kind=2)
    desk.quote()
    assert desk.world.algos() == []
    assert desk.world.strategies()["held"][0].tolist() == [0, 0, 0, 0]
    desk.wants("bid", qty_lots=3)
    desk.quote()
    assert [int(p["qty_lots"]) for p in children(desk)] == [3]


def test_the_net_position_of_a_parent_has_its_stop():
    desk = sliced()
    run_out(desk, seconds=4)
    stops = [o for o in desk.world.live_orders() if o["type"] == OrderType.TYPE_STOP]
    assert [int(o["qty_lots"]) for o in stops] == [desk.lots]
    assert desk.world.symbols()["unprotected_lots"][0] == 0


def test_the_same_wish_keeps_the_parent_and_another_one_replaces_it():
    desk = sliced()
    before = desk.world.algos()[0]["id_algo"]
    desk.quote(by=1)
    desk.quote(by=1)
    assert [a["id_algo"] for a in desk.world.algos()] == [before]
    desk.wants("bid", type=WishType.TYPE_TWAP, px_ticks=50_030, qty_lots=10, display_lots=2, tif=IOC,
               expire_ns=START + 10 * SECOND)  # fmt: skip
    desk.quote(by=1)
    child = desk.cancels
    assert len(child) == 1
    desk.canceled(child[0])
    assert (AlgoState.ALGO_CANCELED, 0) in records(desk)
    desk.quote(by=1)
    assert [a["config"]["limit_px_ticks"] for a in desk.world.algos()] == [50_030]


@pytest.mark.parametrize(
    ("fields", "stage", "reason"),
    [
        ({"kind": WishType.TYPE_POV}, Stage.STAGE_STRATEGY, 1 << StrategyRule.STRATEGY_RULE_CARRY),
        ({"desk": {"algos": 0}}, Stage.STAGE_STRATEGY, 1 << StrategyRule.STRATEGY_RULE_CARRY),
        ({"desk": {"can": 0}}, Stage.STAGE_STRATEGY, 1 << StrategyRule.STRATEGY_RULE_CARRY),
        ({"seconds": -1}, Stage.STAGE_STRATEGY, 1 << StrategyRule.STRATEGY_RULE_WISH),
        ({"display_lots": 11}, Stage.STAGE_STRATEGY, 1 << StrategyRule.STRATEGY_RULE_WISH),
        ({"target_px_ticks": 50_100}, Stage.STAGE_STRATEGY, 1 << StrategyRule.STRATEGY_RULE_WISH),
        ({"kind": WishType.TYPE_VWAP}, Stage.STAGE_ORDERS, int(Status.ALGO_BAD_CONFIG)),
        ({"seconds": 3600 * 60}, Stage.STAGE_ORDERS, int(Status.ALGO_BAD_CONFIG)),
    ],
)
def test_a_parent_that_cannot_be_is_denied_whole_with_its_reason(fields, stage, reason):
    desk = sliced(**fields)
    denial = desk.denials[0]
    assert (Stage(int(denial["origin"]) >> 32), int(denial["reasons"])) == (stage, reason)
    assert desk.world.algos() == []


def test_with_brackets_a_parent_needs_the_stop_that_follows():
    desk = Desk()
    desk.wants("bid", type=WishType.TYPE_TWAP, px_ticks=50_020, qty_lots=10, display_lots=2, tif=IOC,
               expire_ns=START + 10 * SECOND)  # fmt: skip
    desk.quote()
    assert int(desk.denials[0]["reasons"]) == 1 << StrategyRule.STRATEGY_RULE_CARRY


def test_a_full_table_denies_the_next_parent():
    desk = Desk(algos=1, strategies=2)
    for slot in range(2):
        desk.world.set_strategy(slot, 0, limits={"nets": 1})
        desk.wants("bid", strategy=slot, type=WishType.TYPE_TWAP, px_ticks=50_020, qty_lots=10, display_lots=2, tif=IOC,
                   expire_ns=START + 10 * SECOND)  # fmt: skip
    desk.quote()
    assert [int(d["reasons"]) for d in desk.denials] == [int(Status.ALGO_TABLE_FULL)]


def test_own_limits_hold_the_whole_parent_by_position_and_its_children_by_size():
    for limits, rule in (
        ({"position_lots_max": 9}, StrategyRule.STRATEGY_RULE_POSITION),
        ({"order_lots_max": 1}, StrategyRule.STRATEGY_RULE_ORDER_LOTS),
    ):
        desk = Desk()
        desk.world.set_strategy(0, 0, limits={"nets": 1} | limits)
        desk.wants("bid", type=WishType.TYPE_TWAP, px_ticks=50_020, qty_lots=10, display_lots=2, tif=IOC,
                   expire_ns=START + 10 * SECOND)  # fmt: skip
        desk.quote()
        assert int(desk.denials[0]["reasons"]) == 1 << rule


def test_without_evidence_no_parent_starts():
    desk = sliced(desk={"discipline": {}})
    assert Stage(int(desk.denials[0]["origin"]) >> 32) == Stage.STAGE_DISCIPLINE
    assert desk.world.algos() == []


# ------------------------------------------------------------------------------------------------------------ the kinds
def test_twap_is_never_early_and_ends_at_its_end():
    desk = sliced()
    filled = 0
    for turn in range(1, 20):
        desk.quote(by=SECOND // 2)
        for child in children(desk):
            filled += int(child["qty_lots"])
            desk.fill(child)
        assert filled <= 2 * (1 + turn * SECOND // 2 // (2 * SECOND))
    assert filled == 10


def test_vwap_follows_the_profile_in_the_strategys_state():
    desk = Desk()
    desk.world.set_strategy(0, 0, limits={"nets": 1})

    def decide(view, wishes):
        view["state"][:2] = 1, 4
        wish = wishes["bid"][0]
        wish["kind"], wish["type"], wish["tif"], wish["px_ticks"] = 1, WishType.TYPE_VWAP, IOC, 50_020
        wish["qty_lots"], wish["display_lots"], wish["stop_px_ticks"] = 10, 5, 49_900
        wish["expire_ns"] = START + 10 * SECOND

    desk.wish[0] = decide
    desk.quote(by=0)
    row = desk.world.algos()[0]["config"]
    assert (row["kind"], row["bucket_count"], row["weights"][:3]) == (AlgoKind.ALGO_VWAP, 2, [1, 4, 0])
    early = 0
    for _ in range(8):
        desk.quote(by=SECOND // 2)
        for child in children(desk):
            early += int(child["qty_lots"])
            desk.fill(child)
    assert early == 2


NO_ICEBERG = int(Can.CAN_ALL & ~Can.CAN_ICEBERG)


def iceberg(can: int = NO_ICEBERG, **fields: Any) -> Desk:
    return sliced(WishType.TYPE_ICEBERG, desk={"can": can}, **({"tif": 0, "expire_ns": 0} | fields))


def test_an_iceberg_that_the_venue_does_not_have_is_shown_by_the_core_a_part_at_a_time():
    desk = iceberg(px_ticks=50_000)
    shown = []
    for _ in range(5):
        desk.quote()
        (part,) = children(desk)
        shown.append((int(part["qty_lots"]), int(part["px_ticks"]), terms_of(part)[1], int(part["token"]) != 0))
        desk.ack(part)
        desk.quote()
        assert children(desk) == []
        # A part that is filled in pieces is not topped up: the next one comes when it is gone.
        desk.fill(part, 1)
        desk.quote()
        assert children(desk) == []
        desk.fill(part, 1)
    assert shown == [(2, 50_000, OrderTif.TIF_GTC, True)] * 5
    assert (desk.lots, records(desk)) == (10, [(AlgoState.ALGO_FILLED, 10)])
    # It stood in for one order: the same wish is a new one once that is filled, as with any order.
    desk.quote()
    assert [a["state"] for a in desk.world.algos()] == [AlgoState.ALGO_WAITING]


def test_an_iceberg_that_the_venue_has_is_one_order_there():
    desk = iceberg(int(Can.CAN_ALL), px_ticks=50_000)
    assert [terms_of(p)[0] for p in desk.places] == [OrderType.TYPE_ICEBERG]
    assert desk.world.algos() == []


def test_an_iceberg_of_the_core_obeys_the_gate_with_each_part_and_tries_a_refused_one_once_a_second():
    desk = iceberg(px_ticks=50_000)
    desk.control(mode=int(Mode.MODE_PAUSED), who=int(Who.WHO_HUMAN))
    refused = 0
    for _ in range(30):
        desk.quote(by=SECOND // 10)
        assert children(desk) == []
        refused += len(desk.denials)
    assert 3 <= refused <= 4


def test_another_iceberg_takes_the_shown_part_back_first():
    desk = iceberg(px_ticks=50_000)
    desk.quote()
    part = children(desk)[0]
    desk.ack(part)
    desk.wants("bid", type=WishType.TYPE_ICEBERG, px_ticks=49_990, qty_lots=10, display_lots=3, stop_px_ticks=49_900)
    desk.quote()
    assert (desk.cancels["id_order"].tolist(), children(desk)) == ([part["id_order"]], [])
    desk.canceled(part)
    desk.quote()
    desk.quote()
    assert [(int(p["qty_lots"]), int(p["px_ticks"])) for p in children(desk)] == [(3, 49_990)]


@pytest.mark.parametrize("fields", [{"target_px_ticks": 50_100}, {"tif": 4, "expire_ns": START + 9 * SECOND}])
def test_an_iceberg_of_the_core_has_no_target_and_no_date(fields):
    desk = iceberg(px_ticks=50_000, **fields)
    assert [int(d["reasons"]) for d in desk.denials] == [1 << StrategyRule.STRATEGY_RULE_CARRY]


def test_a_post_only_iceberg_of_the_core_posts_its_parts():
    desk = iceberg(px_ticks=50_000, tif=GTX)
    desk.quote()
    assert [terms_of(p)[1] for p in children(desk)] == [OrderTif.TIF_GTX]


def test_pov_takes_no_more_than_its_share_of_the_volume():
    desk = sliced(WishType.TYPE_POV, share=100_000)
    desk.quote(by=1)
    assert children(desk) == []
    filled = volume = 0
    for _ in range(18):
        desk.trade(50_001, 10, by=SECOND // 4)
        volume += 10
        desk.quote(by=SECOND // 4)
        for child in children(desk):
            filled += int(child["qty_lots"])
            desk.fill(child)
        assert filled * 10 <= volume
    assert filled > 0


def test_a_resting_parent_posts_at_its_own_touch_and_never_takes():
    desk = sliced(tif=GTX)
    desk.quote(by=1)
    child = children(desk)[0]
    assert (int(child["px_ticks"]), terms_of(child)[1]) == (50_000, OrderTif.TIF_GTX)
    desk.report(Kind.KIND_ORDER_EXPIRED, child)
    placed, told = run_out(desk, fill=False)
    assert placed > 0
    assert told[-1] == (AlgoState.ALGO_SHORT, 0)


def test_a_parent_that_only_closes_needs_no_stop_and_never_turns_the_position():
    desk = Desk()
    desk.world.set_strategy(0, 0, limits={"nets": 1})
    desk.wants(qty_lots=5)
    desk.quote()
    desk.fill(desk.places[0])
    desk.ack(desk.places[0])
    desk.wants_nothing()
    desk.wants("ask", type=WishType.TYPE_TWAP, px_ticks=49_990, qty_lots=5, display_lots=1, tif=IOC, flags=2,
               stop_px_ticks=0, expire_ns=START + 10 * SECOND)  # fmt: skip
    for _ in range(30):
        desk.quote(by=SECOND // 2)
        for child in children(desk):
            desk.fill(child)
        assert desk.lots >= 0
    assert desk.lots == 0


# -------------------------------------------------------------------------------------------------- in the middle of it
def test_a_pause_denies_the_slices_and_a_resume_goes_on_with_them():
    desk = sliced(desk={"modes": {"cooldown_ns": 0}})
    desk.quote(by=SECOND // 2)
    desk.fill(children(desk)[0])
    desk.control(mode=Mode.MODE_PAUSED, who=Who.WHO_HUMAN)
    denied = []
    for _ in range(6):
        desk.quote(by=SECOND // 2)
        denied += [{r for r in Rule if int(d["reasons"]) >> int(r) & 1} for d in desk.denials]
        assert children(desk) == []
    assert denied
    assert all(Rule.RULE_MODE in rules for rules in denied)
    assert len(denied) <= 2  # once a slice, not once an event
    equity = desk.world.account()["equity"]
    desk.control(mode=Mode.MODE_NORMAL, who=Who.WHO_HUMAN, equity=equity)
    desk.wants_nothing()
    _, told = run_out(desk, seconds=8)
    assert told[-1] == (AlgoState.ALGO_FILLED, 10)


@pytest.mark.parametrize("mode", [Mode.MODE_EMERGENCY, Mode.MODE_REDUCED])
def test_an_emergency_and_reduced_call_the_parent_off_and_its_child_back(mode):
    desk = sliced(tif=GTX)
    desk.quote(by=SECOND // 2)
    child = children(desk)[0]
    desk.ack(child)
    desk.control(mode=mode, who=Who.WHO_HUMAN, equity=desk.world.account()["equity"])
    assert child["id_order"] in desk.cancels["id_order"].tolist()
    desk.canceled(child)
    assert (AlgoState.ALGO_CANCELED, 0) in records(desk)
    for _ in range(6):
        desk.quote(by=SECOND // 2)
        assert children(desk) == []


def test_a_stopped_strategys_parent_is_called_off():
    desk = sliced(tif=GTX)
    desk.quote(by=SECOND // 2)
    child = children(desk)[0]
    desk.step(_strategy_event(desk, StrategyAct.STRATEGY_ACT_STOP))
    assert desk.cancels["id_order"].tolist() == [child["id_order"]]
    desk.canceled(child)
    assert records(desk) == [(AlgoState.ALGO_CANCELED, 0)]


def _strategy_event(desk: Desk, act: int) -> Any:
    record = np.zeros(1, types.EVENT)
    desk.now += 1
    record["kind"], record["ts_recv_ns"] = Kind.KIND_STRATEGY, START + desk.now
    record["word"][0, :3] = 0, act, StopReason.STOPPED_OPERATOR
    return record


def test_a_late_fill_of_an_older_parents_child_reaches_no_newer_one():
    desk = sliced(tif=GTX)
    desk.quote(by=1)
    child = children(desk)[0]
    desk.ack(child)
    desk.wants("bid", type=WishType.TYPE_TWAP, px_ticks=50_010, qty_lots=10, display_lots=2, tif=GTX,
               expire_ns=START + 10 * SECOND)  # fmt: skip
    desk.quote(by=1)
    desk.canceled(child)
    desk.quote(by=1)
    desk.quote(by=1)
    assert len(desk.world.algos()) == 1
    desk.fill(child)
    assert desk.lots == 2
    assert desk.world.algos()[0]["filled_lots"] == 0


def test_a_child_whose_fate_is_unknown_is_asked_for_and_not_doubled():
    desk = sliced(tif=GTX)
    desk.quote(by=1)
    child = children(desk)[0]
    desk.say(Kind.KIND_ORDER_LOST, types.ORDER, id_order=int(child["id_order"]))
    asked = 0
    for _ in range(40):
        desk.quote(by=SECOND // 2)
        asked += len(desk.cancels)
        assert children(desk) == []
    assert asked <= 1


MOVE = st.one_of(
    st.tuples(st.just("quote"), st.integers(-20, 20), st.sampled_from([1, SECOND // 3, SECOND])),
    st.tuples(st.just("trade"), st.integers(1, 50)),
    st.tuples(st.just("ack"), st.integers(0, 5)),
    st.tuples(st.just("fill"), st.integers(0, 5), st.integers(1, 4)),
    st.tuples(st.just("end"), st.integers(0, 5), st.sampled_from(
        [Kind.KIND_ORDER_CANCELED, Kind.KIND_ORDER_REJECTED, Kind.KIND_ORDER_EXPIRED, Kind.KIND_ORDER_CANCEL_REFUSED,
         Kind.KIND_ORDER_LOST])),
    st.tuples(st.just("mode"), st.integers(0, 3)),
    st.tuples(st.just("stop"), st.sampled_from([StrategyAct.STRATEGY_ACT_STOP, StrategyAct.STRATEGY_ACT_RESUME])),
    st.tuples(st.just("wish"), st.sampled_from([WishType.TYPE_TWAP, WishType.TYPE_VWAP, WishType.TYPE_POV, None]),
              st.sampled_from([0, IOC, GTX]), st.sampled_from([0, 2])),
)  # fmt: skip


@pytest.mark.parametrize("can", [int(Can.CAN_ALL), int(Can.CAN_MARKET | Can.CAN_IOC | Can.CAN_POST)])
def test_whatever_comes_a_parent_never_has_more_out_than_it_is(can):
    """One child at a time, filled and out never beyond the parent, nothing out of one that has ended."""

    @settings(
        max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
    )
    @given(st.lists(MOVE, min_size=1, max_size=30))
    def run(moves):
        desk = Desk(can=can, modes={"cooldown_ns": 0})
        desk.world.set_strategy(0, 0, limits={"nets": 1, "share_ppm": 200_000})
        sent: list[Any] = []
        mid = 50_000
        try:
            for move in moves:
                name, *args = move
                if name == "quote":
                    mid += args[0]
                    desk.quote(mid, mid + 1, by=args[1])
                elif name == "trade":
                    desk.trade(mid, args[0])
                elif name == "mode":
                    desk.control(mode=args[0], who=Who.WHO_HUMAN, equity=desk.world.account()["equity"])
                elif name == "stop":
                    desk.step(_strategy_event(desk, args[0]))
                elif name == "wish":
                    _wish(desk, mid, *args)
                elif sent:
                    order = sent[-1 - args[0] % len(sent)]
                    if name == "ack":
                        desk.ack(order)
                    elif name == "fill":
                        desk.fill(order, args[1])
                    else:
                        desk.report(args[1], order)
                sent.extend(desk.places)
                _hold(desk)
        finally:
            desk.close()

    run()


def _wish(desk: Desk, mid: int, kind: Any, tif: int, flags: int) -> None:
    if kind is None:
        desk.wants("bid", kind=2)
        return
    inner_stop = 0 if flags else mid - 100
    desk.wants("bid", type=kind, px_ticks=mid + 10, qty_lots=9, display_lots=2, tif=tif, flags=flags,
               stop_px_ticks=inner_stop, expire_ns=START + desk.now + 8 * SECOND)  # fmt: skip
    decide = desk.wish[0]

    def with_profile(view: Any, wishes: Any) -> None:
        view["state"][:3] = 3, 1, 2
        decide(view, wishes)

    desk.wish[0] = with_profile


def _hold(desk: Desk) -> None:
    live = [o for o in desk.world.live_orders() if o["tag"] & 0xC000 == 0x4000]
    rows = desk.world.algos()
    assert len(rows) <= 4
    for a in rows:
        mine = [o for o in live if o["tag"] & 0x1FFF == a["id_algo"] & 0xFFFF and o["signal"] == a["id_algo"] >> 16]
        assert len(mine) <= (a["state"] <= AlgoState.ALGO_CANCELING)
        assert a["filled_lots"] - a["late_lots"] + a["open_lots"] <= a["config"]["qty_lots"]
    held = [int(i) for i in desk.world.strategies()["held"][0]]
    assert {-i for i in held if i < 0} <= {a["id_algo"] for a in rows}
