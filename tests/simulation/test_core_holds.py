"""What a strategy holds and what happens to it: forced stops, rests, full tables, schedules that cannot be."""

from __future__ import annotations

import pytest

from engine._core import types
from engine._core.strategy import StrategyRule
from engine._core.strategy_abi import WishType
from engine._core.types import Can, Flag, Kind, Stage, Status
from engine.strategy.contract import KEEP
from tests.support.desks import SECOND, START, Desk, terms_of

IOC = 1
CLAIMS = {"valid": 1, "sources": 7, "p_value": 0.01, "expected_value": 1.0, "sharpe": 3.0, "confidence": 0.9}


def stage_of(decision) -> Stage:
    return Stage(int(decision["origin"]) >> 32)


def claimed(desk: Desk, **fields) -> None:
    """A wish with the evidence that discipline asks for."""
    values = {"kind": 1, "px_ticks": 49_999, "qty_lots": 5, "stop_px_ticks": 49_900} | fields

    def decide(view, wishes):
        for name, value in values.items():
            wishes["bid"][0][name] = value
        for name, value in CLAIMS.items():
            wishes["signal"][name] = value

    desk.wish[0] = decide


# ------------------------------------------------------------------------------------------------------- forced stops
def held(side: str = "bid") -> Desk:
    """Five lots whose stop rests at the venue."""
    desk = Desk(discipline={"paper": 1})
    desk.quote()
    claimed(desk)
    desk.quote()
    entry = desk.places[0]
    desk.ack(entry)
    desk.fill(entry)
    desk.ack(desk.places[0])
    desk.wants_nothing()
    assert desk.lots == 5
    return desk


def closing(desk: Desk) -> list[tuple[int, int]]:
    return [(int(p["qty_lots"]), int(p["flags"]) & Flag.FLAG_SELL) for p in desk.places
            if terms_of(p)[0] == WishType.TYPE_MARKET]  # fmt: skip


def test_a_position_past_its_stop_that_is_still_there_is_closed_by_force():
    desk = held()
    desk.quote(49_950, 49_951)
    assert closing(desk) == []
    sold, by_force = [], False
    for _ in range(6):
        desk.quote(49_800, 49_801, by=SECOND)
        sold += closing(desk)
        by_force |= len(desk.out) > 0
        for cancel in desk.cancels:
            desk.canceled(cancel)
            sold += closing(desk)
    assert by_force
    assert sold
    assert {flag for _, flag in sold} == {int(Flag.FLAG_SELL)}
    assert sold[0][0] == 5


def test_a_position_that_comes_back_inside_its_stop_is_left_alone():
    desk = held()
    for _ in range(6):
        desk.quote(49_950, 49_951, by=SECOND)
        assert (closing(desk), len(desk.cancels)) == ([], 0)


@pytest.mark.parametrize("brackets", [0, 16])
def test_a_position_behind_a_stop_of_its_own_is_closed_by_force_and_once_a_second(brackets):
    """No bracket holds it: with a table of brackets and without one it is closed all the same."""
    desk = Desk(discipline={"paper": 1}, brackets=brackets)
    entry = {"id_order": 77, "symbol": 0, "flags": 0, "px_ticks": 49_999, "qty_lots": 5}
    desk.quote()
    # Bought by nobody of ours, as after a start over a position that was there.
    desk.fill(entry)
    assert desk.lots == 5
    desk.wants("ask", type=WishType.TYPE_STOP, px_ticks=0, trigger_px_ticks=49_900, stop_px_ticks=0, flags=2)
    desk.quote()
    desk.ack(desk.places[0])
    assert int(desk.world.symbols()["stop_px_ticks"][0]) == 49_900
    desk.wants_nothing()
    desk.quote(49_950, 49_951)
    assert closing(desk) == []
    desk.quote(49_800, 49_801, by=SECOND)
    assert closing(desk) == [(5, int(Flag.FLAG_SELL))]
    order = desk.places[0]
    # It is on its way: the demand that comes again sends no second one.
    desk.quote(49_790, 49_791, by=2 * SECOND)
    assert closing(desk) == []
    desk.ack(order)
    desk.fill(order)
    assert desk.lots == 0
    desk.quote(49_780, 49_781, by=2 * SECOND)
    assert closing(desk) == []


# --------------------------------------------------------------------------------------------------------------- wishes
def test_a_wish_to_keep_leaves_the_order_where_it_is_at_any_price():
    desk = Desk(brackets=0)
    desk.wants()
    desk.quote()
    desk.ack(desk.places[0])
    desk.wants(kind=KEEP)
    for bid in (50_000, 50_010, 49_990):
        desk.quote(bid, bid + 1)
        assert len(desk.out) == 0
    assert desk.world.live_orders()["px_ticks"].tolist() == [49_999]


def test_a_trailing_order_is_the_same_wish_wherever_the_price_is():
    desk = Desk(brackets=0)
    desk.wants()
    desk.quote()
    desk.fill(desk.places[0])
    desk.wants_nothing()
    desk.wants("ask", type=WishType.TYPE_TRAILING, px_ticks=0, trail_ticks=20, flags=2, stop_px_ticks=0)
    desk.quote()
    order = desk.places[0]
    desk.ack(order)
    for bid in (50_001, 50_004):
        desk.quote(bid, bid + 1)
        assert len(desk.places) == len(desk.cancels) == 0
    assert len(desk.world.live_orders()) == 1


def test_a_second_side_counts_what_a_running_parent_has_left():
    desk = Desk()
    desk.world.set_strategy(0, 0, limits={"nets": 1, "position_lots_max": 12})
    desk.wants("bid", type=WishType.TYPE_TWAP, px_ticks=50_020, qty_lots=10, display_lots=2, tif=IOC,
               stop_px_ticks=49_900, expire_ns=START + 10 * SECOND)  # fmt: skip
    desk.quote(by=0)
    assert len(desk.world.algos()) == 1
    first = desk.wish[0]

    def both(view, wishes):
        first(view, wishes)
        for name, value in {"kind": 1, "px_ticks": 49_000, "qty_lots": 3, "stop_px_ticks": 48_900}.items():
            wishes["bid"][1][name] = value

    desk.wish[0] = both
    desk.quote()
    assert [int(d["reasons"]) for d in desk.denials] == [1 << StrategyRule.STRATEGY_RULE_POSITION]


def test_a_full_bracket_table_denies_the_entry_by_name():
    desk = Desk(strategies=2, brackets=1)
    desk.wants(strategy=0, stop_px_ticks=49_900)
    desk.quote()
    desk.ack(desk.places[0])
    desk.world.set_strategy(1, 0)
    desk.wants(strategy=1, stop_px_ticks=49_900, px_ticks=49_998)
    desk.quote()
    assert len(desk.places) == 0
    assert [stage_of(d) for d in desk.denials] == [Stage.STAGE_ORDERS]


@pytest.mark.parametrize("can", [int(Can.CAN_ALL), int(Can.CAN_ALL) & ~int(Can.CAN_AMEND)])
def test_a_stop_follows_what_the_entry_fills_however_the_venue_changes_orders(can):
    desk = Desk(can=can)
    desk.wants(stop_px_ticks=49_900)
    desk.quote()
    entry = desk.places[0]
    desk.ack(entry)
    desk.fill(entry, 2)
    desk.ack(desk.places[0])
    desk.fill(entry, 3)
    for _ in range(6):
        for cancel in desk.cancels:
            desk.canceled(cancel)
        for order in desk.places:
            desk.ack(order)
        for order in desk.these(Kind.KIND_INTENT_AMEND):
            desk.report(Kind.KIND_ORDER_REPLACED, order, qty_lots=int(order["qty_lots"]), px_ticks=0)
    stops = [row for row in desk.world.live_orders() if row["px_stop_ticks"] == 49_900]
    assert sum(int(row["qty_lots"]) - int(row["filled_lots"]) for row in stops) == 5


# ----------------------------------------------------------------------------------------------------------- schedules
def test_a_parent_with_more_slices_than_nanoseconds_is_no_parent():
    desk = Desk()
    desk.world.set_strategy(0, 0, limits={"nets": 1})
    desk.wants("bid", type=WishType.TYPE_TWAP, px_ticks=50_020, qty_lots=10, display_lots=1, tif=IOC,
               stop_px_ticks=49_900, expire_ns=START + 1_000_005)  # fmt: skip
    desk.quote(by=1_000_000)
    assert desk.world.algos() == []
    assert [stage_of(d) for d in desk.denials] == [Stage.STAGE_ORDERS]
    assert desk.status == Status.OK


def test_a_child_that_the_gate_denies_is_tried_again_and_nothing_is_lost():
    desk = Desk(limits={"book_age_ns": SECOND})
    desk.world.set_strategy(0, 0, limits={"nets": 1})
    desk.wants("bid", type=WishType.TYPE_TWAP, px_ticks=50_020, qty_lots=10, display_lots=2, tif=IOC,
               stop_px_ticks=49_900, expire_ns=START + 10 * SECOND)  # fmt: skip
    desk.quote(by=0)
    filled = 0
    denied = 0
    for turn in range(40):
        # The switch of the symbol denies whatever opens while it is thrown.
        if turn in (3, 9):
            desk.say(Kind.KIND_SYMBOL, types.SYMBOL, halt=int(turn == 3))
        desk.quote(by=SECOND // 2)
        denied += len(desk.denials)
        for child in desk.places:
            filled += int(child["qty_lots"])
            desk.fill(child)
    assert denied
    assert (filled, desk.lots) == (10, 10)


def test_a_childs_cancel_that_the_venue_refuses_is_asked_for_again():
    desk = Desk()
    desk.world.set_strategy(0, 0, limits={"nets": 1})
    desk.wants("bid", type=WishType.TYPE_TWAP, px_ticks=49_990, qty_lots=10, display_lots=2, stop_px_ticks=49_900,
               expire_ns=START + 10 * SECOND)  # fmt: skip
    desk.quote(by=0)
    asked: dict[int, int] = {}
    for _ in range(24):
        desk.quote(by=SECOND // 2)
        cancels = desk.cancels
        for order in desk.places:
            desk.ack(order)
        for cancel in cancels:
            number = int(cancel["id_order"])
            asked[number] = asked.get(number, 0) + 1
            # The second time the venue does as it is told.
            desk.report(Kind.KIND_ORDER_CANCEL_REFUSED if asked[number] == 1 else Kind.KIND_ORDER_CANCELED, cancel)
    assert asked
    assert set(asked.values()) == {2}
