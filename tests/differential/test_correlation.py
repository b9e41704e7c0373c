"""Correlation with what is held: the incremental table against its twin and against numpy."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine._core import correlation as core
from engine._core.types import Status
from engine.errors import CorrelationBadShape, CorrelationFull
from engine.model import correlation as model

STEM = "correlation"
SYMBOLS = 6


def walk(impl, prices, *, samples_min=5, weight=0.05, tracked=4):
    """A table fed with one row of prices per sample; symbol k is column k."""
    table = impl.Correlation(tracked=tracked, symbols=SYMBOLS, samples_min=samples_min, weight=weight)
    for symbol in range(prices.shape[1]):
        table.track(symbol)
    for row in prices:
        for symbol, px in enumerate(row):
            table.price(symbol, int(px))
        table.sample()
    table.check()
    return table


def random_prices(seed, count=80, columns=3):
    steps = np.random.default_rng(seed).integers(-300, 301, (count, columns))
    return 1_000_000 + np.cumsum(steps, axis=0)


def test_correlation_limit_reads_plus_one_for_a_twin_and_minus_one_for_its_mirror(impl):
    base = random_prices(1, columns=1)[:, 0]
    mirror = (1_000_000 * 1_000_000) // base
    table = walk(impl, np.stack([base, base, mirror], axis=1))
    table.hold(0, 5)
    assert table.worst(1, False) == pytest.approx(1_000_000, abs=2)
    assert table.worst(1, True) == pytest.approx(-1_000_000, abs=2)
    assert table.worst(2, False) == pytest.approx(-1_000_000, abs=2000)
    assert table.worst(2, True) == pytest.approx(1_000_000, abs=2000)


def test_a_short_position_turns_the_sign_round(impl):
    base = random_prices(2, columns=1)[:, 0]
    table = walk(impl, np.stack([base, base], axis=1))
    table.hold(0, -5)
    assert table.worst(1, False) == pytest.approx(-1_000_000, abs=2)
    assert table.worst(1, True) == pytest.approx(1_000_000, abs=2)


def test_the_matrix_is_the_exponentially_weighted_correlation_of_the_returns(impl):
    prices, weight = random_prices(3), 0.05
    table = walk(impl, prices, weight=weight)
    returns = np.diff(prices, axis=0) / prices[:-1]
    weights = weight * (1 - weight) ** np.arange(len(returns))[::-1]
    covariance = (returns * weights[:, None]).T @ returns
    deviation = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(table.matrix(), covariance / np.outer(deviation, deviation), rtol=1e-9)


def test_too_few_samples_is_unknown_and_not_zero(impl):
    table = walk(impl, random_prices(4, count=5), samples_min=5)
    table.hold(0, 1)
    assert table.worst(1, False) is None
    assert table.worst(0, False) == -1_000_000  # nothing else is held


def test_an_untracked_symbol_is_unknown_as_soon_as_anything_is_held(impl):
    table = walk(impl, random_prices(5))
    assert table.worst(5, False) == -1_000_000
    table.hold(0, 1)
    assert table.worst(5, False) is None
    table.hold(0, 0)
    assert table.worst(5, False) == -1_000_000


def test_a_price_that_never_moves_is_unknown(impl):
    prices = random_prices(6, columns=2)
    prices[:, 1] = 777
    table = walk(impl, prices)
    table.hold(0, 1)
    assert table.worst(1, False) is None


def test_a_held_symbol_that_finds_no_place_makes_everything_unknown_until_it_is_flat(impl):
    table = walk(impl, random_prices(7), tracked=3)
    assert table.hold(4, 10) == Status.CORRELATION_FULL
    assert table.worst(0, False) is None
    assert table.hold(4, 10) == Status.CORRELATION_FULL
    assert table.hold(4, 0) == Status.OK
    assert table.worst(0, False) == -1_000_000
    table.check()


def test_a_full_table_and_an_impossible_shape_are_typed_errors(impl):
    table = impl.Correlation(tracked=1, symbols=SYMBOLS)
    table.track(0)
    table.track(0)
    with pytest.raises(CorrelationFull):
        table.track(1)
    with pytest.raises(CorrelationBadShape):
        table.track(SYMBOLS)
    for shape in ({"tracked": 0}, {"symbols": 0}, {"samples_min": 1}, {"weight": 0.0}, {"weight": 1.0}):
        with pytest.raises(CorrelationBadShape):
            impl.Correlation(**({"tracked": 2, "symbols": 2} | shape))


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 67, 130])
def test_every_size_of_table_agrees_with_the_twin(count):
    """The passes run in chunks of 64 and in fours: every remainder and more than one chunk."""
    rng = np.random.default_rng(count)
    pair = [m.Correlation(tracked=count, symbols=count, samples_min=3) for m in (core, model)]
    for table in pair:
        for symbol in range(count):
            table.track(symbol)
    for _ in range(6):
        prices = 10_000 + rng.integers(-50, 51, count)
        for table in pair:
            for symbol, px in enumerate(prices):
                table.price(symbol, int(px))
            table.sample()
    directions = rng.integers(-1, 2, count)
    for table in pair:
        for symbol, lots in enumerate(directions):
            table.hold(symbol, int(lots))
        table.check()
    ours, twin = ([t.worst(s, sell) for s in range(count) for sell in (False, True)] for t in pair)
    assert ours == twin


def test_returns_too_small_to_square_are_as_good_as_equal(impl):
    """One return of 2**-52, halved 930 times: variances that are still there, and whose product is not."""
    table = impl.Correlation(tracked=2, symbols=2, samples_min=2, weight=0.5)
    for px in (2**62, 2**62 - 1024, *[2**62 - 1024] * 930):
        for symbol in range(2):
            table.track(symbol)
            table.price(symbol, px)
        table.sample()
    table.hold(0, 1)
    assert table.matrix()[0, 1] == 1.0
    assert (table.worst(1, False), table.worst(1, True)) == (1_000_000, -1_000_000)


VERSIONS = """
import hashlib
import numpy as np
from engine._core.correlation import Correlation
rng, sums = np.random.default_rng(3), hashlib.sha256()
for count in (1, 3, 4, 5, 63, 64, 65, 130):
    table = Correlation(tracked=count, symbols=count, samples_min=2, weight=0.1)
    for symbol in range(count):
        table.hold(symbol, symbol % 3 - 1)
    for row in 1_000_000 + rng.integers(-500, 500, (9, count)):
        for symbol, px in enumerate(row):
            table.price(symbol, int(px))
        table.sample()
        sums.update(table.matrix().tobytes())
        sums.update(repr([table.worst(s, sell) for s in range(count) for sell in (False, True)]).encode())
print(sums.hexdigest())
"""


def test_every_instruction_set_gives_the_same_bits():
    seen = {
        subprocess.run(
            [sys.executable, "-c", VERSIONS], env=os.environ | level, capture_output=True, text=True, check=True
        ).stdout
        for level in ({}, {"BOT4_ISA": "baseline"})
    }
    assert len(seen) == 1
    assert len(seen.pop()) == 65


class Twins(RuleBasedStateMachine):
    @initialize(tracked=st.integers(1, 4), weight=st.sampled_from([0.01, 0.3, 0.9]))
    def start(self, tracked, weight):
        shape = {"tracked": tracked, "symbols": SYMBOLS, "samples_min": 2, "weight": weight}
        self.pair = (core.Correlation(**shape), model.Correlation(**shape))

    @rule(symbol=st.integers(0, SYMBOLS - 1), px=st.integers(0, 50))
    def price(self, symbol, px):
        for table in self.pair:
            table.price(symbol, px)

    @rule(moves=st.lists(st.integers(1, 30), min_size=SYMBOLS, max_size=SYMBOLS))
    def sample(self, moves):
        for table in self.pair:
            for symbol, px in enumerate(moves):
                table.price(symbol, px)
            table.sample()

    @rule(symbol=st.integers(0, SYMBOLS - 1), lots=st.integers(-1, 1))
    def hold(self, symbol, lots):
        assert self.pair[0].hold(symbol, lots) == self.pair[1].hold(symbol, lots)

    @rule(symbol=st.integers(0, SYMBOLS - 1))
    def track(self, symbol):
        outcomes = []
        for table in self.pair:
            try:
                table.track(symbol)
                outcomes.append("ok")
            except CorrelationFull:
                outcomes.append("full")
        assert outcomes[0] == outcomes[1]

    @invariant()
    def both_agree(self):
        if not hasattr(self, "pair"):
            return
        ours, twin = self.pair
        ours.check()
        assert ours.tracked == twin.tracked
        for symbol in range(SYMBOLS):
            for sell in (False, True):
                # The same sums in the same order: equal to the bit, so the ceilings are equal too.
                assert ours.worst(symbol, sell) == twin.worst(symbol, sell)


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
