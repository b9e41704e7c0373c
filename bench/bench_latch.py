"""Latch: the check that every send makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.harness import Report, samples_array, sized
from bench.loops import loop_latch
from engine._core.latch import Latch

BATCH = 256


def bench_check(report: Report, benchmark, tmp_path: Path) -> None:
    with Latch(tmp_path / "latch") as latch:
        samples = samples_array()
        clear = loop_latch.check(latch, samples, BATCH)
        assert clear == samples.size * BATCH
        benchmark.pedantic(lambda: latch.tripped, rounds=sized(200, 2), iterations=sized(1000, 2))
        latch.trip("command", "a bench")
        assert loop_latch.check(latch, np.zeros(4), BATCH) == 0
        report.row(
            "latch_check",
            samples,
            batch=BATCH,
            python=benchmark.stats["median"] * 1e9,
            checksum=f"{clear} clear, then 0",
        )
