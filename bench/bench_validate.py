"""The ingest gate: one judgement, over a made-up mix of quotes, trades and depth levels that all pass."""

from __future__ import annotations

import numpy as np

from bench.harness import Report, samples_array, sized
from bench.loops import loop_validate
from engine._core.validate import Validate
from tests.differential.test_validate import LIMITS, MS, NOW, PX, depth, quote, trade

BATCH = 64


def _events(kinds: tuple[str, ...], count: int) -> np.ndarray:
    """A price that wanders by a tick; each event is younger and numbered higher than the one before."""
    rng = np.random.default_rng(11)
    middle = PX + np.cumsum(rng.integers(-1, 2, count))
    out: list[np.ndarray] = []
    for n in range(count):
        px, now, number = int(middle[n]), NOW + n * MS, n + 1
        kind = kinds[rng.integers(0, len(kinds))]
        if kind == "trade":
            out.append(trade(px, 5, number, now))
        elif kind == "quote":
            out.append(quote(px - 1, px + 1, number, now))
        else:
            levels = [("bid", px - 1 - k, k) for k in range(4)] + [("ask", px + 1 + k, k) for k in range(4)]
            out.append(depth(*levels, number=number, now=now))
    return np.concatenate(out)


def bench_validate_event(report: Report, benchmark) -> None:
    rows = {}
    mixes = {"quote": ("quote",), "trade": ("trade",), "level": ("depth",), "mixed": ("quote", "trade")}
    for name, kinds in mixes.items():
        # A message of depth is eight events.
        events = _events(kinds, sized(1024 if name == "level" else 8192, 128))
        gate = Validate(symbols=1)
        gate.configure(0, **LIMITS)
        samples = samples_array()
        passed = loop_validate.judge(gate, events.view(np.uint8), samples, BATCH)
        assert passed == samples.size * BATCH
        gate.check()
        rows[name] = (samples, passed)
    event = events[:1]
    gate.reset(0, keep_reference=False)
    benchmark.pedantic(gate.events, args=(event,), rounds=5, iterations=20)
    samples, passed = rows["mixed"]
    report.row(
        "validate_event",
        samples,
        batch=BATCH,
        python=benchmark.stats["median"] * 1e9,
        checksum=passed,
        note=", ".join(f"{name} {np.median(rows[name][0]):.1f} ns" for name in ("quote", "trade", "level")),
    )
