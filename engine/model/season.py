"""Twin of the features of the clock and the day: all bars in a list, every value from its definition."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

NS, DAY_NS, SLOT_NS = 10**9, 86_400 * 10**9, 900 * 10**9
PLAIN = (
    "day_share", "week_share", "day_wave", "week_wave", "funding_share", "asia", "europe", "america", "weekend",
    "day_gap", "day_place", "day_vwap_gap", "before_high_gap", "before_low_gap",
)  # fmt: skip
Bar = tuple[int, float, float, float, float]  # when, high, low, close, volume


def _wave(share: float) -> float:
    half = share % 0.5 * 2
    return (4 * half * (1 - half)) * (1 if share < 0.5 else -1)


def _mean(terms: Sequence[float], n: int) -> float:
    """The plain mean of the first n, then an exponential one with weight 2/(n+1)."""
    mean = sum(terms[:n]) / n
    for term in terms[n:]:
        mean += (term - mean) * 2 / (n + 1)
    return mean


def _ratio(value: float, usual: float) -> float:
    if usual <= 0:
        return 1.0 if value == 0 else 1e6
    return min(value / usual, 1e6)


class Season:
    def __init__(self, *, spans: Iterable[int] = (2, 5, 10, 20, 30, 60, 90, 180)) -> None:
        self.spans = tuple(spans)
        if not 1 <= len(self.spans) <= 8 or not all(1 <= n <= 1_000 for n in self.spans):
            raise ValueError(f"spans {self.spans}")
        self.bars: list[Bar] = []
        self.refused_count = 0
        # Of each quarter hour of a day: (log return, its size, volume) of every time that it ended.
        self.ended: dict[int, list[tuple[float, float, float]]] = defaultdict(list)
        self.values = {
            (name, n): math.nan for name in ("season_return", "season_vol", "season_volume") for n in self.spans
        }

    @property
    def count(self) -> int:
        return len(self.bars)

    def bar(self, ts_ns: int, high: float, low: float, close: float, volume: float = 0.0) -> bool:
        finite = all(map(math.isfinite, (high, low, close, volume)))
        last = self.bars[-1][0] if self.bars else 0
        if not finite or not 1e-9 <= low <= close <= high <= 1e12 or not 0 <= volume <= 1e21:
            self.refused_count += 1
            return False
        if not last <= ts_ns <= 7_258_118_400 * NS:
            self.refused_count += 1
            return False
        if self.bars and ts_ns // SLOT_NS != last // SLOT_NS:
            self._end(last // SLOT_NS, ts_ns // SLOT_NS)
        self.bars.append((ts_ns, high, low, close, volume))
        return True

    def _end(self, slot: int, into: int) -> None:
        inside = [bar for bar in self.bars if bar[0] // SLOT_NS == slot]
        before = [bar for bar in self.bars if bar[0] // SLOT_NS != slot]
        first = before[-1][3] if before else inside[0][3]
        change, volume = math.log(inside[-1][3] / first), sum(bar[4] for bar in inside)
        seen, coming = self.ended[slot % 96], self.ended[into % 96]
        for n in self.spans:
            if len(seen) >= n:
                self.values["season_vol", n] = _ratio(abs(change), _mean([one[1] for one in seen], n))
                self.values["season_volume", n] = _ratio(volume, _mean([one[2] for one in seen], n))
        seen.append((change, abs(change), volume))
        for n in self.spans:
            usual = _mean([one[0] for one in coming], n) if len(coming) >= n else math.nan
            self.values["season_return", n] = usual

    def plain(self, name: str) -> float:
        if not self.bars:
            return math.nan
        ts, _, _, close, _ = self.bars[-1]
        hour = ts % DAY_NS // (3_600 * NS)
        weekday = (ts // DAY_NS + 3) % 7  # 1970 began on a Thursday
        today = [bar for bar in self.bars if bar[0] // DAY_NS == ts // DAY_NS]
        before = [bar for bar in self.bars if bar[0] // DAY_NS == ts // DAY_NS - 1]
        high, low = max(bar[1] for bar in today), min(bar[2] for bar in today)
        traded, volume = sum(bar[3] * bar[4] for bar in today), sum(bar[4] for bar in today)
        week = (weekday * DAY_NS + ts % DAY_NS) / (7 * DAY_NS)
        values = {
            "day_share": ts % DAY_NS / DAY_NS,
            "week_share": week,
            "day_wave": _wave(ts % DAY_NS / DAY_NS),
            "week_wave": _wave(week),
            "funding_share": ts % (DAY_NS // 3) / (DAY_NS // 3),
            "asia": float(hour < 9),
            "europe": float(7 <= hour < 16),
            "america": float(13 <= hour < 22),
            "weekend": float(weekday >= 5),
            "day_gap": close / today[0][3] - 1,
            "day_place": (close - low) / (high - low) if high > low else 0.5,
            "day_vwap_gap": close * volume / traded - 1 if traded > 0 else 0.0,
            "before_high_gap": close / max(bar[1] for bar in before) - 1 if before else math.nan,
            "before_low_gap": close / min(bar[2] for bar in before) - 1 if before else math.nan,
        }
        return values[name]

    def value(self, family: str, span: int) -> float:
        return self.values[family, span]

    def check(self) -> None:
        assert all(one[0] <= other[0] for one, other in zip(self.bars, self.bars[1:], strict=False))
