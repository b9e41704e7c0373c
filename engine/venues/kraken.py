"""Kraken spot, WebSocket v2: books held together by a checksum, trades, heart-beats. Market data only.

There is no sequence number: the CRC32 of the ten best levels a side, which stands in each message, is the gap detector.
It goes into `id_last` of the message's last level and the kernel's book checks it (RULE_CHECKSUM, the depth that was
subscribed to); a book that disagrees stops being quoted on until the next image, which `subscribe` asks for.

Prices are JSON numbers whose trailing zeros matter: they are read as text, never as floats.
Source: docs.kraken.com, guides/websockets/book-checksum-v2 and spot-websocket-v2/book, 2026.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from engine.errors import Bot4Error
from engine.venues import levels
from engine.venues.directory import Directory, Instrument

URL = "wss://ws.kraken.com/v2"
DEPTHS = (10, 25, 100, 500, 1000)
_DECODE = msgspec.json.Decoder(float_hook=str).decode
_ENCODE = msgspec.json.Encoder().encode
_BAD = (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError, Bot4Error, msgspec.MsgspecError)


def subscribe(symbols: Iterable[str], *, channel: str = "book", depth: int = 10, method: str = "subscribe") -> bytes:
    params: dict[str, object] = {"channel": channel, "symbol": list(symbols)}
    if channel == "book":
        if depth not in DEPTHS:
            raise ValueError(f"depth {depth}: {DEPTHS}")
        params["depth"] = depth
    return _ENCODE({"method": method, "params": params})


def ping() -> bytes:
    """The venue's own heart-beat comes each second when nothing else does; this asks for a sign of life at once."""
    return _ENCODE({"method": "ping"})


class KrakenMarket:
    """One connection's messages into events."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.refused_count = 0
        self.ignored_count = 0
        self.heartbeat_count = 0
        self.errors: list[str] = []

    def on_frame(self, frame: bytes | memoryview, ts_recv_ns: int) -> npt.NDArray[Any]:
        try:
            message = _DECODE(frame)
            return self._message(message, ts_recv_ns)
        except _BAD:
            self.refused_count += 1
            return levels.nothing()

    def _message(self, message: Mapping[str, Any], ts_recv_ns: int) -> npt.NDArray[Any]:
        channel = message.get("channel")
        if channel == "book":
            return self._each(message, ts_recv_ns, self._book)
        if channel == "trade":
            return self._each(message, ts_recv_ns, self._trade)
        if channel == "heartbeat" or message.get("method") == "pong":
            self.heartbeat_count += 1
        elif message.get("success") is False:
            self.errors.append(str(message["error"]))
        else:
            self.ignored_count += 1
        return levels.nothing()

    def _each(self, message: Mapping[str, Any], ts_recv_ns: int, read: Any) -> npt.NDArray[Any]:
        parts = []
        for row in message["data"]:
            instrument = self.directory.find(row["symbol"])
            if instrument is None:
                self.ignored_count += 1
                continue
            parts.append(read(row, instrument, message["type"] == "snapshot", ts_recv_ns))
        return np.concatenate(parts) if parts else levels.nothing()

    @staticmethod
    def _book(row: Mapping[str, Any], i: Instrument, snapshot: bool, ts_recv_ns: int) -> npt.NDArray[Any]:
        sides = [[(i.ticks(str(x["price"])), i.lots(str(x["qty"]))) for x in row[side]] for side in ("bids", "asks")]
        # An image carries no time of its own in every version of the feed.
        ts = levels.iso_ns(row["timestamp"]) if "timestamp" in row else 0
        return levels.message(
            i.index, sides[0], sides[1], ts_venue_ns=ts, ts_recv_ns=ts_recv_ns, id_last=int(row["checksum"]),
            snapshot=snapshot,
        )  # fmt: skip

    @staticmethod
    def _trade(row: Mapping[str, Any], i: Instrument, snapshot: bool, ts_recv_ns: int) -> npt.NDArray[Any]:  # noqa: ARG004
        if row["side"] not in ("buy", "sell"):
            raise ValueError(row["side"])
        ts = levels.iso_ns(row["timestamp"])
        # `side` is the taker's.
        one = (int(row["trade_id"]), i.ticks(str(row["price"])), i.lots(str(row["qty"])), ts, row["side"] == "sell")
        return levels.trades(i.index, [one], ts_recv_ns)
