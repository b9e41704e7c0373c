"""Twin of the correlation table: dictionaries of covariances, everything read afresh at each question."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine._core.types import Status
from engine.errors import CorrelationBadShape, CorrelationFull


class Correlation:
    def __init__(self, *, tracked: int, symbols: int, samples_min: int = 30, weight: float = 0.02) -> None:
        if not 1 <= tracked < 0xFFFE or symbols < 1 or samples_min < 2 or not 0.0 < weight < 1.0:
            raise CorrelationBadShape(f"tracked={tracked}, symbols={symbols}")
        self.tracked_max, self.symbols, self.samples_min, self.weight = tracked, symbols, samples_min, weight
        self.tracked: list[int] = []
        self.now: dict[int, int] = {}
        self.sampled: dict[int, int] = {}
        self.samples: dict[int, int] = {}
        self.covariance: dict[tuple[int, int], float] = {}
        self.direction: dict[int, int] = {}
        self.blind: set[int] = set()

    def _known(self, symbol: int) -> None:
        if not 0 <= symbol < self.symbols:
            raise CorrelationBadShape(f"symbol {symbol}")

    def track(self, symbol: int) -> None:
        self._known(symbol)
        if symbol in self.tracked:
            return
        if len(self.tracked) == self.tracked_max:
            raise CorrelationFull
        self.tracked.append(symbol)

    def price(self, symbol: int, px2_ticks: int) -> None:
        self._known(symbol)
        if symbol in self.tracked:
            self.now[symbol] = px2_ticks

    def sample(self) -> None:
        returns = dict.fromkeys(self.tracked, 0.0)
        for symbol in self.tracked:
            now, before = self.now.get(symbol, 0), self.sampled.get(symbol, 0)
            if now <= 0:
                continue
            if before > 0:
                returns[symbol] = float(now - before) / float(before)
                self.samples[symbol] = self.samples.get(symbol, 0) + 1
            self.sampled[symbol] = now
        keep = 1.0 - self.weight
        for i in self.tracked:
            for j in self.tracked:
                past = self.covariance.get((i, j), 0.0)
                self.covariance[i, j] = keep * past + self.weight * (returns[i] * returns[j])

    def hold(self, symbol: int, lots: int) -> int:
        self._known(symbol)
        direction = (lots > 0) - (lots < 0)
        if direction == 0 and symbol not in self.tracked:
            self.blind.discard(symbol)
            return Status.OK
        try:
            self.track(symbol)
        except CorrelationFull:
            self.blind.add(symbol)
            return Status.CORRELATION_FULL
        self.direction[symbol] = direction
        return Status.OK

    def worst(self, symbol: int, sell: bool) -> int | None:
        self._known(symbol)
        held = [other for other, way in self.direction.items() if way]
        if self.blind or (symbol not in self.tracked and held):
            return None
        worst = -1_000_000
        for other in held:
            if other == symbol:
                continue
            if min(self.samples.get(symbol, 0), self.samples.get(other, 0)) < self.samples_min:
                return None
            if min(self.covariance[symbol, symbol], self.covariance[other, other]) <= 0.0:
                return None
            way = self.direction[other] * (-1 if sell else 1)
            worst = max(worst, math.ceil(self._of(symbol, other) * way * 1e6))
        return worst

    def _of(self, i: int, j: int) -> float:
        variances = self.covariance.get((i, i), 0.0) * self.covariance.get((j, j), 0.0)
        return self.covariance[i, j] / math.sqrt(variances) if variances > 0.0 else 1.0

    def matrix(self) -> npt.NDArray[np.float64]:
        return np.array([[self._of(i, j) for j in self.tracked] for i in self.tracked])

    def check(self) -> None:
        assert len(set(self.tracked)) == len(self.tracked) <= self.tracked_max
