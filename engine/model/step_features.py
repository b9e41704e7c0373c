"""Twin of the features in the step: one stream a strategy, fed before it decides, and the model that reads it.

A stream takes the middle of the touch each time it is told, bars of that middle, or the venue's closed bars, whole. It
hears what passed the ingest gate, of its strategy's own symbol, while the strategy runs; nothing else moves it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine._core.features_feed import FeedSource
from engine._core.types import Flag, Kind
from engine.model.features_exact import Stream
from engine.model.infer import Model
from engine.model.validate import Event

# What is fed, nanoseconds of a bar, (family, window) of each value, and what a model is made of where there is one.
Request = tuple[FeedSource, int, Sequence[tuple[str, int]], Mapping[str, Any] | None]


TOUCHES = (Kind.KIND_QUOTE, Kind.KIND_BOOK_LEVEL, Kind.KIND_BOOK_CLEAR)


class Feed:
    def __init__(self, source: FeedSource, every_ns: int, wanted: Sequence[tuple[str, int]],
                 spec: Mapping[str, Any] | None = None) -> None:  # fmt: skip
        self.source, self.every_ns, self.wanted = source, every_ns, tuple(wanted)
        self.stream = Stream(sorted({name for name, _ in wanted}), sorted({n for _, n in wanted}))
        self.model = None if spec is None else Model(spec)
        self.prices: list[float] = []  # of the bar that is being built
        self.bar = 0  # its number
        self.waits: list[float] = []  # a closed bar of the venue's, for its totals
        self.values: list[float] = []
        self._take()

    def hears(self, e: Event, touch: Mapping[str, int], *, trusted: bool, now: int) -> None:
        """An event of its own symbol, as the strategy is about to be shown it."""
        if self.source == FeedSource.FEED_BARS:
            self._part_of_a_bar(e)
        elif trusted and e.kind in TOUCHES:
            self._price(0.5 * float(touch["bid"] + touch["ask"]), now)

    def _part_of_a_bar(self, e: Event) -> None:
        """Prices wait for the totals, which come next: then the bar is whole and was never told before."""
        if e.kind == Kind.KIND_BAR_PRICES:
            names = ("open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots")
            self.waits = [float(e[name]) for name in names] if e.is_(Flag.FLAG_CLOSED) else []
        elif e.kind == Kind.KIND_BAR_TOTALS and self.waits:
            if e.is_(Flag.FLAG_CLOSED):
                self.stream.update(*self.waits)
                self._take()
            self.waits = []

    def _price(self, middle: float, now: int) -> None:
        """At once, or into its bar. A bar closes with the first price of a later one; its volume counts prices."""
        if self.every_ns == 0:
            self.stream.update_price(middle, 1.0)
            self._take()
            return
        bar = now // self.every_ns
        if self.prices and bar != self.bar:
            p = self.prices
            self.stream.update(p[0], max(p), min(p), p[-1], float(len(p)))
            self.prices = []
            self._take()
        self.bar = bar
        self.prices.append(middle)

    def _take(self) -> None:
        """What was asked for, and what the model says of it once everything is warm."""
        self.values = [self.stream.value(name, n) for name, n in self.wanted]
        if self.model is None:
            return
        if any(map(math.isnan, self.values)):
            self.values += [math.nan] * self.model.outputs
        else:
            self.values += [float(x) for x in self.model.run(np.array(self.values))]

    def words(self) -> dict[str, Any]:
        """The counts of the stream and the bar that is being built."""
        s, p = self.stream, self.prices
        counts = {"count": s.count, "refused_count": s.refused_count, "anomaly_count": s.anomaly_count}
        if self.source == FeedSource.FEED_BARS:
            names = ("open", "high", "low", "close", "prices")
            return counts | {"bar": int(self.waits != [])} | dict(zip(names, self.waits, strict=False))
        built = {"open": p[0], "high": max(p), "low": min(p), "close": p[-1]} if p else {}
        return counts | {"bar": self.bar, "prices": len(p)} | built
