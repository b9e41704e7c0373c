"""Data sets as Parquet: one column a field of an event record, what the numbers mean and whence they are beside them.

The schema is checked on reading, field by field, and the sum over the records as well: a file that was edited or cut
is refused, not guessed at. Needs the extra `parquet`; `.npz` holds the same without it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import EVENT
from engine.errors import DatasetUnreadable
from engine.research.formats import arrow

Records = npt.NDArray[Any]
FORMAT = b"1"
_HEAD = ("kind", "flags", "symbol", "seq", "ts_venue_ns", "ts_recv_ns")
_WORDS = 5
_FORMAT, _META, _SUM = b"bot4.format", b"bot4.meta", b"bot4.sha256"
ROWS = 1 << 17  # of a row group


def _schema(pa: Any, metadata: dict[bytes, bytes] | None = None) -> Any:
    fields = [(name, pa.from_numpy_dtype(EVENT[name])) for name in _HEAD]
    fields += [(f"word_{at}", pa.int64()) for at in range(_WORDS)]
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields], metadata)


def save(path: Path, events: Records, meta: str) -> None:
    pa, pq, _ = arrow()
    digest = hashlib.sha256(np.ascontiguousarray(events).tobytes()).hexdigest()
    schema = _schema(pa, {_FORMAT: FORMAT, _META: meta.encode(), _SUM: digest.encode()})
    columns = [pa.array(np.ascontiguousarray(events[name])) for name in _HEAD]
    columns += [pa.array(np.ascontiguousarray(events["word"][:, at])) for at in range(_WORDS)]
    pq.write_table(pa.table(columns, schema=schema), path, compression="zstd", row_group_size=ROWS)


def about(path: Path) -> tuple[str, int] | None:
    """(meaning, number of records) without reading them; None of a Parquet file that is not ours."""
    pa, pq, _ = arrow()
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetUnreadable(f"{path}: {error}") from error
    with file:
        kept = file.schema_arrow.metadata or {}
        if _FORMAT not in kept:
            return None
        if kept[_FORMAT] != FORMAT:
            raise DatasetUnreadable(f"{path}: format {kept[_FORMAT].decode()}, this engine reads {FORMAT.decode()}")
        wanted = _schema(pa)
        for field in wanted:
            at = file.schema_arrow.get_field_index(field.name)
            if at < 0 or file.schema_arrow.field(at).type != field.type:
                raise DatasetUnreadable(f"{path}: column {field.name} is not {field.type}")
        if len(file.schema_arrow.names) != len(wanted.names) or _META not in kept or _SUM not in kept:
            raise DatasetUnreadable(f"{path}: not the columns of a data set")
        return kept[_META].decode(), file.metadata.num_rows


def load(path: Path) -> tuple[str, Records] | None:
    """(meaning, records); None of a Parquet file that is not ours."""
    found = about(path)
    if found is None:
        return None
    _, pq, _ = arrow()
    table = pq.read_table(path)
    events = np.zeros(table.num_rows, EVENT)
    for name in _HEAD:
        events[name] = table.column(name).to_numpy()
    for at in range(_WORDS):
        events["word"][:, at] = table.column(f"word_{at}").to_numpy()
    if hashlib.sha256(events.tobytes()).hexdigest() != table.schema.metadata[_SUM].decode():
        raise DatasetUnreadable(f"{path}: its records are not those that it was written with")
    return found[0], events
