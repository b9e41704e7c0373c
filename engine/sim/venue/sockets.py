"""The WebSockets of the served venue: market streams, the WebSocket API, the user stream, and who is behind each.

Owns: connections, what each listens to, keys, sessions, signatures. Does not own: REST and the ticking of the market
(server.py, whose base this is), which calls there are (its form), texts (wire.py). Bad input is answered with the
venue's own error and counted by code.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import WSMsgType, web

from engine.sim.venue import wire
from engine.sim.venue.accounts import Account
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.form import Form
from engine.sim.venue.keys import Key, check_time
from engine.sim.venue.limits import Limits
from engine.sim.venue.socket import Socket
from engine.sim.venue.streams import parse_name
from engine.sim.venue.wire import MS, ApiError

FRAME_MAX = 1 << 20
STREAMS_MAX = 1024
# A client that does not say good-bye is not waited for longer.
GOODBYE_S = 1.0
PING_S = 20.0


class Sockets:
    """The half of a server that keeps connections; the other half answers requests and lets time pass."""

    def __init__(self, exchange: Exchange, form: Form, limits: Limits, clock: Callable[[], int]) -> None:
        self.exchange, self.form, self.limits, self.clock = exchange, form, limits, clock
        self.keys: dict[str, Key] = {}
        self.errors: Counter[int] = Counter()
        self.counts: Counter[str] = Counter()
        self._sockets: set[Socket] = set()

    def _pass_time(self) -> None:
        self.exchange.advance(max(self.clock(), self.exchange.now_ns))
        self.form.pass_time()
        self._tell_users()

    def _put(self, socket: Socket, message: Mapping[str, Any]) -> None:
        if not socket.put(message):
            self.counts["slow_readers"] += 1
            socket.cut()

    # ------------------------------------------------------------------------------------------------------ who it is
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
