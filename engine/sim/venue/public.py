"""The public calls of the served venue that both its forms have: books, trades, klines, tickers, and their routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.sim.venue import wire
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.form import OpenCall, OpenRoute, Params
from engine.sim.venue.instruments import amount_text
from engine.sim.venue.market import INTERVALS_NS, Market
from engine.sim.venue.wire import MS, ApiError


class PublicApi:
    """What anybody may ask. A form adds what is its own, and says under which weights it is asked."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def open_calls(self) -> dict[str, OpenCall]:
        """By the end of their paths."""
        return {
            "ping": lambda _: {}, "time": lambda _: {"serverTime": self.exchange.now_ns // MS},
            "depth": self.depth, "trades": self.trades,
            "aggTrades": self.agg_trades, "klines": self.klines, "ticker/24hr": self.ticker,
            "ticker/price": self.ticker_price, "ticker/bookTicker": self.ticker_book,
        }  # fmt: skip

    def open_routes(self, base: str, weights: Mapping[str, Any]) -> list[OpenRoute]:
        calls = self.open_calls()
        return [("GET", f"{base}/{name}", weight, calls[name]) for name, weight in weights.items()]

    def _market(self, params: Params) -> Market:
        market = self.exchange.markets.get(wire.need(params, "symbol"))
        if market is None:
            raise ApiError(-1121, "Invalid symbol.")
        return market

    def _markets(self, params: Params) -> list[Market]:
        return [self._market(params)] if "symbol" in params else list(self.exchange.markets.values())

    def depth(self, params: Params) -> dict[str, Any]:
        market = self._market(params)
        limit = wire.number(params, "limit", 100)
        if not 1 <= limit <= 5000:
            raise ApiError(-1100, "Illegal characters found in parameter 'limit'; legal range is '1' to '5000'.")
        number, bids, asks = market.depth(limit)
        text = market.instrument
        return {
            "lastUpdateId": number,
            "bids": [[text.px_text(px), text.qty_text(lots)] for px, lots in bids],
            "asks": [[text.px_text(px), text.qty_text(lots)] for px, lots in asks],
        }

    def trades(self, params: Params) -> list[dict[str, Any]]:
        market = self._market(params)
        i, limit = market.instrument, min(1000, wire.number(params, "limit", 500))
        return [
            {"id": t.id, "price": i.px_text(t.px), "qty": i.qty_text(t.lots),
             "quoteQty": amount_text(t.px * t.lots * i.unit_e8), "time": t.ts_ns // MS,
             "isBuyerMaker": t.buyer_maker, "isBestMatch": True}
            for t in list(market.trades)[-limit:]
        ]  # fmt: skip

    def agg_trades(self, params: Params) -> list[dict[str, Any]]:
        market = self._market(params)
        i, limit = market.instrument, min(1000, wire.number(params, "limit", 500))
        return [
            {"a": t.id, "p": i.px_text(t.px), "q": i.qty_text(t.lots), "f": t.first, "l": t.last, "T": t.ts_ns // MS,
             "m": t.buyer_maker, "M": True}
            for t in list(market.aggregates)[-limit:]
        ]  # fmt: skip

    def klines(self, params: Params) -> list[list[Any]]:
        market, interval = self._market(params), wire.need(params, "interval")
        if interval not in INTERVALS_NS:
            raise ApiError(-1120, "Invalid interval.")
        rows = market.klines_of(
            interval, min(1000, wire.number(params, "limit", 500)), wire.number(params, "startTime", 0) * MS,
            wire.number(params, "endTime", 2**42) * MS,
        )  # fmt: skip
        return [wire.kline_json(k, INTERVALS_NS[interval], market.instrument) for k in rows]

    def ticker(self, params: Params) -> Any:
        rows = [wire.ticker_json(market, self.exchange.now_ns) for market in self._markets(params)]
        return rows[0] if "symbol" in params else rows

    def ticker_price(self, params: Params) -> Any:
        rows = [{"symbol": m.instrument.symbol, "price": m.instrument.px_text(m.book.last_px)}
                for m in self._markets(params)]  # fmt: skip
        return rows[0] if "symbol" in params else rows

    def ticker_book(self, params: Params) -> Any:
        names = ("symbol", "bidPrice", "bidQty", "askPrice", "askQty")
        rows = [wire.ticker_json(market, self.exchange.now_ns) for market in self._markets(params)]
        cut = [{name: row[name] for name in names} for row in rows]
        return cut[0] if "symbol" in params else cut
