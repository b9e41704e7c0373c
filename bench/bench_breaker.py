"""Breaker: allow + success in the kernel, the global state, and a guarded Python call beside the peers."""

from __future__ import annotations

from time import perf_counter_ns

import circuitbreaker
import numpy as np
import pybreaker

from bench.harness import Report, samples_array, sized, time_calls
from bench.loops import loop_breaker
from engine._core.breaker import Breakers

BATCH = 64
CALLS = 20_000


def _identity(x: int) -> int:
    return x


def _peers() -> dict[str, np.ndarray]:
    ours = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=60)
    decorated = circuitbreaker.circuit(failure_threshold=5)(_identity)
    return {
        "pybreaker": time_calls(lambda: ours.call(_identity, 1), calls=CALLS),
        "circuitbreaker": time_calls(lambda: decorated(1), calls=CALLS),
    }


def bench_check(report: Report, benchmark) -> None:
    breakers = Breakers()
    breakers.declare("network")
    breaker = breakers.declare("venue", critical=True, depends_on=("network",))
    samples = samples_array()
    warm = np.zeros(8)
    loop_breaker.allow_success(breaker, warm, BATCH)
    allowed = loop_breaker.allow_success(breaker, samples, BATCH)
    assert allowed == samples.size * BATCH
    assert breaker.metrics()["success"] == allowed + warm.size * BATCH
    breakers.check()

    permit = breaker.allow(1)
    benchmark.pedantic(breaker.success, args=(permit, 1), rounds=sized(200, 2), iterations=sized(1000, 2))
    report.row(
        "breaker_check",
        samples,
        batch=BATCH,
        python=benchmark.stats["median"] * 1e9,
        peer="pybreaker",
        peer_samples=_peers()["pybreaker"],
        checksum=allowed,
    )


def bench_guard(report: Report) -> None:
    breaker = Breakers().declare("venue")
    call, guard = breaker.call, breaker.guard()
    for _ in range(32):
        assert call(_identity, 7) == 7

    def guarded() -> None:
        with guard:
            _identity(1)

    def empty() -> None:
        pass

    def timed(rounds: int) -> np.ndarray:
        """A plain loop in the bench itself: no closure between the loop and the call under test."""
        count = sized(CALLS, 3)
        out = np.zeros(rounds)
        for i in range(rounds):
            start = perf_counter_ns()
            for _ in range(count):
                call(_identity, 1)
            out[i] = (perf_counter_ns() - start) / count
        return out

    samples = timed(sized(51, 3))
    with_samples = time_calls(guarded, calls=CALLS) - np.median(time_calls(empty, calls=CALLS))
    peers = _peers()
    metrics = breaker.metrics()
    assert metrics["failure"] == metrics["stale"] == metrics["denied_open"] == 0
    report.row(
        "breaker_guard",
        samples,
        batch=sized(CALLS, 3),
        python=samples,
        peer="circuitbreaker",
        peer_samples=peers["circuitbreaker"],
        checksum=metrics["success"],
        note=f"`with guard:` {np.median(with_samples):.0f} ns, pybreaker {np.median(peers['pybreaker']):.0f} ns",
    )


def bench_global(report: Report, benchmark) -> None:
    breakers = Breakers(open_share=0.5)
    all_of_them = [breakers.declare(f"component {i}") for i in range(64)]
    samples = samples_array()
    assert loop_breaker.global_check(breakers, samples, BATCH) == 0
    # The dearer side: some are open, so the share has to be counted.
    some_open = samples_array()
    for breaker in all_of_them[:31]:
        breaker.trip(1)
    assert loop_breaker.global_check(breakers, some_open, BATCH) == 0
    all_of_them[31].trip(1)
    assert loop_breaker.global_check(breakers, np.zeros(10), BATCH) == 10 * BATCH
    benchmark.pedantic(lambda: breakers.global_open, rounds=sized(200, 2), iterations=sized(1000, 2))
    report.row(
        "breaker_global",
        np.maximum(samples, some_open),
        batch=BATCH,
        python=benchmark.stats["median"] * 1e9,
        checksum=len(breakers.open_names()),
        note=f"none open {np.median(samples):.2f} ns, 31 of 64 open {np.median(some_open):.2f} ns",
    )
