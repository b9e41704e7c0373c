"""A strategy's row and the check of a wish, kernel against twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine._core import strategy as core
from engine._core import strategy_abi as abi
from engine._core.strategy import StopReason, StrategyAct, StrategyRule
from engine._core.strategy_abi import WISH, WishFault, WishKind, WishTif, WishType
from engine.errors import StrategyBadAct
from engine.model import strategy as model
from engine.model import strategy_abi as abi_model

STEM = "strategy"
INT64_MAX = 2**63 - 1
EDGE = st.sampled_from([0, 0, 1, 2, 3, 5, 100, 101, -1, INT64_MAX, -(2**63)])


def wish(**fields):
    record = np.zeros(1, WISH)[0]
    for name, value in ({"kind": WishKind.WISH_REST, "px_ticks": 100, "qty_lots": 5} | fields).items():
        record[name] = value
    return record


def check(row, record, *, sell=False, own_open_lots=0, own_order_count=0, now_ns=0):
    return row.check_limits(record, sell, own_open_lots=own_open_lots, own_order_count=own_order_count, now_ns=now_ns)


def bit(rule):
    return 1 << rule


# -------------------------------------------------------------------------------------------------------------- wishes
@pytest.mark.parametrize("check_wish", [abi.check_wish, abi_model.check_wish])
@pytest.mark.parametrize(
    ("fields", "sell", "faults"),
    [
        ({}, False, 0),
        ({"kind": 3}, False, WishFault.FAULT_KIND),
        ({"kind": -1}, False, WishFault.FAULT_KIND),
        ({"kind": 0, "qty_lots": -5}, False, 0),
        ({"type": 11}, False, WishFault.FAULT_TYPE),
        ({"type": WishType.TYPE_TWAP, "display_lots": 2, "expire_ns": 8}, False, 0),
        ({"type": WishType.TYPE_VWAP, "display_lots": 2, "expire_ns": 8, "tif": WishTif.TIF_GTX}, False, 0),
        (
            {"type": WishType.TYPE_POV, "display_lots": 6, "expire_ns": 7},
            False,
            WishFault.FAULT_DISPLAY | WishFault.FAULT_EXPIRE,
        ),
        (
            {"type": WishType.TYPE_TWAP, "display_lots": 2, "expire_ns": 8, "tif": WishTif.TIF_FOK},
            False,
            WishFault.FAULT_TIF,
        ),
        (
            {
                "type": WishType.TYPE_TWAP,
                "display_lots": 2,
                "expire_ns": 8,
                "stop_px_ticks": 99,
                "target_px_ticks": 101,
            },
            False,
            WishFault.FAULT_BRACKET,
        ),
        ({"tif": 5}, False, WishFault.FAULT_TIF),
        ({"flags": 4}, False, WishFault.FAULT_FLAGS),
        ({"flags": 1, "tif": WishTif.TIF_IOC}, False, WishFault.FAULT_FLAGS),
        ({"tif": WishTif.TIF_GTX, "type": WishType.TYPE_MARKET}, False, WishFault.FAULT_FLAGS),
        ({"qty_lots": 0}, False, WishFault.FAULT_QTY),
        ({"px_ticks": 0}, False, WishFault.FAULT_PX),
        ({"px_ticks": 0, "type": WishType.TYPE_MARKET}, False, 0),
        ({"px_ticks": 0, "qty_lots": 0}, False, WishFault.FAULT_PX | WishFault.FAULT_QTY),
        ({"type": WishType.TYPE_STOP}, False, WishFault.FAULT_TRIGGER),
        ({"type": WishType.TYPE_TRAILING}, False, WishFault.FAULT_TRAIL),
        ({"type": WishType.TYPE_ICEBERG, "display_lots": 6}, False, WishFault.FAULT_DISPLAY),
        ({"type": WishType.TYPE_ICEBERG, "display_lots": 5}, False, 0),
        ({"tif": WishTif.TIF_GTD, "expire_ns": 7}, False, WishFault.FAULT_EXPIRE),
        ({"tif": WishTif.TIF_GTD, "expire_ns": 8}, False, 0),
        ({"stop_px_ticks": 99, "target_px_ticks": 101}, False, 0),
        ({"stop_px_ticks": 99, "target_px_ticks": 101}, True, WishFault.FAULT_BRACKET),
        ({"stop_px_ticks": 101, "target_px_ticks": 99}, True, 0),
        ({"stop_px_ticks": 100}, False, WishFault.FAULT_BRACKET),
        ({"target_px_ticks": 100}, True, WishFault.FAULT_BRACKET),
        ({"stop_px_ticks": 99, "flags": 2}, False, WishFault.FAULT_BRACKET),
        ({"stop_px_ticks": 5, "target_px_ticks": 9, "type": WishType.TYPE_MARKET}, False, 0),
        ({"stop_px_ticks": 9, "target_px_ticks": 5, "type": WishType.TYPE_MARKET}, False, WishFault.FAULT_BRACKET),
        ({"stop_px_ticks": 5, "target_px_ticks": 5, "type": WishType.TYPE_MARKET}, True, WishFault.FAULT_BRACKET),
    ],
)
def test_every_fault_of_a_wish_has_its_bit(check_wish, fields, sell, faults):
    assert check_wish(wish(**fields), sell, 7) == faults


wishes = st.fixed_dictionaries(
    dict.fromkeys(WISH.names, EDGE) | {"kind": st.sampled_from([0, 1, 1, 1, 1, 2, 3, -1]), "type": st.integers(-1, 8),
     "tif": st.integers(-1, 5), "flags": st.integers(-1, 5)}
)  # fmt: skip


@given(wishes, st.booleans(), st.integers(0, 4))
@settings(max_examples=2_000)
def test_the_kernel_and_the_twin_find_the_same_faults(fields, sell, now_ns):
    record = wish(**fields)
    assert abi.check_wish(record, sell, now_ns) == abi_model.check_wish(record, sell, now_ns)


# -------------------------------------------------------------------------------------------------------------- limits
def test_without_limits_of_its_own_everything_well_formed_passes(impl):
    assert check(impl.Row(), wish(qty_lots=INT64_MAX), own_open_lots=10**9, own_order_count=4) == (True, 0)


def test_position_limit_counts_the_position_and_everything_open_on_that_side(impl):
    row = impl.Row(position_lots_max=10)
    row.fill(False, 3)
    assert check(row, wish(qty_lots=5), own_open_lots=2)[0]
    assert check(row, wish(qty_lots=5), own_open_lots=3) == (False, bit(StrategyRule.STRATEGY_RULE_POSITION))
    assert check(row, wish(qty_lots=13), sell=True)[0]
    assert not check(row, wish(qty_lots=14), sell=True)[0]


def test_position_limit_is_skipped_by_a_reduce_only_order(impl):
    row = impl.Row(position_lots_max=1)
    assert check(row, wish(flags=2))[0]


def test_position_limit_does_not_wrap_on_the_largest_quantity(impl):
    row = impl.Row(position_lots_max=10)
    row.fill(False, 1)
    assert not check(row, wish(qty_lots=INT64_MAX), own_open_lots=5)[0]


def test_order_size_and_order_count_have_limits_of_their_own_and_all_failures_are_told(impl):
    row = impl.Row(order_lots_max=4, order_count_max=2)
    expected = bit(StrategyRule.STRATEGY_RULE_ORDER_LOTS) | bit(StrategyRule.STRATEGY_RULE_ORDER_COUNT)
    assert check(row, wish(), own_order_count=2) == (False, expected)


def test_the_rate_of_new_orders_is_limited_per_window(impl):
    row = impl.Row(place_count_max=2, place_window_ns=100)
    for now in (100, 150):
        assert check(row, wish(), now_ns=now)[0]
        row.placed()
    assert check(row, wish(), now_ns=199) == (False, bit(StrategyRule.STRATEGY_RULE_PLACE_RATE))
    assert check(row, wish(), now_ns=200)[0]


def test_malformed_wishes_in_a_row_stop_it_and_a_good_one_forgives(impl):
    row = impl.Row(wish_fault_max=2)
    check(row, wish(qty_lots=0), now_ns=5)
    check(row, wish())
    check(row, wish(qty_lots=0), now_ns=6)
    assert row.state["stopped"] == 0
    check(row, wish(qty_lots=0), now_ns=7)
    assert (row.state["reason"], row.state["stopped_ns"]) == (StopReason.STOPPED_WISH, 7)
    assert row.state["stopped_detail"] == WishFault.FAULT_QTY


def test_the_first_reason_of_a_stop_stays_and_resume_clears_it(impl):
    row = impl.Row()
    row.stop(StopReason.STOPPED_RETURN, 0, 5)
    row.act(StrategyAct.STRATEGY_ACT_STOP, StopReason.STOPPED_OVERTIME, 9_000, 6)
    assert (row.state["reason"], row.state["stopped_ns"]) == (StopReason.STOPPED_RETURN, 5)
    row.act(StrategyAct.STRATEGY_ACT_RESUME, 0, 0, 7)
    assert (row.state["stopped"], row.state["reason"], row.state["stopped_ns"]) == (0, 0, 0)


@pytest.mark.parametrize(("act", "reason"), [(0, 1), (3, 1), (1, 0), (1, 5), (1, -1)])
def test_an_act_that_means_nothing_is_refused(impl, act, reason):
    row = impl.Row()
    with pytest.raises(StrategyBadAct):
        row.act(act, reason, 0, 0)
    assert row.state["stopped"] == 0


class Twins(RuleBasedStateMachine):
    @initialize(
        limits=st.fixed_dictionaries(
            {},
            optional={
                "position_lots_max": st.integers(0, 20),
                "order_lots_max": st.integers(0, 6),
                "order_count_max": st.integers(0, 3),
                "place_count_max": st.integers(0, 3),
                "place_window_ns": st.integers(0, 20),
                "wish_fault_max": st.integers(0, 3),
            },
        )
    )
    def make(self, limits):
        self.both = (core.Row(**limits), model.Row(**limits))
        self.now = 0

    @rule(fields=wishes, sell=st.booleans(), lots=st.integers(0, 12), count=st.integers(0, 4), step=st.integers(0, 9))
    def ask(self, fields, sell, lots, count, step):
        self.now += step
        record = wish(**fields)
        answers = [
            check(r, record, sell=sell, own_open_lots=lots, own_order_count=count, now_ns=self.now) for r in self.both
        ]
        assert answers[0] == answers[1]
        if answers[0][0]:
            for row in self.both:
                row.placed()

    @rule(sell=st.booleans(), lots=st.integers(1, 9))
    def fill(self, sell, lots):
        for row in self.both:
            row.fill(sell, lots)

    @rule(act=st.integers(0, 3), reason=st.integers(-1, 5), detail=st.integers(0, 9))
    def act(self, act, reason, detail):
        outcomes = []
        for row in self.both:
            try:
                row.act(act, reason, detail, self.now)
                outcomes.append("done")
            except StrategyBadAct:
                outcomes.append("refused")
        assert outcomes[0] == outcomes[1]

    @invariant()
    def agree(self):
        if hasattr(self, "both"):
            self.both[0].check()
            self.both[1].check()
            assert self.both[0].state == self.both[1].state


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_a_wish_that_asks_for_no_order_meets_no_limit_whatever_stands_in_it(impl):
    row = impl.Row(position_lots_max=1, order_lots_max=1, order_count_max=1, place_count_max=1, place_window_ns=9)
    row.fill(True, 1)
    row.placed()
    for kind in (WishKind.WISH_KEEP, WishKind.WISH_NONE):
        for qty in (-(2**63), INT64_MAX):
            assert check(row, wish(kind=kind, qty_lots=qty), own_order_count=4, now_ns=1) == (True, 0)


def test_a_persons_word_covers_one_order_of_its_side_and_size_within_its_time(impl):
    row = impl.Row()
    row.act(StrategyAct.STRATEGY_ACT_APPROVE, 7, 100, 50)
    row.act(StrategyAct.STRATEGY_ACT_APPROVE, -3, 90, 50)
    assert row.approves(False, 7, 99)
    assert not row.approves(False, 8, 99)
    assert not row.approves(False, 7, 100)
    assert row.approves(True, 3, 89)
    assert not row.approves(True, 4, 89)
    row.spend(False)
    assert not row.approves(False, 1, 60)
    assert row.approves(True, 3, 60)
    row.check()
    assert (row.state["approved_count"], row.state["approvals_used"]) == (2, 1)


def test_two_words_for_one_side_do_not_add_up(impl):
    row = impl.Row()
    row.act(StrategyAct.STRATEGY_ACT_APPROVE, 7, 100, 50)
    row.act(StrategyAct.STRATEGY_ACT_APPROVE, 5, 80, 60)
    assert not row.approves(False, 6, 70)
    row.spend(False)
    assert not row.approves(False, 1, 70)
    row.check()


@pytest.mark.parametrize(("lots", "until_ns"), [(0, 100), (5, 50), (5, 49), (-(2**63), 100)])
def test_a_word_for_nothing_or_for_the_past_is_an_act_that_does_not_exist(impl, lots, until_ns):
    row = impl.Row()
    with pytest.raises(StrategyBadAct):
        row.act(StrategyAct.STRATEGY_ACT_APPROVE, lots, until_ns, 50)
    assert row.state["approved_count"] == 0
