"""`bot4 venue` as a stranger meets it: a process of its own, a stock ccxt client, TLS, and bad input."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import hashlib
import hmac
import json
import re
import signal
import socket
import ssl
import sys
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from yarl import URL

from engine._core.clock import utc_ns
from engine.cli.main import cli
from engine.errors import SimServerConfig
from engine.sim.venue import sockets
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.generated import GeneratedMarket
from engine.sim.venue.instruments import default_spot
from engine.sim.venue.limits import Limits
from engine.sim.venue.server import VenueServer

WAIT_S = 15
COMMAND = "from engine.cli.main import main; main()"


def run(body):
    return asyncio.run(asyncio.wait_for(body, WAIT_S))


@contextlib.asynccontextmanager
async def process(*words):
    """The command itself; yields its port, and demands that it ends in order when it is told to."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, "venue", "--port", "0", *words, stdout=asyncio.subprocess.PIPE
    )
    try:
        text = ""
        while "docs/venues" not in text:
            line = (await child.stdout.readline()).decode()
            assert line, "it ended before it served"
            text += line
        yield int(re.search(r"127\.0\.0\.1:(\d+)/api/v3", text)[1])
        child.send_signal(signal.SIGTERM)
        rest, _ = await child.communicate()
        assert (child.returncode, b"books and balances are sound" in rest) == (0, True)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


@contextlib.asynccontextmanager
async def served_here(*, clock=utc_ns, **more):
    exchange = Exchange(default_spot(), now_ns=(start := clock()))
    market = GeneratedMarket(exchange, seed=3, start_ns=start)
    server = VenueServer(exchange, clock=clock, generate=market.advance, tick_ns=10_000_000, **more)
    server.add_account("key", secret="secret")
    async with server, aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
        yield server, session
    exchange.check()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for the production hosts, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "embedded venue")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(7).not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("*.binance.com")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


class Here(AbstractResolver):
    """Every host is this machine."""

    def __init__(self, port):
        self.port = port

    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [{"hostname": host, "host": "127.0.0.1", "port": self.port, "family": socket.AF_INET, "proto": 0,
                 "flags": 0}]  # fmt: skip

    async def close(self):
        """Nothing is held."""


def test_a_stock_ccxt_client_with_production_addresses_trades_over_tls(certificate):
    ccxtpro = pytest.importorskip("ccxt.pro", reason="the ccxt extra is not installed")

    async def body():
        async with process("--tls", *map(str, certificate), "--seed", "5") as port:
            trust = ssl.create_default_context(cafile=str(certificate[0]))
            connector = aiohttp.TCPConnector(resolver=Here(port), ssl=trust)
            async with aiohttp.ClientSession(connector=connector) as session:
                assert await converse(ccxtpro.binance(stock(session)), ccxtpro) == 0.02

    run(body())


def stock(session):
    return {
        "apiKey": "key", "secret": "secret", "session": session, "enableRateLimit": False,
        "options": {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False,
                    "fetchMargins": False},
    }  # fmt: skip


async def converse(ex, errors):
    """Markets, a moving book, trades, a resting order and one that takes, the balance, an error. Returns the amount."""
    try:
        assert set(await ex.load_markets()) == {"BTC/USDT", "ETH/USDT", "BNB/USDT"}
        books = [await ex.watch_order_book("BTC/USDT") for _ in range(5)]
        assert books[-1]["bids"][0][0] < books[-1]["asks"][0][0]
        assert books[-1]["nonce"] > 0
        trades = await ex.watch_trades("ETH/USDT")
        assert 1_000 < trades[-1]["price"] < 9_000
        resting = await ex.create_order("BTC/USDT", "limit", "buy", 0.01, 40_000)
        assert (await ex.cancel_order(resting["id"], "BTC/USDT"))["status"] == "canceled"
        bought = await ex.create_order("BTC/USDT", "market", "buy", 0.02)
        assert (bought["status"], bought["filled"]) == ("closed", 0.02)
        balance = await ex.fetch_balance()
        paid = sum(t["cost"] for t in await ex.fetch_my_trades("BTC/USDT"))
        assert balance["USDT"]["total"] == pytest.approx(1_000_000 - paid, abs=1e-6)
        assert balance["BTC"]["total"] == pytest.approx(10 + 0.02 * 0.999, abs=1e-9)
        with pytest.raises(errors.InsufficientFunds):
            await ex.create_order("BTC/USDT", "limit", "sell", 100, 70_000)
        return bought["filled"]
    finally:
        await ex.close()


def test_a_client_that_does_not_know_the_certificate_is_not_served(certificate):
    async def body():
        async with process("--tls", *map(str, certificate)) as port, aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(f"https://127.0.0.1:{port}/api/v3/ping")

    run(body())


def test_wrong_files_and_a_port_in_use_are_refused_in_one_sentence(tmp_path):
    done = CliRunner().invoke(cli, ["venue", "--tls", str(tmp_path / "a"), str(tmp_path / "b")])
    assert isinstance(done.exception, SimServerConfig)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = CliRunner().invoke(cli, ["venue", "--port", str(taken.getsockname()[1])])
    assert isinstance(done.exception, SimServerConfig)
    assert "in use" in str(done.exception)


def test_it_ends_by_itself_after_its_seconds():
    done = CliRunner().invoke(cli, ["venue", "--port", "0", "--seconds", "0.2"])
    assert (done.exit_code, done.exception) == (0, None)
    assert "books and balances are sound" in done.output


def test_a_market_that_fails_ends_the_server_with_its_error():
    async def body():
        calls = []

        def generate(_):
            calls.append(1)
            if len(calls) > 1:
                raise SimServerConfig("the market broke")
            return 0

        server = VenueServer(Exchange(default_spot()), clock=utc_ns, generate=generate, tick_ns=1_000_000)
        async with server:
            with pytest.raises(SimServerConfig, match="the market broke"):
                await server.serve(asyncio.Event())

    run(body())


JUNK = ["", "{", "[]", "null", "7", '"x"', "[" * 5000, '{"id":1}', '{"id":{"a":[]},"method":"SUBSCRIBE","params":{}}',
        '{"id":2,"method":"SUBSCRIBE","params":[1,null]}', '{"method":"SUBSCRIBE","params":["nosuch@trade"]}',
        '{"id":3,"method":5}', '{"id":4,"method":"order.place","params":[]}',
        '{"id":5,"method":"order.place","params":{"symbol":{"a":1}}}',
        '{"id":6,"method":"order.place","params":{"timestamp":"x","symbol":"BTCUSDT"}}',
        '{"id":7,"method":"no.such","params":{}}',
        '{"id":8,"method":"depth","params":{"symbol":"BTCUSDT","limit":"-1"}}',
        '{"id":9,"method":"depth","params":{"symbol":"NOSUCH"}}']  # fmt: skip


@pytest.mark.parametrize("path", ["/ws", "/stream", "/ws-api/v3"])
def test_every_junk_message_gets_one_error_and_the_connection_lives_on(path):
    async def body():
        async with served_here() as (server, session), session.ws_connect(path) as ws:
            for message in JUNK:
                await ws.send_str(message)
                answer = await ws.receive_json()
                assert answer.get("code") == 2 or answer["error"]["code"] < 0, message
            assert sum(server.errors.values()) == len(JUNK)
            await ws.send_bytes(b"\xff\xfe\x00")
            assert "id" in await ws.receive_json()
            ping = {"id": "last", "method": "ping" if "api" in path else "LIST_SUBSCRIPTIONS"}
            await ws.send_json(ping)
            assert (await ws.receive_json())["id"] == "last"

    run(body())


def test_a_frame_too_large_ends_that_connection_and_no_other():
    async def body():
        async with served_here() as (server, session), session.ws_connect("/ws/btcusdt@bookTicker") as other:
            async with session.ws_connect("/ws") as ws:
                await ws.send_str("x" * (sockets.FRAME_MAX + 1))
                assert (await ws.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
            assert (await other.receive_json())["s"] == "BTCUSDT"
            assert len(server._sockets) == 1

    run(body())


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v3/depth", 400, -1102),
        ("GET", "/api/v3/depth?symbol=BTCUSDT&limit=99999999999999999999", 400, -1100),
        ("GET", "/api/v3/klines?symbol=BTCUSDT&interval=7m", 400, -1120),
        ("GET", "/api/v3/ticker/price?symbol=%FF%FE", 400, -1121),
        ("GET", "/api/v3/nothing", 404, -1000),
        ("POST", "/api/v3/order?symbol=BTCUSDT", 401, -2014),
        ("GET", "/api/v3/account", 401, -2014),
    ],
)
def test_a_wrong_request_gets_the_venues_code(method, path, status, code):
    async def body():
        async with served_here() as (_, session), session.request(method, path) as response:
            assert (response.status, (await response.json())["code"]) == (status, code)

    run(body())


def test_past_the_limit_of_weight_comes_429_then_418_with_the_time_to_wait():
    async def body():
        seen = []
        # Time stands still: the minute does not end between two requests.
        limits = Limits(weight_max=60, strikes_max=2)
        async with served_here(clock=lambda: 1_800_000_010 * 10**9, limits=limits) as (_, session):
            for _ in range(8):
                async with session.get("/api/v3/exchangeInfo") as response:
                    told = (await response.json()).get("code")
                    seen.append((response.status, response.headers.get("Retry-After"), told))
        return seen

    assert run(body()) == [(200, None, None)] * 3 + [(429, "50", -1003)] * 3 + [(418, "120", -1003)] * 2


def test_who_reads_too_slowly_is_cut_off_and_the_others_are_served():
    async def body():
        async with served_here() as (server, session), session.ws_connect("/ws/btcusdt@bookTicker") as other:
            async with session.ws_connect("/ws") as slow:
                await slow.send_json({"id": 1, "method": "LIST_SUBSCRIPTIONS"})
                await slow.receive_json()
                victim = next(s for s in server._sockets if not s.streams)
                while not victim.outbox.full():
                    victim.put({"filler": 1})
                server._put(victim, {"one": "too many"})
                assert server.counts["slow_readers"] == 1
                while len(server._sockets) > 1:
                    await asyncio.sleep(0)
            assert (await other.receive_json())["s"] == "BTCUSDT"

    run(body())


def test_images_and_changes_of_the_moving_market_fit_without_a_gap():
    async def body():
        async with served_here() as (_, session), session.ws_connect("/stream?streams=btcusdt@depth@100ms") as ws:
            events = [(await ws.receive_json())["data"]]
            async with session.get("/api/v3/depth", params={"symbol": "BTCUSDT", "limit": "5000"}) as response:
                shot = await response.json()
            book = {"b": dict(shot["bids"]), "a": dict(shot["asks"])}
            at = shot["lastUpdateId"]
            while at < shot["lastUpdateId"] + 500:
                events.append((await ws.receive_json())["data"])
                event = events[-1]
                assert event["U"] == events[-2]["u"] + 1
                if event["u"] <= at:
                    continue
                assert event["U"] <= at + 1
                for side in ("b", "a"):
                    for px, qty in event[side]:
                        book[side][px] = qty
                        if not float(qty):
                            del book[side][px]
                at = event["u"]
                assert max(map(float, book["b"])) < min(map(float, book["a"]))
            async with session.get("/api/v3/depth", params={"symbol": "BTCUSDT", "limit": "5000"}) as response:
                last = await response.json()
            while at < last["lastUpdateId"]:
                event = (await ws.receive_json())["data"]
                for side in ("b", "a"):
                    for px, qty in event[side]:
                        book[side][px] = qty
                        if not float(qty):
                            del book[side][px]
                at = event["u"]
            assert at == last["lastUpdateId"]
            assert book == {"b": dict(last["bids"]), "a": dict(last["asks"])}

    run(body())


def test_every_answer_is_json_that_a_strict_reader_takes():
    async def body():
        async with served_here() as (_, session):
            for path in ("exchangeInfo", "ticker/24hr", "trades", "avgPrice", "depth", "ticker/bookTicker"):
                async with session.get(f"/api/v3/{path}?symbol=BTCUSDT") as response:
                    assert response.status == 200
                    json.loads(await response.text(), parse_constant=pytest.fail)

    run(body())


# ------------------------------------------------------------------------------------------- WebSocket API, signed REST
class Caller:
    """Calls by the WebSocket API; what is not the answer is kept as an event."""

    def __init__(self, ws):
        self.ws, self.events, self.number = ws, [], 0

    async def __call__(self, method, /, **params):
        self.number += 1
        await self.ws.send_json({"id": self.number, "method": method, "params": params})
        while (message := await self.ws.receive_json()).get("id") != self.number:
            self.events.append(message["event"])
        return message

    async def event(self, kind, what=""):
        while True:
            for event in self.events:
                if event["e"] == kind and event.get("x", "") == what:
                    self.events.remove(event)
                    return event
            self.events.append((await self.ws.receive_json())["event"])


def now_ms():
    return utc_ns() // 10**6


def test_a_session_is_opened_with_ed25519_and_its_orders_need_no_signature():
    async def body():
        async with served_here() as (server, session), session.ws_connect("/ws-api/v3") as ws:
            key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
            server.add_account("ed", ed25519_public=key.public_key().public_bytes_raw())
            call = Caller(ws)
            params = {"apiKey": "ed", "timestamp": now_ms()}
            place = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "40000",
                     "quantity": "0.01"}  # fmt: skip
            assert (await call("order.place", **place, timestamp=now_ms()))["error"]["code"] == -1102
            forged = base64.b64encode(key.sign(b"something else")).decode()
            assert (await call("session.logon", **params, signature=forged))["error"]["code"] == -1022
            text = "&".join(f"{name}={params[name]}" for name in sorted(params))
            signed = base64.b64encode(key.sign(text.encode())).decode()
            assert (await call("session.logon", **params, signature=signed))["result"]["apiKey"] == "ed"
            assert (await call("userDataStream.subscribe"))["status"] == 200
            placed = (await call("order.place", **place, timestamp=now_ms()))["result"]
            report = await call.event("executionReport", "NEW")
            assert (report["i"], report["X"], report["q"]) == (placed["orderId"], "NEW", "0.01000000")
            assert (await call.event("outboundAccountPosition"))["B"][-1] == {
                "a": "USDT", "f": "999600.00000000", "l": "400.00000000"
            }  # fmt: skip
            gone = await call("order.cancel", symbol="BTCUSDT", orderId=placed["orderId"], timestamp=now_ms())
            assert gone["result"]["status"] == "CANCELED"
            assert (await call.event("executionReport", "CANCELED"))["i"] == placed["orderId"]
            assert (await call("session.logout"))["result"]["apiKey"] is None
            assert (await call("account.status", timestamp=now_ms()))["error"]["code"] == -1102

    run(body())


@contextlib.asynccontextmanager
async def signed_rest():
    """Signed REST calls as functions: status and answer."""
    async with served_here() as (server, session):

        async def call(method, path, **params):
            text = urlencode(params | {"timestamp": now_ms()})
            text += "&signature=" + hmac.new(b"secret", text.encode(), hashlib.sha256).hexdigest()
            url = URL(f"http://127.0.0.1:{server.port}/api/v3/{path}?{text}", encoded=True)
            async with session.request(method, url, headers={"X-MBX-APIKEY": "key"}) as response:
                return response.status, await response.json()

        yield server, call


def test_an_amend_keeps_its_place_and_never_grows():
    async def body():
        async with signed_rest() as (_, call):
            _, order = await call("POST", "order", symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC",
                                  price="40000", quantity="0.02")  # fmt: skip
            which = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
            status, made = await call("PUT", "order/amend/keepPriority", **which, newQty="0.01")
            assert (status, made["amendedOrder"]["origQty"]) == (200, "0.01000000")
            status, refused = await call("PUT", "order/amend/keepPriority", **which, newQty="0.03")
            assert (status, refused["code"]) == (400, -2038)
            _, account = await call("GET", "account", omitZeroBalances="true")
            assert {b["asset"]: b["locked"] for b in account["balances"]}["USDT"] == "400.00000000"

    run(body())


def test_the_pending_legs_of_an_otoco_begin_when_the_first_order_is_filled():
    async def body():
        async with signed_rest() as (server, call):
            bid = server.exchange.market("BTCUSDT").book.best_bid // 100
            status, made = await call(
                "POST", "orderList/otoco", symbol="BTCUSDT", workingType="LIMIT", workingSide="BUY",
                workingTimeInForce="GTC", workingPrice=bid + 500, workingQuantity="0.01", pendingSide="SELL",
                pendingQuantity="0.009", pendingAboveType="LIMIT_MAKER", pendingAbovePrice=bid + 9_000,
                pendingBelowType="STOP_LOSS", pendingBelowStopPrice=bid - 9_000,
            )  # fmt: skip
            assert (status, made["contingencyType"], len(made["orders"])) == (200, "OTO", 3)
            _, orders = await call("GET", "allOrders", symbol="BTCUSDT")
            assert {o["type"]: o["status"] for o in orders} == {
                "LIMIT": "FILLED", "LIMIT_MAKER": "NEW", "STOP_LOSS": "NEW"
            }  # fmt: skip
            status, gone = await call("DELETE", "orderList", symbol="BTCUSDT", orderListId=made["orderListId"])
            assert (status, gone["listOrderStatus"]) == (200, "ALL_DONE")
            assert (await call("GET", "openOrders"))[1] == []
            assert (await call("GET", "openOrderList"))[1] == []

    run(body())


def test_a_cancel_replace_that_fails_half_way_says_which_half():
    async def body():
        async with signed_rest() as (_, call):
            order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "40000",
                     "quantity": "0.02"}  # fmt: skip
            status, answer = await call("POST", "order/cancelReplace", **order, cancelReplaceMode="STOP_ON_FAILURE",
                                        cancelOrderId=99)  # fmt: skip
            assert (status, answer["code"], answer["data"]["newOrderResult"]) == (400, -2022, "NOT_ATTEMPTED")
            status, answer = await call("POST", "order/cancelReplace", **order, cancelReplaceMode="ALLOW_FAILURE",
                                        cancelOrderId=99)  # fmt: skip
            assert (status, answer["code"]) == (409, -2021)
            assert (answer["data"]["cancelResult"], answer["data"]["newOrderResult"]) == ("FAILURE", "SUCCESS")
            assert len((await call("GET", "openOrders"))[1]) == 1

    run(body())
