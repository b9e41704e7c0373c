"""Real threads on the ring and the pool, every byte checked.

Run alone: `python -m tests.stress.ring_threads [events per run]`; prints one line a scenario and fails on the first
broken one. The suite runs the same scenarios with fewer events (BOT4_STRESS multiplies them), and tsan.sh runs them
under ThreadSanitizer.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import engine.errors  # noqa: F401  (binds the error classes)
from bench.loops import loop_pool, loop_ring
from engine._core.pool import Pool
from engine._core.ring import Ring, Wait


@dataclass
class Scenario:
    name: str
    capacity: int
    producers: int = 1
    behind: tuple[int, ...] = (0,)
    mode: int = Wait.RING_WAIT_YIELD
    batch: int = 16
    fences: bool = False
    share: float = 1.0  # of the events asked for: parking on each of a few slots costs microseconds an event


SCENARIOS = [
    Scenario("large, one producer, one consumer", 65536, batch=64, share=10),
    Scenario("large, two producers, one consumer", 65536, producers=2, batch=64, share=10),
    Scenario("large, two consumers on one ring", 65536, behind=(0, 0), batch=64, share=10),
    Scenario("large, one consumer behind the other", 65536, behind=(0, 1), batch=64, share=10),
    Scenario("one producer, one consumer, spinning", 1024, mode=Wait.RING_WAIT_SPIN),
    Scenario("one producer, one consumer, one slot", 1, mode=Wait.RING_WAIT_PARK, batch=1, share=0.005),
    Scenario("two producers, one consumer", 1024, producers=2),
    Scenario("three producers, one at a time, eight slots", 8, producers=3, batch=1, share=0.1),
    Scenario("two consumers on one ring", 1024, behind=(0, 0)),
    Scenario("one consumer behind the other", 1024, behind=(0, 1)),
    Scenario("two producers, a chain of two and one beside", 256, producers=2, behind=(0, 1, 0), share=0.2),
    Scenario("parking, four slots", 4, mode=Wait.RING_WAIT_PARK, batch=1, share=0.005),
    Scenario(
        "parking, one consumer behind the other", 4, behind=(0, 1), mode=Wait.RING_WAIT_PARK, batch=1, share=0.002
    ),
    Scenario("parking, two producers", 4, producers=2, mode=Wait.RING_WAIT_PARK, batch=1, share=0.002),
    Scenario("parking without membarrier", 4, mode=Wait.RING_WAIT_PARK, batch=1, fences=True, share=0.002),
]


def run_ring(scenario: Scenario, events: int) -> str:
    """Send, receive and check; AssertionError with what is broken."""
    ring = Ring(scenario.capacity, many=scenario.producers > 1, behind=scenario.behind)
    if scenario.fences:
        ring.use_fences()
    each = max(1, int(events * scenario.share) // scenario.producers)
    sent: list[int] = []
    seen: list[tuple[int, int]] = []
    # Only one producer may park for room: the others of a multi-producer ring yield.
    producer_mode = Wait.RING_WAIT_YIELD if scenario.producers > 1 else scenario.mode

    def produce(number: int) -> None:
        sent.append(loop_ring.produce(ring, each, scenario.batch, number, scenario.producers, producer_mode)[0])

    def consume(number: int) -> None:
        seen.append(loop_ring.consume(ring, number, scenario.producers, scenario.mode)[:2])

    consumers = [threading.Thread(target=consume, args=(i,)) for i in range(ring.consumer_count)]
    producers = [threading.Thread(target=produce, args=(i,)) for i in range(scenario.producers)]
    start = time.perf_counter()
    for thread in consumers + producers:
        thread.start()
    for thread in producers:
        thread.join()
    ring.close()
    for thread in consumers:
        thread.join()
    seconds = time.perf_counter() - start
    total = each * scenario.producers
    assert sent == [each] * scenario.producers, f"{scenario.name}: sent {sent}"
    assert seen == [(total, 0)] * ring.consumer_count, f"{scenario.name}: (seen, broken) {seen} of {total}"
    assert [ring.parks(i)[1] for i in range(ring.consumer_count)] == [0] * ring.consumer_count, "a wake-up was lost"
    ring.check()
    parks = sum(ring.parks(i)[0] for i in range(ring.consumer_count))
    return f"{scenario.name}: {total:,} events, {len(seen)} consumers, {parks:,} parks, 0 broken, {seconds:.1f} s"


def run_pool(turns: int, threads: int = 3) -> str:
    pool = Pool(1000, shared=True)
    mailbox = np.zeros(16, dtype=np.uint64)
    out: list[tuple[int, int, int]] = []
    workers = [
        threading.Thread(target=lambda i=i: out.append(loop_pool.churn(pool, mailbox, turns, 77 * i + 5)))
        for i in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    allocs, frees, broken = (sum(column) for column in zip(*out, strict=True))
    left = int((mailbox > 0).sum())
    assert broken == 0, f"pool: {broken} broken objects"
    assert allocs - frees == left == pool.live_count, f"pool: {allocs} allocs, {frees} frees, {left} in the mailbox"
    pool.check()
    return f"pool, {threads} threads: {allocs:,} lives, 0 broken"


def main(events: int, say: Callable[[str], object]) -> None:
    for scenario in SCENARIOS:
        say(run_ring(scenario, events) + "\n")
    say(run_pool(max(1000, events // 4)) + "\n")


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, _say)
