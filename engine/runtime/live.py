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
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy.typing as npt

from engine._core.clock import utc_ns
from engine._core.encode import Encoder
from engine._core.order_table import OrderState
from engine._core.types import Feed
from engine.net.backoff import BackoffConfig
from engine.net.link import Link, LinkConfig
from engine.net.transport import Connection, Transport
from engine.runtime.care import Act, CareConfig
from engine.runtime.door import MS, Door
from engine.runtime.engine import Engine
from engine.runtime.hearing import Hearing
from engine.runtime.images import Images
from engine.runtime.lane import Lane
from engine.runtime.lines import AccountLines
from engine.safety.armed import Armed
from engine.venues.binance import market, sign
from engine.venues.binance.account import BinanceAccount
from engine.venues.binance.api import OrderApi
from engine.venues.binance.user import UserStream
from engine.venues.directory import Directory
from engine.venues.feed import RULES, STREAMS, MarketFeed
from engine.venues.sender import Sender, SenderConfig

Events = npt.NDArray[Any]


@dataclass(frozen=True)
class LiveConfig:
    endpoints: market.Endpoints
    link: LinkConfig = field(default_factory=LinkConfig)
    backoff: BackoffConfig = field(default_factory=BackoffConfig)
    sender: SenderConfig = field(default_factory=SenderConfig)
    care: CareConfig = field(default_factory=CareConfig)
    spare_ws: str = ""  # a second address of the market's streams, listened to all the time
    hot_spare: bool = False  # two connections to each address
    bars_of: tuple[str, ...] = ()  # names of instruments whose closed bars somebody asks for
    bars: str = "1m"
    dead_man_ms: int = 60_000  # of the venue's own timer, where it has one; 0: it is not armed
    tick_s: float = 0.02
    seed: int = 0
    venue: int = 0  # as the core numbers it


class LiveExchange(Door):
    """One account at one venue. `start` when a loop runs; `close` cancels what rests and leaves nothing behind."""

    sender: Sender

    def __init__(
        self, config: LiveConfig, directory: Directory, signer: sign.Signer, encoder: Encoder,
        account: BinanceAccount, transport: Transport,
    ) -> None:  # fmt: skip
        linear = account.market == "usdm"
        super().__init__(
            directory, account, account.http.budget, account.clock, venue=config.venue, tick_s=config.tick_s,
            care=config.care, is_linear=linear,
            dead_man=Armed(available=linear and config.dead_man_ms > 0, after_ns=config.dead_man_ms * MS),
        )  # fmt: skip
        self.config, self.signer = config, signer
        self.feed = MarketFeed(directory, RULES[account.market])
        self.user = UserStream(directory)
        self.api = OrderApi(directory, self.user)
        self.sender = Sender(encoder, self.api, self.budget, config.sender)
        self.images = Images(self)
        self._lane: Lane | None = None
        self._offset_ns = self.clock.venue_now_ns(utc_ns()) - utc_ns()
        names = [market.stream(i.text, name) for i in directory for name in STREAMS[account.market]]
        names += [market.stream(text, f"kline_{config.bars}") for text in config.bars_of]
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
    def submit(self, outputs: Events) -> None:
        """The outputs of one step: intents leave now, a refused book is fetched anew."""
        now = utc_ns()
        # Inside a step: what has to be told because of it waits until the step is over.
        was_busy, self.busy = self.busy, True
        try:
            # The newest measured distance, looked up each tick: the clock's own answer weighs sixteen samples.
            out = self.sender.take(
                outputs, now, now + self._offset_ns, may_place=self.gate.is_open, is_connected=self.is_connected
            )
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

    def release(self, now: int) -> None:
        """The first connection after none: what was to be taken back meanwhile is taken back before anything else."""
        if not self.sender.held or self._engine is None:
            return
        rows = self.core.world.live_orders()
        still = set(rows["id_order"][rows["state"] == int(OrderState.STATE_PENDING_CANCEL)].tolist())
        out = self.sender.released(still, now, now + self._offset_ns)
        self._send(out.messages, now)
        self.tell(out.reports)

    def unsent(self, message: bytes, now: int) -> None:
        """No connection took it: its order is in doubt."""
        self.tell(self.sender.unsent(message, now))

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
        await self._last_look()
        self._engine = None
        self._lane = None
        for link in self.market_links:
            await link.stop()
        await self.lines.stop()
        await self.account.close()

    @property
    def connection(self) -> Connection | None:
        """The newest one that orders may go over."""
        return self.lines.connection

    @property
    def is_connected(self) -> bool:
        return self.connection is not None

    @property
    def is_reached(self) -> bool:
        return self.lines.is_reached

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
            self.images.want(self.feed.wants_image())

    def acts(self) -> dict[str, Act]:
        return {"listen_key": self._keep_listening} if self.is_linear else {}

    async def _keep_listening(self) -> None:
        """A key is made where there is none and kept alive where there is one."""
        self.lines.renewed(await self.account.listen_key())

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
