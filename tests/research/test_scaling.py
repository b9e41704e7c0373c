"""Scaling and selection against SciPy and the definitions, and what must never happen with either."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from engine._core.features import Features
from engine.cli.backtest import read_data
from engine.cli.main import cli
from engine.errors import ScalerMismatch
from engine.research import prepare, scaling, selection
from engine.research.dataset import Dataset

REQUEST = (1, 0, (("ema", 10), ("rsi", 14), ("sma", 5)))
RNG = np.random.default_rng(11)
ROWS = RNG.normal([5, -3, 100], [1, 4, 0.01], (400, 3))


def test_each_method_is_its_definition():
    made = {method: scaling.learn(method, ROWS, REQUEST).apply(ROWS) for method in scaling.METHODS}
    assert np.allclose([made["minmax"].min(axis=0), made["minmax"].max(axis=0)], [[0] * 3, [1] * 3])
    assert np.allclose(made["zscore"], stats.zscore(ROWS, axis=0))
    assert np.allclose(made["robust"], (ROWS - np.median(ROWS, axis=0)) / stats.iqr(ROWS, axis=0))
    assert np.allclose(np.abs(made["maxabs"]).max(axis=0), 1.0)
    assert np.allclose(np.linalg.norm(made["normalizer"], axis=1), 1.0)


@pytest.mark.parametrize("method", scaling.METHODS)
def test_what_is_applied_depends_on_no_other_row(method):
    learned = scaling.learn(method, ROWS[:200], REQUEST)
    assert learned.apply(ROWS[200:201]).tobytes() == learned.apply(ROWS[200:])[:1].tobytes()


@pytest.mark.parametrize("method", scaling.METHODS)
def test_a_column_that_does_not_vary_or_is_not_known_is_never_divided_by(method):
    rows = np.stack([np.full(9, 3.3), np.full(9, np.nan), np.array([1.0, np.inf, 2, 3, 4, 5, 6, 7, 8])], axis=1)
    out = scaling.learn(method, rows, REQUEST).apply(rows[2:])
    assert np.isfinite(out[:, [0, 2]]).all() or method == "normalizer"
    if method in ("minmax", "zscore", "robust"):
        assert out[:, 0].tolist() == [0.0] * 7
        assert np.isnan(out[:, 1]).all()


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(np.float64, (12, 3), elements=st.floats(allow_nan=True, allow_infinity=True, width=64)))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nothing_that_can_stand_in_a_column_stops_it(rows):
    for method in scaling.METHODS:
        assert scaling.learn(method, rows, REQUEST).apply(rows).shape == rows.shape
    for method in selection.METHODS:
        assert np.isfinite(selection.scores(method, rows, rows[:, 0])).all()


def test_a_scaler_is_kept_with_the_hash_of_its_features_and_refused_for_others(tmp_path):
    path = tmp_path / "scaler.json"
    learned = scaling.learn("zscore", ROWS, REQUEST)
    scaling.save(path, learned, kept=["ema:10"])
    assert scaling.load(path, REQUEST) == learned
    other = (1, 0, (("ema", 11), ("rsi", 14), ("sma", 5)))
    with pytest.raises(ScalerMismatch, match="these are others"):
        scaling.load(path, other)
    with pytest.raises(ScalerMismatch, match="columns"):
        learned.apply(ROWS[:, :2])
    path.write_text("{")
    with pytest.raises(ScalerMismatch):
        scaling.load(path, REQUEST)


def test_each_score_is_its_definition():
    x, y = ROWS[:, 0], 0.3 * ROWS[:, 0] + RNG.normal(0, 1, 400)
    one = {method: selection.scores(method, x[:, None], y)[0] for method in selection.METHODS}
    seen = selection.table_of(x, y)
    found = stats.chi2_contingency(seen, correction=False)
    assert one["correlation"] == pytest.approx(abs(stats.pearsonr(x, y).statistic))
    assert one["chi2"] == pytest.approx(found.statistic / found.dof)
    assert one["mutual"] == pytest.approx(stats.chi2_contingency(seen, correction=False, lambda_="log-likelihood")
                                          .statistic / 2 / 400)  # fmt: skip
    assert one["anova"] == pytest.approx(stats.f_oneway(x[y < 0], x[y > 0]).statistic)
    assert one["variance"] == pytest.approx(np.var((x - x.min()) / np.ptp(x)))


@pytest.mark.parametrize("method", ["correlation", "mutual", "chi2", "anova"])
def test_what_says_something_is_chosen_before_noise(method):
    target = RNG.normal(0, 1, 400)
    rows = np.stack([RNG.normal(0, 1, 400), target + RNG.normal(0, 0.5, 400), np.full(400, 2.0)], axis=1)
    assert selection.best(method, rows, target, 1).tolist() == [1]
    assert selection.scores(method, rows, target)[2] == 0.0


def test_an_unknown_method_or_a_target_of_another_length_is_refused():
    with pytest.raises(ValueError, match="one of"):
        selection.scores("luck", ROWS, ROWS[:, 0])
    with pytest.raises(ValueError, match="target"):
        selection.scores("chi2", ROWS, ROWS[:10, 0])
    with pytest.raises(ScalerMismatch, match="one of"):
        scaling.learn("luck", ROWS, REQUEST)


WANTED = (("rsi", 14), ("zscore", 20), ("sma", 5))


def test_what_is_prepared_does_not_change_when_the_part_kept_apart_does():
    data = read_data("sample:vision-klines", None, None, None, "spot")
    terms = {"scale": "robust", "score": "mutual", "keep": 2, "horizon": 3}
    whole = prepare.prepare(data, WANTED, share=0.5, **terms)
    rows = len(prepare.columns_of(data, WANTED)[0])
    half = Dataset(data.meta, data.events[: 2 * (rows // 2)])
    cut = prepare.prepare(half, WANTED, share=1.0, **terms)
    assert (whole.scaler, whole.scores, whole.learned_rows) == (cut.scaler, cut.scores, rows // 2 - 3)


def test_the_columns_are_the_online_features():
    data = read_data("sample:vision-klines", None, None, None, "spot")
    rows, close = prepare.columns_of(data, WANTED)
    online = Features(["rsi", "sma", "zscore"], windows=[5, 14, 20])
    for at in range(200):
        online.update(close[at], close[at], close[at], close[at])
    # All three are features of the close alone.
    assert rows[199].tolist() == [online.value(name, window) for name, window in WANTED]


def test_the_command_writes_what_a_loader_accepts(tmp_path):
    out = tmp_path / "scaler.json"
    words = ["features", "prepare", "sample:vision-klines", "--feature", "rsi:14", "--feature", "sma:5", "--keep", "1"]
    result = CliRunner().invoke(cli, [*words, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert result.output.count("kept") == 1
    assert scaling.load(out, prepare.request_of((("rsi", 14), ("sma", 5)))).method == "zscore"
    assert CliRunner().invoke(cli, [*words, "--feature", "luck:3"]).exit_code == 2
