"""The step and its plain-Python twin, driven by the same random histories: the same words follow each event."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._core.step import Core
from engine._core.types import Can
from engine.model.step import SAYS
from tests.support.desks import SECOND, Desk
from tests.support.step_pair import Pair
from tests.support.suites import histories

STEM = "step"
# Short spans, so that every state of the plan and every step of the schedule is passed in a few moves.
PLAN = {
    "cooldown_ns": SECOND, "reduce_interval_ns": 2 * SECOND, "reduce_share_ppm": 300_000, "reduce_target_ppm": 200_000,
    "cancel_ns": SECOND, "confirm_ns": 5 * SECOND, "flatten_ns": 20 * SECOND, "verify_ns": 8 * SECOND,
    "attempts_standard": 2, "attempts_aggressive": 2,
}  # fmt: skip
AMENDS = Can.CAN_AMEND | Can.CAN_AMEND_DOWN
SUITES: dict[str, dict[str, Any]] = {
    "amends": {"can": int(Can.CAN_ALL)},
    "cancel and replace": {"can": 0},
    "amends downward": {"can": int(Can.CAN_AMEND_DOWN | Can.CAN_IOC)},
    "two symbols": {"symbols": 2, "strategies": 2},
    "two strategies": {"strategies": 2},
    "a full table": {"orders": 3},
    "own limits": {"own": {"position_lots_max": 12, "order_lots_max": 7, "wish_fault_max": 2, "order_count_max": 3}},
    "a person's word": {"limits": {"approval_over": 9 * 50_000 * 1000}},
    "a person's word for each of two strategies, sliced or bracketed": {
        "limits": {"approval_over": 5 * 50_000 * 1000},
        "strategies": 2,
        "brackets": 8,
        "orders": 32,
        "algos": 3,
    },
    "a rate": {"limits": {"orders_per_second": 3, "churn_per_minute": 9}},
    "a small account": {"limits": {"order_notional": 12 * 50_000 * 1000, "position_share_ppm": 10}},
    "modes": {"modes": PLAN, "symbols": 2, "strategies": 2},
    "modes without market orders or amends": {"modes": PLAN, "can": int(Can.CAN_REDUCE)},
    "spot without a loan": {"modes": PLAN, "cash_only": 1},
    "spot without a loan, several hands": {"modes": PLAN, "cash_only": 1, "symbols": 2, "strategies": 3, "can": 0},
    "discipline": {"discipline": {}},
    "discipline that explores": {"discipline": {"paper": 1, "samples_min": 10, "explore_share_ppm": 10_000}},
    "discipline that observes": {
        "discipline": {"paper": 1, "validator": 1, "samples_min": 10},
        "modes": PLAN,
        "strategies": 2,
    },
    "discipline that observes at a venue that amends nothing": {
        "discipline": {"paper": 1, "validator": 1},
        "can": 0,
        "symbols": 2,
        "strategies": 2,
    },
    "brackets": {"brackets": 16, "orders": 24},
    "brackets of a venue that amends nothing": {"brackets": 16, "orders": 24, "can": int(Can.CAN_ALL) & ~int(AMENDS)},
    "brackets that only shrink, two symbols, two strategies": {
        "brackets": 8,
        "orders": 32,
        "symbols": 2,
        "strategies": 2,
        "can": int(Can.CAN_ALL) & ~int(Can.CAN_AMEND) | int(Can.CAN_AMEND_DOWN),
    },
    "few brackets in a full table": {"brackets": 2, "orders": 5},
    "brackets without stops at the venue": {"brackets": 8, "orders": 24, "can": int(Can.CAN_ALL) & ~int(Can.CAN_STOP)},
    "brackets and modes": {"brackets": 8, "orders": 32, "modes": PLAN, "symbols": 2, "strategies": 2},
    "brackets on spot without a loan": {"brackets": 8, "orders": 32, "modes": PLAN, "cash_only": 1},
    "brackets and discipline": {
        "brackets": 8,
        "orders": 32,
        "modes": PLAN,
        "strategies": 2,
        "discipline": {"paper": 1, "validator": 1, "samples_min": 10},
    },
    "few open orders": {"limits": {"open_orders_all": 2, "open_orders_symbol": 1, "rejects_in_a_row": 2}},
}
WISH = st.tuples(st.integers(0, 1), st.booleans(), st.integers(0, 2), st.integers(-1, 12), st.integers(-8, 8),
                 st.integers(0, 3), st.integers(0, 3), st.integers(-2, 60))  # fmt: skip
MOVE = st.one_of(
    st.tuples(st.just("quote"), st.integers(-5, 5), st.integers(0, 3), st.integers(0, 1), st.lists(WISH, max_size=3)),
    st.tuples(st.just("quote"), st.integers(-1, 1), st.integers(1, 2), st.integers(0, 1), st.lists(WISH, max_size=3)),
    st.tuples(st.just("report"), st.integers(0, 9), st.sampled_from(sorted(SAYS)), st.integers(0, 9)),
    st.tuples(st.just("fill"), st.integers(0, 9), st.integers(1, 9), st.integers(0, 3)),
    st.tuples(st.just("replaced"), st.integers(0, 9), st.integers(1, 9)),
    st.tuples(st.just("fee"), st.integers(0, 9), st.integers(-9, 99), st.just(0)),
    st.tuples(st.just("fee"), st.integers(0, 9), st.sampled_from([1, 50_000, 100_000, 250_000]), st.just(1)),
    st.tuples(st.just("timer"), st.sampled_from([1, SECOND, 6 * SECOND, 31 * SECOND])),
    st.tuples(st.just("feed"), st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.just("halt"), st.integers(0, 1), st.integers(0, 1)),
    st.tuples(st.just("strategy"), st.integers(0, 3), st.integers(0, 4)),
    st.tuples(st.just("approve"), st.sampled_from([-12, -7, -1, 0, 1, 7, 12]), st.integers(0, 3)),
    st.tuples(st.just("control"), st.integers(0, 4), st.sampled_from([0, 1, 1, 1, 2, 3, 4]), st.booleans(),
              st.booleans(), st.sampled_from([0, 0, 0, 0, 1])),
    st.tuples(st.just("denied"), st.sampled_from([0, 0, 2])),
    st.tuples(st.just("position"), st.integers(0, 1), st.integers(-2, 2)),
)  # fmt: skip


@pytest.mark.parametrize("suite", SUITES)
def test_step_and_twin_agree_after_every_event(suite):
    @histories(usual=40)
    @given(st.lists(MOVE, min_size=1, max_size=25))
    def run(moves: list[tuple[Any, ...]]) -> None:
        pair = Pair(**SUITES[suite])
        try:
            for move in moves:
                pair.act(move)
            assert pair.desk.world.event_count == len(moves)
        finally:
            pair.desk.close()

    run()


def test_a_core_is_bound_to_the_world_it_was_made_with():
    desk = Desk()
    assert isinstance(desk.core, Core)
    assert desk.core.world is desk.world
