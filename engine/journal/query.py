"""Questions to the event store: by time, kind, order and correlation, over plain, compressed and thinned segments.

A correlation is what hangs together: an input, every output that came of it, and every record of the orders that they
speak of. Any record's number names it, an output's as well as the input's own. So one number leads from a quote to its
fills, and back. The tape has the outputs of an input right behind it, so the numbers alone say what belongs together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.tape import first_at, records
from engine.journal.layout import ARCHIVED, Session
from engine.journal.reader import open_session
from engine.journal.segments import read_archive
from engine.journal.show import fields, is_output, order_ids

CHUNK = 1 << 18
ALL_NUMBERS = 1 << 62
Rows = tuple[npt.NDArray[np.uint64], npt.NDArray[Any]]


@dataclass(frozen=True)
class Question:
    since_ns: int | None = None
    until_ns: int | None = None
    kinds: frozenset[int] = frozenset()
    order: int | None = None
    correlation: int | None = None


def everything(session: Session, since_ns: int | None = None) -> Iterator[Rows]:
    """(numbers, records) in order, in pieces. What is thinned comes first: it is the oldest."""
    for path in sorted(session.segments_path.glob(f"*{ARCHIVED}")) if session.segments_path.is_dir() else []:
        numbers, rows, _ = read_archive(path)
        yield numbers, rows
    thinned = bool(list(session.segments_path.glob(f"*{ARCHIVED}"))) if session.segments_path.is_dir() else False
    opened = open_session(session, chain=False)
    if not thinned:
        opened.must_be_sound()
    for part in opened.parts:
        at = first_at(part.image, part.count, since_ns) if since_ns is not None else 0
        while at < part.count:
            size = min(CHUNK, part.count - at)
            first = part.first_record + at
            yield np.arange(first, first + size, dtype=np.uint64), records(part.image, at, size)
            at += size


def ask(session: Session, question: Question) -> Iterator[Rows]:
    """The records that answer, in order."""
    hangs = _hangs_with(session, question.correlation) if question.correlation is not None else None
    for numbers, rows in everything(session, question.since_ns):
        keep = np.ones(len(rows), bool)
        if question.since_ns is not None:
            keep &= rows["ts_recv_ns"] >= question.since_ns
        if question.until_ns is not None:
            keep &= rows["ts_recv_ns"] <= question.until_ns
        if question.kinds:
            keep &= np.isin(rows["kind"], sorted(question.kinds))
        if question.order is not None:
            keep &= order_ids(rows) == question.order
        if hangs is not None:
            keep &= hangs.has(numbers, rows)
        if keep.any():
            yield numbers[keep], rows[keep]


@dataclass(frozen=True)
class _Hangs:
    """The records from `first` up to `end` are an input and its outputs; `orders` are those that they speak of."""

    first: int
    end: int
    orders: frozenset[int]

    def has(self, numbers: npt.NDArray[np.uint64], rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        together = (numbers >= self.first) & (numbers < self.end)
        return np.asarray(together | np.isin(order_ids(rows), sorted(self.orders)))


def _hangs_with(session: Session, number: int) -> _Hangs:
    first, end, there, behind = number, ALL_NUMBERS, False, -1
    for numbers, rows in everything(session):
        # Where the input was thinned away, what follows a gap came of another one than what stands before it.
        heads = numbers[~is_output(rows) | (np.diff(numbers.astype(np.int64), prepend=behind) != 1)]
        there = there or bool(np.isin(number, numbers))
        before, after = heads[heads <= number], heads[heads > number]
        first = int(before[-1]) if len(before) else first
        behind = int(numbers[-1]) if len(numbers) else behind
        if len(after):
            end = int(after[0])
            break
    if not there:
        return _Hangs(0, 0, frozenset())
    orders: set[int] = set()
    for numbers, rows in everything(session):
        orders |= set(order_ids(rows[(numbers >= first) & (numbers < end)]).tolist())
    return _Hangs(first, end, frozenset(orders - {0}))


def as_json(number: int, row: Any) -> dict[str, Any]:
    return {"number": number, **fields(row)}


def to_parquet(session: Session, question: Question, path: Path) -> int:
    """Write the answer as Parquet: the head's columns, the five words, the order id. Needs the `parquet` extra."""
    import pyarrow as pa  # noqa: PLC0415  (an extra: the engine runs without it)
    import pyarrow.parquet as pq  # noqa: PLC0415

    names = ("kind", "flags", "symbol", "seq", "ts_venue_ns", "ts_recv_ns")
    count, writer = 0, None
    try:
        for numbers, rows in ask(session, question):
            columns = {"number": pa.array(numbers)}
            columns |= {name: pa.array(np.ascontiguousarray(rows[name])) for name in names}
            columns |= {f"word_{i}": pa.array(np.ascontiguousarray(rows["word"][:, i])) for i in range(5)}
            columns["id_order"] = pa.array(order_ids(rows))
            table = pa.table(columns)
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
            count += len(rows)
    finally:
        if writer is not None:
            writer.close()
    return count
