"""Coinbase Advanced Trade market data: books held together by the connection's sequence number, heart-beats.

`sequence_num` counts every message of a connection, whatever its channel: a jump means that something is lost, and
nobody can say of which product, so every book of the connection is. The parser says so once (`gap_count`, `is_whole`
False) and gives nothing more until the owner has subscribed anew; the image that answers begins each book again.
Quantities are absolute, "0" removes. The venue closes channels that are silent for a minute or so: `heartbeats` is
subscribed to with the books. Books only: the side that its trades name is not stated clearly enough to build on.

Source: docs.cdp.coinbase.com, advanced-trade-api/websocket; the per-connection scope is confirmed by recorded data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from engine.errors import Bot4Error
from engine.venues import levels
from engine.venues.directory import Directory

URL = "wss://advanced-trade-ws.coinbase.com"
_DECODE = msgspec.json.Decoder().decode
_ENCODE = msgspec.json.Encoder().encode
_BAD = (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError, Bot4Error, msgspec.MsgspecError)


def subscribe(products: Iterable[str], *, jwt: str | None = None, method: str = "subscribe") -> list[bytes]:
    """The books, and the heart-beats that keep their channels open."""
    names = list(products)
    extra = {} if jwt is None else {"jwt": jwt}
    return [
        _ENCODE({"type": method, "product_ids": names, "channel": channel, **extra})
        for channel in ("level2", "heartbeats")
    ]


class CoinbaseMarket:
    """One connection's messages into events. `renew` begins a new connection."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.refused_count = 0
        self.ignored_count = 0
        self.heartbeat_count = 0
        self.gap_count = 0
        self.is_whole = True
        self._sequence: int | None = None

    def renew(self) -> None:
        self._sequence = None
        self.is_whole = True

    def on_frame(self, frame: bytes | memoryview, ts_recv_ns: int) -> npt.NDArray[Any]:
        try:
            message = _DECODE(frame)
            return self._message(message, ts_recv_ns)
        except _BAD:
            # What was in it is lost, and with it the books.
            self.refused_count += 1
            self._lose()
            return levels.nothing()

    def _lose(self) -> None:
        self.gap_count += self.is_whole
        self.is_whole = False

    def _message(self, message: Mapping[str, Any], ts_recv_ns: int) -> npt.NDArray[Any]:
        number = message["sequence_num"]
        if self._sequence is not None and number != self._sequence + 1:
            self._lose()
        self._sequence = number
        channel = message["channel"]
        if channel == "heartbeats":
            self.heartbeat_count += 1
        elif channel != "l2_data":
            self.ignored_count += 1
        elif self.is_whole:
            return self._books(message, number, ts_recv_ns)
        return levels.nothing()

    def _books(self, message: Mapping[str, Any], number: int, ts_recv_ns: int) -> npt.NDArray[Any]:
        parts = []
        ts = levels.iso_ns(message["timestamp"])
        for event in message["events"]:
            instrument = self.directory.find(event["product_id"])
            if instrument is None:
                self.ignored_count += 1
                continue
            sides: dict[str, list[tuple[int, int]]] = {"bid": [], "offer": []}
            for x in event["updates"]:
                sides[x["side"]].append((instrument.ticks(x["price_level"]), instrument.lots(x["new_quantity"])))
            if event["type"] not in ("snapshot", "update"):
                raise ValueError(event["type"])
            parts.append(
                levels.message(
                    instrument.index,
                    sides["bid"],
                    sides["offer"],
                    ts_venue_ns=ts,
                    ts_recv_ns=ts_recv_ns,
                    id_last=number,
                    snapshot=event["type"] == "snapshot",
                )
            )
        return np.concatenate(parts) if parts else levels.nothing()
