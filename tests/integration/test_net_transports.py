"""Both transports against a real server on loopback: the same promises, plain and over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
import uvloop
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from engine.errors import CertificateRefused, ConnectFailed
from engine.net.transport import make
from tests.support.certs import Authority

TRANSPORTS = pytest.mark.parametrize("name", ["picows", "websockets"])


class Recorder:
    """A handler that keeps what it was told."""

    def __init__(self):
        self.opened = self.closed = self.alive = 0
        self.messages: list[bytes] = []
        self.stamps: list[int] = []
        self.reason = ""
        self.news = asyncio.Event()

    def on_open(self, connection):
        self.opened += 1

    def on_message(self, connection, payload, ts_recv_ns):
        self.messages.append(bytes(payload))
        self.stamps.append(ts_recv_ns)
        self.news.set()

    def on_alive(self, connection, ts_recv_ns):
        self.alive += 1
        self.news.set()

    def on_close(self, connection, reason):
        self.closed += 1
        self.reason = reason
        self.news.set()

    async def until(self, condition):
        async with asyncio.timeout(20):
            while not condition():
                self.news.clear()
                if not condition():
                    await self.news.wait()


@contextlib.asynccontextmanager
async def _server(behaviour, *, tls=None):
    async with serve(behaviour, "127.0.0.1", 0, ssl=tls, compression=None, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{port}"


async def _echo(ws):
    with contextlib.suppress(ConnectionClosed):
        async for message in ws:
            await ws.send(message)


def _run(test):
    # Every resource that a transport forgets would fail the run: warnings are errors here.
    uvloop.run(test())


@TRANSPORTS
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_messages_go_out_and_come_back_in_order(name, is_tls, tmp_path):
    authority = Authority(tmp_path)

    async def test():
        async with _server(_echo, tls=authority.server("127.0.0.1") if is_tls else None) as url:
            seen = Recorder()
            connection = await make(name, ca_file=authority.file).connect(url, seen)
            sent = [f"message {n}".encode() for n in range(200)]
            for message in sent:
                assert connection.send(message)
            await seen.until(lambda: len(seen.messages) == 200)
            assert seen.messages == sent
            assert seen.stamps == sorted(seen.stamps)
            connection.close()
            await connection.wait_closed()
            assert (seen.opened, seen.closed) == (1, 1)
            assert not connection.is_open
            assert not connection.send(b"x")

    _run(test)


@TRANSPORTS
def test_a_certificate_of_an_unknown_authority_is_refused(name, tmp_path):
    mine, theirs = Authority(tmp_path), Authority(tmp_path, "another authority")

    async def test():
        async with _server(_echo, tls=theirs.server("127.0.0.1")) as url:
            seen = Recorder()
            with pytest.raises(CertificateRefused):
                await make(name, ca_file=mine.file).connect(url, seen)
            assert (seen.opened, seen.closed) == (0, 0)

    _run(test)


@TRANSPORTS
def test_a_certificate_for_another_name_is_refused(name, tmp_path):
    authority = Authority(tmp_path)

    async def test():
        async with _server(_echo, tls=authority.server("example.com")) as url:
            with pytest.raises(CertificateRefused):
                await make(name, ca_file=authority.file).connect(url, Recorder())

    _run(test)


@TRANSPORTS
def test_a_port_that_nobody_listens_on_is_a_typed_error(name):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{taken.getsockname()[1]}"

        async def test():
            with pytest.raises(ConnectFailed):
                await make(name).connect(url, Recorder())

        _run(test)


@TRANSPORTS
def test_a_server_that_speaks_no_websocket_is_a_typed_error(name):
    async def test():
        async def rude(reader, writer):
            await reader.read(100)
            writer.write(b"HTTP/1.1 451 no\r\ncontent-length: 0\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(rude, "127.0.0.1", 0)
        async with server:
            with pytest.raises(ConnectFailed):
                await make(name).connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", Recorder())

    _run(test)


@TRANSPORTS
def test_the_venues_close_is_reported_once_with_its_code(name):
    async def test():
        async def bye(ws):
            await ws.send("last words")
            await ws.close(1012, "service restart")

        async with _server(bye) as url:
            seen = Recorder()
            await make(name).connect(url, seen)
            await seen.until(lambda: seen.closed)
            assert seen.messages == [b"last words"]
            assert "1012" in seen.reason
            assert seen.closed == 1

    _run(test)


@TRANSPORTS
def test_a_connection_cut_without_a_word_is_reported_once(name):
    async def test():
        async def cut(ws):
            await ws.send("x")
            ws.transport.abort()

        async with _server(cut) as url:
            seen = Recorder()
            connection = await make(name).connect(url, seen)
            await seen.until(lambda: seen.closed)
            assert seen.closed == 1
            assert not connection.is_open

    _run(test)


@TRANSPORTS
def test_a_message_in_pieces_arrives_whole(name):
    async def test():
        async def pieces(ws):
            await ws.send(["one ", "two ", "three"])
            await ws.wait_closed()

        async with _server(pieces) as url:
            seen = Recorder()
            connection = await make(name).connect(url, seen)
            await seen.until(lambda: seen.messages)
            assert seen.messages == [b"one two three"]
            connection.close()
            await connection.wait_closed()

    _run(test)


@pytest.mark.parametrize("length", [2**16 + 1, 2**18, 10 * 2**20])
@TRANSPORTS
def test_a_frame_beyond_the_bound_closes_its_connection(name, length):
    async def test():
        async def flood(ws):
            with contextlib.suppress(ConnectionClosed):
                await ws.send("x" * length)
                await ws.wait_closed()

        async with _server(flood) as url:
            seen = Recorder()
            await make(name, bytes_max=2**16).connect(url, seen)
            await seen.until(lambda: seen.closed)
            assert not seen.messages

    _run(test)


@TRANSPORTS
def test_the_venues_ping_is_answered_with_its_payload(name):
    async def test():
        answered = asyncio.Event()

        async def asks(ws):
            # The wait ends only with a pong of this very payload.
            await (await ws.ping(b"1700000000"))
            answered.set()
            await ws.wait_closed()

        async with _server(asks) as url:
            seen = Recorder()
            connection = await make(name).connect(url, seen)
            async with asyncio.timeout(20):
                await answered.wait()
            connection.close()
            await connection.wait_closed()
            assert answered.is_set()

    _run(test)


@TRANSPORTS
def test_a_handler_that_raises_loses_its_own_connection_only(name):
    class Clumsy(Recorder):
        def on_message(self, connection, payload, ts_recv_ns):
            raise ValueError("on purpose")

    async def test():
        async with _server(_echo) as url:
            transport = make(name)
            clumsy, fine = Clumsy(), Recorder()
            one, two = await transport.connect(url, clumsy), await transport.connect(url, fine)
            one.send(b"a")
            two.send(b"b")
            await clumsy.until(lambda: clumsy.closed)
            await fine.until(lambda: fine.messages)
            assert two.is_open
            two.close()
            await two.wait_closed()

    _run(test)


@TRANSPORTS
def test_latency_is_not_held_back_by_the_sockets(name):
    async def test():
        async with _server(_echo) as url:
            seen = Recorder()
            connection = await make(name).connect(url, seen)
            if name == "picows":
                raw = connection.transport.underlying_transport.get_extra_info("socket")
            else:
                raw = connection._socket.transport.get_extra_info("socket")
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            connection.close()
            await connection.wait_closed()

    _run(test)


@TRANSPORTS
def test_compression_is_never_offered(name):
    async def test():
        offered = []

        async def look(ws):
            offered.append(ws.request.headers.get("Sec-WebSocket-Extensions"))
            await ws.wait_closed()

        async with serve(look, "127.0.0.1", 0, compression="deflate") as server:
            seen = Recorder()
            connection = await make(name).connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen)
            connection.close()
            await connection.wait_closed()
        assert offered == [None]

    _run(test)


def test_an_unknown_transport_is_refused_by_name():
    with pytest.raises(ValueError, match="picows, websockets"):
        make("carrier pigeon")
