"""Decimal: prices and quantities as the venues write them, to scaled integers; decimal.Decimal beside it."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from bench.harness import Report, samples_array, sized, time_calls
from bench.loops import loop_decimal
from engine._core import decimal as core

BATCH = 64
SCALE = 8


def _numbers(count: int) -> list[bytes]:
    """Futures and spot prices and quantities in turn: 5 to 14 characters, point at changing places."""
    rng = np.random.default_rng(4)
    out: list[bytes] = []
    for _ in range(count // 4):
        px, qty = 60_000 + rng.integers(0, 100_000) / 10, rng.integers(1, 90_000) / 1000
        out += [b"%.2f" % px, b"%.3f" % qty, b"%.8f" % px, b"%.8f" % qty]
    return out


def bench_parse(report: Report, benchmark) -> None:
    texts = _numbers(4096)
    starts = np.cumsum([0, *map(len, texts)]).astype(np.int64)
    samples = samples_array(100_000)
    total, refused = loop_decimal.parse(b"".join(texts), starts, SCALE, samples, BATCH)
    rounds, rest = divmod(samples.size * BATCH, len(texts))
    exact = [int(Decimal(text.decode()) * 10**SCALE) for text in texts]
    assert refused == 0
    assert total == (rounds * sum(exact) + sum(exact[:rest]) + 2**63) % 2**64 - 2**63

    benchmark.pedantic(core.parse, args=(texts[0], SCALE), rounds=sized(200, 2), iterations=sized(1000, 2))
    text = texts[0].decode()
    report.row(
        "decimal_parse",
        samples,
        batch=BATCH,
        python=benchmark.stats["median"] * 1e9,
        peer="decimal.Decimal",
        peer_samples=time_calls(lambda: int(Decimal(text).scaleb(SCALE)), calls=20_000),
        checksum=total,
        note="64 numbers a sample; spot and futures prices and quantities in turn, 5 to 14 characters",
    )
