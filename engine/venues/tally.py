"""Where a comparison with a venue's list of trades begins after a restart, kept in a session's file.

Owns: the sum of all trades that are settled, the number behind the last of them, and those that are booked here but so
young that a missed one may lie between them. Does not own: the comparison (driver.py), who asks when (runtime/care.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from engine._core.types import Flag

COMPARED_NS = 600 * 10**9  # what is older was held against the venue's own list several times


@dataclass(frozen=True)
class TallyStart:
    """From where on the venue's list of trades is compared, and what all before it adds up to; by symbol."""

    next_trade: dict[int, int]
    net_lots: dict[int, int]
    booked: tuple[tuple[int, int, int], ...] = ()  # symbol, trade, signed lots: known here, and not counted above yet

    def meta(self) -> dict[str, Any]:
        return {
            "next_trade": _texts(self.next_trade),
            "net_lots": _texts(self.net_lots),
            "booked": [list(row) for row in self.booked],
        }

    def keys(self) -> list[tuple[int, bool, int]]:
        """(symbol, sell, trade) of what is booked and not counted."""
        return [(symbol, lots < 0, trade) for symbol, trade, lots in self.booked]

    @classmethod
    def of(cls, meta: dict[str, Any]) -> TallyStart:
        booked = tuple((int(a), int(b), int(c)) for a, b, c in meta.get("booked", []))
        return cls(_numbers(meta.get("next_trade", {})), _numbers(meta.get("net_lots", {})), booked)

    def after(self, fills: npt.NDArray[Any], end_ns: int) -> TallyStart:
        """Later by the fills of a session, up to those that its last comparisons may not have seen."""
        lots = {(symbol, trade): signed for symbol, trade, signed in self.booked}
        young: dict[int, int] = {}
        for row in fills:
            symbol, trade = int(row["symbol"]), int(row["id_venue"])
            lots[symbol, trade] = -int(row["qty_lots"]) if row["flags"] & Flag.FLAG_SELL else int(row["qty_lots"])
            if row["ts_recv_ns"] > end_ns - COMPARED_NS:
                young[symbol] = min(trade, young.get(symbol, trade))
        next_trade, net_lots, booked = dict(self.next_trade), dict(self.net_lots), []
        for (symbol, trade), signed in sorted(lots.items()):
            if trade < self.next_trade.get(symbol, 0):
                continue  # told again; it is in the sum
            if trade >= young.get(symbol, trade + 1):
                booked.append((symbol, trade, signed))
                continue
            net_lots[symbol] = net_lots.get(symbol, 0) + signed
            next_trade[symbol] = trade + 1
        return TallyStart(next_trade, net_lots, tuple(booked))


def _texts(numbers: dict[int, int]) -> dict[str, int]:
    return {str(key): value for key, value in numbers.items()}


def _numbers(texts: dict[str, int]) -> dict[int, int]:
    return {int(key): int(value) for key, value in texts.items()}
