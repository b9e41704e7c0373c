"""Conflation: book updates that arrive while a ring has no room, beside a dict of dicts that does the same."""

from __future__ import annotations

import time

import numpy as np

from bench.harness import Report, samples_array, sized, time_calls
from bench.loops import loop_conflate
from engine._core.conflate import Conflation
from engine._core.ring import EventClass, Policy, Ring
from engine._core.types import EVENT, LEVEL, Flag, Kind

LEVELS, MESSAGES, SYMBOLS, BATCH = 8, 512, 16, 16
ASK = int(Flag.FLAG_ASK)


def updates() -> np.ndarray:
    """Messages of 8 levels on 16 symbols, prices clustered beside the touch. A venue without numbers: all follow."""
    rng = np.random.default_rng(7)
    out = np.zeros((MESSAGES, LEVELS), dtype=LEVEL)
    out["kind"], out["symbol"] = Kind.KIND_BOOK_LEVEL, (np.arange(MESSAGES) % SYMBOLS)[:, None]
    out["flags"] = np.where(np.arange(LEVELS) % 2, ASK, 0)
    distance = 1 + np.minimum(60, rng.exponential(6.0, (MESSAGES, LEVELS)).astype(np.int64))
    out["px_ticks"] = np.where(out["flags"] & ASK, 50_000 + distance, 50_000 - distance)
    out["qty_lots"] = rng.integers(0, 5000, (MESSAGES, LEVELS))
    out["flags"][:, 0] |= int(Flag.FLAG_FIRST)
    out["flags"][:, -1] |= int(Flag.FLAG_LAST)
    return out.reshape(-1).view(EVENT)


def dicts(events: np.ndarray, rounds: int) -> tuple[list[float], list[dict[tuple[int, int], int]]]:
    """Nanoseconds a level of the plain-Python merge, by processor time, and what it holds at the end."""
    rows = events.view(LEVEL)
    work = [(int(r["symbol"]), (int(r["px_ticks"]), int(r["flags"]) & ASK), int(r["qty_lots"])) for r in rows]
    pending: list[dict[tuple[int, int], int]] = [{} for _ in range(SYMBOLS)]
    samples = []
    for _ in range(rounds):
        start = time.process_time_ns()
        for symbol, key, qty in work:
            pending[symbol][key] = qty
        samples.append((time.process_time_ns() - start) / len(work))
    return samples, pending


def bench_offer(report: Report) -> None:
    events, samples = updates(), samples_array(20_000, 2 * MESSAGES // BATCH)
    ring = Ring(256, policy={EventClass.RING_CLASS_BOOK: Policy.RING_POLICY_CONFLATE})
    filler = np.zeros(256, dtype=EVENT)
    filler["kind"] = Kind.KIND_TRADE
    ring.publish(filler)
    table = Conflation(symbol_count=SYMBOLS, levels_max=256)
    merged = loop_conflate.offer(table, ring, events, LEVELS, samples, BATCH)
    assert merged == samples.size * BATCH
    one = events[:LEVELS]
    python = time_calls(lambda: table.offer(ring, one), calls=2000) / LEVELS
    table.check()
    peer_samples, expected = dicts(events, sized(7, 1))

    # What comes out is what the dicts hold, in the same order; the last offers repeated the first message.
    for row in one.view(LEVEL):
        expected[0][int(row["px_ticks"]), int(row["flags"]) & ASK] = int(row["qty_lots"])
    held: list[dict[tuple[int, int], int]] = [{} for _ in range(SYMBOLS)]
    while table.waiting_count or ring.next > ring.cursor():
        got = ring.poll().view(LEVEL)
        for row in got[got["kind"] == Kind.KIND_BOOK_LEVEL]:
            held[int(row["symbol"])][int(row["px_ticks"]), int(row["flags"]) & ASK] = int(row["qty_lots"])
        table.flush(ring)
    assert [list(side.items()) for side in held] == [list(side.items()) for side in expected]
    report.row(
        "conflate_offer",
        samples,
        batch=BATCH * LEVELS,
        python=python,
        peer="dict of dicts",
        peer_samples=peer_samples,
        checksum=sum(qty for side in held for qty in side.values()),
    )
