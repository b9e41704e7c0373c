"""Microstructure features: one quote and one trade through all their windows."""

from __future__ import annotations

import numpy as np

from bench.harness import Report, samples_array
from bench.loops import loop_flow
from engine._core.flow import Flow

BATCH = 16


def _rows(count: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    px = 600_000 + np.cumsum(rng.integers(-3, 4, count))
    return np.ascontiguousarray(np.stack([px, rng.integers(1, 900, count), rng.integers(1, 900, count)], axis=1))


def _measure(report: Report, name: str, quotes: bool) -> None:
    samples, f = samples_array(20_000), Flow()
    loop_flow.events(f, _rows(5000), samples, BATCH, quotes)
    f.check()
    assert (f.quote_count if quotes else f.trade_count) == samples.size * BATCH
    assert f.refused_count == 0
    checksum = f.value("ofi" if quotes else "sign", 10)
    report.row(name, samples, batch=BATCH, checksum=checksum)


def bench_quote(report: Report) -> None:
    _measure(report, "flow_quote", True)


def bench_trade(report: Report) -> None:
    _measure(report, "flow_trade", False)
