"""The dashboard: a read-only page and one stream of pictures, served in the engine's process.

Owns: which addresses it may be served at, who may look, what a browser may load. Does not own: the pictures (Display)
and their history (observe/history.py). There is no request that changes anything: the routes are GET, and what a
viewer sends into its stream is not read beyond its length.

Beyond loopback a token and TLS are needed, else nothing is bound. On loopback the Host header must be a loopback name,
so a page of a stranger's site cannot reach it by a name that resolves here. The picture is encoded once for all
viewers; one that reads too slowly misses pictures and never holds the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ssl
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from engine._core.clock import monotonic_ns
from engine.errors import DashboardError, DashboardExposed, DashboardFilesMissing
from engine.observe.display import Display
from engine.observe.history import History
from engine.observe.status import Event, Status
from engine.settings.relations import is_loopback

STATIC = Path(__file__).parent / "static"
FILES = {
    "/": ("index.html", "text/html"),
    "/app.js": ("app.js", "text/javascript"),
    "/charts.js": ("charts.js", "text/javascript"),
    "/style.css": ("style.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
COOKIE = "bot4_token"
RATE_MAX_HZ = 20.0
LAST_S = 0.5  # what the last picture may take
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise DashboardError(f"{certificate}: {error}.") from None
    return context


class Viewer:
    """One open stream. Two pictures at most wait for it: older ones are of no use."""

    __slots__ = ("last_event", "queue", "socket")

    def __init__(self, socket: web.WebSocketResponse, last_event: int) -> None:
        self.socket, self.last_event = socket, last_event
        self.queue: asyncio.Queue[bytes] = asyncio.Queue(2)


class Dashboard:
    """Serves one engine's page. `start` binds, `notify` sends a picture at once, `close` ends every stream."""

    def __init__(
        self,
        display: Display,
        *,
        history: History | None = None,
        host: str = "127.0.0.1",
        port: int = 8080,
        rate_hz: float = 20.0,
        viewers_max: int = 32,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if not is_loopback(host) and not (token and tls):
            raise DashboardExposed(f"{host} is not loopback.")
        self.display = display
        self.history = history or History(display)
        self.host, self.port = host, port
        self.period_s = 1.0 / min(max(rate_hz, 0.1), RATE_MAX_HZ)
        self.viewers_max = viewers_max
        self.sent_count = self.skipped_count = 0
        self._token, self._tls = token, tls
        self._local = is_loopback(host)
        self._files = self._read_files()
        self._runner: web.AppRunner | None = None
        self._sending: asyncio.Task[None] | None = None
        self._viewers: dict[web.WebSocketResponse, Viewer] = {}
        self._wake = asyncio.Event()
        self._noticed_ns = 0  # when a notice was answered last

    def _read_files(self) -> dict[str, tuple[bytes, str]]:
        try:
            return {path: ((STATIC / name).read_bytes(), kind) for path, (name, kind) in FILES.items()}
        except OSError as error:
            raise DashboardFilesMissing(f"{error.filename}.") from None

    async def start(self) -> None:
        app = web.Application(middlewares=[self._guard], client_max_size=1024)
        app.router.add_get("/stream", self._stream)
        for path in FILES:
            app.router.add_get(path, self._file)
        # Requests are logged nowhere: an address may carry a token.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self.host, self.port, ssl_context=self._tls, reuse_address=True)
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise DashboardError(f"{self.host}:{self.port}: {error.strerror}.") from None
        self._runner = runner
        self.port = runner.addresses[0][1]
        self._sending = asyncio.create_task(self._send_pictures())

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}/"

    @property
    def viewer_count(self) -> int:
        return len(self._viewers)

    def notify(self) -> None:
        """Something happened that should be seen at once, like a trip."""
        self._wake.set()

    async def close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
            self._sending = None
            await self._send_last()
        for viewer in list(self._viewers):
            await viewer.close(code=WSCloseCode.GOING_AWAY)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # --------------------------------------------------------------------------------------------------- requests
    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self._local and not is_loopback(_host_name(request.host)):
            raise web.HTTPForbidden(text="not by this name", headers=HEADERS)
        # A browser says where a script that asks comes from; only our own page may.
        origin = request.headers.get("Origin")
        if origin is not None and origin.split("://", 1)[-1] != request.host:
            raise web.HTTPForbidden(text="not from another page", headers=HEADERS)
        if self._token is not None and (answer := self._admit(request, self._token)) is not None:
            return answer
        response: web.StreamResponse = await handler(request)
        return response

    def _admit(self, request: web.Request, token: str) -> web.StreamResponse | None:
        """None when the viewer showed the token; it comes once in the address and stays in a cookie."""
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        for shown in (bearer, request.cookies.get(COOKIE, "")):
            if hmac.compare_digest(shown.encode(), token.encode()):
                return None
        asked = request.query.get("token", "")
        if request.path == "/" and hmac.compare_digest(asked.encode(), token.encode()):
            answer = web.Response(status=303, headers={**HEADERS, "Location": "/"})
            answer.set_cookie(COOKIE, token, httponly=True, secure=self._tls is not None, samesite="Strict", path="/")
            return answer
        raise web.HTTPUnauthorized(text="the token is needed", headers=HEADERS)

    async def _file(self, request: web.Request) -> web.Response:
        content, kind = self._files[request.path]
        return web.Response(body=content, content_type=kind, charset="utf-8", headers=HEADERS)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if len(self._viewers) >= self.viewers_max:
            raise web.HTTPServiceUnavailable(text="as many viewers as there may be", headers=HEADERS)
        socket = web.WebSocketResponse(heartbeat=20.0, max_msg_size=256, compress=False)
        socket.headers.update(HEADERS)
        await socket.prepare(request)
        viewer = Viewer(socket, self.history.last_event)
        viewer.queue.put_nowait(msgspec.json.encode({"kind": "history", **self.history.document()}))
        self._viewers[socket] = viewer
        self._wake.set()
        writer = asyncio.create_task(self._write(viewer))
        try:
            async for message in socket:
                if message.type in (WSMsgType.ERROR, WSMsgType.CLOSE):
                    break
        finally:
            self._viewers.pop(socket, None)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return socket

    async def _write(self, viewer: Viewer) -> None:
        while not viewer.socket.closed:
            line = await viewer.queue.get()
            try:
                await viewer.socket.send_str(line.decode())
                self.sent_count += 1
            finally:
                viewer.queue.task_done()

    async def _send_last(self) -> None:
        """What ended the engine, a trip above all, must be seen: one picture more, if the viewers take it in time."""
        picture = self.history.update()
        for viewer in self._viewers.values():
            if viewer.queue.full():
                viewer.queue.get_nowait()
                viewer.queue.task_done()
            viewer.queue.put_nowait(_line(picture.status, self.history.events_after(viewer.last_event)))
            viewer.last_event = self.history.last_event
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                await asyncio.gather(*(viewer.queue.join() for viewer in self._viewers.values()))

    # --------------------------------------------------------------------------------------------------- pictures
    async def _send_pictures(self) -> None:
        while True:
            before = self.history.last_event
            picture = self.history.update()
            if self._viewers:
                line = _line(picture.status, picture.events)
                for viewer in self._viewers.values():
                    if viewer.queue.full():
                        # A picture that is missed is made up for by the next; events are told later.
                        self.skipped_count += 1
                        continue
                    own = (
                        line
                        if viewer.last_event == before
                        else _line(picture.status, self.history.events_after(viewer.last_event))
                    )
                    viewer.queue.put_nowait(own)
                    viewer.last_event = self.history.last_event
            await self._rest()

    async def _rest(self) -> None:
        """Between two pictures: the period, or until a notice, which is sent at once; the next notice then waits a
        twentieth of a second, so whatever happens in the engine nobody gets much more than the highest rate. With
        nobody there the history is kept at one sample a second.
        """
        with contextlib.suppress(TimeoutError):
            # Not wait_for: where a time-out and a cancellation meet, it swallows the cancellation.
            async with asyncio.timeout(self.period_s if self._viewers else 1.0):
                await self._wake.wait()
                since_s = (monotonic_ns() - self._noticed_ns) / 1e9
                await asyncio.sleep(max(0.0, 1.0 / RATE_MAX_HZ - since_s))
                self._noticed_ns = monotonic_ns()
        self._wake.clear()


def _line(status: Status, events: list[Event]) -> bytes:
    return msgspec.json.encode({"kind": "status", "status": status, "events": events})


def _host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host[1:].split("]", 1)[0]
    return host.rsplit(":", 1)[0] if host.count(":") == 1 else host
