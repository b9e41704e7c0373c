"""Histogram: one recording in the kernel, and from Python."""

from __future__ import annotations

import numpy as np

from bench.harness import Report, samples_array, sized
from bench.loops import loop_histogram
from engine._core.histogram import Histogram

BATCH = 64


def _latencies(count: int) -> np.ndarray:
    return np.random.default_rng(4).lognormal(9, 1.5, count).astype(np.int64)


def bench_record(report: Report, benchmark) -> None:
    values = _latencies(4096)
    histogram = Histogram()
    samples = samples_array()
    loop_histogram.record(histogram, values, samples, BATCH)
    assert histogram.count == samples.size * BATCH
    checksum = histogram.percentile(50)
    assert abs(checksum - np.median(values)) <= checksum / 64

    benchmark.pedantic(histogram.record, args=(12345,), rounds=sized(200, 2), iterations=sized(1000, 2))
    report.row("histogram_record", samples, batch=BATCH, python=benchmark.stats["median"] * 1e9, checksum=checksum)
