"""More moves for the two worlds side by side: bad data, depth, trades, marks, rates, wishes of every type."""

from __future__ import annotations

from typing import Any

from engine._core import types
from engine._core.types import Flag, Kind
from tests.support.desks import SECOND, START, event
from tests.support.step_pair import Pair

QUOTES = 6  # of the faults, those that are quotes


class SectionPair(Pair):
    typed = False  # whether its wishes are of every type also where nothing is emulated

    def _data(self, which: int, by: int, symbol: int) -> None:
        """Market data that no gate likes, and some that it does."""
        symbol, mid = symbol % self.symbols, self.mid
        faulty = [
            {"bid": mid + 2, "ask": mid}, {"bid": 0, "ask": mid}, {"bid": mid, "ask": mid + mid // 5},
            {"bid": mid * 6 // 5, "ask": mid * 6 // 5 + 1}, {"bid": mid, "ask": mid + 1, "bid_qty_lots": -1},
            {"bid": mid, "ask": mid + 1, "ts_venue_ns": START + self.desk.now - 2 * SECOND},
        ]  # fmt: skip
        if which < QUOTES:
            words = faulty[which]
            self._both(self._touch(symbol, words.pop("bid"), words.pop("ask"), **words))
            return
        kind, dtype, words = [
            (Kind.KIND_TRADE, types.TRADE, {"px_ticks": mid + by, "qty_lots": 3, "id_trade": self.desk.now}),
            (Kind.KIND_AGG_TRADE, types.TRADE, {"px_ticks": mid + 900 * by, "qty_lots": 2, "id_trade": self.desk.now}),
            (Kind.KIND_TRADE, types.TRADE, {"px_ticks": mid, "qty_lots": 0, "id_trade": self.desk.now}),
            (Kind.KIND_MARK, types.MARK, {"mark_px_e8": (mid + 100 * by) * 10**6,
                                           "funding_rate_e8": by * 30_000}),
            (Kind.KIND_LIQUIDATION, types.LIQUIDATION, {"px_ticks": mid + by, "qty_lots": 1}),
            (20, types.TRADE, {"px_ticks": mid}),
            (Kind.KIND_BOOK_LEVEL, types.LEVEL, {"px_ticks": mid + by, "qty_lots": 1, "id_last": 1}),
        ][which - QUOTES]  # fmt: skip
        self._both(event(kind, dtype, self.desk.tick(1_000_000), symbol=symbol, **words))

    def _depth(self, after: int, symbol: int, levels: list[tuple[int, int, int]], image: bool) -> None:
        """A message near the mid; its number follows, is old or leaves a gap."""
        self.book_id += max(after, 0)
        near = [(side, self.mid + away, qty) for side, away, qty in levels]
        self._message(symbol % self.symbols, near, image=image, after=1 if after else 0)

    def _torn(self, symbol: int, away: int) -> None:
        """A message that begins and does not end."""
        self.book_id += 1
        self._both(event(
            Kind.KIND_BOOK_LEVEL, types.LEVEL, self.desk.tick(1_000_000), symbol=symbol % self.symbols,
            flags=int(Flag.FLAG_FIRST), px_ticks=self.mid + away, qty_lots=3, id_first=self.book_id,
            id_last=self.book_id, id_prev=self.book_id - 1,
        ))  # fmt: skip

    def _booked(self, off: int, wide: int, symbol: int, ahead: int) -> None:
        """A quote beside the book: the same touch or another, numbered like the book, before it or ahead of it."""
        symbol %= self.symbols
        bid, bid_lots, ask, ask_lots = self.twin.books[symbol].touch() if self.twin.books else (self.mid, 1, 0, 1)
        self._both(self._touch(
            symbol, bid + off, (ask or bid + 1) + wide, bid_qty_lots=bid_lots or 1, ask_qty_lots=ask_lots or 1,
            id_book=self.book_id + ahead,
        ))  # fmt: skip

    def _bar(self, symbol: int, by: int, tall: int, lots: int, closed: bool, totals: int) -> None:
        """The venue's bar, prices first: from the mid on, its ends beyond it, sometimes none; and its totals, once,
        again or not at all. Some milliseconds are one bar, so what is closed comes again."""
        symbol, flags = symbol % self.symbols, int(Flag.FLAG_CLOSED) if closed else 0
        close = self.mid + by
        prices = {"open_ticks": self.mid, "high_ticks": max(self.mid, close) + tall,
                  "low_ticks": min(self.mid, close) - tall, "close_ticks": close, "volume_lots": lots}  # fmt: skip
        now = self.desk.tick(1_000_000)
        opened = START + now // 4_000_000 * 4_000_000
        self._both(event(Kind.KIND_BAR_PRICES, types.BAR_PRICES, now, symbol=symbol, flags=flags, **prices))
        for _ in range(totals):
            words = {"ts_open_ns": opened, "ts_close_ns": opened + 4_000_000, "trade_count": 3}
            self._both(event(Kind.KIND_BAR_TOTALS, types.BAR_TOTALS, now, symbol=symbol, flags=flags, **words))

    def _rates(self, symbol: int, maker: int, taker: int) -> Any:
        record = event(Kind.KIND_SYMBOL, types.EVENT, self.desk.tick(1), symbol=symbol % self.symbols)
        record["word"][0, :4] = types.SymbolWord.SYMBOL_FEES, 0, maker, taker
        self.desk.step(record)
        return self.twin.step(
            Kind.KIND_SYMBOL, now=self._now(), symbol=symbol % self.symbols, halt=3, rates=(maker, taker)
        )
