"""A result is taken apart without anything being lost, and its luck is drawn from the seed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from engine.research import breakdown, figures, report, report_page
from engine.research.backtest import Fill
from engine.runtime.backtest import VARIATIONS, Asked, run_backtest, sample
from engine.settings.load import config_directory, load

NS = 10**9
UNITS = (0.5, 2.0)


@pytest.fixture(scope="module")
def told():
    settings = load([config_directory() / "paper.toml"]).settings
    asked = Asked("quoter", {}, latency_ms=5, cuts=0, sensitivity=True)
    return run_backtest(settings, asked, sample(seed=7, count=6_000))


def fill(at, sell, px, lots, *, fee=0.0, symbol=0, maker=False, decided=0):
    return Fill(at * NS, decided, at, sell, px, lots, maker, round(fee * 1e8), px, px, symbol)


def test_a_trip_is_a_position_from_flat_to_flat_with_its_mean_prices_and_fees():
    fills = [fill(1, False, 100, 2, fee=0.1), fill(2, False, 104, 2), fill(3, True, 110, 4, fee=0.3)]
    (one,), still = breakdown.trips(fills, UNITS)
    assert still == []
    assert (one.short, one.lots, one.entry_ticks, one.exit_ticks) == (False, 4, 102, 110)
    assert (one.gross, one.net) == (pytest.approx(16.0), pytest.approx(15.6))


def test_a_turn_through_zero_ends_one_trip_and_begins_another_and_its_fee_is_split():
    fills = [fill(1, False, 100, 2), fill(2, True, 90, 5, fee=0.5), fill(3, False, 80, 3)]
    (lost, won), still = breakdown.trips(fills, UNITS)
    assert still == []
    assert (lost.short, lost.gross, lost.fees) == (False, pytest.approx(-10.0), pytest.approx(0.2))
    assert (won.short, won.lots, won.gross, won.fees) == (True, 3, pytest.approx(15.0), pytest.approx(0.3))


def test_symbols_do_not_meet_in_one_trip_and_an_open_one_is_told_apart():
    closed, still = breakdown.trips([fill(1, False, 100, 1), fill(2, True, 100, 1, symbol=1)], UNITS)
    assert closed == []
    assert [(one.symbol, one.short) for one in still] == [(0, False), (1, True)]


def test_every_split_of_the_result_adds_up_to_it(told):
    net = float(told.run.equity[-1] - told.run.start_equity) / 1e8
    splits = breakdown.attribution(told.run, told.units, told.names)
    assert set(splits) == {"symbol", "side", "hour of entry (UTC)", "fate"}
    for split in splits.values():
        assert sum(split.values()) == pytest.approx(net, abs=1e-6)
        # What the trips themselves explain: on a linear market all of it, but for the last valuation.
        assert abs(split["not attributed"]) < 0.02 * max(sum(fill.fee for fill in told.run.fills) / 1e8, 0.01)


def test_months_compound_to_the_whole_return(told):
    run = replace(
        told.run, times_ns=np.array(["2024-01-30", "2024-01-31", "2024-02-15"], "M8[ns]").astype(np.int64),
        equity=np.array([100, 110, 99]), start_equity=100,
    )  # fmt: skip
    assert breakdown.months(run) == [("2024-01", pytest.approx(0.1)), ("2024-02", pytest.approx(-0.1))]


def test_exposure_adds_legs_up_for_gross_and_nets_them(told):
    run = replace(
        told.run, positions=np.array([[2, -1], [0, 0]]), prices=np.array([[10.0, 5.0], [10.0, 5.0]]),
        equity=np.array([100, 100]) * 10**8,
    )  # fmt: skip
    gross, net = breakdown.exposure(run, UNITS)
    assert (gross.tolist(), net.tolist()) == ([0.2, 0.0], [0.0, 0.0])


def test_slippage_is_what_takers_paid_and_waiting_is_from_the_decision(told):
    fills = (fill(2, False, 105, 1, decided=NS), fill(2, True, 95, 1, decided=NS, maker=True))
    taken = replace(fills[0], mid_decided_ticks=100)
    out = breakdown.slippage(replace(told.run, fills=(taken, fills[1])))
    assert (out["ticks, p50"], out["taker ms, p50"], out["makers"]) == (5.0, 1000.0, 1.0)
    assert math.isnan(breakdown.slippage(replace(told.run, fills=()))["taker ms, p99"])


def test_the_bootstrapped_error_of_independent_returns_is_that_of_the_formula():
    returns = np.random.default_rng(3).normal(0.001, 0.01, 1_000)
    boot = breakdown.bootstrap_sharpe(returns, seed=1)
    assert boot.error == pytest.approx(figures.sharpe_error(returns), rel=0.15)
    assert boot.low < figures.sharpe(returns) < boot.high
    assert boot == breakdown.bootstrap_sharpe(returns, seed=1)
    assert breakdown.bootstrap_sharpe(np.zeros(50), seed=1) is None


def test_a_rolling_ratio_is_the_ratio_of_each_stretch():
    returns = np.random.default_rng(4).normal(0, 1, 240)
    at, ratio = breakdown.rolling_sharpe(returns)
    assert len(at) == 240 - 20 + 1
    assert ratio[-1] == pytest.approx(figures.sharpe(returns[-20:]))
    assert len(breakdown.rolling_sharpe(returns[:50])[0]) == 0
    assert breakdown.rolling_sharpe(np.zeros(240))[1].tolist() == [0.0] * 221


def test_other_costs_and_latencies_are_runs_of_their_own(told):
    by_name = {one.what: one for one in told.varied}
    assert list(by_name) == [what for what, _, _ in VARIATIONS]
    net = report.costs(told)["net"]
    assert by_name["twice the fees"].net < net < by_name["no fees"].net


def test_the_page_and_the_json_have_every_part(told):
    page = report_page.page(told)
    for head in (
        "Returns by month", "Exposure", "Attribution", "Slippage and latency", "Rejected, and why not",
        "Trips from flat",
        "Sharpe ratio a period: rolling", "Sensitivity to costs and latency", "bootstraps", "twice the latency",
    ):  # fmt: skip
        assert head in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    data = report.as_json(told)
    assert len(data["sensitivity"]) == len(VARIATIONS)
    assert set(data) > {"months", "attribution", "slippage"}
