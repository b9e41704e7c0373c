"""Twin of the bars: the trades of the bar being built in a list, and each bar computed from it when it closes."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine._core.bars import Bar

_KINDS = ("time", "ticks", "volume", "value", "imbalance", "renko")
_MOST = 1 << 60


@dataclass
class _Trade:
    px: int
    qty: int
    sell: bool
    late: bool
    moves: bool  # whether its price counts for high and low


@dataclass
class Bars:
    kind: str
    size: int
    late: str = "fold"
    fill: bool = False
    start: int = 0
    newest: int = 0
    newest_in_bar: int = 0
    seen: int = 0
    late_count: int = 0
    refused_count: int = 0
    bar_count: int = 0
    last_close: int = 0
    brick_end: int = 0
    brick_way: int = 0
    trades: list[_Trade] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.kind not in _KINDS or self.late not in ("fold", "drop"):
            raise ValueError(f"bars {self.kind!r}, late trades {self.late!r}")
        if not 1 <= self.size <= _MOST:
            raise ValueError(f"size {self.size}")

    # ------------------------------------------------------------------------------------------------- the bar so far
    def _bar(self, close_ns: int) -> Bar:
        plain = [t for t in self.trades if not t.late]
        prices = [t.px for t in self.trades if t.moves]
        first, last = plain[0].px, plain[-1].px
        if self.kind == "renko":
            prices, last = [first], first
        return Bar(
            self.start, close_ns, first, max(prices), min(prices), last,
            sum(t.qty for t in self.trades), sum(t.qty for t in self.trades if not t.sell),
            sum(t.px * t.qty for t in self.trades), len(self.trades), sum(t.late for t in self.trades),
        )  # fmt: skip

    def _close(self, bar: Bar) -> Bar:
        self.bar_count += 1
        self.last_close = bar.close_ticks
        self.trades = []
        return bar

    @property
    def current(self) -> Bar | None:
        return self._bar(self.newest_in_bar) if self.trades else None

    def _volume(self, extra: int = 0) -> int:
        return sum(t.qty for t in self.trades) + extra

    def _full(self) -> bool:
        imbalance = sum(-t.qty if t.sell else t.qty for t in self.trades)
        reached = {
            "ticks": len(self.trades),
            "volume": self._volume(),
            "value": sum(t.px * t.qty for t in self.trades),
            "imbalance": abs(imbalance),
        }
        return reached.get(self.kind, 0) >= self.size

    def _fits(self, px: int, qty: int) -> bool:
        value = sum(t.px * t.qty for t in self.trades) + px * qty
        return value < 1 << 63 and self._volume(qty) <= _MOST

    # --------------------------------------------------------------------------------------------------------- events
    def _until(self, now: int) -> list[Bar]:
        """Time bars that have ended by now."""
        done: list[Bar] = []
        if not self.trades and not self.bar_count:
            return done
        limit = now - now % self.size
        while self.start + self.size <= limit:
            end = self.start + self.size
            if self.trades:
                done.append(self._close(self._bar(end)))
            elif self.fill:
                p = self.last_close
                done.append(self._close(Bar(self.start, end, p, p, p, p, 0, 0, 0, 0, 0)))
            else:
                break
            self.start = end
        return done

    def clock(self, now_ns: int) -> list[Bar]:
        done: list[Bar] = []
        if self.kind == "time":
            done = self._until(now_ns)
            if self.bar_count:
                self.newest = max(self.newest, now_ns)
        return done

    def _late_trade(self, ts: int, px: int, qty: int, sell: bool) -> list[Bar]:
        if self.late == "fold" and self.trades:
            if not self._fits(px, qty):
                self.refused_count += 1
                return []
            within = ts >= self.start and self.kind != "renko"
            self.trades.append(_Trade(px, qty, sell, True, within))
            self.seen += 1
            self.late_count += 1
            if within and self._full():
                return [self._close(self._bar(self.newest))]
            return []
        self.late_count += 1
        self.seen += 1
        return []

    def trade(self, ts_ns: int, px_ticks: int, qty_lots: int, sell: bool = False) -> list[Bar]:
        sane = 0 <= ts_ns <= 7_258_118_400_000_000_000 and 1 <= px_ticks <= _MOST and 1 <= qty_lots <= _MOST
        if not sane or px_ticks * qty_lots >= 1 << 63:
            self.refused_count += 1
            return []
        if self.seen and ts_ns < self.newest:
            return self._late_trade(ts_ns, px_ticks, qty_lots, sell)
        done = self._until(ts_ns) if self.kind == "time" else []
        if not self.trades:
            self.start = ts_ns - ts_ns % self.size if self.kind == "time" else ts_ns
        if not self._fits(px_ticks, qty_lots):
            self.refused_count += 1
            return done
        self.trades.append(_Trade(px_ticks, qty_lots, sell, False, True))
        self.newest = self.newest_in_bar = ts_ns
        self.seen += 1
        if self.kind == "renko":
            return self._bricks(px_ticks)
        if self._full():
            done.append(self._close(self._bar(ts_ns)))
        return done

    def _bricks(self, px: int) -> list[Bar]:
        done: list[Bar] = []
        if not self.brick_end:
            self.brick_end = px
        while True:
            way = 1 if px > self.brick_end else -1
            turn = self.brick_way not in (0, way)
            if abs(px - self.brick_end) < (2 if turn else 1) * self.size:
                return done
            first = self.brick_end + (way * self.size if turn else 0)
            last = first + way * self.size
            whole = self._bar(self.newest) if self.trades else Bar(self.newest, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
            bar = whole._replace(
                ts_close_ns=self.newest, open_ticks=first, close_ticks=last, high_ticks=max(first, last),
                low_ticks=min(first, last),
            )  # fmt: skip
            done.append(self._close(bar))
            self.start, self.brick_end, self.brick_way = self.newest, last, way

    def check(self) -> None:
        assert self.late_count <= self.seen
