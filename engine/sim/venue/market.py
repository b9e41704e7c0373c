"""What a venue publishes of one symbol: trades, aggregates, klines, the 24-hour ticker, depth and its numbers."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from engine._core.match import Match
from engine.sim.venue.instruments import Instrument

SECOND_NS = 10**9
INTERVALS_NS: dict[str, int] = {
    "1s": SECOND_NS, "1m": 60 * SECOND_NS, "3m": 180 * SECOND_NS, "5m": 300 * SECOND_NS, "15m": 900 * SECOND_NS,
    "30m": 1800 * SECOND_NS, "1h": 3600 * SECOND_NS, "2h": 7200 * SECOND_NS, "4h": 14400 * SECOND_NS,
    "6h": 21600 * SECOND_NS, "8h": 28800 * SECOND_NS, "12h": 43200 * SECOND_NS, "1d": 86400 * SECOND_NS,
    "3d": 259200 * SECOND_NS, "1w": 604800 * SECOND_NS,
}  # fmt: skip
KLINES_KEPT = 1500


@dataclass(slots=True)
class PublicTrade:
    id: int
    px: int
    lots: int
    buyer_maker: bool
    ts_ns: int
    taker: int  # order number: fills of one taker at one price make one aggregate


@dataclass(slots=True)
class Aggregate:
    id: int
    px: int
    lots: int
    first: int
    last: int
    buyer_maker: bool
    ts_ns: int
    taker: int


@dataclass(slots=True)
class Kline:
    open_ns: int
    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    units: int = 0  # ticks x lots
    trades: int = 0
    taker_lots: int = 0
    taker_units: int = 0
    first: int = -1
    last: int = -1

    def add(self, trade: PublicTrade) -> None:
        self.high = max(self.high, trade.px)
        self.low = min(self.low, trade.px)
        self.close = trade.px
        self.lots += trade.lots
        self.units += trade.px * trade.lots
        self.trades += 1
        if not trade.buyer_maker:
            self.taker_lots += trade.lots
            self.taker_units += trade.px * trade.lots
        if self.first < 0:
            self.first = trade.id
        self.last = trade.id


@dataclass
class Market:
    """One symbol. `news` collects what streams have not sent yet; whoever sends it takes it."""

    instrument: Instrument
    book: Match
    update_id: int = 0
    trades: deque[PublicTrade] = field(default_factory=lambda: deque(maxlen=1000))
    aggregates: deque[Aggregate] = field(default_factory=lambda: deque(maxlen=1000))
    klines: dict[str, OrderedDict[int, Kline]] = field(
        default_factory=lambda: {name: OrderedDict() for name in INTERVALS_NS}
    )
    news_trades: list[PublicTrade] = field(default_factory=list)
    news_aggregates: list[Aggregate] = field(default_factory=list)
    known: dict[int, int] = field(default_factory=dict)  # price to signed lots, as of the last diff
    mark_px_e8: int = 0
    index_px_e8: int = 0
    funding_rate_e8: int = 0
    next_funding_ns: int = 0
    publish: bool = True
    _aggregate_id: int = 0

    def on_trade(self, trade: PublicTrade) -> None:
        self.trades.append(trade)
        last = self.aggregates[-1] if self.aggregates else None
        if last is not None and (last.taker, last.px, last.ts_ns) == (trade.taker, trade.px, trade.ts_ns):
            last.lots += trade.lots
            last.last = trade.id
        else:
            self._aggregate_id += 1
            last = Aggregate(
                self._aggregate_id, trade.px, trade.lots, trade.id, trade.id, trade.buyer_maker, trade.ts_ns,
                trade.taker,
            )  # fmt: skip
            self.aggregates.append(last)
            if self.publish:
                self.news_aggregates.append(last)
        if self.publish:
            self.news_trades.append(trade)
        for name, span in INTERVALS_NS.items():
            open_ns = trade.ts_ns - trade.ts_ns % span
            kline = self.klines[name].get(open_ns)
            if kline is None:
                kline = Kline(open_ns, trade.px, trade.px, trade.px, trade.px)
                self.klines[name][open_ns] = kline
                if len(self.klines[name]) > KLINES_KEPT:
                    self.klines[name].popitem(last=False)
            kline.add(trade)

    def take_trades(self) -> tuple[list[PublicTrade], list[Aggregate]]:
        trades, self.news_trades = self.news_trades, []
        aggregates, self.news_aggregates = self.news_aggregates, []
        return trades, aggregates

    def diff(self) -> tuple[int, int, list[tuple[int, int]], list[tuple[int, int]]] | None:
        """Levels that changed since the last diff: first and last update number, bids, asks. None: nothing did.

        A level that came and went in between is not mentioned; one that changed its side is mentioned on both.
        """
        prices, lost = self.book.changed()
        if lost:
            prices = sorted(set(self.known) | {px for sell in (False, True) for px, _ in self.book.depth(sell, 10**6)})
        bids: list[tuple[int, int]] = []
        asks: list[tuple[int, int]] = []
        for px in prices:
            now, before = self.book.lots_at(px), self.known.get(px, 0)
            if now == before:
                continue
            if before > 0 >= now:
                bids.append((px, 0))
            elif before < 0 <= now:
                asks.append((px, 0))
            if now > 0:
                bids.append((px, now))
            elif now < 0:
                asks.append((px, -now))
            if now:
                self.known[px] = now
            else:
                del self.known[px]
        if not bids and not asks:
            return None
        first = self.update_id + 1
        self.update_id += len(bids) + len(asks)
        return first, self.update_id, bids, asks

    def depth(self, limit: int) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
        """The book of the last diff, so that its number and its levels belong together."""
        bids = sorted(((px, lots) for px, lots in self.known.items() if lots > 0), reverse=True)[:limit]
        asks = sorted((px, -lots) for px, lots in self.known.items() if lots < 0)[:limit]
        return self.update_id, bids, asks

    def klines_of(self, interval: str, limit: int, start_ns: int = 0, end_ns: int = 2**62) -> list[Kline]:
        rows = [k for k in self.klines[interval].values() if start_ns <= k.open_ns <= end_ns]
        return rows[:limit] if start_ns else rows[-limit:]

    def day(self, now_ns: int) -> list[Kline]:
        """The minutes of the last 24 hours."""
        return [k for k in self.klines["1m"].values() if k.open_ns > now_ns - 86_400 * SECOND_NS]
