"""The live driver: joins a venue's sockets to the core, with the seam that the embedded exchange has.

Market frames go from the socket's callback through the parser into the core in one call; an intent that comes out of it
is written to its socket before that call returns. Everything slow (images, questions over REST, the clock, the tally)
runs in tasks beside (`care.py`), whose results come in as events like any other.

Owns: connections, their lights, the one door into the core (`_tell`). Does not own: what messages mean
(`engine/venues`), the core's judgement: the gate of the core is shut and opened by events, so a replay sees the same;
the driver's own gate stands behind it as the second line. Invariants: an event reaches the core only through `_tell`,
never inside another step; no new order leaves while a light is red; nothing here blocks the loop.
Cost: bench/bench_live.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.book import Side
from engine._core.clock import utc_ns
from engine._core.encode import Encoder
from engine._core.order_table import OrderState
from engine._core.types import BALANCE, EVENT, ORDER, POSITION, Feed, Kind
from engine.journal.port import VenueView
from engine.journal.reconcile import Row
from engine.net.backoff import BackoffConfig
from engine.net.link import Link, LinkConfig
from engine.net.transport import Connection, Transport
from engine.runtime.care import Care, CareConfig
from engine.runtime.engine import Depth, Engine
from engine.runtime.hearing import Hearing
from engine.runtime.lane import Lane
from engine.runtime.lines import AccountLines
from engine.safety.armed import Armed
from engine.venues.binance import market, sign
from engine.venues.binance.account import BinanceAccount
from engine.venues.binance.api import OrderApi
from engine.venues.binance.user import UserStream
from engine.venues.directory import Directory
from engine.venues.driver import StartGate, Tally
from engine.venues.feed import RULES, STREAMS, MarketFeed
from engine.venues.records import SYMBOL_ALL, Records
from engine.venues.sender import Sender, SenderConfig
from engine.venues.tally import TallyStart

Events = npt.NDArray[Any]
MS = 1_000_000
# Payments of the time between two sessions are asked for so far back.
FUNDING_BACK_NS = 7 * 86_400 * 10**9
_NOTHING = np.zeros(0, EVENT)
_SENT_TWICE = (Kind.KIND_ORDER_ACK, Kind.KIND_ORDER_CANCELED, Kind.KIND_ORDER_EXPIRED, Kind.KIND_ORDER_REJECTED)


@dataclass(frozen=True)
class LiveConfig:
    endpoints: market.Endpoints
    link: LinkConfig = field(default_factory=LinkConfig)
    backoff: BackoffConfig = field(default_factory=BackoffConfig)
    sender: SenderConfig = field(default_factory=SenderConfig)
    care: CareConfig = field(default_factory=CareConfig)
    spare_ws: str = ""  # a second address of the market's streams, listened to all the time
    hot_spare: bool = False  # two connections to each address
    dead_man_ms: int = 60_000  # of the venue's own timer, where it has one; 0: it is not armed
    tick_s: float = 0.02
    seed: int = 0


class LiveExchange:
    """One account at one venue. `start` when a loop runs; `close` cancels what rests and leaves nothing behind."""

    def __init__(
        self, config: LiveConfig, directory: Directory, signer: sign.Signer, encoder: Encoder,
        account: BinanceAccount, transport: Transport,
    ) -> None:  # fmt: skip
        self.config, self.directory, self.signer, self.account = config, directory, signer, account
        self.budget, self.clock = account.http.budget, account.clock
        self.feed = MarketFeed(directory, RULES[account.market])
        self.user = UserStream(directory)
        self.api = OrderApi(directory, self.user)
        self.sender = Sender(encoder, self.api, self.budget, config.sender)
        self.gate = StartGate(i.index for i in directory)
        self.tally = Tally()
        self.is_linear = account.market == "usdm"
        self.dead_man = Armed(available=self.is_linear and config.dead_man_ms > 0, after_ns=config.dead_man_ms * MS)
        self.held: dict[int, tuple[int, int]] = {}  # linear: lots and entry price by symbol, as the venue said last
        self.care = Care(self)
        self.notes: deque[tuple[str, str]] = deque(maxlen=256)
        self.balances: dict[int, int] = {}  # by the ledger's asset: the account's own first, then each base in order
        self.known: dict[tuple[int, int], int] = {}  # our order by (symbol, the venue's number)
        self.failure: Exception | None = None
        self.opened_count = 0  # how often the core was told that all is green
        self._engine: Engine | None = None
        self._lane: Lane | None = None
        self.queue: deque[Events] = deque()
        self.busy = False
        self.records = Records()
        self.told_open = False
        self._offset_ns = self.clock.venue_now_ns(utc_ns()) - utc_ns()
        self._tasks: set[asyncio.Task[None]] = set()
        names = [market.stream(i.text, name) for i in directory for name in STREAMS[account.market]]
        bases = [config.endpoints] + [replace(config.endpoints, market_ws=at) for at in (config.spare_ws,) if at]
        self._market_ways = [list(market.urls(account.market, base, names)) for base in bases]
        self.market_links = [
            Link(
                transport, url, self._on_market, on_up=self._market_up, on_down=partial(self._market_down, at),
                receiver=lambda: self._lane, backoff=config.backoff, seed=config.seed + at + 1000 * way,
                config=replace(config.link, wanted=2 if config.hot_spare else 1),
            )
            for way, urls in enumerate(self._market_ways)
            for at, url in enumerate(urls)
        ]  # fmt: skip
        self.hearing = Hearing(self)
        self.lines = AccountLines(self, transport)

    # ------------------------------------------------------------------------------------------------ the engine's seam
    def poll(self, until_ns: int) -> Events:  # noqa: ARG002  (what is here has happened)
        if self.failure is not None:
            raise self.failure
        return self.queue.popleft() if self.queue else _NOTHING

    def submit(self, outputs: Events) -> None:
        """The outputs of one step: intents leave now, a refused book is fetched anew."""
        now = utc_ns()
        # Inside a step: what has to be told because of it waits until the step is over.
        was_busy, self.busy = self.busy, True
        try:
            # The newest measured distance, looked up each tick: the clock's own answer weighs sixteen samples.
            out = self.sender.take(outputs, now, now + self._offset_ns, may_place=self.gate.is_open)
            if out.messages:
                self._send(out.messages, now)
            if len(out.reports):
                self.queue.append(out.reports)
            if out.wait_ns:
                self.care.no_room(now + out.wait_ns)
                self.gate.budget("no room for new orders in this window")
                self.show_gate(now)
                self.queue.append(self.records.take())
            for symbol in out.cancel_all:
                self.care.cancel_all(symbol)
            if out.verify:
                self.care.verify(out.verify)
            for symbol in out.distrusted:
                if self.feed.is_live(symbol):
                    self._lose_book(symbol, "the book refused a change")
        finally:
            self.busy = was_busy

    def _send(self, messages: list[bytes], now: int) -> None:
        connection = self.connection
        for message in messages:
            if connection is None or not connection.send(message):
                self.unsent(message, now)

    def unsent(self, message: bytes, now: int) -> None:
        """No connection took it: its order is in doubt."""
        self.tell(self.sender.unsent(message, now))

    def positions(self) -> dict[int, int]:
        """By its own word; on spot by its own list of trades, as of the last tally."""
        return {symbol: lots for symbol, (lots, _) in self.held.items()} if self.is_linear else dict(self.care.net_lots)

    def equity(self) -> int:
        """Its own balances, as its user stream said them last, at the middle of the books; 0 while one is not known."""
        if not self.balances or self._engine is None:
            return 0
        total, rows = self.balances.get(0, 0), self._engine.core.world.instruments()
        for instrument in self.directory:
            row = rows[instrument.index]
            bid, ask = int(row["bid_px_ticks"]), int(row["ask_px_ticks"])
            if self.is_linear:
                lots, paid_e8 = self.held.get(instrument.index, (0, 0))
                amount = lots * instrument.lot_e8
            else:
                # Each instrument's base asset follows the account's own, in their order.
                amount, paid_e8 = self.balances.get(instrument.index + 1, 0), 0
            if amount and not 0 < bid <= ask:
                return 0
            total += amount * ((bid + ask) * instrument.tick_e8 // 2 - paid_e8) // 10**8
        return total

    def depth(self, symbol: int, levels: int) -> Depth:
        """The core's own book."""
        if self._engine is None:
            return [], []
        world = self._engine.core.world
        bids, asks = (world.book_levels(symbol, side, levels).tolist() for side in (Side.SIDE_BID, Side.SIDE_ASK))
        return bids, asks

    def look(self, next_trade: Mapping[int, int], take: Callable[[VenueView], None]) -> None:
        """Its books, over REST; nothing while no stream brings what they would be held against."""
        if self.connection is not None:
            self.care.look(dict(next_trade), take)

    def settled(self) -> list[Row]:
        return self.care.settled()

    def go_on(self, reports: Events, start: TallyStart, orders: Iterable[int]) -> None:
        """Before `start`: what earlier sessions heard, so that no fill is told twice and none is missed.

        `orders` may be at the venue; a request that the last process wrote as it died may still be on its way.
        """
        now = utc_ns()
        self.sender.placed.update((id_order, now) for id_order in orders)
        self.tally.booked(start.keys())
        if len(reports):
            self._heard(reports)
        self.care.next_trade = dict(start.next_trade)
        self.care.net_lots = dict(start.net_lots)
        # Payments of the time between: the core knows those that it has by their number.
        self.care.linear.funding_ns -= min(self.care.linear.funding_ns, FUNDING_BACK_NS)

    # ------------------------------------------------------------------------------------------------------------- life
    def join(self, engine: Engine) -> None:
        """Drive this engine from now on."""
        self._engine, self._lane = engine, Lane(self, engine)
        self._lane.offset_ns = self._offset_ns

    async def start(self, engine: Engine) -> None:
        """Open everything. Returns at once: the core stays shut until every light is green."""
        self.join(engine)
        now = utc_ns()
        for feed in (Feed.FEED_MARKET, Feed.FEED_USER, Feed.FEED_ORDERS):
            self.tell_feed(feed, up=0, now=now)
        self.flush()
        for link in self.market_links:
            link.start()
        self._spawn(self._tick())

    async def close(self) -> None:
        """Take back what rests, tell the last fills, end every connection and task."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.care.stopped()
        if self._engine is not None and self.failure is None:
            await self.care.settle()
        self._engine = self._lane = None
        for link in self.market_links:
            await link.stop()
        await self.lines.stop()
        await self.account.close()

    @property
    def connection(self) -> Connection | None:
        """The newest one that orders may go over."""
        return self.lines.connection

    @property
    def core(self) -> Any:
        assert self._engine is not None
        return self._engine.core

    def _spawn(self, what: Any) -> None:
        task = asyncio.get_running_loop().create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """A fault of ours: it ends the session through `poll`, not silently in a task."""
        if self.failure is None:
            self.failure = error if isinstance(error, Exception) else RuntimeError(repr(error))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.config.tick_s)
            now = utc_ns()
            self.care.tick(now)
            if not self.clock.why_not_sign(now):
                # Nothing signed may leave before the clock is known, so neither does the log-on.
                self.lines.start()
            self._look(now)

    def _look(self, now: int) -> None:
        self._offset_ns = self.clock.venue_now_ns(now) - now
        if self._lane is not None:
            self._lane.offset_ns = self._offset_ns
        messages, reports = self.sender.due(now, self.clock.venue_now_ns(now))
        self.tell(reports)
        self._send(messages, now)
        self.lines.look(now)
        self.hearing.pass_words(now)
        if self.feed.shutdown_said:
            self.feed.shutdown_said = False
            for link in self.market_links:
                link.roll_over()
        self.show_gate(now)
        self.flush()

    # ------------------------------------------------------------------------------------------------ the core's door
    def tell(self, events: Events) -> None:
        """Give events to the core now, or right after the step that is under way."""
        if len(events) and len(events := self._still_meant(events)):
            self._heard(events)
            self.queue.append(events)
            self.flush()

    def flush(self) -> None:
        if len(self.records):
            self.queue.append(self.records.take())
        if self.busy or self._engine is None or self.failure is not None:
            return
        self.busy = True
        try:
            while self.queue:
                self._engine.take(self.queue.popleft())
        except Exception as error:
            self.fail(error)
            raise
        finally:
            self.busy = False

    def _heard(self, events: Events) -> None:
        """Remember which fills were told, and our numbers behind the venue's."""
        for balance in events[events["kind"] == Kind.KIND_BALANCE].view(BALANCE):
            self.balances[int(balance["asset"])] = int(balance["free"]) + int(balance["locked"])
        for position in events[events["kind"] == Kind.KIND_POSITION].view(POSITION):
            self.held[int(position["symbol"])] = int(position["lots"]), int(position["entry_px_e8"])
        if Kind.KIND_ORDER_ACK <= events["kind"][0] <= Kind.KIND_ORDER_LOST:
            self.tally.heard(events)
            for row in events[np.isin(events["kind"], _SENT_TWICE)].view(ORDER):
                if row["id_venue"]:
                    self.known[int(row["symbol"]), int(row["id_venue"])] = int(row["id_order"])
            while len(self.known) > 65_536:
                del self.known[next(iter(self.known))]

    def _still_meant(self, events: Events) -> Events:
        """Doubt about an order that has ended says nothing; absence is said of an order in doubt only."""
        doubts = np.isin(events["kind"], (Kind.KIND_ORDER_LOST, Kind.KIND_ORDER_ABSENT))
        if self._engine is None or not doubts.any():
            return events
        states = {int(row["id_order"]): int(row["state"]) for row in self.core.world.live_orders()}
        parts = []
        for at, is_doubt in enumerate(doubts):
            event = events[at : at + 1]
            state = states.get(int(event.view(ORDER)["id_order"][0]))
            if is_doubt and state is None:
                continue
            if is_doubt and state != OrderState.STATE_UNKNOWN and event["kind"][0] == Kind.KIND_ORDER_ABSENT:
                lost = event.copy()
                lost["kind"] = Kind.KIND_ORDER_LOST
                parts.append(lost)
            parts.append(event)
        return np.concatenate(parts) if parts else _NOTHING

    def tell_feed(self, feed: Feed, *, up: int, now: int, symbol: int = SYMBOL_ALL) -> None:
        self.records.feed(feed=int(feed), up=up, venue=0, ts_recv_ns=now, symbol=symbol)

    def show_gate(self, now: int) -> None:
        """The core's own gate follows: 2 opens it; 1 shuts it until somebody has compared."""
        is_open = self.gate.is_open
        if is_open != self.told_open and self.lines.is_reached:
            self.tell_feed(Feed.FEED_USER, up=2 if is_open else 1, now=now)
            self.opened_count += int(is_open)
        self.told_open = is_open

    def queue_records(self) -> None:
        if len(self.records):
            self.queue.append(self.records.take())

    def note(self, kind: str, text: str) -> None:
        self.notes.append((kind, text))

    # ------------------------------------------------------------------------------------------------------ market data
    def _on_market(self, connection: Connection, payload: memoryview | bytes, ts_recv_ns: int) -> None:  # noqa: ARG002
        if self._lane is not None:
            self._lane.message(payload, ts_recv_ns)
        else:
            self.released(self.feed.on_frame(payload, ts_recv_ns))

    def released(self, released: list[Events]) -> None:
        """What the feed lets go on, and what it says beside: the long way of a message."""
        if released:
            self.queue.extend(released)
            self.flush()
        if self.feed.lost:
            for symbol in self.feed.lost:
                self._lose_book(symbol, "a change is missing")
            self.feed.lost.clear()
        if self.feed.image_wanted:
            self.feed.image_wanted = False
            self.care.want_images(self.feed.wants_image())

    def image(self, symbol: int, body: bytes, ts_recv_ns: int) -> bool:
        """An image that was asked for; false when it is too old and another one is wanted."""
        released = self.feed.on_image(symbol, body, ts_recv_ns)
        if not released:
            return False
        self.tell_feed(Feed.FEED_MARKET, up=1, now=ts_recv_ns, symbol=symbol)
        self.queue.append(self.records.take())
        self.queue.extend(released)
        self.flush()
        self.gate.book(symbol, whole=self.feed.is_live(symbol))
        return True

    def _lose_book(self, symbol: int, why: str) -> None:
        if self.feed.is_live(symbol):
            self.feed.restart(symbol)
        self.gate.book(symbol, whole=False)
        self.note("book", f"{symbol}: {why}")
        now = utc_ns()
        self.tell_feed(Feed.FEED_MARKET, up=0, now=now, symbol=symbol)
        # At once: what the core places while only the driver's gate is shut comes back as a reject, and rejects in a
        # row stop a symbol.
        self.show_gate(now)
        self.flush()

    def _market_up(self, connection: Connection) -> None:  # noqa: ARG002
        self.flush()

    def _market_down(self, at: int, reason: str) -> None:
        """One address of the streams numbered `at` is gone."""
        each = len(self._market_ways[0])
        if any(link.is_up for link in self.market_links[at::each]):
            # Another address has the same streams: the book goes on without a gap.
            self.note("market", f"{reason}; the spare goes on")
            return
        self.feed.down()
        for instrument in self.directory:
            self.gate.book(instrument.index, whole=False)
        self.note("market", reason)
        now = utc_ns()
        self.tell_feed(Feed.FEED_MARKET, up=0, now=now)
        self.show_gate(now)
        self.flush()
