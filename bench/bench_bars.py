"""Bars: one trade into a time bar and into Renko bricks."""

from __future__ import annotations

import numpy as np

from bench.harness import Report, samples_array
from bench.loops import loop_bars
from engine._core.bars import Bars

BATCH = 64


def _trades(count: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    ts = np.cumsum(rng.integers(1, 20_000_000, count))
    px = 600_000 + np.cumsum(rng.integers(-3, 4, count))
    return np.ascontiguousarray(np.stack([ts, px, rng.integers(1, 900, count), rng.integers(0, 2, count)], axis=1))


def _measure(report: Report, name: str, bars: Bars) -> None:
    samples = samples_array(20_000)
    closed = loop_bars.trades(bars, _trades(20_000), samples, BATCH)
    bars.check()
    assert closed == bars.bar_count > 0
    assert bars.refused_count == bars.late_count == 0
    report.row(name, samples, batch=BATCH, checksum=closed)


def bench_time_bars(report: Report) -> None:
    _measure(report, "bars_time", Bars("time", 1_000_000_000))


def bench_renko_bars(report: Report) -> None:
    _measure(report, "bars_renko", Bars("renko", 5))
