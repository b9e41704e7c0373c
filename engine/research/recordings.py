"""Raw recordings of Binance's combined streams as plain arrays: trades, touches, and how the book stood each second.

Owns: reading `<local time> <json>` lines, local time in micro- or nanoseconds. Does not own: the protocols (a live feed
is parsed by engine._core.parse), what is made of the arrays. A market order that swept several makers comes as several
trades of one time and side: they are one here. Cost: about 15 us a line.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import SimBadCapture

LEVELS = 20
SECOND = 10**9
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Tape:
    """One symbol's market, recorded or generated; prices and quantities as floats, times in nanoseconds."""

    name: str
    trade_ns: Array
    trade_sell: Array
    trade_px: Array
    trade_qty: Array
    quote_ns: Array
    bid: Array
    bid_qty: Array
    ask: Array
    ask_qty: Array
    # Of each second, per level: distance from the touch and quantity, both sides one after the other.
    level_away: Array
    level_qty: Array

    @property
    def seconds(self) -> float:
        return float(self.quote_ns[-1] - self.quote_ns[0]) / SECOND

    @property
    def mid(self) -> Array:
        return (self.bid + self.ask) / 2


def merge_sweeps(ns: Array, venue: Array, sell: Array, px: Array, qty: Array) -> tuple[Array, Array, Array, Array]:
    """One trade for each market order: the first's time and price, all of its quantity."""
    first = np.ones(len(ns), bool)
    first[1:] = (np.diff(venue) != 0) | (sell[1:] != sell[:-1])
    return ns[first], sell[first], px[first], np.add.reduceat(qty, np.flatnonzero(first)) if len(qty) else qty


class _Book:
    """The levels of one symbol, from a snapshot and diffs."""

    def __init__(self) -> None:
        self.sides: tuple[dict[float, float], dict[float, float]] = ({}, {})
        self.ready = False
        self.rows: list[Array] = []
        self._next_ns = 0

    def apply(self, bids: list[list[str]], asks: list[list[str]]) -> None:
        for side, levels in zip(self.sides, (bids, asks), strict=True):
            for px, qty in levels:
                if float(qty):
                    side[float(px)] = float(qty)
                else:
                    side.pop(float(px), None)

    def sample(self, now_ns: int) -> None:
        if not self.ready or now_ns < self._next_ns:
            return
        self._next_ns = now_ns + SECOND
        bid, ask = max(self.sides[0]), min(self.sides[1])
        near = sorted(self.sides[0], reverse=True)[:LEVELS], sorted(self.sides[1])[:LEVELS]
        if bid >= ask or min(map(len, near)) < LEVELS:
            return
        for prices, side, touch in zip(near, self.sides, (bid, ask), strict=True):
            self.rows.append(np.array([[abs(px - touch) for px in prices], [side[px] for px in prices]]))


def read(paths: list[Path], name: str) -> Tape:
    """The recordings of one symbol, in their order, as one tape."""
    trades: list[tuple[int, int, bool, float, float]] = []
    quotes: list[tuple[int, float, float, float, float]] = []
    book = _Book()
    for path in paths:
        with gzip.open(path, "rt") as lines:
            for line in lines:
                stamp, _, text = line.partition(" ")
                at = int(stamp) * (1_000 if len(stamp) == 16 else 1)
                message = json.loads(text)
                stream = str(message.get("stream", ""))
                if not stream:
                    book.apply(message["bids"], message["asks"])
                    book.ready = True
                    continue
                data = message["data"]
                if stream.endswith("@trade"):
                    trades.append((at, data["T"], data["m"], float(data["p"]), float(data["q"])))
                elif stream.endswith("@bookTicker"):
                    quotes.append((at, float(data["b"]), float(data["B"]), float(data["a"]), float(data["A"])))
                elif "@depth" in stream:
                    # A diff older than the snapshot is not told apart: each level is absolute and soon put right.
                    book.apply(data["b"], data["a"])
                    book.sample(at)
    if len(trades) < 2 or len(quotes) < 2:
        raise SimBadCapture(f"{name}: {len(trades)} trades and {len(quotes)} quotes make no market")
    made, touch = np.array(trades, float), np.array([row[1:] for row in quotes])
    times = np.array([row[:2] for row in trades], np.int64)
    ns, sell, px, qty = merge_sweeps(times[:, 0], times[:, 1], made[:, 2] > 0, made[:, 3], made[:, 4])
    levels = np.array(book.rows) if book.rows else np.zeros((0, 2, LEVELS))
    return Tape(
        name, ns, sell, px, qty, np.array([row[0] for row in quotes], np.int64),
        touch[:, 0], touch[:, 1], touch[:, 2], touch[:, 3], levels[:, 0], levels[:, 1],
    )  # fmt: skip
