"""`bot4 venue`: the exchange behind sockets, speaking Binance's REST, market streams and WebSocket API.

Owns: addresses, requests over REST, the ticking of the market. Does not own: connections and keys (sockets.py, its
base), matching and money (exchange.py), which calls there are (spot.py, usdm.py: its form), texts (wire.py). The clock
is given: the simulator has none of its own. Bad input is answered with the venue's own error and counted by code; it
never reaches the engine below. Cost: about 0.3 ms of CPU a REST order.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import WSCloseCode, web

from engine.errors import SimServerConfig
from engine.sim.venue.accounts import Account
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.form import Form
from engine.sim.venue.instruments import E8
from engine.sim.venue.keys import Key, signed_part
from engine.sim.venue.limits import Limits
from engine.sim.venue.sockets import GOODBYE_S, Sockets
from engine.sim.venue.spot import SpotForm
from engine.sim.venue.streams import Streams
from engine.sim.venue.wire import MS, ApiError

BODY_MAX = 1 << 20
Generate = Callable[[int], int]


class VenueServer(Sockets):
    """Serve one exchange. `start` binds (port 0: any), `close` may be called twice."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        clock: Callable[[], int],
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        generate: Generate | None = None,
        form: Form | None = None,
        tick_ns: int = 100_000_000,
    ) -> None:
        if not 0 <= port < 65536 or tick_ns < 1_000_000:
            raise SimServerConfig(f"port {port}, tick {tick_ns} ns")
        super().__init__(exchange, form or SpotForm(exchange), limits or Limits(), clock)
        self.host, self.port, self.tls = host, port, tls
        self._streams = Streams(exchange.markets, futures=self.form.futures)
        self._generate, self._tick_ns = generate, tick_ns
        self._runner: web.AppRunner | None = None
        self._task: asyncio.Task[None] | None = None

    def add_account(
        self, api_key: str, *, secret: str = "", ed25519_public: bytes = b"", deposits: Mapping[str, int] | None = None
    ) -> Account:
        account = self.exchange.bank.open(api_key, dict(deposits or {"BTC": 10 * E8, "USDT": 10**6 * E8}))
        self.keys[api_key] = Key(account, secret.encode(), ed25519_public)
        return account

    # ------------------------------------------------------------------------------------------------------- life
    async def start(self) -> None:
        app = web.Application(client_max_size=BODY_MAX, middlewares=[self._guard])
        for method, path, weight, call in self.form.public():
            app.router.add_route(method, path, self._open_route(weight, call))
        for method, path, weight, orders, signed in self.form.private():
            app.router.add_route(method, path, self._signed_route(weight, orders, signed))
        for path in self.form.market_paths:
            app.router.add_get(path, self._market_socket)
        app.router.add_get(self.form.api_path, self._api_socket)
        if self.form.user_path:
            app.router.add_get(self.form.user_path, self._user_socket)
            for method in ("POST", "PUT", "DELETE"):
                app.router.add_route(method, self.form.listen_path, self._listen_route)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=GOODBYE_S)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, ssl_context=self.tls)
        try:
            await site.start()
        except OSError as error:
            await self.close()
            raise SimServerConfig(f"port {self.port}: {error.strerror}") from error
        self.port = self._runner.addresses[0][1]
        self.exchange.advance(max(self.clock(), self.exchange.now_ns))
        self.tick()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for socket in list(self._sockets):
            await socket.ws.close(code=WSCloseCode.GOING_AWAY)
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def announce_shutdown(self) -> None:
        """Tell every connection that it will be closed soon, as the real venue does before it works on itself."""
        event = {"e": "serverShutdown", "E": self.exchange.now_ns // MS}
        for socket in list(self._sockets):
            self._put(socket, {"stream": "!serverShutdown", "data": event} if socket.combined else event)

    async def serve(self, stop: asyncio.Event, seconds: float | None = None) -> None:
        """Return when told to stop or after so long; raise what ended the market, if that came first."""
        assert self._task is not None, "not started"
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((stopped, self._task), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if self._task.done():
            self._task.result()

    async def __aenter__(self) -> VenueServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._tick_ns / 1e9)
            self.tick()

    def tick(self) -> None:
        """Let the market move to now and send what changed."""
        now = max(self.clock(), self.exchange.now_ns)
        if self._generate is not None:
            self._generate(now)
        self._pass_time()
        wanted: set[str] = set()
        for socket in self._sockets:
            wanted |= socket.streams
        for name, message in self._streams.tick(now, wanted):
            for socket in self._sockets:
                if name in socket.streams:
                    self._put(socket, {"stream": name, "data": message} if socket.combined else message)

    # ---------------------------------------------------------------------------------------------------------- REST
    @web.middleware
    async def _guard(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        """Every answer to wrong input is one of the venue's errors, counted by its code."""
        self.counts["requests"] += 1
        try:
            response: web.StreamResponse = await handler(request)
        except ApiError as error:
            self.errors[error.code] += 1
            headers = {}
            if "retryAfter" in error.more:
                headers["Retry-After"] = str(max(1, error.more["retryAfter"] // 1000 - self.exchange.now_ns // 10**9))
            return web.json_response(error.body(), status=error.http, headers=headers)
        except web.HTTPRequestEntityTooLarge:
            self.errors[413] += 1
            return web.json_response({"code": -1100, "msg": "Request is too large."}, status=413)
        except web.HTTPNotFound:
            self.errors[404] += 1
            return web.json_response({"code": -1000, "msg": "Path not found."}, status=404)
        except UnicodeError:
            self.errors[-1100] += 1
            return web.json_response({"code": -1100, "msg": "Illegal characters found in a parameter."}, status=400)
        return response

    def _open_route(self, weight: Any, call: Callable[[Mapping[str, str]], Any]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            self._pass_time()
            params = dict(parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True))
            used = self._weigh(request, weight(params) if callable(weight) else weight)
            return web.json_response(call(params), headers={"X-MBX-USED-WEIGHT-1M": str(used)})

        return handle

    def _weigh(self, request: web.Request, weight: int) -> int:
        return self.limits.weigh(request.remote or "", weight, self.exchange.now_ns)

    def _signed_route(
        self, weight: int, orders: int, call: Callable[[Account, Mapping[str, str]], Any]
    ) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            self._pass_time()
            used = self._weigh(request, weight)
            query, body = request.rel_url.raw_query_string, await request.text()
            key = self._key(request.headers.get("X-MBX-APIKEY", ""))
            payload, signature = signed_part(query + body)
            # A name in both places: the query's holds.
            params = dict(parse_qsl(body, keep_blank_values=True)) | dict(parse_qsl(query, keep_blank_values=True))
            self._check_time(params)
            key.verify(payload.encode(), signature)
            headers = {"X-MBX-USED-WEIGHT-1M": str(used)}
            if orders:
                headers |= self._count_orders(key.account, orders)
            answer = call(key.account, params)
            self._tell_users()
            return web.json_response(answer, headers=headers)

        return handle

    # ----------------------------------------------------------------------------------------------------- user stream
    async def _listen_route(self, request: web.Request) -> web.Response:
        """A listen key is asked for with the API key alone, unsigned."""
        self._pass_time()
        used = self._weigh(request, 1)
        key = self._key(request.headers.get("X-MBX-APIKEY", ""))
        answer = self.form.listen(request.method, key.account)
        return web.json_response(answer, headers={"X-MBX-USED-WEIGHT-1M": str(used)})
