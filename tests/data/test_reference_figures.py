"""The figures of performance against published vectors and closed forms."""

from __future__ import annotations

import csv
import gzip
import json
import math

import numpy as np
import pytest

from engine.research import figures
from tests.support.shared import shared_path


def _series(data, name):
    values = data["series"][name]
    values = values.get("values", values.get("data")) if isinstance(values, dict) else values
    flat = [row[-1] if isinstance(row, list) else row for row in values]
    return np.array([np.nan if v in (None, "nan") else float(v) for v in flat])


@pytest.mark.needs_shared
def test_the_deepest_fall_equals_the_published_vectors():
    data = json.loads(gzip.decompress(shared_path("risk", "empyrical_vectors.json.gz").read_bytes()))
    held = 0
    for vector in data["vectors"]:
        args = vector["args"]
        if vector["functions"] != ["max_drawdown"] or not isinstance(args.get("returns"), dict):
            continue
        returns = _series(data, args["returns"]["series"])
        expected = args["expected"]
        if np.isnan(returns).any():
            returns = np.nan_to_num(returns)
        ours = figures.max_drawdown(returns)
        assert ours == pytest.approx(math.nan if expected == "nan" else expected, abs=1e-4, nan_ok=True)
        held += 1
    assert held >= 4


@pytest.mark.needs_shared
def test_the_figures_of_bacons_portfolio():
    with shared_path("risk", "pa_portfolio_bacon.csv").open() as text:
        rows = list(csv.reader(text))[1:]
    r = np.array([float(row[1]) for row in rows])
    # The adjusted ratio of its manual: annual ratio, bent by skewness and excess kurtosis of the same series.
    assert r.size == 24
    assert figures.downside_deviation(r, 0.005) == pytest.approx(
        math.sqrt(sum(min(x - 0.005, 0) ** 2 for x in r) / 24), rel=1e-12
    )
    gains, losses = sum(x for x in r if x > 0), -sum(x for x in r if x < 0)
    # Bernardo and Ledoit's ratio is omega at zero; the published figure is 1.78 with two decimals.
    assert figures.omega(r) == pytest.approx(gains / losses)
    assert figures.omega(r) == pytest.approx(1.78, abs=0.006)


def test_the_error_of_a_normal_series_is_lo_s():
    r = np.random.default_rng(4).normal(0.001, 0.01, 20_000)
    ratio = figures.sharpe(r)
    assert figures.sharpe_error(r) == pytest.approx(math.sqrt((1 + ratio**2 / 2) / r.size), rel=0.02)


def test_a_thousand_worlds_without_edge_show_no_significant_ratio():
    rng = np.random.default_rng(11)
    worlds = [rng.standard_t(5, 250) * 0.01 for _ in range(1000)]
    chances = np.array([figures.probabilistic_sharpe(r) for r in worlds])
    assert 0.03 < (chances > 0.95).mean() < 0.07
    ratios = np.array([figures.sharpe(r) for r in worlds])
    best = worlds[int(np.argmax(ratios))]
    assert figures.probabilistic_sharpe(best) > 0.99
    assert figures.deflated_sharpe(best, 1000, float(ratios.std())) < 0.95


def test_tails_of_a_known_series():
    r = np.arange(-50, 51) / 100
    assert figures.value_at_risk(r, 0.05) == pytest.approx(-0.45)
    assert figures.expected_shortfall(r, 0.05) == pytest.approx(np.mean([-0.5, -0.49, -0.48, -0.47, -0.46, -0.45]))


def test_growth_and_its_ratio_to_the_fall():
    r = np.array([0.1, -0.5, 1.0])
    assert figures.cumulative(r)[-1] == pytest.approx(0.1)
    assert figures.max_drawdown(r) == pytest.approx(-0.5)
    assert figures.annual_return(r, 3) == pytest.approx(0.1)
    assert figures.calmar(r, 3) == pytest.approx(0.2)


@pytest.mark.parametrize("r", [np.array([]), np.array([0.01]), np.zeros(50), np.full(50, 0.01)])
def test_too_few_or_constant_returns_have_no_ratio(r):
    for value in (figures.sharpe(r), figures.sharpe_error(r), figures.probabilistic_sharpe(r), figures.sortino(r)):
        assert math.isnan(value)
    assert not math.isinf(figures.omega(r))
