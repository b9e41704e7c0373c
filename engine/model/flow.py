"""Twin of the microstructure features: all quotes and trades in lists, every value from its definition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

_MOST = 1 << 40
_TS_MOST = 7_258_118_400_000_000_000


class _Quote(NamedTuple):
    ts: int
    bid: int
    bid_lots: int
    ask: int
    ask_lots: int

    @property
    def mid(self) -> float:
        return (self.bid + self.ask) / 2

    @property
    def imbalance(self) -> float:
        return (self.bid_lots - self.ask_lots) / (self.bid_lots + self.ask_lots)


class _Trade(NamedTuple):
    ts: int
    px: int
    qty: int
    signed: int
    mid: float | None


def _rate(times: Sequence[int], n: int) -> float:
    span = times[-1] - times[-1 - n]
    return 1e9 * n / span if span > 0 else 0.0


def _ofi(old: _Quote, new: _Quote) -> int:
    bought = (new.bid_lots if new.bid >= old.bid else 0) - (old.bid_lots if new.bid <= old.bid else 0)
    sold = (new.ask_lots if new.ask <= old.ask else 0) - (old.ask_lots if new.ask >= old.ask else 0)
    return bought - sold


class Flow:
    def __init__(
        self, *, windows: Sequence[int] = (5, 10, 20, 50, 100, 200, 500, 1000), bucket_lots: int = 1000
    ) -> None:
        self.windows = tuple(windows)
        if not 1 <= len(self.windows) <= 8 or not all(1 <= n <= 1000 for n in self.windows):
            raise ValueError(f"windows {self.windows}")
        if not 1 <= bucket_lots <= _MOST:
            raise ValueError(f"bucket_lots {bucket_lots}")
        self.bucket_lots = bucket_lots
        self.quotes: list[_Quote] = []
        self.trades: list[_Trade] = []
        self.refused_count = 0
        self.bought = self.volume = 0
        self.buckets: list[float] = []

    @property
    def quote_count(self) -> int:
        return len(self.quotes)

    @property
    def trade_count(self) -> int:
        return len(self.trades)

    @property
    def bucket_count(self) -> int:
        return len(self.buckets)

    def quote(self, ts_ns: int, bid_ticks: int, bid_lots: int, ask_ticks: int, ask_lots: int) -> bool:
        last = self.quotes[-1].ts if self.quotes else 0
        sane = 1 <= bid_ticks < ask_ticks <= _MOST and 1 <= bid_lots <= _MOST and 1 <= ask_lots <= _MOST
        if not sane or not last <= ts_ns <= _TS_MOST:
            self.refused_count += 1
            return False
        self.quotes.append(_Quote(ts_ns, bid_ticks, bid_lots, ask_ticks, ask_lots))
        return True

    def trade(self, ts_ns: int, px_ticks: int, qty_lots: int, sell: bool = False) -> bool:
        last = self.trades[-1].ts if self.trades else 0
        if not (1 <= px_ticks <= _MOST and 1 <= qty_lots <= _MOST and last <= ts_ns <= _TS_MOST):
            self.refused_count += 1
            return False
        mid = self.quotes[-1].mid if self.quotes else None
        self.trades.append(_Trade(ts_ns, px_ticks, qty_lots, -qty_lots if sell else qty_lots, mid))
        left = qty_lots
        while left:
            part = min(left, self.bucket_lots - self.volume)
            left -= part
            self.volume += part
            self.bought += 0 if sell else part
            if self.volume == self.bucket_lots:
                self.buckets.append(abs(2 * self.bought - self.volume) / self.volume)
                self.bought = self.volume = 0
        return True

    def plain(self, name: str) -> float:
        if not self.quotes:
            return math.nan
        q = self.quotes[-1]
        micro = (q.bid * q.ask_lots + q.ask * q.bid_lots) / (q.bid_lots + q.ask_lots)
        values = {
            "spread": float(q.ask - q.bid),
            "spread_share": (q.ask - q.bid) / q.mid,
            "mid": q.mid,
            "micro": micro,
            "micro_gap": (q.ask - q.bid) / 2 * q.imbalance,
            "imbalance": q.imbalance,
        }
        return values[name]

    def value(self, family: str, window: int) -> float:
        if window not in self.windows:
            raise KeyError(window)
        if family == "vpin":
            full = len(self.buckets) >= window
            return math.fsum(self.buckets[-window:]) / window if full else math.nan
        if family in ("ofi", "spread_mean", "imbalance_mean", "mid_vol", "quote_rate"):
            return self._of_quotes(family, window)
        return self._of_trades(family, window)

    def _of_quotes(self, family: str, n: int) -> float:
        if len(self.quotes) < n + (family in ("ofi", "mid_vol", "quote_rate")):
            return math.nan
        last = self.quotes[-n:]
        pairs = list(zip(self.quotes[-n - 1 : -1], last, strict=False))
        if family == "spread_mean":
            return sum(q.ask - q.bid for q in last) / n
        if family == "imbalance_mean":
            return math.fsum(q.imbalance for q in last) / n
        if family == "ofi":
            return sum(_ofi(a, b) for a, b in pairs)
        if family == "mid_vol":
            return math.sqrt(math.fsum((b.mid - a.mid) ** 2 for a, b in pairs) / n)
        return _rate([q.ts for q in self.quotes], n)

    def _of_trades(self, family: str, n: int) -> float:
        extra = {"kyle": 1, "trade_rate": 1, "amihud": 1, "roll": 2}.get(family, 0)
        if len(self.trades) < n + extra:
            return math.nan
        last = self.trades[-n:]
        total = sum(t.qty for t in last)
        if family == "sign":
            return sum(t.signed for t in last) / total
        if family == "trade_size":
            return total / n
        if family == "vwap_gap":
            return last[-1].px - sum(t.px * t.qty for t in last) / total
        if family == "effective":
            return math.fsum(2 * abs(t.px - t.mid) if t.mid is not None else 0.0 for t in last) / n
        if family == "trade_rate":
            return _rate([t.ts for t in self.trades], n)
        before = self.trades[-n - 1 : -1]
        changes = [b.px - a.px for a, b in zip(before, last, strict=True)]
        if family == "amihud":
            terms = (abs(math.log(b.px / a.px)) / (b.px * b.qty) for a, b in zip(before, last, strict=True))
            return math.fsum(terms) / n
        if family == "kyle":
            signed = [t.signed for t in last]
            mean, square = sum(signed) / n, sum(s * s for s in signed) / n
            spread = square - mean * mean
            both = sum(c * s for c, s in zip(changes, signed, strict=True)) / n
            return (both - sum(changes) / n * mean) / spread if spread > 1e-12 * square else 0.0
        older = [b.px - a.px for a, b in zip(self.trades[-n - 2 : -2], before, strict=True)]
        auto = sum(a * b for a, b in zip(changes, older, strict=True)) / n
        return 2 * math.sqrt(-auto) if auto < 0 else 0.0

    @staticmethod
    def imbalance(bid_lots: Sequence[int], ask_lots: Sequence[int], levels: int) -> float:
        if not 1 <= levels <= min(len(bid_lots), len(ask_lots)):
            raise ValueError(f"{levels} levels")
        bids, asks = int(sum(bid_lots[:levels])), int(sum(ask_lots[:levels]))
        return (bids - asks) / (bids + asks) if bids + asks else 0.0

    def check(self) -> None:
        assert 0 <= self.bought <= self.volume < self.bucket_lots
