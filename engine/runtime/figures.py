"""Figures of a running engine that lie outside its world: the process, the disk, the record's lag, the streams.

Owns: how each is read and how often. Does not own: the picture (picture.py) that shows them. Nothing here waits:
files of /proc and the disk are asked at most once a second, everything else is a word that is there already.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from engine._core.clock import monotonic_ns
from engine.journal.writer import HEALTH_TEXT
from engine.observe.status import BooksStatus, FeedStatus, StrategyStatus, SymbolStatus

SECOND = 10**9
STREAMS = ("market", "user", "orders")  # the bits of a venue's `feeds_down`, in their order
QUIET_NS = 10 * SECOND  # market data without a word for so long is not healthy
_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Record(Protocol):
    """The tape, as far as a picture looks at it."""

    @property
    def count(self) -> int: ...

    @property
    def durable(self) -> int: ...


class Machine:
    """Resident memory and free disk, asked once a second."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._asked_ns = 0
        self.memory_bytes: int | None = None
        self.disk_free_bytes: int | None = None

    def look(self) -> None:
        now_ns = monotonic_ns()
        if self._asked_ns and now_ns - self._asked_ns < SECOND:
            return
        self._asked_ns = now_ns
        try:
            self.memory_bytes = int(_STATM.read_bytes().split()[1]) * _PAGE
            disk = os.statvfs(self.folder)
            self.disk_free_bytes = disk.f_bavail * disk.f_frsize
        except OSError:
            # Not known is told as not known.
            self.memory_bytes = self.disk_free_bytes = None


class Lag:
    """How long ago the oldest record was written that is not on the disk yet, as seen from picture to picture.

    Between two pictures nobody looks, so the figure is never more than what it says and at least that.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque(maxlen=1_024)  # records written, when that was seen

    def look(self, tape: Record) -> int:
        now_ns, durable = monotonic_ns(), tape.durable
        while self._seen and self._seen[0][0] <= durable:
            self._seen.popleft()
        lag = now_ns - self._seen[0][1] if self._seen else 0
        self._seen.append((tape.count, now_ns))
        return lag


def feeds(
    venues: Any, names: Sequence[str], newest_ns: Sequence[int], messages: Sequence[int], now_ns: int
) -> tuple[FeedStatus, ...]:
    """The streams of each venue: the market's with its age, and those that the core was told are down."""
    rows = []
    for at, name in enumerate(names):
        down = int(venues[at]["feeds_down"]) if at < len(venues) else 0
        rows.append(
            FeedStatus(
                name=f"{name} {STREAMS[0]}",
                venue=name,
                connected=not down & 1,
                age_ns=max(0, now_ns - newest_ns[at]) if newest_ns[at] else None,
                messages=messages[at],
            )
        )
        rows += [
            FeedStatus(name=f"{name} {stream}", venue=name, connected=not down >> bit & 1)
            for bit, stream in enumerate(STREAMS)
            if bit
        ]
    return tuple(rows)


def journal_words(health: int) -> str:
    """What is wrong with the record; empty when nothing is."""
    return "; ".join(text for bit, text in HEALTH_TEXT.items() if health & int(bit))


def unhealthy(
    *,
    journal: str,
    durable: bool,
    books: BooksStatus,
    feeds: Sequence[FeedStatus],
    symbols: Sequence[SymbolStatus],
    strategies: Sequence[StrategyStatus],
) -> Iterator[str]:
    """Everything that is not as it should be, in words, the worst first."""
    if journal:
        yield f"journal: {journal}"
    if not durable:
        yield "the latch cannot be written to disk"
    for text in books.breaks:
        yield f"books: {text}"
    if books.late:
        yield "the venue's books were not compared for too long"
    for feed in feeds:
        if not feed.connected:
            yield f"feed {feed.name} is lost"
        elif feed.age_ns is not None and feed.age_ns > QUIET_NS:
            yield f"feed {feed.name} is silent"
    for symbol in symbols:
        if symbol.halted:
            yield f"{symbol.name} is halted"
    for strategy in strategies:
        if strategy.state != "running":
            yield f"strategy {strategy.name} is {strategy.state}"
