"""What a venue or an operator says beside prices and orders, told to the step and to its plain-Python twin: clocks,
limits, balances, funding, liquidation prices, books compared; accounts of spot and of linear perpetuals."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._core.limits import Limit
from engine._core.modes import Outcome
from engine._core.types import Kind
from engine.model.ledger import Ledger
from tests.differential.test_step import MOVE, PLAN
from tests.differential.test_step_sections import JUDGED, SECTION_MOVE
from tests.differential.test_step_sections import move as section_move
from tests.support.desks import SECOND
from tests.support.step_sections import SectionPair
from tests.support.suites import histories

STEM = "step"
LIVES = int(os.environ.get("BOT4_STRESS", "0")) * 200 or 4
MOVES = 150
CASH = 10**11
SUITES: dict[str, dict[str, Any]] = {
    "an account of spot": {"cash": CASH},
    "an account of perpetuals": {"cash": CASH, "linear": True},
    "nine symbols of spot": {"cash": CASH, "symbols": 9, "strategies": 3, "limits": {"drawdown_ppm": 20_000}},
    "nine perpetuals": {"cash": CASH, "linear": True, "symbols": 9, "strategies": 3, "limits": {"drawdown_ppm": 9}},
    "no account": {"linear": True, "modes": PLAN},
    "perpetuals in brackets, modes": {
        "cash": CASH, "linear": True, "brackets": 8, "orders": 24, "modes": PLAN, "symbols": 2, "strategies": 2,
    },
    "judged perpetuals, discipline, a small drawdown": {
        "cash": CASH, "linear": True, "validate": JUDGED | {"needs_time": 1 << 2}, "strategies": 2,
        "discipline": {"paper": 1, "validator": 1, "samples_min": 10}, "limits": {"drawdown_ppm": 3},
    },
    "spot without a loan, triggers, slices": {
        "cash": CASH, "cash_only": 1, "triggers": 16, "algos": 3, "orders": 32, "modes": PLAN, "symbols": 2,
        "strategies": 2,
    },
    "sized perpetuals that cost, tracked": {
        "cash": CASH, "linear": True, "symbols": 3, "strategies": 3, "tracked": 2,
        "own": {"slippage_ppm_max": 20, "earns": 1, "size_by": 1, "size_share_ppm": 6_000},
    },
}  # fmt: skip
WORD = st.one_of(
    st.tuples(st.just("clock"), st.sampled_from([0, 10**6, -(10**6), 10**9, -(2**60), 2**60 - 1]),
              st.sampled_from([0, 10**5, 10**9, -1]), st.sampled_from([0, 0, 0, 1])),
    st.tuples(st.just("limit"), st.integers(-1, len(Limit)), st.sampled_from([0, 1, 3, 10**4, 10**6, 10**9, 2**62])),
    st.tuples(st.just("balance"), st.integers(-1, 4), st.sampled_from([0, 0, 1, -1, 10**8]),
              st.sampled_from([0, 0, 5, -1])),
    st.tuples(st.just("funding"), st.integers(0, 6), st.integers(0, 2), st.sampled_from([0, -3, 70_000, 2**62]),
              st.sampled_from([0, 0, 0, 1])),
    st.tuples(st.just("position"), st.integers(0, 2), st.integers(-2, 2),
              st.sampled_from([0, -1, 49_000 * 10**6, 49_000 * 10**6 + 1, 52_000 * 10**6 + 1])),
    st.tuples(st.just("books"), st.integers(0, 2), st.integers(-1, 3), st.integers(-1, 13)),
)  # fmt: skip


@pytest.mark.parametrize("suite", SUITES)
def test_step_and_twin_agree_about_what_a_venue_says(suite):
    @histories(usual=12)
    @given(st.lists(st.one_of(MOVE, SECTION_MOVE, WORD, WORD), min_size=1, max_size=25))
    def run(moves: list[tuple[Any, ...]]) -> None:
        pair = SectionPair(**SUITES[suite])
        try:
            for one in moves:
                pair.act(one)
            assert pair.desk.world.event_count >= len(moves)
        finally:
            pair.desk.close()

    run()


def word(rng, pair):
    """Mostly what leaves the way open for more: a clock that is right, a limit a little tighter, books that agree."""
    at = rng.randrange(len(Limit) - 1)
    limit = list(pair.twin.gate.limits.values())[at]
    near = min(rng.choice([limit - limit // 50, limit, limit + 1]), 2**63 - 1)
    number = pair.twin.id_funding + rng.choice([1, 1, 0])
    if pair.linear and rng.random() < 0.2:
        return "funding", number, rng.randint(0, 2), rng.choice([-70_000, 40_000, 40_000])
    return rng.choice([
        ("clock", rng.choice([0, 10**5, -(10**6)]), rng.choice([0, 10**5])), ("limit", at, near),
        ("balance", rng.choice([0, 0, 1]), rng.choice([0, 0, 0, 1]), 0),
        ("position", rng.randint(0, 2), 0, rng.choice([0, 30_000 * 10**6 + 1, 90_000 * 10**6])),
        ("books", rng.randint(0, 2), rng.choice([0, 0, 0, 1, 2]), rng.choice([0, 7, 8])),
    ])  # fmt: skip


def live(pair, seed):
    rng = random.Random(seed)
    try:
        pair.act(("timer", 1))  # by which an account of many symbols is valued the first time
        for _ in range(MOVES):
            pair.act(word(rng, pair) if rng.random() < 0.15 else section_move(rng, pair))
            if pair.twin.gate.account["latch"]:
                return
    finally:
        pair.desk.close()


@pytest.mark.parametrize("suite", SUITES)
def test_step_and_twin_live_the_same_lives_of_an_account(suite):
    said: Counter[Kind] = Counter()
    for seed in range(LIVES):
        pair = SectionPair(**SUITES[suite])
        live(pair, f"{suite} {seed}")
        said.update(pair.said)
    assert said[Kind.KIND_INTENT_PLACE] >= 10


def test_a_twin_that_books_funding_the_wrong_way_is_found_out(monkeypatch):
    funding = Ledger.funding
    monkeypatch.setattr(Ledger, "funding", lambda self, symbol, paid, **how: funding(self, symbol, -paid, **how))
    pair = SectionPair(**SUITES["an account of perpetuals"])
    with pytest.raises(AssertionError):
        pair.act(("funding", 1, 0, 70_000))
    pair.desk.close()


def flattened(pair):
    """An Emergency that has the venue's balance as the second opinion on the equity, up to its end."""
    try:
        for one in [("quote", 0, 1, 0, []), ("balance", 0, 10**8, 0), ("control", 3, 1, False, False, 0),
                    *[("timer", SECOND)] * 9]:  # fmt: skip
            pair.act(one)
    finally:
        pair.desk.close()
    return pair.twin.modes.outcome


def test_a_twin_that_forgets_the_venues_word_on_the_equity_is_found_out(monkeypatch):
    suite = SUITES["perpetuals in brackets, modes"]
    assert flattened(SectionPair(**suite)) == Outcome.OUTCOME_FLAT
    pair = SectionPair(**suite)
    balance = pair.twin._balance
    monkeypatch.setattr(pair.twin, "_balance", lambda e: (balance(e), setattr(pair.twin, "venue_equity", 0))[0])
    with pytest.raises(AssertionError):
        flattened(pair)
