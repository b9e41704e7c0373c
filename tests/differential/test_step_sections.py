"""The sections of the world, joined in the step: judged data, books, triggers, slices, routes, correlation. The step
and its plain-Python twin live through the same random histories; after every event they agree about every word."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._core.book import Quotes, Rule
from engine._core.routing import Policy
from engine._core.types import Can, Kind
from tests.differential import test_step_lives as lives
from tests.differential.test_step import MOVE, PLAN
from tests.support.desks import SECOND
from tests.support.step_sections import SectionPair
from tests.support.suites import histories

STEM = "step"
LIVES = int(os.environ.get("BOT4_STRESS", "0")) * 200 or 5
MOVES = 150
# Little is needed to halt, to suspect, to be silent: every verdict comes within a few moves.
JUDGED = {
    "needs_id": 0, "needs_time": 0, "window": 16, "window_bad": 4, "row_bad": 3, "recover_count": 3,
    "halt_ns": SECOND, "frozen_ns": SECOND, "suspect_trades": 3, "clear_count": 2, "confirm_prints": 3,
}  # fmt: skip
BOOK = {"ticks": 64, "levels_max": 8, "quotes": int(Quotes.QUOTES_CHECK)}
PLAIN = int(Can.CAN_ALL) & ~int(Can.CAN_STOP | Can.CAN_STOP_LIMIT | Can.CAN_TAKE | Can.CAN_TAKE_LIMIT | Can.CAN_TRAILING
                                | Can.CAN_ICEBERG)  # fmt: skip
SUITES: dict[str, dict[str, Any]] = {
    "judged quotes": {"validate": JUDGED, "symbols": 2, "strategies": 2},
    "judged quotes, modes": {"validate": JUDGED, "modes": PLAN, "strategies": 2},
    "judged quotes, discipline": {"validate": JUDGED, "discipline": {"paper": 1, "validator": 1, "samples_min": 10}},
    "a book": {"books": BOOK | {"rule": int(Rule.RULE_SPOT)}},
    "a judged book": {"validate": JUDGED, "books": BOOK | {"rule": int(Rule.RULE_SPOT)}},
    "two linked books that quotes lead": {
        "books": BOOK | {"rule": int(Rule.RULE_LINKED), "quotes": int(Quotes.QUOTES_LEAD)},
        "symbols": 2,
        "strategies": 2,
    },
    "judged contiguous books and brackets": {
        "validate": JUDGED,
        "books": BOOK | {"rule": int(Rule.RULE_CONTIGUOUS)},
        "brackets": 8,
        "orders": 24,
    },
    "triggers": {"triggers": 8, "can": PLAIN},
    "few triggers, judged": {"triggers": 2, "can": PLAIN, "validate": JUDGED, "orders": 6},
    "triggers without market orders or amends": {"triggers": 8, "can": int(Can.CAN_IOC), "modes": PLAN},
    "triggers on spot without a loan": {"triggers": 8, "can": PLAIN, "cash_only": 1, "modes": PLAN, "strategies": 2},
    "brackets whose stops are ours": {"triggers": 16, "brackets": 8, "orders": 24, "can": PLAIN},
    "brackets whose stops are ours, modes": {
        "triggers": 16,
        "brackets": 8,
        "orders": 32,
        "can": PLAIN & ~int(Can.CAN_AMEND | Can.CAN_AMEND_DOWN),
        "modes": PLAN,
        "symbols": 2,
        "strategies": 2,
    },
    "types that the venue has": {"brackets": 8, "orders": 24},
    "sides that net": {"own": {"nets": 1}, "brackets": 8, "orders": 24},
    "sides that net, two symbols, modes": {
        "own": {"nets": 1},
        "brackets": 8,
        "triggers": 16,
        "orders": 32,
        "can": PLAIN & ~int(Can.CAN_AMEND | Can.CAN_AMEND_DOWN),
        "modes": PLAN,
        "symbols": 2,
        "strategies": 2,
    },
    "sides that net on spot without a loan, sliced": {
        "own": {"nets": 1, "share_ppm": 300_000},
        "brackets": 8,
        "algos": 3,
        "cash_only": 1,
        "orders": 32,
    },
    "slices": {"algos": 3, "own": {"share_ppm": 300_000}},
    "slices, two symbols, modes": {"algos": 2, "symbols": 2, "strategies": 2, "modes": PLAN, "can": PLAIN},
    "slices with limits of their own": {
        "algos": 2,
        "own": {"share_ppm": 500_000, "position_lots_max": 30, "order_lots_max": 7, "order_count_max": 2},
        "can": 0,
    },
    "slices on spot without a loan, triggers": {"algos": 3, "triggers": 4, "cash_only": 1, "can": PLAIN},
    "slices, discipline": {"algos": 3, "discipline": {"paper": 1, "validator": 1}, "own": {"share_ppm": 200_000}},
    "the best price of two": {"symbols": 2, "strategies": 1, "groups": [([0, 1], int(Policy.POLICY_BEST_PRICE))]},
    "the lowest fee of three": {"symbols": 3, "strategies": 2, "groups": [([2, 0, 1], int(Policy.POLICY_LOWEST_FEE))]},
    "the cheapest of two books": {
        "symbols": 2,
        "groups": [([0, 1], int(Policy.POLICY_SMART))],
        "books": BOOK | {"rule": int(Rule.RULE_SPOT)},
        "brackets": 8,
        "orders": 24,
    },
    "the cheapest, judged, slices": {
        "symbols": 2,
        "strategies": 2,
        "groups": [([1, 0], int(Policy.POLICY_SMART))],
        "validate": JUDGED,
        "algos": 2,
    },
    "sized by a fraction": {
        "strategies": 2,
        "own": {"size_by": 1, "size_share_ppm": 6_000, "size_risk_ppm": 3, "position_lots_max": 30},
    },
    "sized by Kelly, with brackets": {
        "own": {"size_by": 2, "kelly_cap_ppm": 9_000, "order_lots_max": 9, "size_share_ppm": 9_000},
        "discipline": {"paper": 1, "validator": 1, "samples_min": 10, "explore_share_ppm": 2_000},
        "record": [40_000, -30_000, 20_000, 50_000, -10_000] * 3,
        "brackets": 8,
        "orders": 24,
    },
    "sized by Kelly, a short record": {
        "own": {"size_by": 2, "size_share_ppm": 9_000},
        "discipline": {"paper": 1, "validator": 1, "samples_min": 10, "explore_share_ppm": 1_000},
        "record": [10_000, 20_000],
    },
    "sized without a record, sliced": {"own": {"size_by": 2, "share_ppm": 100_000}, "algos": 2},
    "what it costs": {
        "own": {"slippage_ppm_max": 20, "earns": 1},
        "brackets": 8,
        "orders": 24,
        "books": BOOK | {"rule": int(Rule.RULE_SPOT)},
    },
    "what it costs at the touch, sized": {
        "own": {"slippage_ppm_max": 15, "earns": 1, "size_by": 1},
        "brackets": 8,
        "orders": 24,
        "symbols": 2,
        "strategies": 2,
    },
    "fees that age": {"fees_age_ns": 2 * SECOND, "symbols": 2, "strategies": 2},
    "an account": {"cash": 10**11},
    "an account, a small drawdown": {
        "cash": 10**11,
        "limits": {"drawdown_ppm": 1},
        "modes": PLAN,
        "brackets": 8,
        "orders": 24,
        "symbols": 2,
        "strategies": 2,
    },
    "an account on spot without a loan, discipline": {
        "cash": 10**11,
        "cash_only": 1,
        "discipline": {"paper": 1, "validator": 1, "samples_min": 10},
        "symbols": 2,
        "strategies": 2,
    },
    "correlation": {"symbols": 3, "strategies": 3, "tracked": 3},
    "correlation, few tracked": {"symbols": 3, "strategies": 3, "tracked": 1, "modes": PLAN},
    "every section": {
        "symbols": 3,
        "strategies": 3,
        "orders": 32,
        "can": PLAIN,
        "brackets": 8,
        "triggers": 16,
        "algos": 3,
        "tracked": 3,
        "validate": JUDGED,
        "modes": PLAN,
        "discipline": {"paper": 1, "validator": 1, "samples_min": 10},
        "groups": [([0, 1], int(Policy.POLICY_SMART))],
    },
}
LEVEL = st.tuples(st.integers(0, 1), st.integers(-6, 6), st.integers(0, 9))
TYPED = st.tuples(
    st.integers(0, 1), st.booleans(), st.sampled_from([1, 1, 1, 2]), st.integers(1, 12), st.integers(-4, 4),
    st.sampled_from([0, 0, 1, 2, 3, 4]), st.sampled_from([0, 0, 1, 2]), st.sampled_from([0, 20, 31]),
    st.integers(0, 10), st.sampled_from([0, -8, -4, 4, 8]), st.integers(0, 3), st.integers(0, 4), st.integers(0, 3),
)  # fmt: skip
SECTION_MOVE = st.one_of(
    st.tuples(st.just("quote"), st.integers(-5, 5), st.integers(1, 2), st.integers(0, 2), st.lists(TYPED, max_size=3)),
    st.tuples(st.just("data"), st.integers(0, 12), st.integers(-3, 3), st.integers(0, 1)),
    st.tuples(st.just("depth"), st.sampled_from([0, 1, 1, 1, 2]), st.integers(0, 1),
              st.lists(LEVEL, min_size=1, max_size=4), st.booleans()),
    st.tuples(st.just("torn"), st.integers(0, 1), st.integers(-3, 3)),
    st.tuples(st.just("booked"), st.integers(-1, 1), st.integers(0, 1), st.integers(0, 1), st.integers(-1, 1)),
    st.tuples(st.just("rates"), st.integers(0, 1), st.sampled_from([-5_000, 9_000]), st.sampled_from([9_000, 99_000])),
)  # fmt: skip


@pytest.mark.parametrize("suite", SUITES)
def test_step_and_twin_agree_about_every_section(suite):
    @histories(usual=8)
    @given(st.lists(st.one_of(MOVE, SECTION_MOVE), min_size=1, max_size=25))
    def run(moves: list[tuple[Any, ...]]) -> None:
        pair = SectionPair(**SUITES[suite])
        try:
            for move in moves:
                pair.act(move)
            assert pair.desk.world.event_count >= len(moves)
        finally:
            pair.desk.close()

    run()


def levels(rng):
    return [(rng.randint(0, 1), rng.randint(-5, 6), rng.choice([0, 3, 9])) for _ in range(rng.randint(1, 3))]


def typed(rng, pair):
    """Wishes of every type, most of them well formed; the same come again while nothing moves. What is held is closed
    by a price more often than not: of conditional orders only those that reduce pass without a stop of their own."""
    made = []
    lots = pair.twin.rows[0].state["position_lots"]
    if lots and rng.random() < 0.7:
        kind, qty = rng.choice([2, 3, 4, 5, 6, 6]), min(abs(lots), rng.choice([1, 3, 40]))
        terms = rng.choice([0, 0, 4]), 2, 0, kind, rng.choice([-4, 4]), rng.randint(1, 3), 0, 2
        return [(0, lots > 0, 1, qty, 0, *terms)]
    for tag, sell in {(rng.randint(0, 1), rng.random() < 0.5) for _ in range(rng.randint(1, 2))}:
        of_type = rng.choice([2, 3, 4, 5, 6, 6, 7] + ([7, 8, 8, 9, 10] if pair.twin.algos else []) + [0, 1])
        tif = rng.choice([0, 0, 0, 1, 3]) if of_type >= 8 else 1 if of_type == 1 else rng.choice([0, 0, 0, 4])
        qty, entry = rng.choice([2, 5, 7]), of_type in (0, 1, 7, 8, 9, 10)
        flags = rng.choice([0, 0, 2]) if entry else 2 * (rng.random() < 0.3)
        made.append((
            tag, sell, rng.choice([1, 1, 1, 2]), qty, rng.randint(-2, 1), tif, flags, 20 if entry and not flags else 0,
            of_type, rng.choice([-4, 4]), rng.randint(1, 3), rng.choice([1, 2]), rng.randint(1, 3),
        ))  # fmt: skip
    return made


def healed(pair):
    """What was halted goes on: a life that stands still says nothing."""
    twin = pair.twin
    moves = [("feed", feed, 1) for feed in sorted(twin.down)] or [("feed", 1, 2)] * twin.unreconciled
    moves += [("halt", symbol, 0) for symbol, touch in enumerate(twin.touch) if touch["halted"]]
    moves += [("books", symbol, 0, 7) for symbol, touch in enumerate(twin.touch) if touch["books"]]
    return moves + [("position", symbol, 0) for symbol, touch in enumerate(twin.touch) if touch["other"]]


def booked(rng):
    side = rng.randint(0, 1)
    calm = [(side, 1 + rng.randint(0, 4) if side else -rng.randint(0, 4), rng.choice([0, 3, 9]))]
    return rng.choice([
        ("depth", 1, rng.randint(0, 1), calm, False), ("depth", 1, rng.randint(0, 1), calm, False),
        ("depth", rng.choice([0, 1, 2]), rng.randint(0, 1), levels(rng), rng.random() < 0.2),
        ("booked", 0, 0, rng.randint(0, 1), rng.randint(0, 1)),
        ("booked", rng.randint(-1, 1), rng.randint(0, 1), rng.randint(0, 1), rng.randint(-1, 1)),
        ("torn", rng.randint(0, 1), rng.randint(-3, 3)),
    ])  # fmt: skip


def move(rng, pair):
    """As in the lives of orders, with the sections' own events among them."""
    twin, cures = pair.twin, healed(pair)
    emulates = twin.triggers or twin.algos or pair.typed
    shares = [
        (12, lives.move(rng, pair)),
        (7 if emulates else 0, ("quote", rng.randint(-3, 3), rng.randint(1, 2), rng.randint(0, 2), typed(rng, pair))),
        (5 if cures else 0, rng.choice(cures) if cures else None),
        (5 if pair.books is not None else 0, booked(rng)),
        (4 if twin.validate else 1,
         ("data", rng.choice([6, 6, 6, 9, 10, rng.randint(0, 12)]), rng.randint(-2, 2), rng.randint(0, 1))),
        (4 if twin.fees_age_ns else 1 if twin.routing else 0,
         ("rates", rng.randint(0, 1), rng.choice([-5_000, 9_000]), rng.choice([9_000, 99_000]))),
        (1 if twin.correlation else 0, ("timer", SECOND)),
    ]  # fmt: skip
    return rng.choices([one for _, one in shares], [share for share, _ in shares])[0]


@pytest.mark.parametrize("suite", SUITES)
def test_step_and_twin_live_the_same_lives_with_every_section(suite):
    said: Counter[Kind] = Counter()
    for seed in range(LIVES):
        rng = random.Random(f"{suite} {seed}")
        pair = SectionPair(**SUITES[suite])
        pair.typed = suite.startswith("types")
        try:
            for _ in range(MOVES):
                pair.act(move(rng, pair))
            said.update(pair.said)
        finally:
            pair.desk.close()
    # A life in which nothing was ordered would agree about nothing.
    assert said[Kind.KIND_INTENT_PLACE] >= 10
    if "validate" in SUITES[suite] or "books" in SUITES[suite]:
        assert said[Kind.KIND_REFUSAL] >= 10
