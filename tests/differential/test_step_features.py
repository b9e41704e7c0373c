"""What strategies are shown, features and peers with it: the step and its plain-Python twin live through the same
histories; every view is the same to the last bit, and so is every order that a strategy made of it."""

from __future__ import annotations

import math
import os
import random
from collections import Counter
from copy import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._core.book import Rule
from engine._core.features_feed import FeedSource
from engine._core.features_table import TABLE, warm_up
from engine._core.strategy import StrategyAct
from engine._core.types import Flag, Kind, Status
from engine._core.validate import Class
from engine.model import features_exact
from engine.model.features_formulas import FORMULAS
from engine.model.validate import Event
from tests.differential import test_step_lives as lives
from tests.differential.test_step import MOVE, PLAN
from tests.differential.test_step_sections import BOOK, JUDGED, SECTION_MOVE
from tests.differential.test_step_sections import move as section_move
from tests.support import step_pair
from tests.support.step_sections import SectionPair
from tests.support.suites import histories

STEM = "step"
LIVES = int(os.environ.get("BOT4_STRESS", "0")) * 200 or 4
MOVES = 150
TOUCH, BARS = FeedSource.FEED_TOUCH, FeedSource.FEED_BARS
MILLISECOND = 10**6
SHORT = (("ema", 3), ("rsi", 2), ("zscore", 4), ("hma", 4), ("atr", 2), ("dc_high", 5))
FLOW = (("vwap", 3), ("mfi", 2), ("engulfing", 2), ("rank", 3), ("gap", 1), ("vol_z", 4))
LINE = {
    "kind": "dense", "inputs": 6, "outputs": 1, "link": "logistic", "centre": [5e4, 50.0, 0.0, 5e4, 1.0, 5e4],
    "factor": [0.5, 0.1, 1.0, 0.5, 1.0, 0.5],
    "layers": [{"weights": [[0.4, -0.2, 0.7, 0.1, -0.3, 0.2]], "bias": [0.1]}],
}  # fmt: skip
STUMPS = {
    "kind": "trees", "inputs": 6, "outputs": 2, "link": "softmax", "base": [0.0, 0.5], "trees": [
        {"output": output, "feature": [feature, -1, -1], "threshold": [split, 0.0, 0.0], "left": [1, 0, 0],
         "right": [2, 0, 0], "missing_right": [0, 0, 0], "value": [0.0, -1.5, 0.25]}
        for output, feature, split in ((0, 0, 5e4), (1, 3, 0.5), (1, 1, 50.0))
    ],
}  # fmt: skip


def quarter(which: int) -> tuple[tuple[str, int], ...]:
    return tuple((row.name, 2 + row.number % 3) for row in TABLE[which::4])


EVERY = "every family, of the touch and of bars"
SUITES: dict[str, dict[str, Any]] = {
    "the touch": {"features": [(TOUCH, 0, SHORT, None)]},
    "the touch of judged quotes, one without": {
        "features": [(TOUCH, 0, SHORT, None), None], "validate": JUDGED, "symbols": 2, "strategies": 2,
    },
    "the touch of a judged book": {
        "features": [(TOUCH, 0, FLOW, None)], "validate": JUDGED, "books": BOOK | {"rule": int(Rule.RULE_SPOT)},
    },
    "bars of the touch": {"features": [(TOUCH, 3 * MILLISECOND, FLOW, None)]},
    "bars of the touch, judged, two of one symbol, modes": {
        "features": [(TOUCH, 2 * MILLISECOND, SHORT, None), (TOUCH, 5 * MILLISECOND, FLOW, None)],
        "validate": JUDGED, "modes": PLAN, "strategies": 2,
    },
    "the venue's bars": {"features": [(BARS, 0, FLOW, None)]},
    "the venue's bars, judged": {
        "features": [(BARS, 0, SHORT, None), (BARS, 0, FLOW, None)],
        "validate": JUDGED | {"needs_id": 1 << Class.CLASS_BAR}, "symbols": 2, "strategies": 2,
    },
    "a model of the touch, trees of the venue's bars": {
        "features": [(TOUCH, 0, SHORT, LINE), (BARS, 0, FLOW, STUMPS)], "symbols": 2, "strategies": 2,
    },
    "a model that reads bars of a judged book, brackets": {
        "features": [(TOUCH, 2 * MILLISECOND, SHORT, LINE)], "validate": JUDGED,
        "books": BOOK | {"rule": int(Rule.RULE_CONTIGUOUS)}, "brackets": 8, "orders": 24,
    },
    "peers": {"peers": [[1], [2, 0], []], "symbols": 3, "strategies": 3},
    "peers of judged books, modes": {
        "peers": [[1], [0]], "symbols": 2, "strategies": 2, "validate": JUDGED, "modes": PLAN,
        "books": BOOK | {"rule": int(Rule.RULE_LINKED)},
    },
    "peers and features": {
        "peers": [[1], [0], [0, 1]], "symbols": 3, "strategies": 3,
        "features": [(TOUCH, 0, SHORT, LINE), (BARS, 0, FLOW, None), (TOUCH, 3 * MILLISECOND, FLOW, STUMPS)],
    },
    EVERY: {
        "features": [(TOUCH, 0, quarter(0), None), (BARS, 0, quarter(1), None),
                     (TOUCH, 2 * MILLISECOND, quarter(2), None), (BARS, 0, quarter(3), None)],
        "strategies": 4,
    },
    "features beside every section": {
        "features": [(TOUCH, 0, SHORT, LINE), (TOUCH, 4 * MILLISECOND, FLOW, None), (BARS, 0, FLOW, STUMPS)],
        "peers": [[2], [], [1]], "symbols": 3, "strategies": 3, "orders": 32, "brackets": 8, "triggers": 16, "algos": 3,
        "tracked": 3, "validate": JUDGED, "modes": PLAN, "discipline": {"paper": 1, "validator": 1, "samples_min": 10},
    },
}  # fmt: skip
BAR = st.tuples(st.just("bar"), st.integers(0, 2), st.integers(-5, 5), st.integers(-1, 3),
                st.sampled_from([-1, 0, 1, 7]), st.booleans(), st.integers(0, 2))  # fmt: skip
HISTORY = st.lists(st.one_of(MOVE, SECTION_MOVE, BAR, BAR), min_size=1, max_size=25)


@pytest.mark.parametrize("suite", SUITES)
def test_step_and_twin_agree_about_what_strategies_are_shown(suite):
    @histories(usual=10)
    @given(HISTORY)
    def run(moves: list[tuple[Any, ...]]) -> None:
        pair = SectionPair(**SUITES[suite])
        try:
            for one in moves:
                pair.act(one)
            assert pair.desk.world.event_count >= len(moves)
        finally:
            pair.desk.close()

    run()


def move(rng, pair):
    """As in the lives with every section, with bars, marks and quotes of each symbol among them. Few bars are none:
    what halts a symbol's data ends its trading."""
    which = rng.random()
    if which < 0.7:
        return section_move(rng, pair)
    if which < 0.72:
        return "strategy", int(rng.choice([StrategyAct.STRATEGY_ACT_STOP, *[StrategyAct.STRATEGY_ACT_RESUME] * 2])), 1
    if which < 0.75:
        return "data", 9, rng.randint(-3, 3), rng.randint(0, 2)
    if which < 0.85:
        return "quote", rng.randint(-2, 2), rng.randint(1, 2), rng.randint(0, 2), lives.wishes(rng)
    tall, lots = (rng.randint(0, 3), rng.randint(0, 9)) if rng.random() < 0.95 else (-1, -1)
    return "bar", rng.randint(0, 2), rng.randint(-4, 4), tall, lots, rng.random() < 0.9, rng.choice([0, 1, 1, 1, 1, 2])


def live(pair, seed, moves=MOVES):
    rng = random.Random(seed)
    try:
        for _ in range(moves):
            pair.act(move(rng, pair))
    finally:
        pair.desk.close()
    return pair


@pytest.mark.parametrize("suite", SUITES)
def test_step_and_twin_live_the_same_lives_by_what_strategies_are_shown(suite):
    said: Counter[Kind] = Counter()
    known: Counter[int] = Counter()
    for seed in range(LIVES):
        pair = live(SectionPair(**SUITES[suite]), f"{suite} {seed}")
        said.update(pair.said)
        known.update({at: feed.stream.count for at, feed in enumerate(pair.twin.feeds) if feed is not None})
    # A life in which nothing was ordered, or no feature came to be known, would agree about nothing.
    assert said[Kind.KIND_INTENT_PLACE] >= 10
    assert all(known[at] >= 15 for at, one in enumerate(SUITES[suite].get("features", [])) if one)


# --------------------------------------------------------------------------------------- what the comparison can tell
def of_a_refused_event(twin, patch):
    judged = twin._judged

    def mutant(e, raw):
        status = judged(e, raw)
        for feed in twin.feeds:
            if status != Status.OK and feed is not None and e.kind == Kind.KIND_QUOTE:
                feed._price(0.5 * (e["bid_px_ticks"] + e["ask_px_ticks"]), twin.now)
        return status

    patch.setattr(twin, "_judged", mutant)


def by_the_prices_alone(hears, e, touch, **how):
    """Without waiting for the totals, by which a bar that comes again is told."""
    hears(e, touch, **how)
    if e.kind == Kind.KIND_BAR_PRICES:
        e = copy(e)
        e.kind = Kind.KIND_BAR_TOTALS
        hears(e, touch, **how)


def before_the_gate(twin, patch):
    market = twin._market

    def mutant(raw):
        e = Event(raw)
        for symbol, feed in zip(twin.symbol_of, twin.feeds, strict=True):
            if feed is not None and e.symbol == symbol and e.kind == Kind.KIND_BAR_PRICES:
                feed.hears(e, {}, trusted=True, now=twin.now)
                patch.setattr(feed, "hears", lambda *_, **__: None)
        return market(raw)

    patch.setattr(twin, "_market", mutant)


def heard_otherwise(change):
    """A mutant whose streams hear something else than what they are told."""

    def mutate(twin, patch):
        for feed in filter(None, twin.feeds):
            patch.setattr(feed, "hears", partial(change, feed.hears))

    return mutate


def not_closed(hears, e, touch, **how):
    e = copy(e)
    e.flags |= int(Flag.FLAG_CLOSED)
    hears(e, touch, **how)


def by_a_mark(hears, e, touch, **how):
    e = copy(e)
    e.kind = Kind.KIND_QUOTE if e.kind == Kind.KIND_MARK else e.kind
    hears(e, touch, **how)


def of_a_peer(twin, patch):
    show = twin._show

    def mutant(strategy):
        twin.heard = copy(twin.heard)
        twin.heard.symbol = twin.symbol_of[strategy]
        show(strategy)

    patch.setattr(twin, "_show", mutant)


def while_it_is_stopped(twin, patch):
    run = twin._run

    def mutant(strategy):
        feed = twin.feeds[strategy]
        if feed is not None and twin.rows[strategy].state["stopped"]:
            feed.hears(twin.heard, twin.touch[twin.symbol_of[strategy]], trusted=True, now=twin.now)
        run(strategy)

    patch.setattr(twin, "_run", mutant)


def a_price_late(twin, patch):
    for feed in filter(None, twin.feeds):

        def mutant(middle, now, feed=feed, price=feed._price):
            # The price that closes a bar stands in it, and not in its own.
            if feed.prices and now // feed.every_ns != feed.bar:
                feed.prices.append(middle)
            price(middle, now)

        patch.setattr(feed, "_price", mutant)


def known_too_early(twin, patch):
    patch.setattr(features_exact, "warm_up", lambda number, n: warm_up(number, n) - 1)


def in_one_go(twin, patch):
    """The same mean of log returns, from the first close to the last: what differs are the last bits."""
    patch.setitem(FORMULAS, "ret_mean", lambda w: math.log(w.bar.c / w.back(w.n)) / w.n)


def without_the_last_trade(twin, patch):
    facts = twin._facts
    patch.setattr(twin, "_facts", lambda symbol: facts(symbol) | {"last_px_ticks": 0})


def a_model_in_single_precision(twin, patch):
    for feed in filter(None, twin.feeds):
        run = feed.model.run
        patch.setattr(feed.model, "run", lambda x, run=run: np.float64(np.float32(run(x))))


MUTANTS = {
    "fed by a refused event": ("the touch of judged quotes, one without", of_a_refused_event),
    "fed before the gate": ("the venue's bars, judged", before_the_gate),
    "fed by a bar that is not closed": ("the venue's bars", heard_otherwise(not_closed)),
    "fed by a touch that nobody trusts": (
        "the touch of a judged book",
        heard_otherwise(lambda hears, e, touch, *, now, **_: hears(e, touch, trusted=True, now=now)),
    ),
    "fed by the prices of a bar alone": ("the venue's bars, judged", heard_otherwise(by_the_prices_alone)),
    "fed by a mark": ("the touch", heard_otherwise(by_a_mark)),
    "fed by a peer": ("peers and features", of_a_peer),
    "fed while it is stopped": ("peers and features", while_it_is_stopped),
    "a bar that closes a price late": ("bars of the touch", a_price_late),
    "known an update too early": ("the touch", known_too_early),
    "the last bits": (EVERY, in_one_go),
    "a view without the last trade": ("peers", without_the_last_trade),
    "a model in single precision": ("a model that reads bars of a judged book, brackets", a_model_in_single_precision),
}


def found(mutate, suite, patch):
    """Whether one of the lives that agree, lived with a mutated twin, does not."""
    for seed in range(LIVES):
        with patch.context() as inside:
            pair = SectionPair(**SUITES[suite])
            mutate(pair.twin, inside)
            try:
                live(pair, f"{suite} {seed}")
            except AssertionError:
                return True
    return False


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_twin_that_is_fed_otherwise_is_found_out(mutant, monkeypatch):
    suite, mutate = MUTANTS[mutant]
    assert found(mutate, suite, monkeypatch)


def test_a_feature_that_is_wrong_in_its_last_bits_comes_out_as_another_order(monkeypatch):
    """Nothing is compared but what left the two worlds: a strategy that decides by a wrong number decides otherwise."""
    monkeypatch.setattr(step_pair, "exactly", lambda view: None)
    monkeypatch.setattr(SectionPair, "_compare", lambda self: None)
    assert found(in_one_go, EVERY, monkeypatch)
    assert not found(lambda twin, patch: None, EVERY, monkeypatch)
