"""The windowed features against their twin, against themselves on every instruction set, and against bad input."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._core import features as core
from engine._core import isa
from engine._core.features_panel import Panel
from engine._core.features_table import TABLE, Number, warm_up
from engine.model import features as model
from engine.model import features_exact as exact
from tests.support.suites import histories

STEM = "features"
NAMES = [row.name for row in TABLE]
WINDOWS = (1, 2, 3, 5, 8, 14, 20, 33)
RISING = ["baseline", "v2", "v3", "v4"]
LEVELS = [name for name in ("baseline", "v3", "v4") if RISING.index(name) <= RISING.index(isa.offered())]


def market(count: int, seed: int = 7, step: float = 5.0, start: float = 60_000.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    close = np.maximum(start + np.cumsum(rng.normal(0, step, count)), start / 100)
    open_ = np.r_[close[0], close[:-1]] * np.exp(rng.normal(0, 1e-5, count))
    high = np.maximum(open_, close) + np.abs(rng.normal(0, step, count))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 1e-5, count)))
    volume = rng.random(count) * 9 * (rng.random(count) > 0.1)
    return [open_, high, low, close, volume, rng.normal(0, 1e-4, count)]


def same(name: str, ours: float, twin: float, scale: float) -> None:
    if math.isnan(twin):
        assert math.isnan(ours), name
        return
    assert math.isclose(ours, twin, rel_tol=1e-8, abs_tol=1e-9 * max(scale, 1.0)), (name, ours, twin)


def scale_of(name: str, price: float) -> float:
    """The size that rounding of a family is judged by: a price's own, its square's, or one."""
    unit = next(row.unit for row in TABLE if row.name == name)
    return {"price": price, "price per bar": price, "price^2": price * price * 1e-4}.get(unit, 100.0)


def test_every_family_of_the_table_has_a_number_and_a_formula_of_its_twin():
    assert [f"F_{name.upper()}" for name in NAMES] == [name for name in Number.__members__ if name.startswith("F_")]
    assert set(model._FORMULAS) == set(NAMES)
    assert len(NAMES) >= 60
    assert len(NAMES) * 8 >= 200


@pytest.mark.parametrize("name", NAMES)
def test_a_family_equals_its_definition(name):
    bars = market(160)
    ours, twin = core.Features([name], windows=WINDOWS), model.Features([name], windows=WINDOWS)
    for i, bar in enumerate(zip(*bars, strict=True)):
        assert ours.update(*map(float, bar))
        twin.update(*map(float, bar))
        if i < 12 or i % 9 == 0:
            for n in WINDOWS:
                same(f"{name}:{n} at {i}", ours.value(name, n), twin.value(name, n), scale_of(name, bar[3]))
    ours.check()


def test_before_its_warm_up_a_feature_is_nan_and_after_it_never(impl):
    f = impl.Features(["sma", "rsi", "tema", "macd_signal", "hma", "adx"], windows=(3, 6))
    for i, bar in enumerate(zip(*market(60), strict=True), 1):
        f.update(*map(float, bar))
        for row in TABLE:
            if row.name in f.families:
                for n in f.windows:
                    assert math.isnan(f.value(row.name, n)) == (i < warm_up(row.number, n)), (row.name, n, i)


def test_a_constant_price_moves_nothing(impl):
    f = impl.Features(None, windows=(1, 4, 9))
    for _ in range(60):
        f.update(100.0, 100.0, 100.0, 100.0, 0.0)
    expected = {"sma": 100, "ema": 100, "hma": 100, "kalman": 100, "std": 0, "zscore": 0, "rsi": 50, "stoch_k": 50,
                "cci": 0, "atr": 0, "mfi": 50, "cmf": 0, "vwap": 100, "r2": 0, "skew": 0, "autocorr": 0, "rank": 0.5,
                "er": 0, "chop": 0, "jump": 0, "haar": 0, "bb_pos": 0.5, "trend": 0}  # fmt: skip
    for name, value in expected.items():
        assert f.value(name, 9) == pytest.approx(value, abs=1e-9), name
    assert not any(math.isnan(f.value(name, n)) for name in f.families for n in (1, 4, 9))
    f.check()


BAD = [math.nan, math.inf, -math.inf, 0.0, -5.0, 1e13, 1e-10]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("place", range(4))
def test_a_price_that_is_none_is_refused_and_changes_nothing(impl, bad, place):
    f = impl.Features(["ema", "std", "rsi"], windows=(3,))
    for bar in zip(*market(12), strict=True):
        f.update(*map(float, bar))
    before = [f.value(name, 3) for name in f.families]
    bar = [100.0, 100.0, 100.0, 100.0]
    bar[place] = bad
    assert not f.update(*bar)
    assert (f.count, f.refused_count) == (12, 1)
    assert [f.value(name, 3) for name in f.families] == before


@pytest.mark.parametrize("bar", [
    (10, 9, 8, 8.5, 1, 0), (10, 12, 11, 11.5, 1, 0), (10, 11, 9, 12, 1, 0), (10, 11, 9, 8, 1, 0),
    (10, 11, 9, 10, -1, 0), (10, 11, 9, 10, math.nan, 0), (10, 11, 9, 10, math.inf, 0), (10, 11, 9, 10, 1, math.nan),
])  # fmt: skip
def test_a_bar_that_contradicts_itself_is_refused(impl, bar):
    f = impl.Features(["ema"], windows=(3,))
    assert not f.update(*bar)
    assert (f.count, f.refused_count) == (0, 1)


@pytest.mark.parametrize("windows", [(), (0,), (1001,), (3, 3), (5, 2), tuple(range(1, 34))])
def test_impossible_windows_are_refused(impl, windows):
    with pytest.raises(ValueError, match="window"):
        impl.Features(["sma"], windows=windows)


def test_an_unknown_family_is_refused(impl):
    with pytest.raises(ValueError, match="family"):
        impl.Features(["no_such"], windows=(3,))


def test_online_equals_batch_to_the_last_bit():
    bars = market(700)
    online, batch = core.Features(windows=(2, 7, 14, 50)), core.Features(windows=(2, 7, 14, 50))
    whole = batch.run(*bars)
    for i, bar in enumerate(zip(*bars, strict=True)):
        online.update(*map(float, bar))
        assert np.array_equal(online.values(), whole[i], equal_nan=True)
    assert online.state() == batch.state()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("windows", [WINDOWS, (2, 7, 14)])
def test_the_batch_of_one_family_equals_its_updates_to_the_last_bit_of_its_state(level, windows):
    bars = market(260, seed=5)
    bars[3][100] = math.nan
    bars[4][170] = -1.0
    for name in NAMES:
        batch, online = (core.Features([name], windows=windows, isa=level) for _ in range(2))
        whole = [batch.run(*[x[:90] for x in bars]), batch.run(*[x[90:] for x in bars])]
        one = []
        for bar in zip(*bars, strict=True):
            online.update(*map(float, bar))
            one.append(online.values())
        assert np.array_equal(np.concatenate(whole), np.array(one), equal_nan=True), name
        assert batch.state() == online.state(), name
        assert batch.refused_count == 2
        batch.check()


def test_a_panel_is_its_streams_to_the_last_bit():
    names, windows = ["ema", "kama", "dc_high", "autocorr", "aroon_up", "rank"], (3, 8, 20)
    panel, alone = Panel(3, names, windows=windows), [core.Features(names, windows=windows) for _ in range(3)]
    streams = [np.stack(market(60, seed=i)[:5], axis=1) for i in range(3)]
    streams[1][40, 2] = math.inf
    refused = 0
    for i in range(60):
        rows = np.ascontiguousarray([stream[i] for stream in streams])
        refused += panel.close(rows)
        for f, row in zip(alone, rows, strict=True):
            f.update(*map(float, row))
    panel.check()
    assert refused == 1
    assert [panel.state(i) for i in range(3)] == [f.state() for f in alone]
    assert np.array_equal(panel.values(), [f.values() for f in alone], equal_nan=True)


@pytest.mark.parametrize("count", [0, -1, 100_001])
def test_a_panel_without_streams_is_refused(count):
    with pytest.raises(ValueError, match="streams"):
        Panel(count, ["ema"])


def test_rows_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="shape"):
        Panel(2, ["ema"]).close(np.ones((3, 5)))


def test_a_family_alone_equals_itself_among_all_others():
    bars = market(400)
    whole = core.Features(windows=WINDOWS).run(*bars)
    for number, name in enumerate(NAMES):
        alone = core.Features([name], windows=WINDOWS).run(*bars)
        assert np.array_equal(alone[:, 0], whole[:, number], equal_nan=True), name


def test_windows_do_not_see_each_other():
    bars = market(300)
    many = core.Features(["ema", "hma", "stoch_k", "cci"], windows=tuple(range(2, 34)))
    whole = many.run(*bars)
    one = core.Features(["ema", "hma", "stoch_k", "cci"], windows=(17,)).run(*bars)
    assert np.array_equal(whole[:, :, 15], one[:, :, 0], equal_nan=True)


@pytest.mark.parametrize("level", LEVELS)
def test_every_instruction_set_gives_the_same_bits(level):
    windows = (1, 2, 3, 5, 10, 14, 20, 30, 50, 100, 200)
    for bars in (market(900), market(400, seed=3, step=0.01), market(400, seed=4, step=900.0, start=1000.0)):
        base, other = core.Features(windows=windows, isa="baseline"), core.Features(windows=windows, isa=level)
        assert np.array_equal(base.run(*bars), other.run(*bars), equal_nan=True)
        assert base.state() == other.state()


def test_an_instruction_set_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="instruction set"):
        core.Features(["sma"], windows=(3,), isa="v9")


def test_a_wild_price_leaves_with_its_window():
    calm = market(4000)
    wild = [x.copy() for x in calm]
    for x in wild[:4]:
        x[50] = 1e12
    f, g = core.Features(windows=(3, 20)), core.Features(windows=(3, 20))
    ours, theirs = f.run(*wild)[-1], g.run(*calm)[-1]
    f.check()
    for name, a, b in zip(NAMES, ours, theirs, strict=True):
        # What forgets by halves keeps 1e12 * 0.9^4000; what has a window keeps nothing but the last digits.
        assert np.allclose(a, b, rtol=1e-7, atol=1e-7 * scale_of(name, 6e4)), name


def test_a_value_outside_its_bounds_is_held_and_flagged():
    f = core.Features(["zscore", "roc", "vol_ratio"], windows=(3,))
    for price in (1e-9, 1e-9, 1e-9, 1e-9, 1e12, 1e12):
        f.update(price, price, price, price, 1.0)
    f.check()
    g = core.Features(["ppo"], windows=(2,))
    assert g.anomaly_count == 0
    table = {row.name: row for row in TABLE}
    assert table["ppo"].low < table["ppo"].high


def test_rounding_does_not_pile_up():
    """Ten million updates in the deep form, a hundred thousand here: rolling sums stay at a few units of rounding."""
    count = 10_000_000 if os.environ.get("BOT4_STRESS") else 100_000
    f, chunk = core.Features(windows=(5, 20, 100)), 10_000
    out = np.empty((chunk, len(NAMES), 3))
    bars = [x[:chunk] for x in market(chunk)]
    for _ in range(count // chunk):
        f.run(*bars, out=out)
    assert f.count == count
    assert f.drift() < 1e-12
    fresh = core.Features(windows=(5, 20, 100))
    last = fresh.run(*bars)[-1]
    for name, a, b in zip(NAMES, out[-1], last, strict=True):
        assert np.allclose(a, b, rtol=1e-9, atol=1e-9 * scale_of(name, 6e4)), name


def test_a_state_is_taken_up_where_it_was_left():
    bars = market(300)
    f = core.Features(windows=(4, 40))
    f.run(*[x[:150] for x in bars])
    other = core.Features(windows=(4, 40))
    other.restore(f.state())
    a, b = f.run(*[x[150:] for x in bars]), other.run(*[x[150:] for x in bars])
    assert np.array_equal(a, b, equal_nan=True)
    with pytest.raises(ValueError, match="state"):
        core.Features(["sma"], windows=(4, 40)).restore(f.state())


def test_reset_forgets_everything():
    f, g = core.Features(windows=(3, 9)), core.Features(windows=(3, 9))
    f.run(*market(100, seed=1))
    f.reset()
    bars = market(100, seed=2)
    assert np.array_equal(f.run(*bars), g.run(*bars), equal_nan=True)
    assert f.state() == g.state()


price = st.one_of(st.floats(1e-9, 1e12), st.sampled_from([1e-9, 1.0, 1e12, 100.0, 100.00000001]), st.sampled_from(BAD))


@given(st.lists(st.tuples(price, price, price, price, st.one_of(st.floats(0, 1e21), st.just(math.nan))), max_size=80))
@settings(max_examples=60)
def test_whatever_comes_every_value_is_nan_by_warm_up_or_within_its_bounds(rows):
    f = core.Features(windows=(1, 2, 3, 7))
    for a, b, c, d, volume in rows:
        f.update(b, max(a, b, c, d), min(a, b, c, d), c, volume)
        values = f.values()
        assert not np.isinf(values).any()
        for number, line in enumerate(values):
            for n, value in zip(f.windows, line, strict=True):
                assert math.isnan(value) == (f.count < warm_up(number, n)), (NAMES[number], n)
                assert math.isnan(value) or TABLE[number].low <= value <= TABLE[number].high
    # And it recovers: a calm market brings every windowed sum back.
    for bar in zip(*market(60), strict=True):
        f.update(*map(float, bar))
    f.check()


# ------------------------------------------------------------------------------------------------- to the last bit
def same_bits(ours: core.Features, twin: exact.Stream) -> None:
    assert (ours.count, ours.refused_count, ours.anomaly_count) == (twin.count, twin.refused_count, twin.anomaly_count)
    expected = np.array([[twin.value(name, n) for n in twin.windows] for name in twin.families])
    found = ours.values()
    # A NaN is the warm-up and has one form; of zeros the sign counts.
    wrong = [NAMES[i] for i in range(len(NAMES)) if found[i].tobytes() != expected[i].tobytes()]
    assert wrong == [], (twin.count, wrong)
    for name, n in twin.flags:
        assert ours.flagged(name, n)
    assert sum(ours.flagged(name, n) for name in NAMES for n in twin.windows) == len(twin.flags)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("windows", [WINDOWS, (2, 7, 14), (1, 2, 3, 4, 5, 6, 7, 9, 12)])
def test_every_family_in_every_window_is_its_arithmetic_to_the_last_bit(level, windows):
    for bars in (market(120), market(90, seed=3, step=0.01), market(90, seed=4, step=900.0, start=1000.0)):
        ours, twin = core.Features(NAMES, windows=windows, isa=level), exact.Stream(NAMES, windows)
        for i, bar in enumerate(zip(*bars, strict=True)):
            assert ours.update(*map(float, bar)) == twin.update(*map(float, bar))
            if i < 60 or i % 5 == 0:
                same_bits(ours, twin)


step_of = st.sampled_from([0.0, 0.0, 1e-12, 1e-9, 0.01, -0.01, 0.5])
volume_of = st.sampled_from([0.0, 1.0, 0.3, 1e-9, 7e12, 1e21])


@given(
    st.floats(1e-8, 1e11),
    st.lists(st.tuples(price, step_of, step_of, step_of, volume_of, st.booleans()), max_size=40),
    st.sampled_from([(1, 2, 3, 7), (5,), (3, 6)]),
)
@histories(usual=40)
def test_whatever_comes_the_bits_and_the_flags_are_those_of_the_arithmetic(base, rows, windows):
    ours, twin = core.Features(NAMES, windows=windows), exact.Stream(NAMES, windows)
    for wild, a, b, c, volume, calm in rows:
        first = base if calm else wild
        four = first, first * (1 + a), first * (1 + b), first * (1 + c)
        bar = four[0], max(four), min(four), four[1], volume, c
        assert ours.update(*bar) == twin.update(*bar)
        same_bits(ours, twin)


def test_an_anomaly_of_a_window_that_nobody_asked_for_is_none():
    """A group has eight windows; those that are not in use run along with one bar each."""
    long, short = core.Features(["body"], windows=(5,)), core.Features(["body"], windows=(1,))
    for f in (long, short):
        f.run(*(np.array(x) for x in zip(*[(1.0, 2.0, 1.0, 1.0, 0.0)] * 6, (1.0, 1.0 + 1e-9, 1.0, 1.0, 0.0),
                                         strict=True)))  # fmt: skip
        # Ten thousand over the range of one bar before; over the mean of five it is an ordinary body.
        f.update(1.0, 1e4, 1.0, 1e4)
    assert (short.flagged("body", 1), short.anomaly_count) == (True, 1)
    assert (long.flagged("body", 5), long.anomaly_count) == (False, 0)
