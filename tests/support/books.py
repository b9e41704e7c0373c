"""Builds book events by hand and at random, and reads the recorded ones."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from engine._core.types import EVENT, LEVEL, QUOTE, Flag, Kind

Events = npt.NDArray[Any]


def message(
    levels: Iterable[tuple[str, int, int]] = (),
    *,
    first: int = -1,
    last: int = -1,
    prev: int = -1,
    snapshot: bool = False,
    ts_ns: int = 0,
) -> Events:
    """One whole depth message: rows of ("bid" or "ask", ticks, lots). Without rows it still carries its numbers."""
    rows = list(levels) or [("bid", 0, 0)]
    out = np.zeros(len(rows), dtype=LEVEL)
    out["kind"] = Kind.KIND_BOOK_LEVEL
    out["flags"] = [
        (Flag.FLAG_ASK if side == "ask" else 0) | (Flag.FLAG_SNAPSHOT if snapshot else 0) for side, *_ in rows
    ]
    out["flags"][0] |= Flag.FLAG_FIRST
    out["flags"][-1] |= Flag.FLAG_LAST
    out["px_ticks"] = [px for _, px, _ in rows]
    out["qty_lots"] = [qty for *_, qty in rows]
    out["id_first"], out["id_last"], out["id_prev"], out["ts_recv_ns"] = first, last, prev, ts_ns
    return out.view(EVENT)


def quote(bid: tuple[int, int], ask: tuple[int, int], *, number: int = -1, ts_ns: int = 0) -> Events:
    out = np.zeros(1, dtype=QUOTE)
    out["kind"], out["flags"], out["ts_recv_ns"] = Kind.KIND_QUOTE, Flag.FLAG_FIRST | Flag.FLAG_LAST, ts_ns
    out["bid_px_ticks"], out["bid_qty_lots"] = bid
    out["ask_px_ticks"], out["ask_qty_lots"] = ask
    out["id_book"] = number
    return out.view(EVENT)


def clear(*, snapshot: bool, last: int = -1, flags: int = int(Flag.FLAG_FIRST | Flag.FLAG_LAST)) -> Events:
    out = message(last=last, snapshot=snapshot)
    out["kind"] = Kind.KIND_BOOK_CLEAR
    out["flags"] = flags | (Flag.FLAG_SNAPSHOT if snapshot else 0)
    return out


def random_stream(rng: np.random.Generator, count: int, *, reach: float, drift: float, start: int = 50_000) -> Events:
    """About `count` level events of a venue numbered like Binance spot, around a touch that wanders.

    Bids stand below the middle and asks above it; a step of the middle deletes what stood there, so the book crosses
    only where it is made to. One message in 400 is lost, one in 200 comes twice, a loss is soon followed by an image.
    """
    out = np.zeros(count, dtype=LEVEL)
    out["kind"] = Kind.KIND_BOOK_LEVEL
    middle, number, at, lost = start, 100, 0, True
    side, distance = rng.random(count + 64) < 0.5, rng.exponential(reach, count + 64).astype(np.int64) + 1
    quantity = np.where(rng.random(count + 64) < 0.4, 0, rng.integers(1, 1000, count + 64))
    chance, sizes = rng.random(count + 64), rng.integers(1, 7, count + 64)
    while at < count:
        dice, size = chance[at], min(int(sizes[at]), count - at)
        image = lost and dice < 0.5
        step = 0 if image or dice < 1 - drift else (1 if distance[at] & 1 else -1)
        middle = max(middle + step, 2)
        px = np.maximum(
            np.where(side[at : at + size], middle - distance[at : at + size], middle + distance[at : at + size]), 1
        )
        rows = out[at : at + size]
        rows["px_ticks"], rows["qty_lots"] = px, quantity[at : at + size]
        rows["flags"] = np.where(px > middle, Flag.FLAG_ASK, 0) | (Flag.FLAG_SNAPSHOT if image else 0)
        if step:
            rows["px_ticks"][0], rows["qty_lots"][0] = middle, 0
            rows["flags"][0] = Flag.FLAG_ASK if step > 0 else 0
        rows["flags"][0] |= Flag.FLAG_FIRST
        rows["flags"][-1] |= Flag.FLAG_LAST
        rows["id_first"], rows["id_prev"] = number + 1, number
        gap = dice > 0.9975 and not image
        rows["id_first"] += 3 * gap
        number += 1 + int(sizes[at]) + 3 * gap
        rows["id_last"] = number
        rows["ts_recv_ns"] = number
        lost = (lost and not image) or gap
        if 0.99 < dice < 0.995 and at + size < count:
            number -= 1  # the next message begins before the end of this one, or is older
        at += size
    return out.view(EVENT)


# ------------------------------------------------------------------------------------------------ recorded data
class _Data(msgspec.Struct):
    e: str = ""
    u: int = 0
    first: int = msgspec.field(default=-1, name="U")
    pu: int = -1
    b: str | list[tuple[str, str]] = ""
    a: str | list[tuple[str, str]] = ""
    bid_lots: str = msgspec.field(default="", name="B")
    ask_lots: str | int = msgspec.field(default="", name="A")


class _Line(msgspec.Struct, rename="camel"):
    data: _Data | None = None
    stream: str = ""
    last_update_id: int = -1
    bids: list[tuple[str, str]] = []
    asks: list[tuple[str, str]] = []


@lru_cache(maxsize=1 << 16)
def to_steps(text: str, step_e8: int) -> int:
    """Decimal text in whole steps; refuses what is not a whole number of them. No float on the way."""
    whole, _, part = text.partition(".")
    steps, rest = divmod(int(whole + part.ljust(8, "0")[:8]), step_e8)
    if rest or part[8:].strip("0"):
        raise ValueError(f"{text} is not a whole number of steps")
    return steps


def recorded(path: Path, tick_e8: int, lot_e8: int) -> Iterator[tuple[str, int, Events]]:
    """("image" | "update" | "quote", sequence number, events) of one recording, in the order received."""
    decoder = msgspec.json.Decoder(_Line)
    with gzip.open(path, "rb") as lines:
        for line in lines:
            stamp, text = line.split(b" ", 1)
            ts_ns = int(stamp) * (1 if len(stamp) > 17 else 1000)
            if b"@depth" not in text and b"@bookTicker" not in text and b"lastUpdateId" not in text:
                continue
            parsed = decoder.decode(text)
            if parsed.data is None:
                rows = _rows(parsed.bids, parsed.asks, tick_e8, lot_e8)
                number = parsed.last_update_id
                yield "image", number, message(rows, last=number, snapshot=True, ts_ns=ts_ns)
            elif isinstance(parsed.data.b, list):
                d = parsed.data
                rows = _rows(d.b, d.a, tick_e8, lot_e8)
                yield "update", d.u, message(rows, first=d.first, last=d.u, prev=d.pu, ts_ns=ts_ns)
            else:
                d = parsed.data
                bid = (to_steps(str(d.b), tick_e8), to_steps(d.bid_lots, lot_e8))
                ask = (to_steps(str(d.a), tick_e8), to_steps(str(d.ask_lots), lot_e8))
                yield "quote", d.u, quote(bid, ask, number=d.u, ts_ns=ts_ns)


def _rows(bids: Any, asks: Any, tick_e8: int, lot_e8: int) -> list[tuple[str, int, int]]:
    return [
        (side, to_steps(px, tick_e8), to_steps(qty, lot_e8))
        for side, levels in (("bid", bids), ("ask", asks))
        for px, qty in levels
    ]
