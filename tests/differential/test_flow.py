"""The microstructure features against their twin, their definitions and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._core import flow as core
from engine.model import flow as model

STEM = "flow"
WINDOWS = (1, 2, 3, 5, 8, 20, 50)


def both(windows=WINDOWS, bucket_lots=40):
    return [impl.Flow(windows=windows, bucket_lots=bucket_lots) for impl in (core, model)]


def agree(ours, twin) -> None:
    ours.check()
    twin.check()
    assert (ours.quote_count, ours.trade_count, ours.bucket_count, ours.refused_count) == (
        twin.quote_count, twin.trade_count, twin.bucket_count, twin.refused_count,
    )  # fmt: skip
    for name in core.PLAIN:
        assert ours.plain(name) == pytest.approx(twin.plain(name), rel=1e-12, abs=1e-12, nan_ok=True), name
    for name in core.FAMILIES:
        for n in twin.windows:
            a, b = ours.value(name, n), twin.value(name, n)
            assert a == pytest.approx(b, rel=1e-9, abs=1e-9, nan_ok=True), (name, n)


def test_random_quotes_and_trades_give_what_the_definitions_say():
    rng = np.random.default_rng(3)
    ours, twin = both()
    mid, now = 10_000, 1
    for i in range(600):
        now += int(rng.integers(0, 10**7))
        mid += int(rng.integers(-3, 4))
        if rng.random() < 0.5:
            args = (now, mid, int(rng.integers(1, 90)), mid + int(rng.integers(1, 4)), int(rng.integers(1, 90)))
            assert ours.quote(*args) == twin.quote(*args)
        else:
            args = (now, mid + int(rng.integers(-2, 3)), int(rng.integers(1, 60)), bool(rng.random() < 0.4))
            assert ours.trade(*args) == twin.trade(*args)
        if i < 20 or i % 25 == 0:
            agree(ours, twin)


def test_the_micro_price_leans_to_the_thinner_side(impl):
    f = impl.Flow(windows=(1,))
    f.quote(1, 100, 90, 102, 10)
    assert f.plain("micro") == pytest.approx(101.8)
    assert f.plain("micro_gap") == pytest.approx(0.8)
    assert f.plain("imbalance") == pytest.approx(0.8)


def test_order_flow_counts_what_came_and_what_went(impl):
    f = impl.Flow(windows=(1,))
    f.quote(1, 100, 10, 101, 10)
    f.quote(2, 100, 15, 101, 10)
    assert f.value("ofi", 1) == 5
    f.quote(3, 101, 7, 102, 4)
    # A new best bid of 7, and the 10 at the old ask are gone.
    assert f.value("ofi", 1) == 17


def test_one_sided_flow_is_fully_toxic_and_balanced_flow_not_at_all(impl):
    one, two = impl.Flow(windows=(4,), bucket_lots=10), impl.Flow(windows=(4,), bucket_lots=10)
    for i in range(1, 21):
        one.trade(i, 100, 5, False)
        two.trade(i, 100, 5, i % 2 == 0)
    assert (one.value("vpin", 4), two.value("vpin", 4)) == (1.0, 0.0)


def test_a_bounce_between_bid_and_ask_gives_the_spread_back(impl):
    f = impl.Flow(windows=(100,))
    rng = np.random.default_rng(8)
    sides = rng.integers(0, 2, 3000)
    for i, side in enumerate(sides):
        f.trade(i, 1000 + 4 * int(side), 1, side == 0)
    assert 2.5 < f.value("roll", 100) < 5.5


def test_a_price_that_follows_signed_volume_shows_its_slope(impl):
    f = impl.Flow(windows=(50,))
    rng = np.random.default_rng(9)
    px = 100_000
    for i in range(200):
        signed = int(rng.integers(-20, 21)) or 1
        px += 3 * signed
        f.trade(i, px, abs(signed), signed < 0)
    assert f.value("kyle", 50) == pytest.approx(3.0, rel=1e-9)


def test_imbalance_of_levels(impl):
    bids, asks = np.array([5, 5, 0, 10]), np.array([5, 0, 0, 0])
    assert [impl.Flow.imbalance(bids, asks, n) for n in (1, 2, 4)] == pytest.approx([0.0, 1 / 3, 0.6])
    assert impl.Flow.imbalance(np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64), 3) == 0.0
    with pytest.raises(ValueError, match="levels"):
        impl.Flow.imbalance(bids, asks, 5)


@pytest.mark.parametrize("quote", [(0, 5, 1, 5, 1), (0, 6, 1, 5, 1), (0, 0, 1, 5, 1), (0, 4, 0, 5, 1), (0, 4, 1, 5, -1),
                                   (-1, 4, 1, 5, 1), (0, 4, 1, 2**41, 1)])  # fmt: skip
def test_what_is_no_quote_is_refused(impl, quote):
    f = impl.Flow(windows=(1,))
    assert not f.quote(*quote)
    assert (f.refused_count, f.quote_count) == (1, 0)
    assert math.isnan(f.plain("mid"))


@pytest.mark.parametrize("trade", [(0, 0, 1), (0, 1, 0), (0, -1, 1), (-5, 1, 1), (0, 2**41, 1), (0, 1, 2**41)])
def test_what_is_no_trade_is_refused(impl, trade):
    f = impl.Flow(windows=(1,))
    assert not f.trade(*trade)
    assert (f.refused_count, f.trade_count) == (1, 0)


def test_time_does_not_go_back(impl):
    f = impl.Flow(windows=(1,))
    f.quote(10, 4, 1, 5, 1)
    f.trade(10, 4, 1)
    assert not f.quote(9, 4, 1, 5, 1)
    assert not f.trade(9, 4, 1)


@pytest.mark.parametrize("set_up", [{"windows": ()}, {"windows": (0,)}, {"windows": (1001,)}, {"windows": tuple(range(1, 10))}, {"bucket_lots": 0}])  # fmt: skip  # noqa: E501
def test_an_impossible_set_up_is_refused(impl, set_up):
    with pytest.raises(ValueError, match=r"windows|bucket"):
        impl.Flow(**set_up)


def test_a_trade_of_millions_of_buckets_costs_two_rings():
    f = core.Flow(windows=(10,), bucket_lots=1)
    f.trade(1, 100, 2**40, False)
    f.check()
    assert f.value("vpin", 10) == 1.0
    assert f.bucket_count == 2048


def test_windows_as_long_as_the_ring_allows_agree():
    ours, twin = both(windows=(999, 1000), bucket_lots=3)
    rng = np.random.default_rng(4)
    for i in range(2300):
        px = 500 + int(rng.integers(-5, 6))
        for f in (ours, twin):
            f.trade(i, px, 1 + i % 7, i % 3 == 0)
            f.quote(i, px, 1 + i % 5, px + 1, 1 + i % 4)
    agree(ours, twin)


event = st.tuples(st.booleans(), st.integers(-1, 5), st.integers(0, 9), st.sampled_from([0, 1, 2, 7, 2**40]),
                  st.integers(0, 12), st.sampled_from([0, 1, 3, 2**40]), st.booleans())  # fmt: skip


@given(st.lists(event, max_size=60))
@settings(max_examples=150)
def test_whatever_comes_both_agree_and_stay_finite(events):
    ours, twin = both(windows=(1, 3), bucket_lots=2**39)
    now = 0
    for is_quote, step, a, b, c, d, sell in events:
        for f in (ours, twin):
            if is_quote:
                f.quote(now + step, a, b, c, d)
            else:
                f.trade(now + step, a, b, sell)
        now = max(now, now + step)
        assert not any(math.isinf(ours.value(name, n)) for name in core.FAMILIES for n in ours.windows)
    ours.check()
    assert (ours.quote_count, ours.trade_count, ours.refused_count) == (
        twin.quote_count, twin.trade_count, twin.refused_count,
    )  # fmt: skip
