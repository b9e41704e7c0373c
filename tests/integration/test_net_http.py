"""The HTTP client against a real server: what it sends, what it learns, what it refuses, how it fails."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from aiohttp import web

from engine.errors import CertificateRefused, ConnectFailed, FrameRefused, RateDenied, VenueBanned, VenueUnsure
from engine.net import http as net_http
from engine.net.budget import SECOND, Lane, Limit, LimitKind, RateBudget
from engine.net.http import HttpClient
from engine.venues.binance.info import counts_of_headers
from tests.support.certs import Authority

WEIGHT = Limit(LimitKind.WEIGHT, 60 * SECOND, 1000)


def _run(handler, test, *, tls=None, ca_file=None, timeout_s=20.0):
    async def whole():
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        budget = RateBudget([WEIGHT])
        client = HttpClient(
            f"{'https' if tls else 'http'}://127.0.0.1:{port}", budget, counts_of=counts_of_headers, ca_file=ca_file,
            timeout_s=timeout_s,
        )  # fmt: skip
        try:
            await test(client, budget)
        finally:
            await client.close()
            await runner.cleanup()

    uvloop.run(whole())


def test_a_signed_query_arrives_exactly_as_it_was_signed():
    seen = []

    async def handler(request):
        seen.append((request.method, request.raw_path, request.headers.get("X-MBX-APIKEY")))
        return web.json_response({"ok": 1}, headers={"X-MBX-USED-WEIGHT-1M": "321"})

    async def test(client, budget):
        answer = await client.request(
            "POST", "/api/v3/order", "a=%2B%20x&b=%7E~&signature=ab%3D", lane=Lane.NEW, weight=1,
            headers={"X-MBX-APIKEY": "key"},
        )  # fmt: skip
        assert (answer.status, answer.body) == (200, b'{"ok": 1}')
        assert answer.sent_ns <= answer.received_ns
        assert seen == [("POST", "/api/v3/order?a=%2B%20x&b=%7E~&signature=ab%3D", "key")]
        assert budget.usage(answer.received_ns)["weight_60s"] == (321, 1000)

    _run(handler, test)


def test_connections_are_kept_and_used_again():
    peers = set()

    async def handler(request):
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response(text="{}")

    async def test(client, budget):
        for _ in range(20):
            await client.request("GET", "/x", lane=Lane.CANCEL, weight=1)
        assert len(peers) == 1

    _run(handler, test)


def test_the_budget_is_asked_before_anything_is_sent():
    count = []

    async def handler(request):
        count.append(1)
        return web.Response(text="{}")

    async def test(client, budget):
        with pytest.raises(RateDenied, match="too_heavy"):
            await client.request("GET", "/x", lane=Lane.NEW, weight=999)
        assert not count
        assert client.request_count == 0

    _run(handler, test)


@pytest.mark.parametrize(("status", "error"), [(429, RateDenied), (418, VenueBanned)])
def test_after_a_429_or_a_418_nothing_more_is_sent(status, error):
    count = []

    async def handler(request):
        count.append(1)
        return web.json_response({"code": -1003, "msg": "x"}, status=status, headers={"Retry-After": "3600"})

    async def test(client, budget):
        answer = await client.request("GET", "/x", lane=Lane.RECONCILE, weight=1)
        assert answer.status == status
        for lane in (Lane.NEW, Lane.RECONCILE):
            with pytest.raises(error):
                await client.request("GET", "/x", lane=lane, weight=1)
        assert len(count) == 1

    _run(handler, test)


def test_an_answer_that_does_not_come_is_unsure_never_failed():
    gate = None

    async def handler(request):
        await gate.wait()
        return web.Response()

    async def test(client, budget):
        nonlocal gate
        gate = asyncio.Event()
        with pytest.raises(VenueUnsure):
            await client.request("POST", "/order", lane=Lane.NEW, weight=1)
        gate.set()

    _run(handler, test, timeout_s=0.2)


def test_a_connection_that_breaks_in_the_middle_is_unsure():
    async def handler(request):
        request.transport.abort()
        return web.Response()

    async def test(client, budget):
        with pytest.raises(VenueUnsure):
            await client.request("POST", "/order", lane=Lane.NEW, weight=1)

    _run(handler, test)


def test_a_body_without_an_end_is_refused(monkeypatch):
    monkeypatch.setattr(net_http, "BODY_BYTES_MAX", 2**16)

    async def handler(request):
        return web.Response(body=b"x" * (2**20))

    async def test(client, budget):
        with pytest.raises(FrameRefused):
            await client.request("GET", "/x", lane=Lane.NEW, weight=1)

    _run(handler, test)


def test_a_redirect_is_not_followed_with_a_key_in_hand():
    async def handler(request):
        raise web.HTTPFound("/elsewhere")

    async def test(client, budget):
        assert (await client.request("GET", "/x", lane=Lane.NEW, weight=1)).status == 302

    _run(handler, test)


def test_a_certificate_of_another_authority_is_refused(tmp_path):
    mine, theirs = Authority(tmp_path), Authority(tmp_path, "another")

    async def handler(request):
        return web.Response()

    async def refused(client, budget):
        with pytest.raises(CertificateRefused):
            await client.request("GET", "/x", lane=Lane.NEW, weight=1)

    async def taken(client, budget):
        assert (await client.request("GET", "/x", lane=Lane.NEW, weight=1)).status == 200

    _run(handler, refused, tls=theirs.server("127.0.0.1"), ca_file=mine.file)
    _run(handler, taken, tls=mine.server("127.0.0.1"), ca_file=mine.file)


def test_nobody_listening_is_a_request_that_never_left():
    async def handler(request):
        return web.Response()

    async def test(client, budget):
        client.base_url = "http://127.0.0.1:1"
        with pytest.raises(ConnectFailed):
            await client.request("GET", "/x", lane=Lane.NEW, weight=1)

    _run(handler, test)
