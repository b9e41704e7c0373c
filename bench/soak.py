"""A session under a steady load: what `make bench` measures for minutes and the suite holds for seconds.

The core with a strategy, the journal with its threads, segments that fill, close and are packed; the pace is real time.
Watched is the anonymous memory: pages of a mapped segment count as resident until it is closed, and are the file's.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.journal.compare import feed
from engine.journal.writer import JournalConfig, JournalWriter
from engine.runtime.wiring import make_core
from engine.sim.market import random_walk

BATCH, EVENTS = 2_500, 100_000
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Soaked:
    """What a soak leaves: events, segments, and the memory by the second."""

    events: int
    segments: int
    health: int
    marks: tuple[tuple[float, int], ...]  # seconds since the start, bytes

    @property
    def settled(self) -> tuple[tuple[float, int], ...]:
        """Without the first quarter: buffers are made once."""
        return self.marks[len(self.marks) // 4 :]

    @property
    def slope(self) -> float:
        """Bytes a second."""
        return float(np.polyfit(*np.array(self.settled).T, 1)[0]) if len(self.settled) > 2 else 0.0

    @property
    def growth(self) -> int:
        """The lowest of the last half against the lowest before it: a buffer comes and goes, a leak stays."""
        at = len(self.settled) // 2
        return min(size for _, size in self.settled[at:]) - min(size for _, size in self.settled[:at])


def anonymous() -> int:
    """Memory of this process that no file stands behind, in bytes."""
    row = next(line for line in _STATUS.read_text().splitlines() if line.startswith("RssAnon:"))
    return int(row.split()[1]) << 10


def soak(
    root: Path, *, seconds: float, rate: int = 50_000, segment_bytes: int = 64 << 20, threads: bool = True
) -> Soaked:
    """Feed `rate` events a second for so long. Without threads the journal's turns come between the events."""
    core = make_core(seed=1)
    events = random_walk(seed=9, count=EVENTS)
    config = JournalConfig(segment_bytes=segment_bytes, disk_free_bytes=0, compress=True, disk_cap_bytes=1 << 40)
    # Room for every mark, touched before the first: a list of them would grow by 9 MB an hour and be taken for a leak.
    marks = np.ones((int(seconds * rate / BATCH) + 64, 2), dtype=np.int64)
    pace, done = threading.Event(), 0
    with JournalWriter(root, config, seed=1, now_ns=lambda: 1, world=core.world) as journal:
        if threads:
            journal.start()
        start = time.perf_counter()
        while (passed := time.perf_counter() - start) < seconds:
            if done > passed * rate:
                pace.wait(0.005)
                continue
            at, first = 0, done % (EVENTS - BATCH)
            while at < BATCH:
                at += feed(core, journal.tape, events[first + at : first + BATCH])
                if not threads:
                    journal.turn()
            done += BATCH
            marks[done // BATCH - 1] = round(passed * 1e9), anonymous()
        health = journal.health
        segments = len(list((journal.session.path / "segments").iterdir()))
    taken = marks[: done // BATCH].tolist()
    return Soaked(done, segments, health, tuple((at_ns / 1e9, size) for at_ns, size in taken))
