"""Smart routing over four venues: the whole size on one, and a split where that is cheaper."""

from __future__ import annotations

import numpy as np

from bench.harness import Report, samples_array, sized
from bench.loops import loop_routing
from engine._core.routing import Policy, Routing
from tests.differential.test_routing import NOW, venue

BATCH = 16


def _venues() -> list[dict[str, object]]:
    rng = np.random.default_rng(3)
    return [
        venue(
            [(6_000_000 + 7 * i + 3 * k, int(rng.integers(20, 90))) for k in range(20)],
            fee_taker_e8=40_000 + 2_000 * i,
            unit_value=1,
            latency_e8=10 * i,
            balance=2**59,
        )
        for i in range(4)
    ]


def bench_route_4(report: Report, benchmark) -> None:
    rng = np.random.default_rng(4)
    sizes = rng.integers(1, 20, 4096) * 10
    venues, router = _venues(), Routing()
    found = {}
    for name, policy in {"smart": Policy.POLICY_SMART, "best": Policy.POLICY_BEST_PRICE}.items():
        for parts in (1, 4):
            router.plan(venues, qty_units=100, policy=policy, now_ns=NOW, parts_max=parts)
            samples = samples_array(50_000)
            routed, checksum = loop_routing.plans(router, sizes, samples, BATCH)
            assert routed == samples.size * BATCH
            found[name, parts] = (samples, checksum)
    call = {"qty_units": 100, "policy": Policy.POLICY_SMART, "now_ns": NOW, "parts_max": 4}
    benchmark.pedantic(router.plan, args=(venues,), kwargs=call, rounds=5, iterations=sized(200, 2))
    samples, checksum = found["smart", 4]
    report.row(
        "route_4",
        samples,
        batch=BATCH,
        python=benchmark.stats["median"] * 1e9,
        checksum=checksum,
        note=f"one part {np.median(found['smart', 1][0]):.0f} ns, best price {np.median(found['best', 1][0]):.0f} ns",
    )
