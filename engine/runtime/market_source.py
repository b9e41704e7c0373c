"""The market data of a venue as a source for `bot4 record`: no account, no key, nothing that trades.

Opens the market connections of some symbols, keeps each book by the venue's own procedure and gives every event in the
order of its receipt. A book that lost its thread is told as a feed that went down and, with its new image, came again:
whoever plays the record trades on nothing in between.

Owns: connections, images under way, the queue towards the record. Does not own: frames (engine/venues/feed.py), the
record. Invariant: what is given of a symbol is an image and every change after it, without a gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.clock import utc_ns
from engine._core.types import Feed
from engine.errors import Bot4Error
from engine.net.budget import SECOND, Limit, LimitKind, RateBudget
from engine.net.clocksync import ClockSync
from engine.net.http import HttpClient
from engine.net.link import Link
from engine.net.transport import Connection
from engine.net.transport import make as make_transport
from engine.venues.binance import info, market
from engine.venues.binance.account import BinanceAccount
from engine.venues.binance.sign import HmacSigner
from engine.venues.directory import Directory, Instrument
from engine.venues.feed import IMAGE_LEVELS, RULES, STREAMS, MarketFeed
from engine.venues.records import Records

Events = npt.NDArray[Any]
AGAIN_S = 0.25  # between two tries of an image
WEIGHT = 1_000  # a minute: a recorder takes little of what the address may ask


class VenueMarket:
    """`start` asks what the symbols' numbers mean; `events` gives what happens until `close`."""

    def __init__(self, kind: str, endpoints: market.Endpoints, symbols: Sequence[str]) -> None:
        self._kind, self._endpoints, self._symbols = kind, endpoints, tuple(symbols)
        self.directory = Directory()
        clock = ClockSync()
        budget = RateBudget([Limit(LimitKind.WEIGHT, 60 * SECOND, WEIGHT)])
        http = HttpClient(endpoints.rest, budget, counts_of=info.counts_of_headers, venue_now_ns=clock.venue_now_ns)
        # Nothing is signed: the account is asked for what everybody may know.
        self._account = BinanceAccount(kind, http, HmacSigner("", b"-"), self.directory, clock)
        self._queue: asyncio.Queue[Events | None] = asyncio.Queue()
        self._images: dict[int, asyncio.Task[None]] = {}
        self._links: list[Link] = []
        self._records = Records()
        self.lost_count = 0

    async def start(self) -> tuple[Instrument, ...]:
        """Raises where the venue does not answer or does not list a symbol."""
        found = info.instruments(await self._account.exchange_info(), self._symbols)
        for instrument in found.values():
            self.directory.add(instrument)
        self.feed = MarketFeed(self.directory, RULES[self._kind])
        transport = make_transport("picows")
        names = [market.stream(text, name) for text in found for name in STREAMS[self._kind]]
        self._links = [
            Link(transport, url, self._on_frame, on_down=self._down, seed=at)
            for at, url in enumerate(market.urls(self._kind, self._endpoints, names))
        ]
        for link in self._links:
            link.start()
        return tuple(found.values())

    async def events(self) -> AsyncIterator[Events]:
        while (events := await self._queue.get()) is not None:
            yield events

    def end(self) -> None:
        """What is here already is still given; then `events` ends."""
        self._queue.put_nowait(None)

    async def close(self) -> None:
        for link in self._links:
            await link.stop()
        for task in self._images.values():
            task.cancel()
        await asyncio.gather(*self._images.values(), return_exceptions=True)
        await self._account.close()

    # ------------------------------------------------------------------------------------------------- what comes in
    def _on_frame(self, connection: Connection, payload: memoryview | bytes, ts_recv_ns: int) -> None:  # noqa: ARG002
        for events in self.feed.on_frame(payload, ts_recv_ns):
            # The parser's room is used again for the next frame.
            self._queue.put_nowait(np.array(events))
        for symbol in self.feed.lost:
            self._tell(symbol, up=0)
        self.feed.lost.clear()
        if self.feed.image_wanted:
            self.feed.image_wanted = False
            for symbol in self.feed.wants_image():
                if symbol not in self._images:
                    self._images[symbol] = asyncio.get_running_loop().create_task(self._image(symbol))
        if self.feed.shutdown_said:
            self.feed.shutdown_said = False
            for link in self._links:
                link.roll_over()

    async def _image(self, symbol: int) -> None:
        instrument = self.directory.at(symbol)
        assert instrument is not None
        try:
            while symbol in self.feed.wants_image():
                try:
                    body = await self._account.depth(instrument.text, limit=IMAGE_LEVELS)
                except Bot4Error:
                    await asyncio.sleep(AGAIN_S)
                    continue
                released = self.feed.on_image(symbol, body, now := utc_ns())
                if released:
                    self._tell(symbol, up=1, now=now)
                    for events in released:
                        # What waited for the image is received with it: the record's times never run backwards.
                        kept = np.array(events)
                        kept["ts_recv_ns"] = np.maximum(kept["ts_recv_ns"], now)
                        self._queue.put_nowait(kept)
                else:
                    await asyncio.sleep(AGAIN_S)
        finally:
            del self._images[symbol]

    def _down(self, reason: str) -> None:  # noqa: ARG002
        self.feed.down()
        for instrument in self.directory:
            self._tell(instrument.index, up=0)

    def _tell(self, symbol: int, *, up: int, now: int | None = None) -> None:
        self.lost_count += up == 0
        at = utc_ns() if now is None else now
        self._records.feed(feed=int(Feed.FEED_MARKET), up=up, venue=0, ts_recv_ns=at, symbol=symbol)
        self._queue.put_nowait(self._records.take())
