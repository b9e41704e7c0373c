"""Data sets: recorded or generated market events of one symbol, and what is wrong with them.

Reads captures (one frame a line behind its local receive time) through the engine's own parser, `.npy`, `.npz` and
`.parquet` of EVENT records, and what others write through formats.py. Owns: the findings, and which stretches may be
traded on. Does not own: parsing, the generator, the columns of Parquet (columnar.py). Nothing is mended: a finding is
reported, and a stretch without a whole book is withheld from the run.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.parse import Parser
from engine._core.types import BAR_PRICES, BAR_TOTALS, EVENT, LEVEL, QUOTE, TRADE, Flag, Kind, Status
from engine.errors import DatasetEmpty, DatasetUnreadable
from engine.research import columnar, formats

Records = npt.NDArray[Any]
E8 = 10**8
HOLE_NS = 10 * 10**9  # a silence that is worth a line
ROOM = 65_536  # events of one frame: a whole image of a deep book
_US_DIGITS = 17  # a stamp of fewer digits is in microseconds
MARKETS = ("spot", "linear")
# What has a price that can be traded on, by itself or by assumption.
PRICED = tuple(int(kind) for kind in (Kind.KIND_QUOTE, Kind.KIND_TRADE, Kind.KIND_AGG_TRADE, Kind.KIND_BAR_PRICES))


@dataclass(frozen=True)
class Meta:
    """What the numbers of a data set mean."""

    symbol: str
    tick_e8: int
    lot_e8: int
    market: str = "spot"
    source: str = ""
    refused_frames: int = 0
    form: str = ""  # of the source, as it was recognised
    source_sha256: str = ""
    supposed: tuple[str, ...] = ()  # what the source does not say and its reader had to suppose


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
    missing_bars: int = 0
    bad_bars: int = 0

    @property
    def clean(self) -> bool:
        return not (
            self.received_backwards or self.venue_backwards or self.duplicates or self.missing_trades
            or self.book_breaks or self.crossed_quotes or self.holes or self.refused_frames or self.skew_min_ns < 0
            or self.missing_bars or self.bad_bars
        )  # fmt: skip


# --------------------------------------------------------------------------------------------------------------- disk
def load(path: Path, meta: Meta | None = None) -> Dataset:
    """A data set from a file. Everything needs `meta` but an .npz or .parquet of ours, which brings its own."""
    if path.suffix in (".npy", ".npz"):
        return _load_numpy(path, meta)
    if path.suffix == ".parquet" and (ours := columnar.load(path)) is not None:
        text, events = ours
        return Dataset(_meta(text), events)
    if meta is None:
        raise DatasetUnreadable(f"{path}: it does not say what a tick is; give --symbol, --tick and --lot")
    if formats.reads(path):
        return _foreign(meta, path, formats.read(path, _grid(meta)))
    return _load_capture(path, meta)


def merge(parts: list[Dataset]) -> Dataset:
    """Several sources of one symbol as one, by the time of receipt; of one time in the order they were named."""
    first = parts[0].meta
    if len(parts) == 1:
        return parts[0]
    if any(
        (p.meta.symbol, p.meta.tick_e8, p.meta.lot_e8) != (first.symbol, first.tick_e8, first.lot_e8) for p in parts
    ):
        raise DatasetUnreadable("sources of several symbols or steps cannot be one data set")
    events = np.concatenate([part.events for part in parts])
    return Dataset(
        replace(
            first,
            source=", ".join(part.meta.source for part in parts),
            form=", ".join(part.meta.form for part in parts),
            source_sha256=", ".join(part.meta.source_sha256 for part in parts),
            refused_frames=sum(part.meta.refused_frames for part in parts),
            supposed=tuple(dict.fromkeys(said for part in parts for said in part.meta.supposed)),
        ),
        events.take(np.argsort(events["ts_recv_ns"], kind="stable")),
    )


def between(data: Dataset, since_ns: int | None, until_ns: int | None) -> Dataset:
    """What was received from one time on and before another. A book begins with the first image after the cut."""
    received = data.events["ts_recv_ns"]
    kept = np.ones(len(received), bool)
    if since_ns is not None:
        kept &= received >= since_ns
    if until_ns is not None:
        kept &= received < until_ns
    if not kept.any():
        raise DatasetEmpty(f"{data.meta.source}: nothing was received between these times")
    return replace(data, events=data.events[kept])


def _grid(meta: Meta) -> formats.Grid:
    return formats.Grid(meta.symbol, meta.tick_e8, meta.lot_e8)


def _foreign(meta: Meta, path: Path, read: formats.Read) -> Dataset:
    return Dataset(
        replace(meta, source=path.name, form=read.form, supposed=tuple(read.supposed), source_sha256=_sha256(path)),
        read.events,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _meta(text: str | bytes) -> Meta:
    row = json.loads(text)
    return Meta(**{**row, "supposed": tuple(row.get("supposed", ()))})


def save(path: Path, data: Dataset) -> None:
    """Write an .npz or .parquet with its meaning beside the events: the same data set gives the same bytes."""
    if path.suffix == ".parquet":
        columnar.save(path, data.events, json.dumps(asdict(data.meta), sort_keys=True))
        return
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
                # hftbacktest keeps its records under `data`.
                events = stored["data" if "data" in stored and "events" not in stored else "events"]
                if "meta" in stored:
                    meta = meta or _meta(stored["meta"].tobytes())
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise DatasetUnreadable(f"{path}: {error}") from error
    if formats.is_hftbacktest(events):
        if meta is None:
            raise DatasetUnreadable(f"{path}: it does not say what a tick is; give --symbol, --tick and --lot")
        return _foreign(meta, path, formats.read_hftbacktest(_grid(meta), events))
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
        for ts_ns, frame in _frames(path):
            status, events = parser.read(frame, ts_ns)
            if status == Status.OK:
                parts.append(events.copy())
            else:
                refused += 1
    except (OSError, EOFError) as error:
        raise DatasetUnreadable(f"{path}: {error}") from error
    events = np.concatenate(parts) if parts else np.empty(0, EVENT)
    whence = replace(meta, source=path.name, form="capture", source_sha256=_sha256(path), refused_frames=refused)
    return Dataset(whence, events)


def _frames(path: Path) -> Iterator[tuple[int, bytes]]:
    """Time of receipt and frame of each line: the time in front of the frame, or both inside a JSON object."""
    for number, line in enumerate(_lines(path), 1):
        text = line.strip()
        if text.startswith(b'{"t":'):
            row = json.loads(text)
            # What was received of a socket, and the images that were asked for; the rest is talk of the recorder.
            if row["t"] in ("recv", "http") and "data" in row:
                yield round(row["ts"] * 1e6) * 1_000, row["data"].encode()
            continue
        stamp, _, frame = text.partition(b" ")
        if not stamp.isdigit():
            raise DatasetUnreadable(f"{path}, line {number}: no receive time in front of the frame")
        yield int(stamp) * (1 if len(stamp) > _US_DIGITS else 1_000), frame


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
    ids = [events[kinds == int(kind)].view(TRADE)["id_trade"] for kind in (Kind.KIND_TRADE, Kind.KIND_AGG_TRADE)]
    quotes = events[kinds == int(Kind.KIND_QUOTE)].view(QUOTE)
    both = (quotes["bid_px_ticks"] > 0) & (quotes["ask_px_ticks"] > 0)
    opened, missing_bars, bad_bars = _bars(events)
    return Findings(
        events=len(events),
        kinds={Kind(int(n)).name.removeprefix("KIND_").lower(): int(c) for n, c in zip(number, count, strict=True)},
        first_ns=int(received.min()),
        last_ns=int(received.max()),
        received_backwards=int(np.count_nonzero(silence < 0)),
        # An image is asked for beside the stream: the changes that waited for it were made before it and stand behind.
        venue_backwards=sum(
            _backwards(events, kind, stamped & ((events["flags"] & int(Flag.FLAG_SNAPSHOT)) == 0)) for kind in number
        ),
        duplicates=sum(len(one) - len(np.unique(one)) for one in (*ids, opened)) + _repeated(quotes),
        # Generated trades are numbered with the quotes between them: only a venue's own numbers say what is missing.
        missing_trades=sum(int(np.sum(np.diff(np.unique(one)) - 1)) for one in ids)
        if data.meta.source != GENERATED
        else 0,
        book_breaks=_book(events)[1],
        crossed_quotes=int(np.count_nonzero(both & (quotes["bid_px_ticks"] >= quotes["ask_px_ticks"]))),
        # Bars are as far apart as they are long: what is missing among them is counted as bars.
        holes=int(np.count_nonzero(silence > hole_ns)) if 2 * len(opened) < len(events) else 0,
        longest_silence_ns=int(silence.max()) if len(silence) else 0,
        skew_min_ns=int(skew.min()) if len(skew) else 0,
        skew_median_ns=int(np.median(skew)) if len(skew) else 0,
        skew_max_ns=int(skew.max()) if len(skew) else 0,
        refused_frames=data.meta.refused_frames,
        missing_bars=missing_bars,
        bad_bars=bad_bars,
    )


def _bars(events: Records) -> tuple[npt.NDArray[np.int64], int, int]:
    """(openings of the bars, how many are missing between them, how many have a price outside low and high)."""
    # A bar that has not closed yet is told again and again.
    events = events[(events["flags"] & int(Flag.FLAG_CLOSED)) != 0]
    totals = np.ascontiguousarray(events[events["kind"] == int(Kind.KIND_BAR_TOTALS)]).view(BAR_TOTALS)
    prices = np.ascontiguousarray(events[events["kind"] == int(Kind.KIND_BAR_PRICES)]).view(BAR_PRICES)
    opened = totals["ts_open_ns"].astype(np.int64)
    length = formats.interval_of(opened)
    missing = int(np.sum(np.diff(np.unique(opened)) // length - 1)) if length else 0
    inside = [
        (prices["low_ticks"] <= prices[n]) & (prices[n] <= prices["high_ticks"]) for n in ("open_ticks", "close_ticks")
    ]
    return opened, missing, int(np.count_nonzero(~(inside[0] & inside[1])))


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
    if not np.any(np.isin(whole["kind"], PRICED)):
        raise DatasetEmpty(f"{data.meta.source}: {len(events)} events, no quote, trade or bar that may be used")
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
