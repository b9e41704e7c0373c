"""A venue of protocol `ccxt` in a session: the bridge on its own thread, its records through the door to the core.

What the core wants done goes over to the bridge's thread and is not waited for; what the bridge hears waits in an inbox
until the core's loop takes it. Nothing of ccxt runs on the core's thread, so a slow exchange costs its own orders time
and nobody else's.

Owns: the inbox, requests under way, which lanes of data work, questions about orders. Does not own: calls and decoding
(`engine/venues/ccxt_*`), the time table (`care.py`), the gate (`door.py`). Invariants: the light of the user stream is
green while own trades (and ends of orders, where the exchange has such a stream) are heard, and after a gap only when
both sides were compared; a new order asks gate and latch once more on the bridge's thread, right before it leaves;
requests about one order leave in the order in which the core made them; while no request gets through a cancel waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.clock import utc_ns
from engine._core.order_table import OrderState
from engine._core.types import INTENT, ORDER, Feed, Flag, Kind
from engine.errors import Bot4Error
from engine.net.budget import SECOND
from engine.runtime.bridged_config import BridgedConfig
from engine.runtime.care import Act
from engine.runtime.door import MS, SENT_TWICE, Door
from engine.runtime.engine import Engine, at_venue
from engine.runtime.questions import Questions, as_intent
from engine.safety.armed import Armed
from engine.venues.binance.ids import Request
from engine.venues.bridge_thread import BridgeThread
from engine.venues.ccxt_account import CcxtAccount
from engine.venues.ccxt_bridge import CcxtBridge, DataLane
from engine.venues.ccxt_linear import CcxtLinear
from engine.venues.outcome import Act as Action
from engine.venues.outcome import Outcome
from engine.venues.terms import reduces

Events = npt.NDArray[Any]
_PLACE, _CANCEL, _QUERY, _ALL = (
    int(kind)
    for kind in (
        Kind.KIND_INTENT_PLACE, Kind.KIND_INTENT_CANCEL, Kind.KIND_INTENT_QUERY, Kind.KIND_INTENT_CANCEL_ALL,
    )
)  # fmt: skip
_IN_DOUBT = (OrderState.STATE_PENDING_CANCEL, OrderState.STATE_UNKNOWN)
_REQUESTS = "requests", "the account"  # among the lanes that do not work
_ASKED_FOR = (Kind.KIND_ORDER_LOST, Kind.KIND_ORDER_CANCEL_NO_ORDER)


class BridgedExchange(Door):
    """One account at one exchange of ccxt's."""

    def __init__(
        self, config: BridgedConfig, bridge: CcxtBridge, account: CcxtAccount, thread: BridgeThread, inbox: deque[Any]
    ) -> None:
        self.config, self.bridge, self.thread, self.inbox = config, bridge, thread, inbox
        self.sender = self.questions = Questions()
        self._broken: dict[tuple[str, str], str] = {
            (lane.has, i.text): "not asked yet" for lane in bridge.lanes for i in bridge.directory
        }
        self._told_lines = False
        self._cancels: dict[int, Events] = {}  # by order: held while no request gets through
        self._cancelling: set[int] = set()  # orders whose cancel is on its way
        self._whole: set[int] = set()  # symbols whose book is there
        self._under_way: dict[int, asyncio.Task[None]] = {}  # the newest request of each order
        self._loop: asyncio.AbstractEventLoop | None = None
        self._following: Future[Any] | None = None
        super().__init__(
            bridge.directory, account, bridge.budget, account.clock, venue=config.venue, tick_s=config.tick_s,
            care=config.care, is_linear=isinstance(account, CcxtLinear),
            dead_man=Armed(available=account.can_arm and config.dead_man_ms > 0, after_ns=config.dead_man_ms * MS),
        )  # fmt: skip

    def acts(self) -> dict[str, Act]:
        own: dict[str, Act] = {"orders": self._orders, "balances": self._balances}
        own |= {"positions": self._positions} if self.is_linear else {}
        return own | ({"dead_man": self._arm} if self.dead_man.available else {})

    @property
    def is_connected(self) -> bool:
        return self._told_lines

    @property
    def is_reached(self) -> bool:
        return self._told_lines

    @property
    def _is_cut(self) -> bool:
        """No request gets through, whatever the streams still tell."""
        return _REQUESTS in self._broken

    # ------------------------------------------------------------------------------------------------------- going out
    def submit(self, outputs: Events) -> None:
        was_busy, self.busy = self.busy, True
        now, may_place = utc_ns(), self.gate.is_open
        try:
            for at in np.flatnonzero(np.isin(outputs["kind"], (_PLACE, _CANCEL, _QUERY, _ALL))):
                self._one(outputs[at : at + 1], now, may_place=may_place)
            self.queue_records()
        finally:
            self.busy = was_busy

    def _one(self, event: Events, now: int, *, may_place: bool) -> None:
        row = event.view(INTENT)[0]
        kind, id_order, symbol = int(row["kind"]), int(row["id_order"]), int(row["symbol"])
        sell = bool(row["flags"] & Flag.FLAG_SELL)
        if kind == _ALL:
            self.care.cancel_all(symbol)
        elif kind == _QUERY and not id_order:
            self.care.verify([symbol])
        elif kind == _QUERY:
            self.questions.ask(Request("q", sell, id_order, symbol), now)
        elif kind == _PLACE and not may_place and not reduces(int(row["terms"])):
            # Nothing left: the core hears it as the refusal that it is.
            self.records.order(
                Kind.KIND_ORDER_REJECTED, symbol=symbol, sell=sell, ts_venue_ns=0, ts_recv_ns=now, id_order=id_order
            )
        elif kind == _CANCEL and (self._is_cut or id_order in self._cancelling):
            # Of an order in doubt the core asks again with every message of the market.
            if self._is_cut:
                self._cancels[id_order] = event.copy()
        else:
            if kind == _PLACE:
                self.questions.placed[id_order] = now
            self._begin(id_order, event.copy())

    def _begin(self, id_order: int, event: Events) -> None:
        """A cancel does not overtake the request that places its order; other orders do not wait for it."""
        before = self._under_way.get(id_order)
        task = asyncio.get_running_loop().create_task(self._act(before, event))
        self._under_way[id_order] = task
        if event["kind"][0] == _CANCEL:
            self._cancelling.add(id_order)

        def ended(done: asyncio.Task[None]) -> None:
            if self._under_way.get(id_order) is done:
                del self._under_way[id_order]
            if not done.cancelled() and (error := done.exception()) is not None:
                self.fail(error)

        task.add_done_callback(ended)

    async def _act(self, before: asyncio.Task[None] | None, event: Events) -> None:
        if before is not None:
            await asyncio.wait([before])
        said = await self.thread.ask(self.bridge.act(event))
        if event["kind"][0] == _QUERY and said.outcome is Outcome.DONE:
            self.questions.asks.pop(int(event.view(INTENT)["id_order"][0]), None)
        if event["kind"][0] == _CANCEL:
            self._cancelling.discard(int(event.view(INTENT)["id_order"][0]))
            if said.act is Action.RETRY:
                self._hold(event)
        if said.outcome is not Outcome.DONE:
            self.note("answer", f"{int(event.view(INTENT)['id_order'][0])} {said.name}")
        if said.act in (Action.SLOW, Action.SLOW_ORDERS, Action.BAN):
            # At once: rejects in a row stop a symbol, and the next order would be one more.
            now = utc_ns()
            self.care.no_room(now + SECOND)
            self.care.judge(now)
            self.show_gate(now)
            self.flush()

    def _hold(self, event: Events) -> None:
        """A cancel that was not answered: until requests get through, or at once where they do by now."""
        id_order = int(event.view(INTENT)["id_order"][0])
        if self._is_cut:
            self._cancels[id_order] = event
        else:
            self._begin(id_order, event)

    # ------------------------------------------------------------------------------------------- on the bridge's thread
    def deliver(self, events: Events) -> None:
        self.inbox.append(events)
        self._wake()

    def heard(self, lane: DataLane, text: str, why_not: str) -> None:
        """A lane of data worked, or why it did not."""
        if self._broken.get((lane.has, text)) != why_not:
            self.inbox.append((lane, text, why_not))
            self._wake()

    def passed(self, through: bool) -> None:
        """Requests get through again, or do not any more."""
        self.inbox.append(through)
        self._wake()

    def _wake(self) -> None:
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self.take_in)
            except RuntimeError:
                # The core's loop has ended; nobody is there to hear it.
                self._loop = None

    # ------------------------------------------------------------------------------------------------------- coming in
    def take_in(self) -> None:
        """What waits in the inbox, in its order; of several images of one book the newest."""
        if self._engine is None or self.failure is not None:
            return
        images: dict[int, Events] = {}
        while self.inbox:
            one = self.inbox.popleft()
            if isinstance(one, tuple):
                self._lane(*one)
            elif isinstance(one, bool):
                self._passed(one)
            elif one["kind"][0] < Kind.KIND_ORDER_ACK:
                images[int(one["symbol"][0])] = one
            elif len(news := self._news(one)):
                self.tell(news)
        for symbol, image in images.items():
            self._image(symbol, image)
        self.flush()

    def _news(self, events: Events) -> Events:
        """Reports that the core does not have yet: a stream and the answer to a request tell the same twice."""
        live, keep = set(self.core.world.live_orders()["id_order"].tolist()), np.ones(len(events), bool)
        now = utc_ns()
        for at, kind in enumerate(events["kind"].tolist()):
            row = events[at : at + 1].view(ORDER)[0]
            id_order, sell = int(row["id_order"]), bool(row["flags"] & Flag.FLAG_SELL)
            if kind in SENT_TWICE:
                keep[at] = id_order in live
                if not keep[at] and row["id_venue"]:
                    # It ended before its answer came; its trades are found by what the exchange calls it.
                    self.known[int(row["symbol"]), int(row["id_venue"])] = id_order
            elif kind == Kind.KIND_ORDER_FILL and self.tally.is_told(int(row["symbol"]), sell, int(row["id_venue"])):
                # Its fee stands behind it.
                keep[at : at + 2] = [False, *(events["kind"][at + 1 : at + 2] != Kind.KIND_FEE)]
            elif kind in _ASKED_FOR and id_order in live:
                self.questions.ask(Request("q", sell, id_order, int(row["symbol"])), now + self.config.again_ns)
            elif kind == Kind.KIND_ORDER_ABSENT:
                keep[at] = self._is_absent(id_order, now)
        kept: Events = events[keep]
        return kept

    def _is_absent(self, id_order: int, now: int) -> bool:
        """Believed only when no request that places it can be carried out any more."""
        placed_ns = self.questions.placed.get(id_order, 0)
        request, _ = self.questions.asks.get(id_order, (None, 0))
        if now < placed_ns + self.config.request_ns:
            if request is not None:
                self.questions.ask(request, placed_ns + self.config.request_ns)
            return False
        self.questions.asks.pop(id_order, None)
        return True

    def _image(self, symbol: int, image: Events) -> None:
        if symbol not in self._whole:
            self._whole.add(symbol)
            self.tell_feed(Feed.FEED_MARKET, up=1, now=utc_ns(), symbol=symbol)
            self.queue_records()
            self.gate.book(symbol, whole=True)
        self.queue.append(image)

    def _lane(self, lane: DataLane, text: str, why_not: str) -> None:
        now, instrument = utc_ns(), self.directory.find(text)
        assert instrument is not None
        if why_not:
            self._broken[lane.has, text] = why_not
            self.note(lane.has, f"{text}: {why_not}")
        else:
            self._broken.pop((lane.has, text), None)
        if lane.is_book:
            if why_not:
                self._whole.discard(instrument.index)
                self.gate.book(instrument.index, whole=False)
                self.tell_feed(Feed.FEED_MARKET, up=0, now=now, symbol=instrument.index)
                self.show_gate(now)
        else:
            self._lines(now)

    def _passed(self, through: bool) -> None:
        """Cut off, a cancel is held: said to be lost it would be asked for again with every message of the market."""
        now = utc_ns()
        if not through:
            self._broken[_REQUESTS] = "no answer"
        elif self._broken.pop(_REQUESTS, None) is not None:
            # What was to be taken back meanwhile is taken back before anything else, unless it has ended by itself.
            rows, (held, self._cancels) = self.core.world.live_orders(), (self._cancels, {})
            still = set(rows["id_order"][np.isin(rows["state"], _IN_DOUBT)].tolist())
            for id_order, event in held.items():
                if id_order in still:
                    self._begin(id_order, event)
        self._lines(now)

    def _lines(self, now: int) -> None:
        """The account is reached while everything but the books is heard and requests get through."""
        silent = {what: why for what, why in self._broken.items() if what[0] != "watchOrderBook"}
        if bool(silent) is not self._told_lines:
            return
        self._told_lines = not silent
        if silent:
            (what, text), why = next(iter(silent.items()))
            self.note("account", f"{what} of {text}: {why}")
            self.gate.user_stream(up=False, reason=why)
            self.gate.orders(up=False, reason=why)
            self.told_open = False
        else:
            self.gate.orders(up=True)
            self.gate.user_stream(up=True)
        for feed in (Feed.FEED_ORDERS, Feed.FEED_USER):
            self.tell_feed(feed, up=int(not silent), now=now)
        self.flush()
        if not silent:
            self.care.reconcile()

    # ---------------------------------------------------------------------------------------------------------- duties
    async def _orders(self) -> None:
        """Orders of ours that rest here and not there have ended unheard: what they became is asked for."""
        begun = utc_ns()
        there = {order.id_order for order in await self.account.open_orders()}
        for row in at_venue(self.core.world):
            id_order = int(row["id_order"])
            if id_order not in there and int(row["ts_changed_ns"]) < begun and id_order not in self._under_way:
                self.questions.ask(Request("q", bool(row["sell"]), id_order, int(row["symbol"])), utc_ns())

    async def _balances(self) -> None:
        self.balances = await self.account.balances()

    async def _positions(self) -> None:
        await self.care.linear.look()

    async def _arm(self) -> None:
        """Renewed from the loop that trades: when that stands still nobody renews it, and the exchange cancels."""
        if self.failure is None:
            try:
                await self.account.arm_dead_man("", self.dead_man.after_ns // MS)
            except Bot4Error as error:
                self.dead_man.refused(str(error))
                raise
            self.dead_man.armed(utc_ns())

    # ------------------------------------------------------------------------------------------------------------- life
    async def start(self, engine: Engine) -> None:
        self._engine, self._loop = engine, asyncio.get_running_loop()
        now = utc_ns()
        for (symbol, number), id_order in self.known.items():
            # Of the session before: what the exchange calls its orders, where it counts them.
            del symbol
            self.bridge.is_called(id_order, str(number))
        for feed in (Feed.FEED_MARKET, Feed.FEED_USER, Feed.FEED_ORDERS):
            self.tell_feed(feed, up=0, now=now)
        self.flush()
        self._following = self.thread.begin(self.bridge.follow(pause_s=self.config.pause_s))
        self._spawn(self._tick())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.config.tick_s)
            if self._following is not None and self._following.done():
                raise RuntimeError("the bridge follows no more") from self._following.exception()
            now = utc_ns()
            self.care.tick(now)
            self._ask(now)
            self.show_gate(now)
            self.take_in()

    def _ask(self, now: int) -> None:
        live = set(self.core.world.live_orders()["id_order"].tolist()) if self.questions.asks else set()
        for request in self.questions.due(now, self.config.again_ns):
            if request.id_order not in live:
                self.questions.asks.pop(request.id_order, None)
            elif request.id_order not in self._under_way:
                self._begin(request.id_order, as_intent(request))
        self.questions.forget(now - 2 * self.config.request_ns)

    async def close(self) -> None:
        """Once; the requests under way end first, so that what they became is told."""
        if self._loop is None:
            return
        if self._under_way:
            await asyncio.wait(list(self._under_way.values()), timeout=self.care.config.settle_s)
        self.take_in()
        await self._last_look()
        if self.dead_man.was_armed and not self.care.failures.get("settle"):
            try:
                await self.account.arm_dead_man("", 0)
                self.dead_man.disarmed()
            except Bot4Error as error:
                # Nothing rests that it could cancel.
                self.note("dead_man", str(error))
        self._engine = self._loop = None
        if self._following is not None:
            self._following.cancel()
        await self.account.close()
        await asyncio.to_thread(self.thread.close)
