"""`bot4 venue`: the exchange behind sockets, speaking Binance's REST, market streams and WebSocket API.

Owns: authentication, limits, connections, the ticking of the market. Does not own: matching and money (exchange.py),
which addresses and calls there are (spot.py, usdm.py: its form), texts (wire.py). The clock is given: the simulator has
none of its own. Bad input is answered with the venue's own error and counted by code; it never reaches the engine
below. Cost: about 0.3 ms of CPU a REST order.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import WSCloseCode, WSMsgType, web

from engine.errors import SimServerConfig
from engine.sim.venue import wire
from engine.sim.venue.accounts import Account
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.form import Form
from engine.sim.venue.instruments import E8
from engine.sim.venue.keys import Key, check_time, signed_part
from engine.sim.venue.limits import Limits
from engine.sim.venue.socket import Socket
from engine.sim.venue.spot import SpotForm
from engine.sim.venue.streams import Streams, parse_name
from engine.sim.venue.wire import MS, ApiError

BODY_MAX = 1 << 20
FRAME_MAX = 1 << 20
STREAMS_MAX = 1024
Generate = Callable[[int], int]
# A client that does not say good-bye is not waited for longer.
GOODBYE_S = 1.0
PING_S = 20.0


class VenueServer:
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
        self.exchange, self.clock, self.host, self.port, self.tls = exchange, clock, host, port, tls
        self.form: Form = form or SpotForm(exchange)
        self.limits = limits or Limits()
        self.keys: dict[str, Key] = {}
        self.errors: Counter[int] = Counter()
        self.counts: Counter[str] = Counter()
        self._streams = Streams(exchange.markets, futures=self.form.futures)
        self._generate, self._tick_ns = generate, tick_ns
        self._sockets: set[Socket] = set()
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

    def _pass_time(self) -> None:
        self.exchange.advance(max(self.clock(), self.exchange.now_ns))
        self.form.pass_time()
        self._tell_users()

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

    def _put(self, socket: Socket, message: Mapping[str, Any]) -> None:
        if not socket.put(message):
            self.counts["slow_readers"] += 1
            socket.cut()

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

    def _count_orders(self, account: Account, orders: int) -> dict[str, str]:
        ten, day = self.limits.order(account.owner, orders, self.exchange.now_ns)
        return {"X-MBX-ORDER-COUNT-10S": str(ten), "X-MBX-ORDER-COUNT-1D": str(day)}

    def _key(self, api_key: str) -> Key:
        if not api_key:
            raise ApiError(-2014, "API-key format invalid.", 401)
        key = self.keys.get(api_key)
        if key is None:
            raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        return key

    def _check_time(self, params: Mapping[str, str]) -> None:
        wire.need(params, "timestamp")
        try:
            window = float(params.get("recvWindow", "5000"))
        except ValueError as error:
            raise ApiError(
                -1100, "Illegal characters found in parameter 'recvWindow'; legal range is '0' to '60000'."
            ) from error
        check_time(wire.number(params, "timestamp"), window, self.exchange.now_ns)

    # ------------------------------------------------------------------------------------------------------- sockets
    async def _socket(
        self, request: web.Request, handle: Callable[[Socket, Any], Any], *, listens: Account | None = None
    ) -> web.WebSocketResponse:
        # autoping answers pings; no compression, as on the engine's side.
        ws = web.WebSocketResponse(timeout=GOODBYE_S, heartbeat=PING_S, max_msg_size=FRAME_MAX, compress=False)
        await ws.prepare(request)
        socket = Socket(ws, request)
        names = [n for n in request.match_info.get("names", "").split("/") if n]
        names += [n for n in request.query.get("streams", "").split("/") if n]
        socket.combined = "/stream" in request.path and "/stream/ws" not in request.path
        socket.path = request.path
        socket.streams = {n for n in names if self._carries(socket, n)}
        socket.listens = listens
        self._sockets.add(socket)
        writer = asyncio.create_task(socket.write())
        try:
            async for message in ws:
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    continue
                self._pass_time()
                self.counts["messages"] += 1
                try:
                    asked = json.loads(message.data)
                except (ValueError, RecursionError):
                    asked = None
                handle(socket, asked)
        finally:
            self._sockets.discard(socket)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return ws

    def _carries(self, socket: Socket, name: str) -> bool:
        return self._known(name) and self.form.carries(socket.path, name)

    def _known(self, name: str) -> bool:
        return parse_name(name, self.exchange.markets, futures=self.form.futures)

    async def _market_socket(self, request: web.Request) -> web.WebSocketResponse:
        return await self._socket(request, self._control)

    def _control(self, socket: Socket, asked: Any) -> None:
        """SUBSCRIBE and its like. The stream's words for wrong input are its own."""
        number = asked.get("id") if isinstance(asked, dict) else None
        params = asked.get("params", []) if isinstance(asked, dict) else None
        method = asked.get("method") if isinstance(asked, dict) else None

        def refuse(text: str) -> None:
            self.errors[2] += 1
            self._put(socket, {"code": 2, "msg": f"Invalid request: {text}", "id": number})

        if not isinstance(asked, dict) or not isinstance(params, list):
            refuse("request must be an object with a list of params")
        elif method in ("SUBSCRIBE", "UNSUBSCRIBE"):
            known = all(isinstance(n, str) and self._known(n) for n in params)
            if not known or len(socket.streams) + len(params) > STREAMS_MAX:
                refuse("unknown stream" if not known else "too many streams")
                return
            # A stream that another address serves is taken and stays silent.
            mine = {name for name in params if self._carries(socket, name)}
            socket.streams = socket.streams | mine if method == "SUBSCRIBE" else socket.streams - mine
            self._put(socket, {"result": None, "id": number})
        elif method == "LIST_SUBSCRIPTIONS":
            self._put(socket, {"result": sorted(socket.streams), "id": number})
        elif method == "SET_PROPERTY" and len(params) == 2 and params[0] == "combined":
            socket.combined = bool(params[1])
            self._put(socket, {"result": None, "id": number})
        elif method == "GET_PROPERTY":
            self._put(socket, {"result": socket.combined, "id": number})
        else:
            refuse("unknown method")

    # ------------------------------------------------------------------------------------------------- WebSocket API
    async def _api_socket(self, request: web.Request) -> web.WebSocketResponse:
        return await self._socket(request, self._call)

    def _call(self, socket: Socket, asked: Any) -> None:
        number = asked.get("id") if isinstance(asked, dict) else None
        try:
            used, result = self._answer(socket, asked)
            answer: dict[str, Any] = {"id": number, "status": 200, "result": result}
            limits = [self.form.rate_limits[0] | {"count": used}]
        except ApiError as error:
            self.errors[error.code] += 1
            answer = {"id": number, "status": error.http, "error": error.body()}
            limits = []
        params = asked.get("params") if isinstance(asked, dict) else None
        if limits and not (isinstance(params, dict) and params.get("returnRateLimits") is False):
            answer["rateLimits"] = limits
        self._put(socket, answer)
        self._tell_users()

    def _answer(self, socket: Socket, asked: Any) -> tuple[int, Any]:
        if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
            raise ApiError(-1135, "This error code will occur if a parameter requiring a JSON object is invalid.")
        raw = asked.get("params") or {}
        if not isinstance(raw, dict):
            raise ApiError(-1135, "This error code will occur if a parameter requiring a JSON object is invalid.")
        params: dict[str, str] = {}
        for name, value in raw.items():
            if isinstance(value, (dict, list)) or value is None:
                raise ApiError(-1100, f"Illegal characters found in parameter '{name}'.")
            params[name] = str(value).lower() if isinstance(value, bool) else str(value)
        method = asked["method"]
        open_calls = self.form.open_calls()
        if method in open_calls:
            weight, call = open_calls[method]
            weight = weight(params) if callable(weight) else weight
            return self.limits.weigh(socket.address, weight, self.exchange.now_ns), call(params)
        if method.startswith(("session.", "userDataStream.")):
            used = self.limits.weigh(socket.address, 2, self.exchange.now_ns)
            return used, self._session(socket, method, params)
        calls = self.form.calls()
        if method not in calls:
            raise ApiError(-1000, "Unknown method.")
        weight, orders, signed = calls[method]
        used = self.limits.weigh(socket.address, weight, self.exchange.now_ns)
        account = self._signed_params(socket, params).account
        if orders:
            self._count_orders(account, orders)
        return used, signed(account, params)

    def _signed_params(self, socket: Socket, params: Mapping[str, str]) -> Key:
        """Signed by the session, or each request for itself."""
        self._check_time(params)
        if "signature" not in params and socket.key is not None:
            return socket.key
        key = self._key(wire.need(params, "apiKey"))
        signature = wire.need(params, "signature")
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")
        key.verify(payload.encode(), signature)
        return key

    def _session(self, socket: Socket, method: str, params: Mapping[str, str]) -> Any:
        now = self.exchange.now_ns // MS
        if method == "session.logon":
            key = self._signed_params(socket, params)
            if not key.ed25519_public:
                raise ApiError(-4056, "HMAC_SHA256 API key is not supported.")
            socket.key = key
        elif method == "session.logout":
            socket.key = None
        elif method in ("userDataStream.subscribe", "userDataStream.subscribe.signature"):
            if method == "userDataStream.subscribe" and socket.key is None:
                raise ApiError(-1125, "This listenKey does not exist.")
            user_key = self._signed_params(socket, params) if method.endswith("signature") else socket.key
            assert user_key is not None
            number = next((n for n in range(1000) if n not in socket.users), 0)
            socket.users[number] = user_key.account
            return {"subscriptionId": number}
        elif method == "userDataStream.unsubscribe":
            if "subscriptionId" in params:
                socket.users.pop(wire.number(params, "subscriptionId"), None)
            else:
                socket.users.clear()
            return {}
        elif method != "session.status":
            raise ApiError(-1000, "Unknown method.")
        key_now = socket.key
        return {"apiKey": key_now.account.api_key if key_now else None, "authorizedSince": now if key_now else None,
                "connectedSince": now, "returnRateLimits": True, "serverTime": now,
                "userDataStream": bool(socket.users)}  # fmt: skip

    # ----------------------------------------------------------------------------------------------------- user stream
    async def _listen_route(self, request: web.Request) -> web.Response:
        """A listen key is asked for with the API key alone, unsigned."""
        self._pass_time()
        used = self._weigh(request, 1)
        key = self._key(request.headers.get("X-MBX-APIKEY", ""))
        answer = self.form.listen(request.method, key.account)
        return web.json_response(answer, headers={"X-MBX-USED-WEIGHT-1M": str(used)})

    async def _user_socket(self, request: web.Request) -> web.WebSocketResponse:
        self._pass_time()
        account = self.form.listener(request.query.get("listenKey", ""))
        if account is None:
            raise ApiError(-1125, "This listenKey does not exist.")
        return await self._socket(request, self._control, listens=account)

    def _tell_users(self) -> None:
        for owner, event in self.form.news():
            self._to_user(owner, event)

    def _to_user(self, owner: int, event: Mapping[str, Any]) -> None:
        for socket in self._sockets:
            if socket.listens is not None and socket.listens.owner == owner:
                self._put(socket, event)
                if event["e"] == "listenKeyExpired":
                    socket.listens = None
            for number, account in socket.users.items():
                if account.owner == owner:
                    self._put(socket, {"subscriptionId": number, "event": event})
