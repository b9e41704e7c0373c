"""Twin of the histogram: a dictionary of bucket tops, and percentiles by counting."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from engine.errors import HistogramMismatch, HistogramOutOfRange


class Histogram:
    def __init__(self, *, value_max: int = 60_000_000_000, sub_bits: int = 7) -> None:
        if not 1 <= sub_bits <= 14 or value_max < 1:
            raise HistogramOutOfRange(f"sub_bits={sub_bits}, value_max={value_max}")
        self.value_max = value_max
        self.sub_bits = sub_bits
        self.reset()

    def reset(self) -> None:
        self.by_top: Counter[int] = Counter()
        self.above_count = 0
        self.sum = 0
        self.least = -1
        self.most = -1

    def _top(self, value: int) -> int:
        """The highest value that shares a bucket with this one."""
        octave = max(0, value.bit_length() - 1 - self.sub_bits)
        return (((value >> octave) + 1) << octave) - 1

    def record(self, value: int) -> None:
        value = max(0, value)
        if value > self.value_max:
            self.above_count += 1
        self.by_top[self._top(min(value, self.value_max))] += 1
        self.sum += value
        self.least = value if self.count == 1 else min(self.least, value)
        self.most = max(self.most, value)

    def record_many(self, values: Iterable[int]) -> None:
        for value in values:
            self.record(int(value))

    def merge(self, other: Histogram) -> None:
        if (self.value_max, self.sub_bits) != (other.value_max, other.sub_bits):
            raise HistogramMismatch
        if other.count:
            self.least = other.least if not self.count else min(self.least, other.least)
        self.by_top += other.by_top
        self.above_count += other.above_count
        self.sum += other.sum
        self.most = max(self.most, other.most)

    @property
    def count(self) -> int:
        return self.by_top.total()

    @property
    def mean(self) -> float:
        return self.sum / self.count if self.count else math.nan

    def percentile(self, percent: float) -> int:
        if not 0.0 <= percent <= 100.0:
            raise HistogramOutOfRange(f"percentile {percent}")
        if not self.count:
            return -1
        wanted = max(1, math.ceil(percent / 100.0 * self.count))
        last = self._top(self.value_max)
        seen = 0
        for top in sorted(self.by_top):
            seen += self.by_top[top]
            if seen >= wanted:
                return self.most if top == last else min(top, self.most)
        return self.most

    def bucket_tops(self) -> npt.NDArray[np.int64]:
        tops = [0]
        while tops[-1] < self.value_max:
            tops.append(self._top(tops[-1] + 1))
        return np.array(tops, dtype=np.int64)

    def counts(self) -> npt.NDArray[np.uint64]:
        return np.array([self.by_top[int(top)] for top in self.bucket_tops()], dtype=np.uint64)

    def check(self) -> None:
        assert all(count > 0 for count in self.by_top.values())
