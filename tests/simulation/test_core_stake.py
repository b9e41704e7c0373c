"""What waits for a person's word in the core: entries with too much at stake, one order a word, and never a way out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._core import types
from engine._core.strategy import StrategyAct, StrategyRule
from engine._core.strategy_abi import WishFlag, WishType
from engine._core.types import Can, Kind, Status
from tests.support.desks import SECOND, START, Desk
from tests.support.suites import histories

WORD = 1 << StrategyRule.STRATEGY_RULE_APPROVAL
LOT = 50_000 * 1_000  # what a lot is worth, in account units, at a price of 50,000


def desk_of(lots: int, **shape: Any) -> Desk:
    """One whose strategies may have so many lots at stake."""
    return Desk(brackets=0, limits={"approval_over": lots * LOT + LOT // 2}, **shape)


def approve(desk: Desk, lots: int, *, strategy: int = 0, seconds: int = 300) -> int:
    record = np.zeros(1, types.EVENT)
    record["kind"], record["ts_recv_ns"] = Kind.KIND_STRATEGY, START + desk.tick(1)
    until_ns = START + desk.now + seconds * SECOND
    record["word"][0, :4] = strategy, int(StrategyAct.STRATEGY_ACT_APPROVE), lots, until_ns
    desk.step(record)
    return desk.status


def asked(desk: Desk) -> bool:
    """Whether the last event left a denial that waits for a word."""
    return bool((desk.denials["reasons"] == WORD).any())


def test_an_entry_above_the_amount_is_denied_by_name_and_goes_with_a_word():
    desk = desk_of(5)
    desk.wants(qty_lots=6)
    desk.quote()
    assert asked(desk)
    assert not len(desk.places)
    assert approve(desk, 6) == Status.OK
    desk.quote()
    (order,) = desk.places
    assert order["qty_lots"] == 6


def test_up_to_the_amount_nobody_is_asked():
    desk = desk_of(5)
    desk.wants(qty_lots=5)
    desk.quote()
    assert len(desk.places) == 1
    assert not asked(desk)


def test_a_world_that_was_not_told_an_amount_asks_nobody():
    desk = Desk(brackets=0)
    assert desk.world.limits()["approval_over"] == 2**63 - 1
    desk.wants(qty_lots=30)
    desk.quote()
    assert not asked(desk)


def test_a_word_is_for_one_order():
    desk = desk_of(5)
    desk.wants(qty_lots=6)
    approve(desk, 6)
    desk.quote()
    (order,) = desk.places
    desk.ack(order)
    desk.canceled(order)
    desk.quote(by=SECOND)
    assert not len(desk.places)
    assert asked(desk)


@pytest.mark.parametrize(("lots", "seconds", "wait"), [(5, 300, 0), (-6, 300, 0), (6, 1, 2)])
def test_a_word_for_less_for_the_other_side_or_for_too_short_covers_nothing(lots, seconds, wait):
    desk = desk_of(5)
    approve(desk, lots, seconds=seconds)
    desk.wants(qty_lots=6)
    desk.quote(by=1 + wait * SECOND)
    assert not len(desk.places)
    assert asked(desk)


def test_a_word_lifts_no_rule_and_an_order_that_the_gate_denies_leaves_it_unused():
    desk = desk_of(5)
    approve(desk, 6)
    desk.wants(qty_lots=6, px_ticks=20_000, stop_px_ticks=19_000)
    desk.quote()
    assert not len(desk.places)
    assert len(desk.denials)
    assert not asked(desk)
    assert desk.world.strategies()["approvals_used"][0] == 0
    desk.wants(qty_lots=6)
    desk.quote()
    assert len(desk.places) == 1
    assert desk.world.strategies()["approvals_used"][0] == 1


def test_many_small_orders_are_at_stake_as_one():
    desk = desk_of(5)
    desk.wants(qty_lots=4)
    desk.quote()
    desk.ack(desk.places[0])
    desk.wants(qty_lots=2, tag=1)
    desk.quote()
    assert asked(desk)
    desk.wants(qty_lots=1, tag=1)
    desk.quote()
    assert len(desk.places) == 1


def test_what_is_held_is_at_stake_beside_what_is_wished_for():
    desk = desk_of(5)
    desk.wants(qty_lots=5)
    desk.quote()
    order = desk.places[0]
    desk.ack(order)
    desk.fill(order)
    desk.quote()
    assert asked(desk)


def test_what_closes_is_never_asked_about():
    """A sell of what is held, plain or reduce-only, has nothing at stake however much it is."""
    for flags in (0, int(WishFlag.WISH_REDUCE_ONLY)):
        desk = desk_of(5)
        approve(desk, 9)
        desk.wants(qty_lots=9)
        desk.quote()
        order = desk.places[0]
        desk.ack(order)
        desk.fill(order)
        desk.wants("ask", qty_lots=9, flags=flags, stop_px_ticks=0 if flags else 50_100)
        desk.quote()
        assert not asked(desk)
        assert [int(row["qty_lots"]) for row in desk.places] == [9]


def test_a_larger_order_in_place_of_a_smaller_one_is_asked_about_for_what_it_will_be():
    desk = desk_of(5, can=int(Can.CAN_ALL))
    desk.wants(qty_lots=3)
    desk.quote()
    desk.ack(desk.places[0])
    desk.wants(qty_lots=5)
    desk.quote()
    amended = desk.these(Kind.KIND_INTENT_AMEND)
    assert [int(row["qty_lots"]) for row in amended] == [5]
    desk.report(Kind.KIND_ORDER_REPLACED, amended[0], qty_lots=5)
    approve(desk, 7)
    desk.wants(qty_lots=7)
    desk.quote()
    assert [int(row["qty_lots"]) for row in desk.these(Kind.KIND_INTENT_AMEND)] == [7]
    assert desk.world.strategies()["approvals_used"][0] == 1


def test_a_sliced_parent_is_at_stake_whole_and_its_children_need_no_word_of_their_own():
    parent = {"type": int(WishType.TYPE_ICEBERG), "qty_lots": 9, "display_lots": 2}
    desk = desk_of(5, can=int(Can.CAN_ALL & ~Can.CAN_ICEBERG))
    desk.wants(**parent)
    desk.quote()
    assert asked(desk)
    assert not len(desk.places)
    approve(desk, 9)
    shown = []
    for _ in range(12):
        if sum(shown) < 9:
            desk.quote(by=SECOND)
            assert not asked(desk)
        for order in list(desk.places):
            shown.append(int(order["qty_lots"]))
            desk.ack(order)
            desk.fill(order)
    assert shown == [2, 2, 2, 2, 1]
    assert desk.world.strategies()["approvals_used"][0] == 1


def test_a_market_order_is_valued_at_the_touch_and_a_sell_below_it_too():
    for side, fields in (("bid", {"type": int(WishType.TYPE_MARKET), "px_ticks": 0}), ("ask", {"px_ticks": 49_000})):
        desk = desk_of(5)
        desk.wants(side, qty_lots=6, **fields)
        desk.quote()
        assert asked(desk), side


def test_tightening_the_amount_acts_at_once_and_loosening_it_is_refused():
    desk = desk_of(9)
    limit = 22
    assert desk.world.limits()["approval_over"] == 9 * LOT + LOT // 2
    for value, status in ((3 * LOT, Status.OK), (8 * LOT, Status.LIMIT_LOOSER)):
        record = np.zeros(1, types.EVENT)
        record["kind"], record["ts_recv_ns"] = Kind.KIND_LIMIT, START + desk.tick(1)
        record["word"][0, :2] = limit, value
        desk.step(record)
        assert desk.status == status
    desk.wants(qty_lots=4)
    desk.quote()
    assert asked(desk)


FLAG = st.integers(0, 1)
MOVE = st.one_of(
    st.tuples(st.just("wish"), st.sampled_from(["bid", "ask"]), FLAG, st.integers(1, 12), FLAG),
    st.tuples(st.just("approve"), st.sampled_from([-9, -6, 6, 9]), st.integers(1, 3)),
    st.tuples(st.just("venue"), st.integers(0, 2)),
)  # fmt: skip


@histories(usual=60)
@given(st.lists(MOVE, max_size=25))
def test_nothing_above_the_amount_leaves_without_a_word_of_its_own(moves):
    """By the outside alone: what was held and out before, each order that left, and the words that were given."""
    desk = desk_of(5, can=0)
    words: dict[bool, tuple[int, int]] = {}
    used = 0
    try:
        for name, *args in moves:
            if name == "approve":
                lots, seconds = args
                assert approve(desk, lots, seconds=seconds) == Status.OK
                words[lots < 0] = abs(lots), START + desk.now + seconds * SECOND
                continue
            if name == "wish":
                side, tag, lots, reduces = args
                desk.wants(side, tag=tag, qty_lots=lots, flags=reduces * int(WishFlag.WISH_REDUCE_ONLY),
                           stop_px_ticks=0 if reduces else {"bid": 49_900, "ask": 50_100}[side])  # fmt: skip
            # As it stood before the event that brings the orders.
            position = int(desk.world.strategies()["position_lots"][0])
            desk.quote(by=SECOND // 2)
            for order in desk.places:
                sell = bool(order["flags"] & types.Flag.FLAG_SELL)
                same = [int(row["qty_lots"]) - int(row["filled_lots"]) for row in desk.world.live_orders()
                        if bool(row["sell"]) == sell and row["id_order"] != order["id_order"]]  # fmt: skip
                record = next(row for row in desk.world.live_orders() if row["id_order"] == order["id_order"])
                stake = sum(same) + int(order["qty_lots"]) + (-position if sell else position)
                if stake > 5 and not record["flags"] & 1:
                    lots, until_ns = words.pop(sell)
                    assert order["qty_lots"] <= lots
                    assert desk.world.now_ns < until_ns
                    used += 1
            if name == "venue":
                for order in list(desk.places):
                    desk.ack(order)
                    if args[0] == 1:
                        desk.fill(order)
                    elif args[0] == 2:
                        desk.canceled(order)
            assert int(desk.world.strategies()["approvals_used"][0]) == used
    finally:
        desk.close()
