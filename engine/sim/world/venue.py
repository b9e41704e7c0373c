"""The venue's own truth: orders, trades, balances. It is never wrong; only what is heard of it can be.

Matching is the plain one: a resting order fills when the opposite touch reaches its price, in parts whose size is a
Beta(2, 5) share of what is left. It refuses what a venue refuses: a client id used before, a request older than its
receive window, anything while the market is halted or the account is banned. Besides the exchange it is a `VenuePort`:
what recovery asks is answered from the same books.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from engine._core.types import Kind
from engine.journal.port import CANCELED, FILLED, OPEN, REJECTED, VenueOrder, VenueTrade
from engine.sim.distributions import Chances

REUSED = "a client id was used twice"


@dataclass
class Resting:
    id_order: int
    id_venue: int
    symbol: int
    sell: bool
    px_ticks: int
    qty_lots: int
    filled_lots: int = 0
    state: str = OPEN
    why: str = ""

    def view(self) -> VenueOrder:
        return VenueOrder(
            self.id_order, self.id_venue, self.symbol, self.sell, self.px_ticks, self.qty_lots, self.filled_lots,
            self.state,
        )  # fmt: skip


Report = Callable[..., None]


class Venue:
    def __init__(self, seed: int, report: Report, *, window_ns: int = 5 * 10**9) -> None:
        self.window_ns = window_ns
        self.orders: dict[int, Resting] = {}
        self.open: dict[int, Resting] = {}
        self.trades: list[VenueTrade] = []
        self._trade_ids: list[int] = []
        self.lots = 0
        self.flow = 0
        self.halted = False
        self.banned_until_ns = 0
        self.reused: list[int] = []
        self._report = report
        self._chances = Chances(f"{seed} venue")
        self._number = 0
        self.touch = (0, 0)

    # ------------------------------------------------------------------------------------------------- as an exchange
    def place(self, id_order: int, *, sell: bool, px_ticks: int, qty_lots: int, sent_ns: int, now_ns: int) -> None:
        if now_ns - sent_ns > self.window_ns or now_ns < self.banned_until_ns:
            return  # an error, and no order: whoever asked gets no answer and asks again
        if id_order in self.orders:
            if (self.orders[id_order].px_ticks, self.orders[id_order].qty_lots) != (px_ticks, qty_lots):
                self.reused.append(id_order)
            return  # the same request twice is one order
        self._number += 1
        order = Resting(id_order, self._number, 0, sell, px_ticks, qty_lots)
        self.orders[id_order] = order
        if self.halted:
            order.state = REJECTED
            self._report(Kind.KIND_ORDER_REJECTED, order, now_ns)
            return
        self.open[id_order] = order
        self._report(Kind.KIND_ORDER_ACK, order, now_ns, id_venue=order.id_venue)
        self._match(order, now_ns)

    def take_away(self, id_order: int, now_ns: int) -> None:
        """A cancel."""
        if now_ns < self.banned_until_ns:
            return
        order = self.open.pop(id_order, None)
        if order is not None:
            order.state = CANCELED
            self._report(Kind.KIND_ORDER_CANCELED, order, now_ns)
        else:
            known = self.orders.get(id_order)
            if known is not None and known.state == FILLED:
                self._report(Kind.KIND_ORDER_CANCEL_TOO_LATE, known, now_ns)

    def query(self, id_order: int, now_ns: int) -> None:
        """What became of an order. One that it does not know is not called absent: a request may be on its way."""
        if now_ns < self.banned_until_ns:
            return
        order = self.orders.get(id_order)
        if order is not None:
            kinds = {OPEN: Kind.KIND_ORDER_ACK, CANCELED: Kind.KIND_ORDER_CANCELED, REJECTED: Kind.KIND_ORDER_REJECTED}
            if order.state in kinds:
                self._report(kinds[order.state], order, now_ns, id_venue=order.id_venue)

    def move(self, bid_ticks: int, ask_ticks: int, now_ns: int) -> None:
        self.touch = (bid_ticks, ask_ticks)
        if not self.halted and self.open:
            for order in list(self.open.values()):
                self._match(order, now_ns)

    def _match(self, order: Resting, now_ns: int) -> None:
        bid, ask = self.touch
        if not bid or not (bid >= order.px_ticks if order.sell else ask <= order.px_ticks):
            return
        left = order.qty_lots - order.filled_lots
        for _ in range(max(1, min(left, self._chances.fill_count()))):
            left = order.qty_lots - order.filled_lots
            if not left:
                break
            self._fill(order, max(1, min(left, round(left * self._chances.fill_ratio() * 2))), now_ns)

    def _fill(self, order: Resting, lots: int, now_ns: int) -> None:
        self._number += 1
        order.filled_lots += lots
        trade = VenueTrade(self._number, order.id_order, 0, order.sell, order.px_ticks, lots, now_ns)
        self.trades.append(trade)
        self._trade_ids.append(trade.id_trade)
        sign = -1 if order.sell else 1
        self.lots += sign * lots
        self.flow -= sign * lots * order.px_ticks
        if order.filled_lots == order.qty_lots:
            order.state = FILLED
            del self.open[order.id_order]
        self._report(Kind.KIND_ORDER_FILL, order, now_ns, qty_lots=lots, id_venue=trade.id_trade)

    # ------------------------------------------------------------------------------------------------- as a VenuePort
    def open_orders(self) -> list[VenueOrder]:
        return [order.view() for order in self.open.values()]

    def order(self, id_order: int) -> VenueOrder | None:
        found = self.orders.get(id_order)
        return found.view() if found else None

    def trades_since(self, id_trade: int) -> list[VenueTrade]:
        return self.trades[bisect_right(self._trade_ids, id_trade) :]

    def balances(self) -> dict[int, int]:
        return {}

    def positions(self) -> dict[int, int]:
        return {0: self.lots}

    def cancel(self, order: VenueOrder) -> None:
        found = self.open.pop(order.id_order, None)
        if found is not None:
            found.state = CANCELED

    def worst_lots(self, sell: bool) -> int:
        """The position if everything open on a side fills."""
        side = sum(o.qty_lots - o.filled_lots for o in self.open.values() if o.sell == sell)
        return self.lots - side if sell else self.lots + side
