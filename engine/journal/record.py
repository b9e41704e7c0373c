"""Stores raw market data as it comes, in the journal's own format: replay and backtests read it like any session.

A source is an async iterator of EVENT arrays; what stands behind it - a venue's protocol, a file, a generator - is the
caller's. Nothing is judged here: what a venue sent is what is kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import JournalFull
from engine.journal.layout import Session
from engine.journal.query import everything
from engine.journal.segments import MARKET_LAST
from engine.journal.writer import JournalConfig, JournalWriter

Source = AsyncIterator[npt.NDArray[Any]]


async def record(
    source: Source,
    root: Path,
    *,
    now_ns: Callable[[], int],
    config: JournalConfig | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> int:
    """Append everything that comes until the source ends or `stop()` says so. Returns how many records.

    `meta` is kept with the session: what the numbers of each symbol mean, where the data is from.
    """
    settings = config or JournalConfig(klass="market")
    with JournalWriter(root, settings, seed=0, now_ns=now_ns, meta=dict(meta or {})) as writer:
        async for events in source:
            _append(writer, events)
            if progress is not None:
                progress(writer.tape.count)
            if stop():
                break
        return writer.tape.count


def _append(writer: JournalWriter, events: npt.NDArray[Any]) -> None:
    """A batch, numbered as it came; in pieces that any segment holds."""
    rows = np.array(events)
    rows["seq"] = (writer.tape.count + np.arange(len(rows))) & 0xFFFFFFFF
    for at in range(0, len(rows), 1024):
        piece = rows[at : at + 1024]
        try:
            writer.tape.append(piece)
        except JournalFull:
            # Nobody waits for this record on its way to a venue: the recorder may make its segment itself.
            writer.turn()
            writer.tape.append(piece)
    writer.turn()


async def from_session(session: Session) -> Source:
    """The market data of another session."""
    for _, rows in everything(session):
        market = rows[rows["kind"] <= MARKET_LAST]
        if len(market):
            yield market


async def from_array(events: npt.NDArray[Any], *, batch: int = 4096) -> Source:
    """A generated market, or a file that was loaded."""
    for at in range(0, len(events), batch):
        yield events[at : at + batch]
