"""A link over real connections: it comes back, rolls over without a gap, keeps a spare, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
import uvloop
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from engine.net import transport
from engine.net.backoff import BackoffConfig
from engine.net.link import Link, LinkConfig
from engine.net.transport import make

TRANSPORTS = pytest.mark.parametrize("name", ["picows", "websockets"])
MS = 1_000_000
QUICK = BackoffConfig(first_ns=MS, most_ns=20 * MS, attempts=10_000)


class Venue:
    """Sends its connections one growing number after the other, all of them the same."""

    def __init__(self):
        self.sockets = set()
        self.accepted = 0
        self.most_open = 0
        self.number = 0
        self.mute = False
        self.asked = []
        self.news = asyncio.Event()

    async def serve(self, ws):
        self.accepted += 1
        self.sockets.add(ws)
        self.most_open = max(self.most_open, len(self.sockets))
        self.news.set()
        try:
            if not self.mute:
                await ws.send(str(self.number))
            async for message in ws:
                self.asked.append(message)
                self.news.set()
        except ConnectionClosed:
            self.news.set()
        finally:
            self.sockets.discard(ws)
            self.news.set()

    async def say(self):
        self.number += 1
        for ws in list(self.sockets):
            with contextlib.suppress(ConnectionClosed):
                await ws.send(str(self.number))


class Owner:
    def __init__(self):
        self.numbers = []
        self.ups = self.downs = 0
        self.news = asyncio.Event()

    def on_message(self, connection, payload, ts_recv_ns):
        self.numbers.append(int(bytes(payload)))
        self.news.set()

    def on_up(self, connection):
        self.ups += 1
        connection.send(b"subscribe")
        self.news.set()

    def on_down(self, reason):
        self.downs += 1
        self.news.set()


async def _until(condition, *things):
    async with asyncio.timeout(20):
        while not condition():
            for thing in things:
                thing.news.clear()
            if not condition():
                waits = [asyncio.ensure_future(thing.news.wait()) for thing in things]
                _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=0.05)
                for wait in pending:
                    wait.cancel()
                await asyncio.gather(*pending, return_exceptions=True)


def _run(name, test, **config):
    async def whole():
        venue, owner = Venue(), Owner()
        async with serve(venue.serve, "127.0.0.1", 0, compression=None) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            settings = LinkConfig(**{"tick_s": 0.01} | config)
            link = Link(
                make(name), url, owner.on_message, on_up=owner.on_up, on_down=owner.on_down, seed=7, config=settings,
                backoff=QUICK,
            )  # fmt: skip
            link.start()
            await test(venue, owner, link)
            await link.stop()
            assert not link.is_up
            assert link.connection is None
            await _until(lambda: not venue.sockets, venue)
        # Nothing of the link is left on the loop but this task.
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    uvloop.run(whole())


@TRANSPORTS
def test_a_cut_connection_comes_back_and_subscribes_again(name):
    async def test(venue, owner, link):
        for round_ in range(5):
            await _until(lambda round_=round_: owner.ups == round_ + 1 and link.is_up, owner, venue)
            await _until(lambda round_=round_: len(venue.asked) == round_ + 1, venue)
            for ws in list(venue.sockets):
                ws.transport.abort()
            await _until(lambda round_=round_: owner.downs == round_ + 1, owner)
        await _until(lambda: link.is_up, owner)
        assert link.open_count == 6

    _run(name, test)


@TRANSPORTS
def test_a_roll_over_loses_nothing_and_never_goes_down(name):
    async def test(venue, owner, link):
        await _until(lambda: owner.numbers, owner)
        for _ in range(4):
            before = link.rollover_count
            link.roll_over()
            while link.rollover_count == before or len(venue.sockets) != 1:
                await venue.say()
                await asyncio.sleep(0)
                await _until(lambda: max(owner.numbers) == venue.number, owner)
        assert owner.downs == 0
        assert link.rollover_count == 4
        assert venue.most_open == 2
        # Each number came, over one connection or over both.
        assert set(owner.numbers) == set(range(venue.number + 1))

    _run(name, test)


@TRANSPORTS
def test_a_life_has_an_end_before_the_venues_own(name):
    async def test(venue, owner, link):
        await _until(lambda: link.rollover_count >= 2, owner, venue)
        assert owner.downs == 0

    _run(name, test, life_ns=20 * MS)


@TRANSPORTS
def test_a_connection_that_says_nothing_is_taken_for_dead(name):
    async def test(venue, owner, link):
        venue.mute = True
        await _until(lambda: link.silence_count >= 2, owner, venue)
        assert venue.accepted >= 2

    # The ping comes later than the silence is noticed, or the pong would count as life.
    _run(name, test, ping_ns=49 * MS, silence_ns=50 * MS)


@TRANSPORTS
def test_a_hot_spare_carries_on_without_going_down(name):
    async def test(venue, owner, link):
        await _until(lambda: len(venue.sockets) == 2, venue)
        for _ in range(4):
            await _until(lambda: len(venue.sockets) == 2 and link.open_count == venue.accepted, venue, owner)
            next(iter(venue.sockets)).transport.abort()
            await _until(lambda: len(venue.sockets) < 2, venue)
        assert owner.downs == 0
        assert link.is_up

    _run(name, test, wanted=2)


def test_a_venue_that_is_away_is_tried_until_it_is_back():
    async def whole():
        venue, owner = Venue(), Owner()
        async with serve(venue.serve, "127.0.0.1", 0) as first:
            port = first.sockets[0].getsockname()[1]
        link = Link(make("picows"), f"ws://127.0.0.1:{port}", owner.on_message, on_up=owner.on_up, seed=1,
                    config=LinkConfig(tick_s=0.005), backoff=QUICK)  # fmt: skip
        link.start()
        await _until(lambda: link.failure_count >= 3, owner)
        assert not link.is_up
        assert not link.send(b"into the void")
        async with serve(venue.serve, "127.0.0.1", port, reuse_port=True):
            await _until(lambda: link.is_up, owner)
            await link.stop()
        assert "Error" in link.last_reason or link.last_reason

    uvloop.run(whole())


@pytest.mark.parametrize("name", ["picows", "websockets"])
def test_a_link_that_is_stopped_in_the_middle_of_a_hand_shake_leaves_no_socket(name, monkeypatch):
    monkeypatch.setattr(transport, "OPEN_TIMEOUT_S", 0.3)

    async def main():
        taken = []

        async def accept(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            taken.append(writer)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        before = len(list(Path("/proc/self/fd").iterdir()))
        link = Link(make(name), f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", lambda *_: None)
        link.start()
        while not taken:
            await asyncio.sleep(0)
        await link.stop()
        # The other side's end is all that is left: it neither spoke nor hung up.
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + len(taken)
        for writer in taken:
            writer.close()
        server.close()
        await server.wait_closed()

    asyncio.run(main())
