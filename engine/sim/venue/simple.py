"""A venue in this process, on simulated time: acknowledges, rests, matches against the market, cancels.

A resting order fills when the market trades through its price or the opposite touch reaches it. Reports come back
after a fixed latency, in time order. It knows nothing of the engine but intents in and reports out.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import EVENT, INTENT, ORDER, QUOTE, TRADE, Flag, Kind


@dataclass
class _Resting:
    id_order: int
    symbol: int
    sell: bool
    px_ticks: int
    left_lots: int
    filled_lots: int = 0


class InProcessVenue:
    def __init__(self, *, latency_ns: int = 300_000) -> None:
        self.latency_ns = latency_ns
        self._resting: dict[int, _Resting] = {}
        self._due: list[tuple[int, int, bytes]] = []  # time, number (keeps the order of equals), the report
        self._number = 0
        self._id_venue = 0

    # ------------------------------------------------------------------------------------------------ what comes in
    def on_intents(self, outputs: npt.NDArray[Any]) -> None:
        """Take the intents among a step's outputs; they arrive after the latency, which the reports include."""
        for record in outputs:
            if record["kind"] == Kind.KIND_INTENT_PLACE:
                self._place(record.reshape(1).view(INTENT)[0])
            elif record["kind"] == Kind.KIND_INTENT_CANCEL:
                self._cancel(record.reshape(1).view(INTENT)[0])

    def on_market(self, event: npt.NDArray[Any]) -> None:
        """Match resting orders against one market event."""
        if not self._resting:
            return
        if event["kind"] == Kind.KIND_QUOTE:
            quote = event.reshape(1).view(QUOTE)[0]
            for order in list(self._resting.values()):
                if order.symbol == quote["symbol"]:
                    touch = quote["bid_px_ticks"] if order.sell else quote["ask_px_ticks"]
                    size = quote["bid_qty_lots"] if order.sell else quote["ask_qty_lots"]
                    if (touch >= order.px_ticks) if order.sell else (touch <= order.px_ticks):
                        self._fill(order, int(size), int(event["ts_recv_ns"]))
        elif event["kind"] == Kind.KIND_TRADE:
            trade = event.reshape(1).view(TRADE)[0]
            for order in list(self._resting.values()):
                if order.symbol == trade["symbol"]:
                    px = int(trade["px_ticks"])
                    if (px > order.px_ticks) if order.sell else (px < order.px_ticks):
                        self._fill(order, int(trade["qty_lots"]), int(event["ts_recv_ns"]))

    # ----------------------------------------------------------------------------------------------- what comes out
    def next_due_ns(self) -> int | None:
        return self._due[0][0] if self._due else None

    def pop_due(self) -> npt.NDArray[Any]:
        """The next report, as one EVENT record."""
        return np.frombuffer(heapq.heappop(self._due)[2], EVENT).copy()

    @property
    def resting_count(self) -> int:
        return len(self._resting)

    # --------------------------------------------------------------------------------------------------------- inside
    def _place(self, intent: Any) -> None:
        self._id_venue += 1
        order = _Resting(
            id_order=int(intent["id_order"]),
            symbol=int(intent["symbol"]),
            sell=bool(intent["flags"] & Flag.FLAG_SELL),
            px_ticks=int(intent["px_ticks"]),
            left_lots=int(intent["qty_lots"]),
        )
        self._resting[order.id_order] = order
        self._report(Kind.KIND_ORDER_ACK, order, int(intent["ts_recv_ns"]), id_venue=self._id_venue)

    def _cancel(self, intent: Any) -> None:
        order = self._resting.pop(int(intent["id_order"]), None)
        if order is not None:
            self._report(Kind.KIND_ORDER_CANCELED, order, int(intent["ts_recv_ns"]))

    def _fill(self, order: _Resting, size_lots: int, now_ns: int) -> None:
        lots = min(order.left_lots, size_lots)
        order.left_lots -= lots
        order.filled_lots += lots
        self._id_venue += 1
        self._report(Kind.KIND_ORDER_FILL, order, now_ns, qty_lots=lots, id_venue=self._id_venue)
        if order.left_lots == 0:
            del self._resting[order.id_order]

    def _report(self, kind: Kind, order: _Resting, now_ns: int, *, qty_lots: int = 0, id_venue: int = 0) -> None:
        record = np.zeros(1, ORDER)
        record["kind"] = kind
        record["flags"] = Flag.FLAG_SELL if order.sell else 0
        record["symbol"] = order.symbol
        record["ts_venue_ns"] = now_ns + self.latency_ns // 2
        record["ts_recv_ns"] = now_ns + self.latency_ns
        record["id_order"] = order.id_order
        record["px_ticks"] = order.px_ticks
        record["qty_lots"] = qty_lots
        record["filled_lots"] = order.filled_lots
        record["id_venue"] = id_venue
        self._number += 1
        heapq.heappush(self._due, (now_ns + self.latency_ns, self._number, record.tobytes()))
