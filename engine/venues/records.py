"""Writes the 64-byte records that a protocol gives to the core: reports, fees, balances, positions, feeds.

One `Records` collects what one message says; `take` hands it over as an EVENT array. Owns no meaning: which report a
message is, is the protocol's to say. Cost: half a microsecond a record; market data does not come this way.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import EVENT, Flag, Kind

_EVENT = struct.Struct("<BBHIqqqqqqq")
SYMBOL_ALL = 0xFFFF


class Records:
    def __init__(self) -> None:
        self._out = bytearray()

    def _put(self, kind: int, flags: int, symbol: int, ts_venue_ns: int, ts_recv_ns: int, *words: int) -> None:
        if not ts_venue_ns:
            flags |= Flag.FLAG_NO_VENUE_TIME
        self._out += _EVENT.pack(kind, flags, symbol, 0, ts_venue_ns, ts_recv_ns, *words)

    def order(
        self, kind: int, *, symbol: int, sell: bool, ts_venue_ns: int, ts_recv_ns: int, id_order: int,
        px_ticks: int = 0, qty_lots: int = 0, filled_lots: int = 0, id_venue: int = 0,
    ) -> None:  # fmt: skip
        flags = int(Flag.FLAG_SELL) if sell else 0
        words = (id_order, px_ticks, qty_lots, filled_lots, id_venue)
        self._put(int(kind), flags, symbol, ts_venue_ns, ts_recv_ns, *words)

    def fee(
        self, *, symbol: int, sell: bool, ts_venue_ns: int, ts_recv_ns: int, id_order: int, id_trade: int, asset: int,
        amount: int, maker: bool,
    ) -> None:  # fmt: skip
        # The side too: a fee finds its fill by symbol, side and trade.
        words, flags = (id_order, id_trade, asset, amount, int(maker)), int(Flag.FLAG_SELL) if sell else 0
        self._put(int(Kind.KIND_FEE), flags, symbol, ts_venue_ns, ts_recv_ns, *words)

    def funding(
        self, *, symbol: int, ts_venue_ns: int, ts_recv_ns: int, id_funding: int, asset: int, amount: int,
        rate_e8: int = 0, mark_px_e8: int = 0,
    ) -> None:  # fmt: skip
        words = (id_funding, asset, amount, rate_e8, mark_px_e8)
        self._put(int(Kind.KIND_FUNDING), 0, symbol, ts_venue_ns, ts_recv_ns, *words)

    def balance(
        self, *, ts_venue_ns: int, ts_recv_ns: int, asset: int, free: int, locked: int, id_update: int = 0
    ) -> None:
        self._put(int(Kind.KIND_BALANCE), 0, 0, ts_venue_ns, ts_recv_ns, asset, free, locked, id_update, 0)

    def position(
        self, *, symbol: int, ts_venue_ns: int, ts_recv_ns: int, lots: int, entry_px_e8: int,
        liquidation_px_e8: int = 0, margin: int = 0, id_update: int = 0,
    ) -> None:  # fmt: skip
        words = (lots, entry_px_e8, liquidation_px_e8, margin, id_update)
        self._put(int(Kind.KIND_POSITION), 0, symbol, ts_venue_ns, ts_recv_ns, *words)

    def feed(
        self, *, feed: int, up: int, venue: int, ts_recv_ns: int, symbol: int = SYMBOL_ALL, reason: int = 0
    ) -> None:
        self._put(int(Kind.KIND_FEED), 0, symbol, 0, ts_recv_ns, feed, int(up), venue, reason, 0)

    def clock(
        self, *, venue: int, offset_ns: int, uncertainty_ns: int, synchronised: bool, ts_venue_ns: int, ts_recv_ns: int
    ) -> None:
        words = (venue, offset_ns, uncertainty_ns, int(synchronised), 0)
        self._put(int(Kind.KIND_CLOCK), 0, 0, ts_venue_ns, ts_recv_ns, *words)

    def take(self) -> npt.NDArray[Any]:
        """What was collected since the last call, in order."""
        out = np.frombuffer(bytes(self._out), EVENT).copy()
        self._out.clear()
        return out

    def discard(self) -> None:
        """Half a message counts for nothing."""
        self._out.clear()

    @property
    def pending(self) -> bytearray:
        """The very buffer, not a copy: empty while there is nothing to take."""
        return self._out

    def __len__(self) -> int:
        return len(self._out) // _EVENT.size
