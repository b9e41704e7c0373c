"""Features of the clock and of the day: kernel against twin, and what no bar may do to them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._core import season as core
from engine.model import season as model

STEM = "season"
MINUTE = 60 * 10**9
MONDAY = 1_704_067_200 * 10**9  # 2024-01-01
SPANS = (1, 2, 5)


def names():
    return [*core.PLAIN], [(family, n) for family in core.FAMILIES for n in SPANS]


def same(kernel, twin):
    plain, windowed = names()
    for name in plain:
        assert kernel.plain(name) == pytest.approx(twin.plain(name), rel=1e-9, abs=1e-12, nan_ok=True), name
    for family, n in windowed:
        # A return of nothing but rounding has a ratio of nothing but rounding.
        assert kernel.value(family, n) == pytest.approx(twin.value(family, n), rel=1e-6, abs=1e-9, nan_ok=True), family


def test_the_clock_is_utc_and_weeks_begin_on_monday(impl):
    s = impl.Season(spans=SPANS)
    s.bar(MONDAY + 6 * 60 * MINUTE, 10, 10, 10)
    got = [s.plain(name) for name in ("day_share", "day_wave", "week_share", "asia", "europe", "america", "weekend")]
    assert got == [0.25, 1.0, 0.25 / 7, 1.0, 0.0, 0.0, 0.0]
    s.bar(MONDAY + (5 * 24 + 14) * 60 * MINUTE, 10, 10, 10)
    assert [s.plain(name) for name in ("asia", "europe", "america", "weekend")] == [0.0, 1.0, 1.0, 1.0]
    assert s.plain("funding_share") == 0.75


def test_the_day_is_measured_from_its_first_close_and_the_day_before_must_be_the_one_before(impl):
    s = impl.Season(spans=SPANS)
    s.bar(MONDAY, 12, 8, 10, 1)
    s.bar(MONDAY + MINUTE, 11, 9, 11, 3)
    assert s.plain("day_gap") == pytest.approx(0.1)
    assert s.plain("day_place") == pytest.approx(0.75)
    assert s.plain("day_vwap_gap") == pytest.approx(11 * 4 / 43 - 1)
    assert math.isnan(s.plain("before_high_gap"))
    s.bar(MONDAY + 24 * 60 * MINUTE, 6, 6, 6)
    assert (s.plain("before_high_gap"), s.plain("before_low_gap")) == (pytest.approx(-0.5), pytest.approx(-0.25))
    s.bar(MONDAY + 3 * 24 * 60 * MINUTE, 6, 6, 6)
    assert math.isnan(s.plain("before_high_gap"))


def test_a_quarter_hour_is_held_against_the_same_one_of_earlier_days_and_never_against_itself(impl):
    s = impl.Season(spans=(1, 2))
    for day, (px, volume) in enumerate([(110, 4), (99, 8), (110, 6)]):
        at = MONDAY + day * 24 * 60 * MINUTE
        s.bar(at, 100, 100, 100, 0)
        s.bar(at + 15 * MINUTE, px, px, px, volume)
        if day == 2:
            # What is coming is told before it has come.
            assert s.value("season_return", 2) == pytest.approx((math.log(1.1) + math.log(0.99)) / 2)
        s.bar(at + 30 * MINUTE, px, px, px, 0)
    assert s.value("season_volume", 2) == pytest.approx(1.0)
    assert s.value("season_volume", 1) == pytest.approx(6 / 8)
    assert s.value("season_vol", 2) == pytest.approx(math.log(1.1) / ((math.log(1.1) - math.log(0.99)) / 2))


@pytest.mark.parametrize(
    "bad",
    [(math.nan, 1, 1, 0), (1, 1, math.inf, 0), (2, 1, 3, 0), (2, 1, 0.5, 0), (1, 0, 1, 0), (1, 1, 1, -1),
     (1, 1, 1, math.nan), (1e13, 1, 1, 0), (1, 1, 1, 1e22)],
)  # fmt: skip
def test_what_is_no_bar_is_refused_and_changes_nothing(impl, bad):
    s = impl.Season(spans=SPANS)
    s.bar(MONDAY, 1, 1, 1, 1)
    before = [s.plain(name) for name in core.PLAIN]
    assert not s.bar(MONDAY + MINUTE, *bad)
    assert not s.bar(MONDAY - 1, 1, 1, 1, 1)
    assert (s.count, s.refused_count) == (1, 2)
    assert str([s.plain(name) for name in core.PLAIN]) == str(before)


@pytest.mark.parametrize("spans", [(), (0,), (1_001,), tuple(range(1, 10))])
def test_spans_that_are_none_are_refused(impl, spans):
    with pytest.raises(ValueError, match="spans"):
        impl.Season(spans=spans)


BARS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 5 * MINUTE, 15 * MINUTE, 24 * 60 * MINUTE, 49 * 60 * MINUTE]),
        st.sampled_from([1e-9, 0.5, 1.0, 100.0, 101.0, 1e12, math.nan, math.inf]),
        st.sampled_from([0.0, 1.0, 7.5, 1e21]),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(BARS)
def test_kernel_and_twin_agree_after_every_bar_whatever_comes(rows):
    kernel, twin, at = core.Season(spans=SPANS), model.Season(spans=SPANS), MONDAY
    for step, px, volume in rows:
        at += step
        assert kernel.bar(at, px, px, px, volume) == twin.bar(at, px, px, px, volume)
        same(kernel, twin)
        kernel.check()


def walk(count, seed=5):
    rng = np.random.default_rng(seed)
    close = np.exp(np.cumsum(rng.normal(0, 1e-3, count))) * 100
    high, low = close * 1.001, close * 0.999
    ts = MONDAY + np.arange(count, dtype=np.int64) * 5 * MINUTE
    return ts, high, low, close, rng.uniform(0, 9, count)


def test_a_batch_is_the_online_form_to_the_last_bit_and_stays_within_its_bounds():
    rows = walk(6_000)
    batch, online = core.Season(spans=SPANS).run(*rows), core.Season(spans=SPANS)
    plain, windowed = names()
    for at, row in enumerate(zip(*rows, strict=True)):
        online.bar(int(row[0]), *row[1:])
        mine = [*map(online.plain, plain), *(online.value(*one) for one in windowed)]
        assert np.array(mine).tobytes() == batch[at].tobytes()
    bounds = [(low, high) for _, low, high, _ in [*core.PLAIN.values(), *(core.FAMILIES[f] for f, _ in windowed)]]
    low, high = np.array(bounds).T
    known = np.isfinite(batch)
    assert known[-1].all()
    assert np.all(~known | ((batch >= low) & (batch <= high)))


def test_a_usual_day_shows_in_the_usual_volume():
    ts, high, low, close, _ = walk(96 * 3 * 12)
    busy = np.where(ts // (15 * MINUTE) % 96 < 48, 5.0, 1.0)
    out = core.Season(spans=(5,)).run(ts, high, low, close, busy)
    # After the warm-up what is busy every day is usual: its ratio is 1 in both halves of the day.
    assert np.allclose(out[96 * 3 * 8 :, -1], 1.0)


def test_the_block_is_the_same_for_the_same_bars():
    one, other = core.Season(), core.Season()
    one.run(*walk(500))
    other.run(*walk(500))
    assert one.state() == other.state()
