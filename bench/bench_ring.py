"""Ring: one thread, batched, core to core; beside the queues of the standard library in the same run."""

from __future__ import annotations

import asyncio
import collections
import os
import queue
import resource
import threading
import time

import numpy as np
import pytest

from bench.harness import SMOKE, Report, samples_array, sized, time_calls
from bench.loops import loop_ring
from engine._core.clock import ns_per_cycle
from engine._core.ring import Ring
from engine._core.types import EVENT, Kind

ITEM = (1, 2.0)


def _simple_queue() -> np.ndarray:
    q: queue.SimpleQueue[object] = queue.SimpleQueue()
    put, get = q.put, q.get_nowait
    return time_calls(lambda: (put(ITEM), get()), calls=100_000) - _empty_call()


def _deque() -> np.ndarray:
    q: collections.deque[object] = collections.deque(maxlen=4096)
    put, get = q.append, q.popleft
    return time_calls(lambda: (put(ITEM), get()), calls=100_000) - _empty_call()


def _asyncio_queue() -> np.ndarray:
    async def run() -> np.ndarray:
        q: asyncio.Queue[object] = asyncio.Queue()
        put, get = q.put_nowait, q.get_nowait
        return time_calls(lambda: (put(ITEM), get()), calls=20_000) - _empty_call()

    return asyncio.run(run())


def _empty_call() -> float:
    # The lambda and its tuple are the harness's, not the peer's.
    return float(np.median(time_calls(lambda: (ITEM, ITEM), calls=100_000)))


@pytest.mark.parametrize(
    ("row", "peer", "measure"),
    [
        ("ring_one_thread", "queue.SimpleQueue", _simple_queue),
        ("ring_one_thread_deque", "collections.deque", _deque),
        ("ring_one_thread_asyncio", "asyncio.Queue nowait", _asyncio_queue),
    ],
)
def bench_one_thread(report: Report, row, peer, measure) -> None:
    ring, samples, batch = Ring(4096), samples_array(20_000), 64
    peer_samples = measure()
    total = loop_ring.one_thread(ring, samples, batch)
    count = samples.size * batch
    assert total == count * (count - 1) // 2
    ring.check()
    event = np.zeros(1, dtype=EVENT)
    event["kind"] = Kind.KIND_TRADE
    python = time_calls(lambda: (ring.publish(event), ring.poll()), calls=2000)
    report.row(row, samples, batch=batch, python=python, peer=peer, peer_samples=peer_samples, checksum=total)


def bench_batched(report: Report) -> None:
    ring, samples, size, batch = Ring(4096), samples_array(20_000), 64, 4
    total = loop_ring.one_thread_batched(ring, samples, size, batch)
    count = samples.size * batch * size
    assert total == count * (count - 1) // 2
    report.row("ring_batched", samples, batch=batch * size, checksum=total)


def _on_cpu(number: int, call, *args) -> threading.Thread:
    """A thread on a CPU of its own: two that spin on one CPU hand over once a time slice."""
    cpus = sorted(os.sched_getaffinity(0))

    def run() -> None:
        os.sched_setaffinity(0, {cpus[number % len(cpus)]})
        call(*args)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def _simple_queue_across(count: int) -> np.ndarray:
    q: queue.SimpleQueue[int] = queue.SimpleQueue()
    out = np.zeros(count)

    def receive() -> None:
        for i in range(count):
            sent = q.get()
            out[i] = time.perf_counter_ns() - sent

    thread, pause = _on_cpu(1, receive), threading.Event()
    for _ in range(count):
        pause.wait(100e-6)  # arrivals with gaps: both ends idle in between, as a feed leaves them
        q.put(time.perf_counter_ns())
    thread.join()
    return out


def _undisturbed(count: int, pair) -> tuple[list[object], int]:
    """Results of `count` rounds in which neither thread was switched out, and how many rounds were.

    A shared machine takes a CPU away for milliseconds; what is measured then is its scheduler, not the ring. The kernel
    says when that happened (involuntary switches of each thread), so no figure decides which rounds count. When the
    machine gives no quiet round in a hundred times as many, the disturbed ones are reported as they are.
    """
    quiet: list[object] = []
    disturbed: list[object] = []
    while len(quiet) < count and len(disturbed) < 100 * count:
        result, switched = pair()
        (disturbed if switched else quiet).append(result)
    return quiet or disturbed[:count], len(disturbed)


def _both(first, second) -> bool:
    """Run two calls at once on two CPUs; whether either thread lost its CPU meanwhile."""
    switches: list[int] = []
    barrier = threading.Barrier(2)

    def counted(call) -> None:
        barrier.wait()
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
        call()
        switches.append(resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw - before)

    threads = [_on_cpu(1, counted, second), _on_cpu(0, counted, first)]
    for thread in threads:
        thread.join()
    return any(switches)


def _line_transfer() -> float:
    """Nanoseconds for one cache line from core to core and nothing else, in rounds without a switch."""

    def pair() -> tuple[float, bool]:
        words = np.zeros(16, dtype=np.uint64)
        # One line of its own: the array starts anywhere, a line of 64 bytes fits into 128.
        at = -(words.ctypes.data // 8) % 8
        line, out = words[at : at + 8], []
        turns = sized(2000, 50)
        switched = _both(
            lambda: out.append(loop_ring.bounce(line, turns, 0)), lambda: out.append(loop_ring.bounce(line, turns, 1))
        )
        return max(out), switched

    rounds, _ = _undisturbed(sized(30, 2), pair)
    return float(np.median(rounds))


def bench_core_to_core(report: Report) -> None:
    cycles_per_2us = int(2000 / ns_per_cycle())

    def pair() -> tuple[np.ndarray, bool]:
        ring, samples = Ring(4096), samples_array(1000, 100)
        # The receiver starts first and its thread start is not part of any sample: the sender waits for its schedule.
        switched = _both(
            lambda: loop_ring.send_paced(ring, samples.size, cycles_per_2us),
            lambda: loop_ring.receive_paced(ring, samples),
        )
        assert ring.cursor() == ring.next == samples.size
        return samples[samples.size // 10 :], switched

    rounds, disturbed = _undisturbed(sized(50, 2), pair)
    peer = _simple_queue_across(sized(2000, 20))
    transfer = _line_transfer()
    samples = np.concatenate(rounds)
    report.row(
        "ring_core_to_core",
        samples,
        peer="queue.SimpleQueue",
        peer_samples=peer,
        checksum=samples.size,
        note=f"{len(rounds)} rounds of 900 after 100 to warm up; {disturbed} rounds lost a CPU and were not used; "
        f"one bare line transfer {transfer:.0f} ns, a hand-off is {np.median(samples) / transfer:.1f} of them",
    )
    print(f"ring_core_to_core: one bare line transfer {transfer:.0f} ns")


def _rate(count: int) -> tuple[float, bool]:
    ring, out = Ring(4096), []

    def send() -> None:
        out.append(loop_ring.produce(ring, count, 64))
        ring.close()

    switched = _both(send, lambda: out.append(loop_ring.consume(ring, 0, 1)))
    (_, start, _), (seen, broken, stop) = sorted(out, key=lambda row: row[2])
    assert (seen, broken) == (count, 0)
    return count / ((stop - start) * ns_per_cycle()) * 1000, switched


def _simple_queue_rate(count: int) -> float:
    q: queue.SimpleQueue[object] = queue.SimpleQueue()
    get = q.get

    def receive() -> None:
        for _ in range(count):
            get()

    start = time.perf_counter_ns()
    thread = _on_cpu(1, receive)
    for _ in range(count):
        q.put(ITEM)
    thread.join()
    return count / (time.perf_counter_ns() - start) * 1000


def bench_core_to_core_rate(report: Report) -> None:
    """Every event is written whole and checked whole: 64 bytes on both sides."""
    count = sized(20_000, 1000)
    rates, disturbed = _undisturbed(sized(50, 2), lambda: _rate(count))
    peer = [_simple_queue_rate(sized(100_000, 1000)) for _ in range(2 if SMOKE else 5)]
    report.row(
        "ring_core_to_core_rate",
        rates,
        batch=64,
        peer="queue.SimpleQueue",
        peer_samples=peer,
        checksum=count,
        note=f"{len(rates)} rounds; {disturbed} lost a CPU and were not used",
    )
