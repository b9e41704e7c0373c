"""Data sets: recorded or generated market events of one symbol, and what is wrong with them.

Reads captures (one frame a line behind its local receive time) through the engine's own parser, and `.npy` or `.npz`
of EVENT records. Owns: the form on disk, the findings, and which stretches may be traded on. Does not own: parsing, the
generator. Nothing is mended: a finding is reported, and a stretch without a whole book is withheld from the run.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.parse import Parser
from engine._core.types import EVENT, LEVEL, QUOTE, TRADE, Flag, Kind, Status
from engine.errors import DatasetEmpty, DatasetUnreadable

Records = npt.NDArray[Any]
E8 = 10**8
HOLE_NS = 10 * 10**9  # a silence that is worth a line
ROOM = 65_536  # events of one frame: a whole image of a deep book
_US_DIGITS = 17  # a stamp of fewer digits is in microseconds
MARKETS = ("spot", "linear")


@dataclass(frozen=True)
class Meta:
    """What the numbers of a data set mean."""

    symbol: str
    tick_e8: int
    lot_e8: int
    market: str = "spot"
    source: str = ""
    refused_frames: int = 0


@dataclass(frozen=True)
class Dataset:
    meta: Meta
    events: Records


@dataclass(frozen=True)
class Findings:
    """What a check found. Counts of zero are said too: they were looked for."""

    events: int
    kinds: dict[str, int]
    first_ns: int
    last_ns: int
    received_backwards: int
    venue_backwards: int
    duplicates: int
    missing_trades: int
    book_breaks: int
    crossed_quotes: int
    holes: int
    longest_silence_ns: int
    skew_min_ns: int
    skew_median_ns: int
    skew_max_ns: int
    refused_frames: int

    @property
    def clean(self) -> bool:
        return not (
            self.received_backwards or self.venue_backwards or self.duplicates or self.missing_trades
            or self.book_breaks or self.crossed_quotes or self.holes or self.refused_frames or self.skew_min_ns < 0
        )  # fmt: skip


# --------------------------------------------------------------------------------------------------------------- disk
def load(path: Path, meta: Meta | None = None) -> Dataset:
    """A data set from a file. A capture and a bare .npy need `meta`; an .npz of ours brings its own."""
    if path.suffix in (".npy", ".npz"):
        return _load_numpy(path, meta)
    if meta is None:
        raise DatasetUnreadable(f"{path}: a capture does not say what a tick is")
    return _load_capture(path, meta)


def save(path: Path, data: Dataset) -> None:
    """Write an .npz with its meaning beside the events: the same data set gives the same bytes."""
    text = np.frombuffer(json.dumps(asdict(data.meta), sort_keys=True).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez_compressed(file, events=data.events.view(np.uint8), meta=text)


def _load_numpy(path: Path, meta: Meta | None) -> Dataset:
    try:
        stored = np.load(path, allow_pickle=False)
        if isinstance(stored, np.ndarray):
            events = stored
        else:
            with stored:
                events = stored["events"]
                if "meta" in stored:
                    meta = meta or Meta(**json.loads(stored["meta"].tobytes()))
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise DatasetUnreadable(f"{path}: {error}") from error
    if events.dtype == np.uint8 and events.nbytes % EVENT.itemsize == 0:
        events = events.reshape(-1).view(EVENT)
    if events.dtype != EVENT or events.ndim != 1:
        raise DatasetUnreadable(f"{path}: {events.dtype}, {events.ndim} dimensions, are not event records")
    if meta is None:
        raise DatasetUnreadable(f"{path}: it does not say what a tick is")
    return Dataset(meta, np.ascontiguousarray(events))


def _lines(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
        yield from lines


def _load_capture(path: Path, meta: Meta) -> Dataset:
    tick, lot = (f"{step // E8}.{step % E8:08d}" for step in (meta.tick_e8, meta.lot_e8))
    parser = Parser([(meta.symbol, 0, tick, lot)], context_symbol=meta.symbol, room=ROOM, levels_max=ROOM)
    parts, refused = [], 0
    try:
        for number, line in enumerate(_lines(path), 1):
            stamp, _, frame = line.strip().partition(b" ")
            if not stamp.isdigit():
                raise DatasetUnreadable(f"{path}, line {number}: no receive time in front of the frame")
            ts_ns = int(stamp) * (1 if len(stamp) > _US_DIGITS else 1_000)
            status, events = parser.read(frame, ts_ns)
            if status == Status.OK:
                parts.append(events.copy())
            else:
                refused += 1
    except (OSError, EOFError) as error:
        raise DatasetUnreadable(f"{path}: {error}") from error
    events = np.concatenate(parts) if parts else np.empty(0, EVENT)
    return Dataset(Meta(**{**asdict(meta), "source": path.name, "refused_frames": refused}), events)


# -------------------------------------------------------------------------------------------------------------- check
def check(data: Dataset, *, hole_ns: int = HOLE_NS) -> Findings:
    """Gaps, duplicates, order and clock skew. Looks at the events as they are, in the order they stand."""
    events = data.events
    if not len(events):
        raise DatasetEmpty(data.meta.source)
    received, kinds = events["ts_recv_ns"], events["kind"]
    stamped = (events["ts_venue_ns"] > 0) & ((events["flags"] & int(Flag.FLAG_NO_VENUE_TIME)) == 0)
    skew = (received - events["ts_venue_ns"])[stamped]
    silence = np.diff(received)
    number, count = np.unique(kinds, return_counts=True)
    trades = events[(kinds == int(Kind.KIND_TRADE))].view(TRADE)["id_trade"]
    quotes = events[kinds == int(Kind.KIND_QUOTE)].view(QUOTE)
    both = (quotes["bid_px_ticks"] > 0) & (quotes["ask_px_ticks"] > 0)
    steps = np.diff(np.unique(trades))
    return Findings(
        events=len(events),
        kinds={Kind(int(n)).name.removeprefix("KIND_").lower(): int(c) for n, c in zip(number, count, strict=True)},
        first_ns=int(received.min()),
        last_ns=int(received.max()),
        received_backwards=int(np.count_nonzero(silence < 0)),
        venue_backwards=sum(_backwards(events, kind, stamped) for kind in number),
        duplicates=len(trades) - len(np.unique(trades)) + _repeated(quotes),
        # Generated trades are numbered with the quotes between them: only a venue's own numbers say what is missing.
        missing_trades=int(np.sum(steps - 1)) if data.meta.source != GENERATED else 0,
        book_breaks=_book(events)[1],
        crossed_quotes=int(np.count_nonzero(both & (quotes["bid_px_ticks"] >= quotes["ask_px_ticks"]))),
        holes=int(np.count_nonzero(silence > hole_ns)),
        longest_silence_ns=int(silence.max()) if len(silence) else 0,
        skew_min_ns=int(skew.min()) if len(skew) else 0,
        skew_median_ns=int(np.median(skew)) if len(skew) else 0,
        skew_max_ns=int(skew.max()) if len(skew) else 0,
        refused_frames=data.meta.refused_frames,
    )


def _backwards(events: Records, kind: int, stamped: npt.NDArray[np.bool_]) -> int:
    times = events["ts_venue_ns"][stamped & (events["kind"] == kind)]
    return int(np.count_nonzero(np.diff(times) < 0))


def _repeated(quotes: Records) -> int:
    """Quotes that come again under their number; a venue without numbers repeats nothing that could be seen."""
    ids = quotes["id_book"]
    return len(ids) - len(np.unique(ids)) if len(ids) and ids.min() > 0 else 0


# ------------------------------------------------------------------------------------------------------ what is traded
def playable(data: Dataset) -> tuple[Records, dict[str, int]]:
    """The events that a backtest may run on, in order of receipt, and what was done to get there.

    Where depth is recorded, nothing is given before its first image or between a broken chain and the next image: the
    book is emptied at the break, so nothing can fill there and the engine's own price grows too old to trade on.
    """
    events = data.events
    done = {"reordered": int(np.count_nonzero(np.diff(events["ts_recv_ns"]) < 0)), "shifted_ns": 0}
    if done["reordered"]:
        events = events.take(np.argsort(events["ts_recv_ns"], kind="stable"))
    whole, breaks, withheld = _book(events)
    known = (whole["kind"] > 0) & (whole["kind"] < int(Kind.KIND_ORDER_ACK)) & (whole["symbol"] == 0)
    whole = np.ascontiguousarray(whole[known])
    if not np.any(whole["kind"] == int(Kind.KIND_QUOTE)):
        raise DatasetEmpty(f"{data.meta.source}: {len(events)} events, no quote among them that may be used")
    done |= {"book_breaks": breaks, "withheld": withheld}
    stamped = whole["ts_venue_ns"] > 0
    ahead = int((whole["ts_recv_ns"] - whole["ts_venue_ns"])[stamped].min()) if stamped.any() else 0
    if ahead < 0:
        # A recorder whose clock ran behind: events from the future would all be refused. One constant, and it is said.
        whole["ts_venue_ns"][stamped] += ahead
        done["shifted_ns"] = ahead
    return whole, done


def _book(events: Records) -> tuple[Records, int, int]:
    """(events outside untrusted stretches, breaks of the depth chain, events withheld)."""
    depth = events["kind"] == int(Kind.KIND_BOOK_LEVEL)
    if not depth.any():
        return events.copy(), 0, 0
    rows, parts = events.view(LEVEL), []
    starts = np.flatnonzero(depth & ((events["flags"] & int(Flag.FLAG_FIRST)) != 0))
    ends = np.flatnonzero(depth & ((events["flags"] & int(Flag.FLAG_LAST)) != 0)) + 1
    if len(starts) != len(ends) or np.any(ends <= starts):
        raise DatasetUnreadable("a depth message without its beginning or its end")
    live, last, kept_from, breaks, waiting = False, -1, 0, 0, list[tuple[int, int]]()
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        row = rows[start]
        first, final, before = int(row["id_first"]), int(row["id_last"]), int(row["id_prev"])
        if int(row["flags"]) & int(Flag.FLAG_SNAPSHOT):
            if live:
                parts.append(events[kept_from:start])
            parts.append(events[start:end])
            # Updates that came before the image and go beyond it follow it, at the time the image was there.
            late = [events[a:b].copy() for a, b in waiting if int(rows[a]["id_last"]) > final]
            for part in late:
                part["ts_recv_ns"] = row["ts_recv_ns"]
            parts += late
            last = int(late[-1].view(LEVEL)["id_last"][0]) if late else final
            live, kept_from, fresh, waiting = True, end, True, []
        elif not live:
            waiting.append((start, end))
        elif final <= last:
            # Older than the image: it says nothing new.
            parts.append(events[kept_from:start])
            kept_from = end
        elif before == last or (first <= last + 1 and (before < 0 or fresh)):
            last, fresh = final, False
        else:
            parts += [events[kept_from:start], _clear(events[start])]
            live, breaks, waiting = False, breaks + 1, [(start, end)]
    if live:
        parts.append(events[kept_from:])
    whole = np.concatenate(parts) if parts else np.empty(0, EVENT)
    return whole, breaks, max(0, len(events) - len(whole))


def _clear(at: Any) -> Records:
    event = np.zeros(1, EVENT)
    event["kind"], event["flags"] = Kind.KIND_BOOK_CLEAR, Flag.FLAG_FIRST | Flag.FLAG_LAST
    event["ts_recv_ns"], event["ts_venue_ns"] = at["ts_recv_ns"], at["ts_venue_ns"]
    return event


GENERATED = "generated"
