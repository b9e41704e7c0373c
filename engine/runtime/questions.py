"""Which orders of a bridged venue are in doubt, when each is asked for, and which requests may still arrive."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import EVENT, Flag, Kind
from engine.venues.binance.ids import Request


class Questions:
    """Which orders are in doubt, and which requests may still arrive."""

    def __init__(self) -> None:
        self.placed: dict[int, int] = {}
        self.asks: dict[int, tuple[Request, int]] = {}

    def ask(self, request: Request, at_ns: int) -> None:
        self.asks[request.id_order] = (request, at_ns)

    def due(self, now_ns: int, again_ns: int) -> list[Request]:
        """To be put now; each comes again until somebody takes it back."""
        found = [request for request, at_ns in self.asks.values() if at_ns <= now_ns]
        for request in found:
            self.asks[request.id_order] = (request, now_ns + again_ns)
        return found

    def forget(self, oldest_ns: int) -> None:
        """Requests that were made before then arrive no more."""
        while self.placed and self.placed[first := next(iter(self.placed))] < oldest_ns:
            del self.placed[first]


def as_intent(request: Request) -> npt.NDArray[Any]:
    """The question as the core would put it."""
    event = np.zeros(1, EVENT)
    event["kind"], event["symbol"] = Kind.KIND_INTENT_QUERY, request.symbol
    event["flags"] = Flag.FLAG_SELL if request.sell else 0
    event["word"][0, 0] = request.id_order
    return event
