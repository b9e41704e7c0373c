"""A small real order server on loopback: Binance's paths, signatures and error codes, with trouble on request.

It listens on a port of its own, checks every signature against the secret, holds orders, and answers like the venue.
`trouble` is a list that is used up request by request: each entry says what goes wrong with one request.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY, SECRET = "a-key", "a-secret"


@dataclass
class Order:
    symbol: str
    order_id: int
    client_id: str
    algo: bool = False
    side: str = "BUY"
    qty: str = "1"
    reduce_only: bool = False

    def row(self) -> dict[str, Any]:
        shared = {"symbol": self.symbol, "side": self.side, "reduceOnly": self.reduce_only}
        if self.algo:
            return {**shared, "algoId": self.order_id, "clientAlgoId": self.client_id, "quantity": self.qty}
        return {
            **shared,
            "orderId": self.order_id,
            "clientOrderId": self.client_id,
            "origQty": self.qty,
            "executedQty": "0",
        }


@dataclass
class RestVenue:
    """Orders and the server over them; use as a context manager."""

    clock_ahead_ms: int = 0
    rest_limits: bool = False
    orders: list[Order] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)  # "500", "drop", "lost-ack", "429", "html", "" (none)
    seen: list[tuple[str, str]] = field(default_factory=list)
    at: list[int] = field(default_factory=list)  # monotonic time of each request
    positions: dict[str, str] = field(default_factory=dict)
    on_request: Callable[[RestVenue, str, str], None] | None = None
    base_url: str = ""
    _ids: int = 1000
    hold: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.hold.set()

    def add(self, symbol: str, client_id: str, **more: Any) -> None:
        self._ids += 1
        self.orders.append(Order(symbol, self._ids, client_id, **more))

    def __enter__(self) -> RestVenue:
        venue = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # One packet per answer: else Nagle's wait for the client's delayed acknowledgement is what is measured.
            disable_nagle_algorithm = True
            wbufsize = -1

            def log_message(self, *arguments: Any) -> None:
                """Quiet: the tests look at `seen`."""

            def do_GET(self) -> None:
                venue._serve(self)

            def do_DELETE(self) -> None:
                venue._serve(self)

            def do_POST(self) -> None:
                venue._serve(self)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *arguments: Any) -> None:
                """A client killed in mid-request is what some tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # -------------------------------------------------------------------------------------------------- one request
    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        self.hold.wait(60)
        url = urllib.parse.urlsplit(request.path)
        length = int(request.headers.get("Content-Length") or 0)
        query = url.query + request.rfile.read(length).decode()
        self.seen.append((request.command, url.path))
        self.at.append(time.monotonic_ns())
        if self.on_request:
            self.on_request(self, request.command, url.path)
        trouble = self.trouble.pop(0) if self.trouble else ""
        if trouble == "drop":
            request.close_connection = True
            return
        if trouble in ("500", "429"):
            self._answer(request, int(trouble), {"code": -1003, "msg": "trouble"})
            return
        if trouble == "html":
            self._answer(request, 200, "<html>")
            return
        status, answer = self._handle(request.command, url.path, query, request.headers.get("X-MBX-APIKEY"))
        if trouble == "lost-ack":
            request.close_connection = True
            return
        self._answer(request, status, answer)

    @staticmethod
    def _answer(request: BaseHTTPRequestHandler, status: int, answer: Any) -> None:
        body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        request.send_response(status)
        if status == 429:
            request.send_header("Retry-After", "0")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _handle(self, method: str, path: str, query: str, key: str | None) -> tuple[int, Any]:
        now_ms = int(time.time() * 1000) + self.clock_ahead_ms
        if path.endswith("/time"):
            return 200, {"serverTime": now_ms}
        payload, _, signature = query.rpartition("&signature=")
        if key != KEY:
            return 401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}
        if hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest() != signature:
            return 400, {"code": -1022, "msg": "Signature for this request is not valid."}
        values = dict(urllib.parse.parse_qsl(payload))
        stamp = int(values["timestamp"])
        if not (stamp < now_ms + 1000 and now_ms - stamp <= int(values.get("recvWindow", 5000))):
            return 400, {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}
        return self._act(method, path, values)

    def _act(self, method: str, path: str, values: dict[str, str]) -> tuple[int, Any]:
        algo = "algo" in path.lower()
        if path.endswith("positionRisk"):
            return 200, [{"symbol": s, "positionAmt": amount} for s, amount in self.positions.items()]
        if method == "GET":
            touch = {"symbol": values.get("symbol"), "bidPrice": "100.0", "askPrice": "100.1"}
            return 200, touch if path.endswith("bookTicker") else [o.row() for o in self.orders if o.algo == algo]
        if method == "POST":
            return self._place(values)
        if path.lower().endswith("openorders"):
            gone = [o for o in self.orders if o.symbol == values["symbol"] and o.algo == algo]
        else:
            wanted = int(values.get("algoId") or values["orderId"])
            gone = [o for o in self.orders if o.order_id == wanted]
        if not gone:
            return 400, {"code": -2011, "msg": "Unknown order sent."}
        self.orders = [o for o in self.orders if o not in gone]
        return 200, [order.row() for order in gone]

    def _place(self, values: dict[str, str]) -> tuple[int, Any]:
        """Reduce-only orders, filled at once when they are market orders or reach the touch; else they rest."""
        held = Decimal(self.positions.get(values["symbol"], "0"))
        signed = Decimal(values["quantity"]) * (1 if values["side"] == "BUY" else -1)
        if values.get("reduceOnly") != "true" or held * signed >= 0:
            return 400, {"code": -2022, "msg": "ReduceOnly Order is rejected."}
        if values["type"] == "LIMIT" and self.rest_limits:
            self.add(
                values["symbol"],
                values["newClientOrderId"],
                side=values["side"],
                qty=values["quantity"],
                reduce_only=True,
            )
            return 200, {"status": "NEW"}
        self.positions[values["symbol"]] = str(held + (signed if abs(signed) <= abs(held) else -held))
        return 200, {"status": "FILLED"}
