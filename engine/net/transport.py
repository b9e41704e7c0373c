"""WebSocket connections behind one seam: picows for what is hot, websockets as the portable one.

A handler gets every message whole and in place, with the time it was received; a `Connection` sends text and closes.
Both transports keep the same promises, and the same tests hold them to these:

- TLS certificates and host names are always checked; there is no switch. `ca_file` names the roots of one's own venue.
- TCP_NODELAY is on, compression is never offered, frames and messages are bounded; a larger one closes the connection.
- Pings of the venue are answered with their payload; pieces of a message are joined before the handler sees them.
- `on_close` comes exactly once for every connection that opened; an exception of the handler closes its connection and
  nothing else.

`memoryview` payloads of picows are valid only inside the call. Cost of a 200-byte message: 0.5 us and 5 us.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, Protocol

import picows
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websockets_connect

from engine._core.clock import utc_ns
from engine.errors import CertificateRefused, ConnectFailed
from engine.net.listener import Listener

FRAME_BYTES_MAX = 4 * 2**20
OPEN_TIMEOUT_S = 5.0


class Connection(Protocol):
    @property
    def is_open(self) -> bool: ...
    def send(self, message: bytes | bytearray | memoryview) -> bool: ...
    def ping(self) -> None: ...
    def close(self) -> None: ...
    async def wait_closed(self) -> None: ...


class Handler(Protocol):
    def on_open(self, connection: Connection) -> None: ...
    def on_message(self, connection: Connection, payload: memoryview | bytes, ts_recv_ns: int) -> None: ...
    def on_alive(self, connection: Connection, ts_recv_ns: int) -> None: ...
    def on_close(self, connection: Connection, reason: str) -> None: ...


class Transport(Protocol):
    name: str

    async def connect(self, url: str, handler: Handler, *, headers: Mapping[str, str] | None = None) -> Connection: ...


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """A context that checks certificate and host name, as everything here does."""
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _connect_error(url: str, error: BaseException) -> ConnectFailed:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CertificateRefused(f"{url}: {cause.verify_message}.")
        cause = cause.__cause__ or cause.__context__
    return ConnectFailed(f"{url}: {type(error).__name__} {error}.")


# -------------------------------------------------------------------------------------------------------------- picows
async def _to_its_end(attempt: asyncio.Future[Any]) -> None:
    """Wait for a connection. Cancelled meanwhile it is hung up when it is through, which its time-out bounds.

    picows forgets the socket of a hand-shake that is cancelled: it would stay open, and be closed under the loop later.
    """
    try:
        await asyncio.shield(attempt)
    except asyncio.CancelledError:
        await asyncio.wait((attempt,))
        if not attempt.cancelled() and attempt.exception() is None:
            attempt.result()[0].disconnect(False)
        raise


class PicowsTransport:
    name = "picows"

    def __init__(self, *, ca_file: str | None = None, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._ca_file = ca_file
        self._bytes_max = bytes_max

    async def connect(self, url: str, handler: Handler, *, headers: Mapping[str, str] | None = None) -> Connection:
        try:
            listener = Listener(handler, self._bytes_max)
            connecting = picows.ws_connect(
                lambda: listener,
                url,
                ssl_context=tls_context(self._ca_file) if url.startswith("wss:") else None,
                websocket_handshake_timeout=OPEN_TIMEOUT_S,
                enable_auto_pong=True,
                max_frame_size=self._bytes_max,
                extra_headers=dict(headers or {}),
                max_redirects=0,
            )
            await _to_its_end(asyncio.ensure_future(connecting))
        except (TimeoutError, OSError, picows.WSError, ValueError) as error:
            raise _connect_error(url, error) from error
        return listener


# ---------------------------------------------------------------------------------------------------------- websockets
class _Pumped:
    """One connection of `websockets`, with a task that hands its messages on."""

    def __init__(self, socket_: ClientConnection, handler: Handler) -> None:
        self._socket = socket_
        self._handler = handler
        self._sends: set[asyncio.Task[None]] = set()
        self._reason = ""
        self.is_open = True
        handler.on_open(self)
        self._task = asyncio.get_running_loop().create_task(self._pump())

    def send(self, message: bytes | bytearray | memoryview) -> bool:
        if not self.is_open:
            return False
        # Its send is a coroutine; a task of the connection keeps the order, one after the other.
        self._keep(self._socket.send(bytes(message), text=True))
        return True

    def ping(self) -> None:
        if self.is_open:
            self._keep(self._ping())

    async def _ping(self) -> None:
        await self._socket.ping()

    def _keep(self, what: Any) -> None:
        task = asyncio.get_running_loop().create_task(self._quietly(what))
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    @staticmethod
    async def _quietly(what: Any) -> None:
        try:
            await what
        except websockets.ConnectionClosed:
            # The pump sees the same end and reports it once.
            return

    def close(self) -> None:
        if self.is_open:
            self._reason = self._reason or "closed by us"
            self._keep(self._socket.close())

    async def wait_closed(self) -> None:
        await asyncio.wait([self._task])

    async def _pump(self) -> None:
        try:
            while True:
                payload = await self._socket.recv(decode=False)
                self._handler.on_message(self, payload, utc_ns())
        except websockets.ConnectionClosed as error:
            if error.rcvd is not None:
                self._reason = self._reason or f"closed by the venue: {error.rcvd.code} {error.rcvd.reason}".strip()
        except Exception as error:  # noqa: BLE001  (whatever a handler raises closes its own connection and no other)
            self._reason = f"{type(error).__name__}: {error}"
            await self._socket.close(1011)
        finally:
            self.is_open = False
            self._handler.on_close(self, self._reason or "the connection broke")


class WebsocketsTransport:
    name = "websockets"

    def __init__(self, *, ca_file: str | None = None, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._ca_file = ca_file
        self._bytes_max = bytes_max

    async def connect(self, url: str, handler: Handler, *, headers: Mapping[str, str] | None = None) -> Connection:
        options: dict[str, Any] = {"ssl": tls_context(self._ca_file)} if url.startswith("wss:") else {}
        try:
            socket_ = await websockets_connect(
                url, compression=None, ping_interval=None, max_size=self._bytes_max, max_queue=(4096, 1024), proxy=None,
                user_agent_header=None, open_timeout=OPEN_TIMEOUT_S, close_timeout=2.0,
                additional_headers=dict(headers or {}), **options,
            )  # fmt: skip
        except (TimeoutError, OSError, websockets.WebSocketException, ValueError) as error:
            raise _connect_error(url, error) from error
        return _Pumped(socket_, handler)


def make(name: str, *, ca_file: str | None = None, bytes_max: int = FRAME_BYTES_MAX) -> Transport:
    """The transport of that name."""
    kinds: dict[str, Any] = {"picows": PicowsTransport, "websockets": WebsocketsTransport}
    if name not in kinds:
        raise ValueError(f"transport {name!r}: {', '.join(kinds)}")
    transport: Transport = kinds[name](ca_file=ca_file, bytes_max=bytes_max)
    return transport
