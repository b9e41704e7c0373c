"""Market streams: what a subscriber of a name is sent, made once a name and not once a subscriber."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from engine.sim.venue import wire
from engine.sim.venue.instruments import amount_text
from engine.sim.venue.market import INTERVALS_NS, Kline, Market
from engine.sim.venue.wire import MS

NAME = re.compile(
    r"(?P<symbol>[a-z0-9]{3,20})@(?P<what>trade|aggTrade|bookTicker|miniTicker|ticker|markPrice|depth|depth(?P<levels>5|10|20)"
    r"|kline_(?P<interval>[0-9]{1,2}[smhdw]))(?P<speed>@100ms|@500ms|@1000ms|@1s)?"
)


SPEEDS = {False: ("@100ms", "@1000ms"), True: ("@100ms", "@500ms")}


def parse_name(name: str, markets: dict[str, Market], *, futures: bool = False) -> bool:
    """Whether there is such a stream."""
    found = NAME.fullmatch(name)
    if found is None or found["symbol"].upper() not in markets:
        return False
    if found["interval"] and found["interval"] not in INTERVALS_NS:
        return False
    if found["what"] == "markPrice":
        return futures and found["speed"] in (None, "@1s")
    return not found["speed"] or (found["what"].startswith("depth") and found["speed"] in SPEEDS[futures])


@dataclass
class _Slow:
    """A second's worth of diffs, joined."""

    first: int = 0
    last: int = 0
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)


class Streams:
    """Collects, once a tick, the messages of every stream that somebody listens to."""

    def __init__(self, markets: dict[str, Market], *, futures: bool = False) -> None:
        self.markets, self.futures = markets, futures
        self._slow = {symbol: _Slow() for symbol in markets}
        self._touch: dict[str, tuple[int, int, int, int]] = {}
        self._second = 0
        self._told_bars: dict[str, tuple[int, bool]] = {}  # by stream: when the newest one began, whether it was closed

    def tick(self, now_ns: int, wanted: set[str]) -> list[tuple[str, dict[str, Any]]]:
        out: list[tuple[str, dict[str, Any]]] = []
        second = now_ns // 10**9
        for symbol, market in self.markets.items():
            low = symbol.lower()
            traded = self._trades(market, low, now_ns, out)
            self._depth(market, low, now_ns, second != self._second, wanted, out)
            if self.futures and second != self._second:
                self._mark(market, low, now_ns, out)
            for name in wanted:
                if name.startswith(low + "@kline_") and (traded or second != self._second):
                    self._kline(market, name, now_ns, out)
                elif second != self._second and name in (low + "@ticker", low + "@miniTicker"):
                    self._ticker(market, name, now_ns, out)
        self._second = second
        return [message for message in out if message[0] in wanted]

    def _trades(self, market: Market, low: str, now_ns: int, out: list[tuple[str, dict[str, Any]]]) -> bool:
        i = market.instrument
        trades, aggregates = market.take_trades()
        more = {} if self.futures else {"M": True}
        out += [
            (f"{low}@trade", {
                "e": "trade", "E": now_ns // MS, "s": i.symbol, "t": t.id, "p": i.px_text(t.px),
                "q": i.qty_text(t.lots), "T": t.ts_ns // MS, "m": t.buyer_maker, **more,
            })
            for t in trades
        ]  # fmt: skip
        out += [
            (f"{low}@aggTrade", {
                "e": "aggTrade", "E": now_ns // MS, "s": i.symbol, "a": a.id, "p": i.px_text(a.px),
                "q": i.qty_text(a.lots), "f": a.first, "l": a.last, "T": a.ts_ns // MS, "m": a.buyer_maker, **more,
            })
            for a in aggregates
        ]  # fmt: skip
        return bool(trades)

    def _depth(
        self, market: Market, low: str, now_ns: int, new_second: bool, wanted: set[str],
        out: list[tuple[str, dict[str, Any]]],
    ) -> None:  # fmt: skip
        i, slow = market.instrument, self._slow[market.instrument.symbol]
        diff = market.diff()
        if diff is not None:
            first, last, bids, asks = diff
            out.append((f"{low}@depth@100ms", self._update(market, now_ns, first, last, bids, asks)))
            slow.first = slow.first or first
            slow.last = last
            slow.bids.update(bids)
            slow.asks.update(asks)
            for levels in (5, 10, 20):
                names = {f"{low}@depth{levels}{speed}" for speed in ("", *SPEEDS[self.futures])} & wanted
                if names:
                    image = self._image(market, now_ns, levels, first)
                    out += [(name, image) for name in sorted(names)]
        if new_second and slow.first:
            joined = self._update(
                market, now_ns, slow.first, slow.last, list(slow.bids.items()), list(slow.asks.items())
            )
            out += [(f"{low}@depth", joined), (f"{low}@depth{SPEEDS[self.futures][1]}", joined)]
            self._slow[i.symbol] = _Slow()
        bid, ask = market.book.best_bid, market.book.best_ask
        touch = (bid, market.book.lots_at(bid), ask, -market.book.lots_at(ask))
        if bid and ask and touch != self._touch.get(low):
            self._touch[low] = touch
            out.append((f"{low}@bookTicker", self._times("bookTicker", now_ns) | {
                "u": market.update_id, "s": i.symbol, "b": i.px_text(bid), "B": i.qty_text(touch[1]),
                "a": i.px_text(ask), "A": i.qty_text(touch[3]),
            }))  # fmt: skip

    def _times(self, what: str, now_ns: int) -> dict[str, Any]:
        """What USD-M says of a message's time where spot says nothing."""
        return {"e": what, "E": now_ns // MS, "T": now_ns // MS} if self.futures else {}

    def _update(
        self, market: Market, now_ns: int, first: int, last: int, bids: list[tuple[int, int]],
        asks: list[tuple[int, int]],
    ) -> dict[str, Any]:  # fmt: skip
        i = market.instrument
        # Numbers have no holes, so the one before is the last of the message before.
        link = {"T": now_ns // MS, "pu": first - 1} if self.futures else {}
        return {
            "e": "depthUpdate", "E": now_ns // MS, "s": i.symbol, "U": first, "u": last, **link,
            "b": [[i.px_text(px), i.qty_text(lots)] for px, lots in bids],
            "a": [[i.px_text(px), i.qty_text(lots)] for px, lots in asks],
        }  # fmt: skip

    def _image(self, market: Market, now_ns: int, levels: int, first: int) -> dict[str, Any]:
        """The best levels: of USD-M in the shape of a change."""
        number, bids, asks = market.depth(levels)
        if self.futures:
            return self._update(market, now_ns, first, number, bids, asks)
        i = market.instrument
        return {
            "lastUpdateId": number, "bids": [[i.px_text(px), i.qty_text(lots)] for px, lots in bids],
            "asks": [[i.px_text(px), i.qty_text(lots)] for px, lots in asks],
        }  # fmt: skip

    @staticmethod
    def _mark(market: Market, low: str, now_ns: int, out: list[tuple[str, dict[str, Any]]]) -> None:
        mark, index = amount_text(market.mark_px_e8), amount_text(market.index_px_e8)
        message = {
            "e": "markPriceUpdate", "E": now_ns // MS, "s": market.instrument.symbol, "p": mark, "ap": mark, "i": index,
            "P": index, "r": amount_text(market.funding_rate_e8), "T": market.next_funding_ns // MS,
        }  # fmt: skip
        out += [(f"{low}@markPrice", message), (f"{low}@markPrice@1s", message)]

    def _kline(self, market: Market, name: str, now_ns: int, out: list[tuple[str, dict[str, Any]]]) -> None:
        """The open bar as it stands; each one is told closed, once, also where the next has begun by then."""
        interval = name.partition("@kline_")[2]
        told = self._told_bars.get(name)
        for row in market.klines_of(interval, 1) if told is None else market.klines_of(interval, 1000, told[0]):
            if (row.open_ns, True) != told:
                self._bar(market, name, row, now_ns, out)
                self._told_bars[name] = row.open_ns, now_ns >= row.open_ns + INTERVALS_NS[interval]

    @staticmethod
    def _bar(market: Market, name: str, row: Kline, now_ns: int, out: list[tuple[str, dict[str, Any]]]) -> None:
        interval = name.partition("@kline_")[2]
        span, i = INTERVALS_NS[interval], market.instrument
        unit = i.unit_e8
        out.append((name, {"e": "kline", "E": now_ns // MS, "s": i.symbol, "k": {
            "t": row.open_ns // MS, "T": (row.open_ns + span) // MS - 1, "s": i.symbol, "i": interval, "f": row.first,
            "L": row.last, "o": i.px_text(row.open), "c": i.px_text(row.close), "h": i.px_text(row.high),
            "l": i.px_text(row.low), "v": i.qty_text(row.lots), "n": row.trades, "x": now_ns >= row.open_ns + span,
            "q": amount_text(row.units * unit), "V": i.qty_text(row.taker_lots),
            "Q": amount_text(row.taker_units * unit), "B": "0",
        }}))  # fmt: skip

    @staticmethod
    def _ticker(market: Market, name: str, now_ns: int, out: list[tuple[str, dict[str, Any]]]) -> None:
        row = wire.ticker_json(market, now_ns)
        short = {"c": "lastPrice", "o": "openPrice", "h": "highPrice", "l": "lowPrice", "v": "volume",
                 "q": "quoteVolume"}  # fmt: skip
        full = short | {
            "p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice", "x": "prevClosePrice",
            "Q": "lastQty", "b": "bidPrice", "B": "bidQty", "a": "askPrice", "A": "askQty", "O": "openTime",
            "C": "closeTime", "F": "firstId", "L": "lastId", "n": "count",
        }  # fmt: skip
        mini = name.endswith("@miniTicker")
        head = {"e": "24hrMiniTicker" if mini else "24hrTicker", "E": now_ns // MS, "s": market.instrument.symbol}
        out.append((name, head | {key: row[field_] for key, field_ in (short if mini else full).items()}))
