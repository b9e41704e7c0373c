"""Pool: one alloc + free in the kernel at each named capacity, through a thread's cache, and from Python."""

from __future__ import annotations

import numpy as np
import pytest

from bench.harness import Report, samples_array, time_calls
from bench.loops import loop_pool
from engine._core.pool import Pool

HELD = 64


class _Order:
    __slots__ = ("a", "b", "c", "d", "e", "f", "g", "h")

    def __init__(self) -> None:
        self.a = self.b = self.c = self.d = self.e = self.f = self.g = self.h = 0


@pytest.mark.parametrize(
    ("row", "capacity"),
    [("pool_alloc_free", 10_000), ("pool_alloc_free_100k", 100_000), ("pool_alloc_free_1m", 1_000_000)],
)
def bench_alloc_free(report: Report, row, capacity) -> None:
    pool, samples = Pool(capacity), samples_array(20_000)
    held = np.zeros(HELD, dtype=np.uint64)
    freed = loop_pool.alloc_free(pool, samples, held)
    assert freed == samples.size * HELD
    assert pool.live_count == HELD
    pool.check()
    python = time_calls(lambda: pool.free(pool.alloc()), calls=50_000)
    peer = time_calls(_Order, calls=50_000)
    report.row(
        row, samples, batch=HELD, python=python, peer="Python object", peer_samples=peer, checksum=hex(int(held[-1]))
    )


def bench_alloc_free_cache(report: Report) -> None:
    pool, samples = Pool(100_000, shared=True), samples_array(20_000)
    cache, held = pool.cache(), np.zeros(HELD, dtype=np.uint64)
    freed = loop_pool.alloc_free_cache(cache, samples, held)
    assert freed == samples.size * HELD
    assert pool.live_count == HELD
    pool.check(cache)
    python = time_calls(lambda: cache.free(cache.alloc()), calls=50_000)
    report.row("pool_alloc_free_thread", samples, batch=HELD, python=python, checksum=hex(int(held[-1])))
