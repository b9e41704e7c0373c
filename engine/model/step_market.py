"""Twin of the step's market data: judged by the ingest gate, a book or a quote become the touch, then all are told."""

from __future__ import annotations

from typing import Any

from engine._core.book import Trust
from engine._core.types import Flag, Kind, Status
from engine._core.validate import Action
from engine.model.step_gate import MARK
from engine.model.step_wishes import WishSide
from engine.model.validate import Event

BROKEN = (Status.BOOK_GAP, Status.BOOK_CHECKSUM, Status.BOOK_MISMATCH, Status.BOOK_CROSSED)
HEARD = {Kind.KIND_LIQUIDATION, Kind.KIND_MARK, Kind.KIND_BAR_PRICES, Kind.KIND_BAR_TOTALS}


class MarketSide(WishSide):
    def _market(self, raw: Any) -> int:
        e = self.heard = Event(raw)
        status = self._judged(e, raw)
        if status != Status.OK:
            return status
        if e.kind == Kind.KIND_QUOTE:
            return self._from_book(e, raw) if self.books else self._quote(e)
        if e.kind in (Kind.KIND_TRADE, Kind.KIND_AGG_TRADE):
            self.last_px[e.symbol] = e["px_ticks"]
            if self.algos:
                self.algos.volume(e.symbol, e["qty_lots"])
            return Status.OK
        if e.kind in (Kind.KIND_BOOK_LEVEL, Kind.KIND_BOOK_CLEAR) and self.books:
            return self._from_book(e, raw)
        if e.kind == Kind.KIND_MARK:
            self.marks[e.symbol] = {name: e[name] for name in MARK}
        if e.kind not in HEARD:
            return Status.WORLD_BAD_EVENT
        if self.featured:
            self._run_all(e.symbol)
        return Status.OK

    # --------------------------------------------------------------------------------------------------------- judging
    def _refusal(self, symbol: int, **words: int) -> None:
        names = ("reason", "value", "limit", "id_event", "actions")
        self.out.append((Kind.KIND_REFUSAL, symbol, *(words.get(name, 0) for name in names)))

    def _judged(self, e: Event, raw: Any) -> int:
        if self.validate is None:
            return Status.OK
        status = self.validate.event(raw, self.now)
        actions = self.validate.actions
        if status == Status.OK and not actions:
            return Status.OK
        touch = self.touch[e.symbol]
        if actions & Action.ACTION_HALT:
            touch["data"] = 1
        if actions & Action.ACTION_RESUME:
            touch["data"] = 0
        if actions & Action.ACTION_BOOK and self.books:
            # Levels of a message that was refused in its middle stand in the book: only an image makes it whole.
            self.books[e.symbol].distrust(Trust.TRUST_REBUILDING, int(self.validate.refusal["reason"]))
            touch["trusted"] = 0
        self._expose(e.symbol)
        said = {name: int(self.validate.refusal[name]) for name in ("reason", "value", "limit", "id_event")}
        self._refusal(e.symbol, **({} if status == Status.OK else said), actions=int(actions))
        return status

    # ---------------------------------------------------------------------------------------------------------- prices
    def _quote(self, e: Event) -> int:
        bid, ask = e["bid_px_ticks"], e["ask_px_ticks"]
        self.touch[e.symbol] |= {
            "bid": bid, "ask": ask, "bid_lots": e["bid_qty_lots"], "ask_lots": e["ask_qty_lots"], "ts": self.now,
            "trusted": int(0 < bid < ask),
        }  # fmt: skip
        self._price_changed(e.symbol)
        return Status.OK

    def _from_book(self, e: Event, raw: Any) -> int:
        """The book's top is the touch when its message is whole; a book that lost its trust shows none."""
        assert self.books is not None
        book, touch = self.books[e.symbol], self.touch[e.symbol]
        status = int(book.apply(raw)[0])
        trusted = book.trust == Trust.TRUST_LIVE
        if status in BROKEN:
            self._refusal(e.symbol, reason=status, value=int(book.trust), limit=book.sequence,
                          actions=int(Action.ACTION_BOOK))  # fmt: skip
        if trusted and not e.is_(Flag.FLAG_LAST):
            return status
        bid, bid_lots, ask, ask_lots = book.line[:4]
        if not trusted or bid <= 0 or ask <= bid:
            if touch["trusted"]:
                touch["trusted"] = 0
                self._expose(e.symbol)
                self._run_all(e.symbol)
            return status
        touch |= {"bid": bid, "ask": ask, "bid_lots": bid_lots, "ask_lots": ask_lots, "ts": self.now, "trusted": 1}
        if self.validate:
            self.validate.touch(e.symbol, bid, ask, self.now)
        self._price_changed(e.symbol)
        return status

    def _price_changed(self, symbol: int) -> None:
        touch = self.touch[symbol]
        self._expose(symbol)
        if touch["trusted"]:
            if self.judge:
                self.judge.price(symbol, touch["bid"], touch["ask"], self.now)
            if self.correlation:
                self.correlation.price(symbol, touch["bid"] + touch["ask"])
            self._mark_price(symbol)
            self._price_came(symbol)
            self._force_stops(symbol)
        self._run_all(symbol)

    # ------------------------------------------------------------------------------------------------------------ time
    def _market_on_time(self) -> None:
        """Silence is reported, and the correlation takes its sample."""
        for silent in self.validate.due(self.now) if self.validate else ():
            words = {name: int(silent[name]) for name in ("reason", "value", "limit", "id_event", "actions")}
            self._refusal(int(silent["symbol"]), **words)
            self._expose(int(silent["symbol"]))
        if self.correlation and self.now - self.sampled_ns >= self.sample_ns:
            self.sampled_ns = self.now
            self.correlation.sample()
