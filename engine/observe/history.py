"""What a viewer who has just come needs: candles, own fills, equity and drawdown of the last hours, in fixed room.

It is made of pictures as they pass, so it costs the engine nothing of its own; the exact record is the journal. Rings
of fixed size: a process that runs for months holds as much as one that runs for a day. The candles are of the mid, of
the engine's time, and of what was sampled: a low between two samples is not in them.
"""

from __future__ import annotations

import collections
from dataclasses import dataclass
from typing import Any

from engine.observe.display import Display
from engine.observe.status import Event, Status

CANDLE_NS = 10 * 10**9
CANDLES = 360
POINTS = 720
FILLS = 500
TAIL = 200


@dataclass(frozen=True)
class Picture:
    """One picture and the events since the last one."""

    status: Status
    events: list[Event]


class History:
    """Fed by `update`, asked by `document`."""

    def __init__(self, display: Display, *, candle_ns: int = CANDLE_NS) -> None:
        self.display = display
        self.candle_ns = candle_ns
        self._candles: dict[str, collections.deque[list[float]]] = {}
        self._equity: collections.deque[tuple[int, float | None, float | None]] = collections.deque(maxlen=POINTS)
        self._fills: collections.deque[Event] = collections.deque(maxlen=FILLS)
        self._tail: collections.deque[Event] = collections.deque(maxlen=TAIL)
        self.last_event = 0
        self._point_ns = 0

    def update(self) -> Picture:
        """Take in the picture of this moment."""
        status = self.display.status()
        events = list(self.display.events(self.last_event, 1_000))
        if events:
            self.last_event = events[-1].number
        self._tail.extend(events)
        self._fills.extend(event for event in events if event.kind == "fill")
        for symbol in status.symbols:
            if symbol.trusted and symbol.bid is not None and symbol.ask is not None:
                self._candle(symbol.name, status.ts_ns, (symbol.bid + symbol.ask) / 2)
        # One point a candle and the newest one: a curve of an hour has as many points as a screen has columns.
        if status.ts_ns >= self._point_ns + self.candle_ns // 2 or not self._equity:
            drawdown = None if status.account.drawdown_ppm is None else status.account.drawdown_ppm / 10_000
            self._equity.append((status.ts_ns // 10**6, status.account.equity, drawdown))
            self._point_ns = status.ts_ns
        return Picture(status, events)

    def _candle(self, name: str, ts_ns: int, px: float) -> None:
        rows = self._candles.setdefault(name, collections.deque(maxlen=CANDLES))
        at = float(ts_ns // self.candle_ns * self.candle_ns // 10**6)
        if not rows or rows[-1][0] != at:
            rows.append([at, px, px, px, px])
            return
        row = rows[-1]
        row[2], row[3], row[4] = max(row[2], px), min(row[3], px), px

    def events_after(self, number: int) -> list[Event]:
        return [event for event in self._tail if event.number > number]

    def document(self) -> dict[str, Any]:
        """For a viewer that has just come. Times are milliseconds, as its charts want them."""
        return {
            "candle_ms": self.candle_ns // 10**6,
            "candles": {name: list(rows) for name, rows in self._candles.items()},
            "equity": list(self._equity),
            "fills": list(self._fills),
            "events": list(self._tail),
        }
