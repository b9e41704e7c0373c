"""Twin of what a strategy is shown: the world in its own words, its peers, and its features, fed as it is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.model.step_features import Feed, Request
from engine.model.step_size import SizeSide
from engine.model.validate import Event


class ViewSide(SizeSide):
    def __init__(self, *, strategies: int, features: Sequence[Request | None] | None = None,
                 peers: Sequence[Sequence[int]] = (), **shape: Any) -> None:  # fmt: skip
        super().__init__(strategies=strategies, **shape)
        self.featured = features is not None  # then marks, liquidations and bars call the strategies too
        self.feeds = [None if one is None else Feed(*one) for one in features or [None] * strategies]
        self.peers = list(peers) or [()] * strategies
        self.heard: Event  # the market data that are being told
        self.views: list[dict[str, Any] | None] = [None] * strategies  # as each was shown it last
        self.shown: list[dict[str, Any]] = []  # in this event, in turn

    def _watches(self, strategy: int, symbol: int) -> bool:
        return self.symbol_of[strategy] == symbol or symbol in self.peers[strategy]

    def _facts(self, symbol: int) -> dict[str, int]:
        """What a view says of a symbol, its strategy's own or a peer's."""
        touch, sums, mark = self.touch[symbol], self.orders.symbol(symbol), self.marks[symbol]
        return {
            "bid_px_ticks": touch["bid"], "bid_qty_lots": touch["bid_lots"], "ask_px_ticks": touch["ask"],
            "ask_qty_lots": touch["ask_lots"], "last_px_ticks": self.last_px[symbol], "book_ns": touch["ts"],
            "open_buy_lots": sums["open_buy_lots"], "open_sell_lots": sums["open_sell_lots"],
            "book_trusted": int(self.gate.rows[symbol]["book_trusted"]), "mark_px_e8": mark["mark_px_e8"],
            "funding_rate_e8": mark["funding_rate_e8"], "funding_ns": mark["ts_funding_ns"], "tick_e8": self.tick_e8,
            "lot_e8": self.lot_units,
        }  # fmt: skip

    def _show(self, strategy: int) -> None:
        symbol, feed = self.symbol_of[strategy], self.feeds[strategy]
        if feed is not None and self.heard.symbol == symbol:
            trusted = bool(self.gate.rows[symbol]["book_trusted"])
            feed.hears(self.heard, self.touch[symbol], trusted=trusted, now=self.now)
        view = self._facts(symbol) | {
            "strategy": strategy, "symbol": symbol, "now_ns": self.now, "cause": self.heard.kind,
            "position_lots": self.rows[strategy].state["position_lots"], "symbol_position_lots": self.lots[symbol],
            "features": list(feed.values) if feed else [],
            "peers": [self._facts(one) | {"symbol": one, "position_lots": self.lots[one]}
                      for one in self.peers[strategy]],
        }  # fmt: skip
        self.views[strategy] = view
        self.shown.append(view)
