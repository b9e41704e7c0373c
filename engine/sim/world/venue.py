"""The venue's own truth: orders, trades, position. It is never wrong; only what is heard of it can be.

Matching is the embedded exchange's own kernel (`_core/match`, with `venue/recorded` for the touch): every order type
and time in force that it knows is known here, with its acknowledgements, fills at the price of the book, refusals and
expiries. What stands around the kernel there is left out. The accounts, margins and candles of `venue/exchange` answer
what no checker here asks, at three times the cost (an order and its cancel: 26 us there, 9 here). The journeys and
faults of `venue/embedded` draw as they go, while a message's fate in this world depends on its number alone, or no run
could be shrunk.

How much stands at the touch is a Beta(2, 5) share of a depth, so what takes or rests is often filled in part; and each
execution is told as Poisson(3) trades of Beta(2, 5) shares. It refuses what a venue refuses: a client id used before, a
request older than its receive window, post-only that would take, reduce-only that would not reduce, anything while the
market is halted or the account is banned. Besides the exchange it is a `VenuePort`: what recovery asks is answered from
the same books. It outlives every life of the engine, so it needs no image of its own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from engine._core.match import EventFlag, Kind, Match, Reason
from engine._core.strategy_abi import WishType
from engine._core.types import Flag
from engine._core.types import Kind as Told
from engine.journal.port import CANCELED, EXPIRED, FILLED, OPEN, REJECTED, VenueOrder, VenueTrade
from engine.sim.distributions import Chances
from engine.sim.venue.recorded import QueueModel, Recorded
from engine.sim.world.wire import Ask, pack

REUSED = "a client id was used twice"
OWNER = 1
DEPTH_LOTS = 60  # of which a share stands at the touch
# One account of one engine: few orders at once, and a book of a touch alone.
ROOM = {"orders_max": 1024, "pages_max": 64, "lists_max": 16, "owners_max": 2, "dirty_max": 0}
_QUOTE, _TRADE = int(Told.KIND_QUOTE), int(Told.KIND_TRADE)
_WHOLE, _SELL = int(Flag.FLAG_FIRST | Flag.FLAG_LAST), int(Flag.FLAG_SELL)
_NO_PRICE = (WishType.TYPE_MARKET, WishType.TYPE_STOP, WishType.TYPE_TAKE)
_ENDS = {CANCELED: Told.KIND_ORDER_CANCELED, REJECTED: Told.KIND_ORDER_REJECTED, EXPIRED: Told.KIND_ORDER_EXPIRED}


@dataclass
class Resting:
    ask: Ask
    id_venue: int
    px_ticks: int
    qty_lots: int
    filled_lots: int = 0
    state: str = OPEN

    @property
    def id_order(self) -> int:
        return self.ask.id_order

    @property
    def sell(self) -> bool:
        return self.ask.sell

    def view(self) -> VenueOrder:
        return VenueOrder(
            self.id_order, self.id_venue, 0, self.sell, self.px_ticks, self.qty_lots, self.filled_lots, self.state
        )


Report = Callable[..., None]


class Venue:
    def __init__(
        self,
        seed: int,
        report: Report,
        *,
        window_ns: int = 5 * 10**9,
        px_ticks_max: int = 10_000_000,
        qty_lots_max: int = 10_000,
    ) -> None:
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
        self._by_number: dict[int, Resting] = {}
        self._book = Match(px_max=px_ticks_max, qty_max=qty_lots_max, **ROOM)
        self._crowd = Recorded(self._book, model=int(QueueModel.QUEUE_SHARE))
        self.touch = (0, 0)

    # ------------------------------------------------------------------------------------------------- as an exchange
    def place(self, ask: Ask, *, sent_ns: int, now_ns: int) -> None:
        if now_ns - sent_ns > self.window_ns or now_ns < self.banned_until_ns:
            return  # an error, and no order: whoever asked gets no answer and asks again
        known = self.orders.get(ask.id_order)
        if known is not None:
            if known.ask != ask:
                self.reused.append(ask.id_order)
            return  # the same request twice is one order
        self._number += 1
        order = Resting(ask, self._number, ask.px_ticks, ask.qty_lots)
        self.orders[ask.id_order] = self._by_number[order.id_venue] = order
        self.open[ask.id_order] = order
        if not self._taken(ask, order.id_venue, now_ns):
            self._end(order, REJECTED, now_ns)
        self._listen(now_ns)

    def _taken(self, ask: Ask, number: int, now_ns: int) -> bool:
        if self.halted or (ask.reduce_only and not 0 < ask.qty_lots <= (self.lots if ask.sell else -self.lots)):
            return False
        self._book.advance(now_ns)
        status = self._book.submit(
            number, owner=OWNER, sell=ask.sell, type=ask.type, qty_lots=ask.qty_lots,
            px_ticks=0 if ask.type in _NO_PRICE else ask.px_ticks, tif=ask.tif, trigger_px=ask.trigger_px,
            trail=ask.trail, display_lots=ask.display_lots, expire_ns=ask.expire_ns,
        )  # fmt: skip
        return status == 0

    def take_away(self, id_order: int, now_ns: int) -> None:
        """A cancel."""
        if now_ns < self.banned_until_ns:
            return
        order = self.orders.get(id_order)
        if order is None:
            self._tell(Told.KIND_ORDER_CANCEL_NO_ORDER, Resting(Ask(id_order), 0, 0, 0), now_ns)
        elif order.state == FILLED:
            self._tell(Told.KIND_ORDER_CANCEL_TOO_LATE, order, now_ns)
        elif order.state == OPEN and self._book.cancel(order.id_venue) == 0:
            self._listen(now_ns)

    def take_all_away(self, now_ns: int) -> None:
        """Cancel all."""
        if now_ns >= self.banned_until_ns:
            for id_order in list(self.open):
                self.take_away(id_order, now_ns)

    def amend(self, id_order: int, *, px_ticks: int, qty_lots: int, now_ns: int) -> None:
        """Change a resting order in its place."""
        if now_ns < self.banned_until_ns:
            return
        order = self.orders.get(id_order)
        if order is None or order.state != OPEN:
            nobody = order or Resting(Ask(id_order), 0, 0, 0)
            self._tell(Told.KIND_ORDER_REPLACE_NO_ORDER, nobody, now_ns)
            return
        before = order.px_ticks, order.qty_lots
        order.px_ticks, order.qty_lots = px_ticks, qty_lots
        if self.halted or self._book.amend(order.id_venue, px_ticks=px_ticks, qty_lots=qty_lots):
            order.px_ticks, order.qty_lots = before
            self._tell(Told.KIND_ORDER_REPLACE_REFUSED, order, now_ns)
        self._listen(now_ns)

    def query(self, id_order: int, now_ns: int) -> None:
        """What became of an order. One that it does not know is not called absent: a request may be on its way."""
        if now_ns < self.banned_until_ns:
            return
        order = self.orders.get(id_order)
        if order is not None and order.state != FILLED:
            self._tell(_ENDS.get(order.state, Told.KIND_ORDER_ACK), order, now_ns, id_venue=order.id_venue)

    # ----------------------------------------------------------------------------------------------------- as a market
    def move(self, bid_ticks: int, ask_ticks: int, now_ns: int) -> tuple[int, int]:
        """The touch is this now. Returns how much stands there."""
        self.touch = (bid_ticks, ask_ticks)
        bid_lots, ask_lots = self._standing(), self._standing()
        if not self.halted:
            self._play(_QUOTE, _WHOLE, now_ns, bid_ticks, bid_lots, ask_ticks, ask_lots)
            # Stops wait for the last price, and between two trades of the crowd that is the bid.
            if self.open:
                self._book.set_last(bid_ticks)
            self._listen(now_ns)
        return bid_lots, ask_lots

    def trade(self, sell: bool, px_ticks: int, qty_lots: int, now_ns: int) -> None:
        """Somebody else took from the book."""
        if not self.halted:
            self._play(_TRADE, _SELL if sell else 0, now_ns, px_ticks, qty_lots)
            self._listen(now_ns)

    def _standing(self) -> int:
        return max(1, round(DEPTH_LOTS * self._chances.fill_ratio()))

    def _play(self, kind: int, flags: int, now_ns: int, *words: int) -> None:
        self._crowd.apply(memoryview(pack(kind, *words, now_ns=now_ns, flags=flags, ts_venue_ns=now_ns)), False)

    # --------------------------------------------------------------------------------------------------- what happened
    def _listen(self, now_ns: int) -> None:
        """Everything that the book did to orders of ours."""
        if not self.open:
            self._book.told()
            return
        while events := self._book.told() or self._woken():
            for kind, reason, flags, _, number, other, px, lots, *_ in events:
                self._happened(kind, reason, flags, number, other, px, lots, now_ns)

    def _woken(self) -> list[tuple[int, ...]]:
        """What stops did that the last price has triggered."""
        self._book.run()
        return self._book.told()

    def _happened(
        self, kind: int, reason: int, flags: int, number: int, other: int, px: int, lots: int, now_ns: int
    ) -> None:
        if kind == Kind.MATCHED_TRADE:
            taker = bool(flags & EventFlag.MATCHED_TAKER_OWNED)
            for mine, owned in ((number, taker), (other, bool(flags & EventFlag.MATCHED_MAKER_OWNED))):
                if owned:
                    self._fill(self._by_number[mine], px, lots, now_ns)
            return
        order = self._by_number.get(number)
        if order is None:
            return
        if kind == Kind.MATCHED_NEW:
            self._tell(Told.KIND_ORDER_ACK, order, now_ns, id_venue=order.id_venue)
        elif kind == Kind.MATCHED_AMENDED:
            self._tell(Told.KIND_ORDER_REPLACED, order, now_ns, qty_lots=order.qty_lots, id_venue=order.id_venue)
        elif kind == Kind.MATCHED_CANCELED:
            self._end(order, CANCELED, now_ns)
        elif kind == Kind.MATCHED_REJECTED:
            self._end(order, REJECTED, now_ns)
        elif kind == Kind.MATCHED_EXPIRED:
            self._end(order, EXPIRED if reason != Reason.REASON_USER else CANCELED, now_ns)

    def _fill(self, order: Resting, px_ticks: int, lots: int, now_ns: int) -> None:
        """One execution, told as several trades."""
        left = lots
        for parts_after in reversed(range(max(1, min(lots, self._chances.fill_count())))):
            part = left
            if parts_after:
                part = max(1, min(left, round(left * self._chances.fill_ratio() * 2)))
            left -= part
            self._number += 1
            order.filled_lots += part
            self.trades.append(VenueTrade(self._number, order.id_order, 0, order.sell, px_ticks, part, now_ns))
            self._trade_ids.append(self._number)
            sign = -1 if order.sell else 1
            self.lots += sign * part
            self.flow -= sign * part * px_ticks
            if order.filled_lots == order.qty_lots:
                order.state = FILLED
                del self.open[order.id_order]
            self._tell(Told.KIND_ORDER_FILL, order, now_ns, px_ticks=px_ticks, qty_lots=part, id_venue=self._number)
            if not left:
                break

    def _end(self, order: Resting, state: str, now_ns: int) -> None:
        order.state = state
        self.open.pop(order.id_order, None)
        self._tell(_ENDS[state], order, now_ns)

    def _tell(
        self, kind: int, order: Resting, now_ns: int, *, px_ticks: int | None = None, qty_lots: int = 0,
        id_venue: int = 0,
    ) -> None:  # fmt: skip
        px = order.px_ticks if px_ticks is None else px_ticks
        self._report(kind, order, now_ns, px_ticks=px, qty_lots=qty_lots, id_venue=id_venue)

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
            self._book.cancel(found.id_venue)
            self._book.told()

    def worst_lots(self, sell: bool) -> int:
        """The position if everything open on a side fills."""
        side = sum(o.qty_lots - o.filled_lots for o in self.open.values() if o.sell == sell)
        return self.lots - side if sell else self.lots + side
