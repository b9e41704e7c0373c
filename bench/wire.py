"""Two WebSocket connections over loopback with the venue's end in C: what stands at the other end is measured by it.

`rounds` drives one engine - the live driver, or a bot of Python parts - on the thread of its loop, while a second
thread is the venue: it sends a message, waits for the orders, and knows when the first and the last of them came.
`ping_pong` is the same traffic between two pieces of C on the same two CPUs.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import picows
import uvloop

from bench.loops import loop_wire
from engine.runtime.waiting import Waiting

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
GAP_NS = 400_000  # between an answer and the next message: long enough for a thread to fall asleep


class Subject(Protocol):
    """What is measured. `start` opens the market's and the orders' connection, in this order."""

    orders: int  # that it sends for one message

    async def start(self, url: str) -> None: ...
    async def stop(self) -> None: ...
    def settle(self) -> None: ...


@dataclass(frozen=True)
class Beside:
    """Messages that nobody answers, `per_round` of them before each that is measured."""

    frames: Sequence[bytes]
    per_round: int
    every_ns: int


@contextmanager
def on_cpu(number: int) -> Any:
    """This thread on one CPU, where there are two."""
    before = os.sched_getaffinity(0)
    cpus = sorted(before)
    if len(cpus) > 1:
        os.sched_setaffinity(0, {cpus[number % len(cpus)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def server_frame(payload: bytes) -> bytes:
    head = (
        struct.pack(">BB", 0x81, len(payload)) if len(payload) < 126 else struct.pack(">BBH", 0x81, 126, len(payload))
    )
    return head + payload


def client_frame(payload: bytes) -> bytes:
    return struct.pack(">BBHI", 0x81, 0x80 | 126, len(payload), 0) + payload


def accept(server: socket.socket) -> socket.socket:
    """Take one connection and answer its handshake."""
    server.settimeout(30)
    end, _ = server.accept()
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = b""
    while b"\r\n\r\n" not in request:
        request += end.recv(4096)
    lines = request.split(b"\r\n")
    key = next(line.split(b":", 1)[1].strip() for line in lines if line.lower().startswith(b"sec-websocket-key"))
    proof = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    end.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n"
    )
    end.settimeout(None)
    return end


def rounds(
    subject: Subject, frames: Sequence[bytes], *, spin: bool, beside: Beside | None = None
) -> npt.NDArray[np.float64]:
    """Nanoseconds from the send of each message to the first and to the last of its orders."""
    out = np.zeros((len(frames), 2))
    faults: list[BaseException] = []

    async def engine() -> None:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        with socket.create_server(("127.0.0.1", 0)) as server:
            accepted = loop.run_in_executor(None, lambda: (accept(server), accept(server)))
            await subject.start(f"ws://127.0.0.1:{server.getsockname()[1]}")
            market, account = await accepted
        # What it said of itself when it connected is no order.
        await asyncio.sleep(0.05)
        account.setblocking(False)
        try:
            while account.recv(65_536):
                continue
        except BlockingIOError:
            account.setblocking(True)
        venue = threading.Thread(target=lambda: _venue(loop, ended, market, account))
        with Waiting(spin=spin), market, account:
            venue.start()
            await ended
            venue.join()
            await subject.stop()

    def _venue(loop: Any, ended: Any, market: socket.socket, account: socket.socket) -> None:
        settled = threading.Event()

        def settle() -> None:
            subject.settle()
            settled.set()

        try:
            with on_cpu(1):
                at_ns, told = loop_wire.now_ns() + GAP_NS, 0
                for at, frame in enumerate(frames):
                    for _ in range(beside.per_round if beside else 0):
                        assert beside is not None
                        loop_wire.plain(market.fileno(), beside.frames[told], at_ns)
                        at_ns, told = at_ns + beside.every_ns, told + 1
                    out[at] = loop_wire.message(market.fileno(), account.fileno(), frame, subject.orders, spin, at_ns)
                    settled.clear()
                    loop.call_soon_threadsafe(settle)
                    settled.wait()
                    at_ns = max(at_ns + (beside.every_ns if beside else 0), loop_wire.now_ns() + GAP_NS)
        except BaseException as error:  # noqa: BLE001  (whatever it is, the bench must hear of it)
            faults.append(error)
        loop.call_soon_threadsafe(ended.set_result, None)

    with on_cpu(0):
        uvloop.run(engine())
    if faults:
        raise faults[0]
    return out


def ping_pong(frame: bytes, answer: bytes, count: int, *, spin: bool) -> npt.NDArray[np.float64]:
    """The same bytes between C and C on the same CPUs, with the same pauses."""
    out = np.zeros(count)
    with socket.create_server(("127.0.0.1", 0)) as server:
        far = socket.create_connection(server.getsockname())
        near, _ = server.accept()

    def echo() -> None:
        with on_cpu(0), far:
            loop_wire.echo(far.fileno(), len(frame), answer, spin)

    other = threading.Thread(target=echo)
    with near, on_cpu(1):
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        other.start()
        at_ns = loop_wire.now_ns() + GAP_NS
        for at in range(count):
            out[at] = loop_wire.message(near.fileno(), near.fileno(), frame, 1, spin, at_ns)[0]
            at_ns = loop_wire.now_ns() + GAP_NS
        near.shutdown(socket.SHUT_RDWR)
        other.join()
    return out


class PythonParts:
    """A bot of Python parts on picows: `tick` turns a payload into the bytes of one order."""

    orders = 1

    def __init__(self, tick: Callable[[memoryview], bytes]) -> None:
        self._tick = tick
        self._out: Any = None
        self._in: Any = None

    async def start(self, url: str) -> None:
        bot = self

        class Market(picows.WSListener):  # type: ignore[misc]
            def on_ws_frame(self, transport: Any, frame: Any) -> None:  # noqa: ARG002
                bot._out.send(picows.WSMsgType.TEXT, bot._tick(frame.get_payload_as_memoryview()))

        connect: Callable[..., Awaitable[tuple[Any, Any]]] = picows.ws_connect
        self._in, _ = await connect(Market, url)
        self._out, _ = await connect(picows.WSListener, url)

    async def stop(self) -> None:
        for transport in (self._in, self._out):
            transport.disconnect(False)

    def settle(self) -> None:
        """It remembers no orders."""
