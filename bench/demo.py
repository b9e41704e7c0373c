"""The kernels at work on this machine, one after the other, each for a fraction of a second.

`make run` shows this before the paper session. The loops are the ones that `make bench` times, in short form, without
peers and without a verdict: what a figure is worth depends on what else the machine is doing right now, and the page
says so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.live import Live
from rich.table import Table

from bench import bench_book, bench_decimal, bench_parse, bench_risk
from bench.loops import (
    loop_book,
    loop_breaker,
    loop_decimal,
    loop_histogram,
    loop_latch,
    loop_parse,
    loop_pool,
    loop_ring,
    loop_risk,
)
from engine._core import isa
from engine._core.book import Book, Rule
from engine._core.breaker import Breakers
from engine._core.histogram import Histogram
from engine._core.latch import Latch
from engine._core.parse import Parser
from engine._core.pool import Pool
from engine._core.ring import Ring

Samples = npt.NDArray[np.float64]
SAMPLES = 2_000


def _samples() -> Samples:
    return np.zeros(SAMPLES)


def _ring() -> Samples:
    loop_ring.one_thread(Ring(4096), samples := _samples(), 64)
    return samples


def _pool() -> Samples:
    loop_pool.alloc_free(Pool(10_000), samples := _samples(), np.zeros(64, dtype=np.uint64))
    return samples


def _decimal() -> Samples:
    texts = bench_decimal._numbers(1024)
    starts = np.cumsum([0, *map(len, texts)]).astype(np.int64)
    loop_decimal.parse(b"".join(texts), starts, 8, samples := _samples(), 64)
    return samples


def _parse() -> Samples:
    frames = bench_parse._frames("depth20@100ms", bench_parse._depth)
    starts = np.cumsum([0, *map(len, frames)]).astype(np.int64)
    loop_parse.decode(Parser(bench_parse.SYMBOLS), b"".join(frames), starts, samples := _samples(), 4)
    return samples


def _book() -> Samples:
    rows, fill = bench_book.near_stream(40_000), 100
    events, book = bench_book.events_of(rows), Book(rule=Rule.RULE_NONE)
    book.apply(events[:fill])
    loop_book.apply(book, events.view(np.uint8)[fill * 64 :], samples := np.zeros((len(rows) - fill) // 64), 64)
    return samples


def _histogram() -> Samples:
    values = np.random.default_rng(4).lognormal(9, 1.5, 4096).astype(np.int64)
    loop_histogram.record(Histogram(), values, samples := _samples(), 64)
    return samples


def _latch() -> Samples:
    with tempfile.TemporaryDirectory() as folder, Latch(Path(folder) / "latch") as latch:
        loop_latch.check(latch, samples := _samples(), 256)
    return samples


def _breaker() -> Samples:
    loop_breaker.allow_success(Breakers().declare("venue"), samples := _samples(), 64)
    return samples


def _gate() -> Samples:
    gate, correlation, rng = bench_risk._gate(), bench_risk._correlation(), np.random.default_rng(2)
    prices, symbols = rng.integers(-5, 6, 4096) + bench_risk.PX, rng.integers(0, bench_risk.POSITIONS, 4096)
    loop_risk.check(gate, correlation, prices, symbols, bench_risk.NOW, samples := _samples(), 16)
    return samples


KERNELS: dict[str, Callable[[], Samples]] = {
    "ring: publish + consume one event": _ring,
    "pool: alloc + free": _pool,
    "decimal: text to scaled int64": _decimal,
    "parse: depth frame, 20 + 20 levels": _parse,
    "book: level update + best read": _book,
    "histogram: record": _histogram,
    "latch: check": _latch,
    "breaker: check + success": _breaker,
    "gate: every rule, 64 positions": _gate,
}


def _measured() -> Iterator[tuple[str, Samples]]:
    for name, run in KERNELS.items():
        run()  # warm: first touches of pages and caches are the machine's cost, not the kernel's
        yield name, run()


def main() -> None:
    """Run every kernel briefly and show its figures as they come."""
    table = Table(title=f"Bot4's kernels on this machine, now ({isa.level()})")
    for column in ("kernel", "p50 ns", "p99 ns", "per second"):
        table.add_column(column, justify="left" if column == "kernel" else "right")
    console = Console()
    with Live(table, console=console, refresh_per_second=10):
        for name, samples in _measured():
            p50, p99 = np.percentile(samples, [50, 99])
            table.add_row(name, f"{p50:,.1f}", f"{p99:,.1f}", f"{1e9 / p50:,.0f}")
    console.print("Short in-kernel loops, whatever else is running beside them; `make bench` measures with peers.\n")


if __name__ == "__main__":
    main()
