"""Features of the clock and the day: a bar through all plain values and eight spans, as a batch."""

from __future__ import annotations

import numpy as np

from bench.harness import Report, samples_array
from engine._core.clock import monotonic_ns
from engine._core.season import Season

BATCH = 512


def bench_season(report: Report) -> None:
    samples = samples_array(400)
    rng = np.random.default_rng(5)
    close = np.exp(np.cumsum(rng.normal(0, 1e-4, BATCH))) * 100
    ts = np.arange(BATCH, dtype=np.int64) * 60 * 10**9
    volume = rng.uniform(0, 9, BATCH)
    season, span = Season(), int(ts[-1]) + 60 * 10**9
    for at in range(samples.size):
        moved = ts + at * span
        start = monotonic_ns()
        out = season.run(moved, close, close, close, volume)
        samples[at] = (monotonic_ns() - start) / BATCH
    season.check()
    assert season.count == samples.size * BATCH
    report.row("season_bar", samples, batch=BATCH, checksum=float(np.nansum(out[-1])))
