"""Two connections with the same data as one: during a roll-over, with a hot spare, with a second feed.

Keeps, per symbol and kind, the venue's highest number seen and lets pass what is newer, whoever brings it: nothing
doubled, and no gap as long as one of the connections has none. Book changes overlap by their own numbers and the book
drops what it has; here whole messages that brought nothing new are dropped before. Kinds without a number (marks,
liquidations) are told apart by their venue time. Order reports have memories of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import LEVEL, QUOTE, TRADE, Flag, Kind

# The field that grows, by kind.
_NUMBER = {
    int(Kind.KIND_TRADE): (TRADE, "id_trade"), int(Kind.KIND_AGG_TRADE): (TRADE, "id_trade"),
    int(Kind.KIND_QUOTE): (QUOTE, "id_book"), int(Kind.KIND_BOOK_LEVEL): (LEVEL, "id_last"),
    int(Kind.KIND_BOOK_CLEAR): (LEVEL, "id_last"),
}  # fmt: skip


class Merge:
    def __init__(self) -> None:
        self._highest: dict[tuple[int, int], int] = {}
        self.passed_count = 0
        self.dropped_count = 0

    def pass_on(self, events: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The events of one frame that are news. A frame of Binance is one message of one symbol, or several trades."""
        if not len(events):
            return events
        kind = int(events["kind"][0])
        dtype, name = _NUMBER.get(kind, (events.dtype, "ts_venue_ns"))
        numbers = events.view(dtype)[name]
        mask: npt.NDArray[Any]
        if kind in (Kind.KIND_BOOK_LEVEL, Kind.KIND_BOOK_CLEAR):
            # A message of levels is one thing: all of it or nothing. An image always passes: it repairs.
            keep = bool(events["flags"][0] & Flag.FLAG_SNAPSHOT) or self._is_new(events, 0, kind, int(numbers[0]))
            mask = np.full(len(events), keep)
        else:
            mask = np.array([self._is_new(events, at, kind, int(number)) for at, number in enumerate(numbers)])
        self.passed_count += int(mask.sum())
        self.dropped_count += int(len(mask) - mask.sum())
        return events if mask.all() else events[mask]

    def _is_new(self, events: npt.NDArray[Any], at: int, kind: int, number: int) -> bool:
        key = int(events["symbol"][at]), kind
        if number <= self._highest.get(key, -1):
            # A bar is two events of one time, and stays open over many messages.
            return kind in (Kind.KIND_BAR_PRICES, Kind.KIND_BAR_TOTALS) and number == self._highest[key]
        self._highest[key] = number
        return True
