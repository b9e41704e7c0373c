"""`bot4 doctor` asks the venue itself: one that answers, one that is not there, one with a certificate of its own."""

from __future__ import annotations

import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgspec
import pytest

from engine._core.clock import utc_ns
from engine.cli.doctor import FAIL, OK, WARNING, examine
from engine.cli.reach import reach
from engine.settings.schema import Settings, Venue
from tests.support.certificate import self_signed


class TimeTold(BaseHTTPRequestHandler):
    """A venue that tells its time, so many ms from ours."""

    off_ms = 0

    def do_GET(self) -> None:
        body = b'{"serverTime": %d}' % (utc_ns() // 10**6 + self.off_ms)
        self.send_response(200 if self.path == "/api/v3/time" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def served():
    servers: list[HTTPServer] = []

    def serve(off_ms: int = 0, context: ssl.SSLContext | None = None) -> str:
        handler = type("Told", (TimeTold,), {"off_ms": off_ms})
        server = HTTPServer(("127.0.0.1", 0), handler)
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def told(rest: str, **more: object) -> dict[str, tuple[str, str]]:
    settings = Settings(venues={"v": Venue(protocol="binance_spot", rest=rest, **more)})
    return {line.about: (line.state, line.text) for line in examine(settings)}


def test_a_venue_that_answers_is_told_with_its_clock(served):
    address = served()
    state, text = told(address)["reach of v"]
    assert state == OK
    assert text.startswith(f"{address} answers in ")
    assert "its clock" in text


def test_a_clock_beyond_the_limit_fails(served):
    state, text = told(served(off_ms=90_000))["reach of v"]
    assert state == FAIL
    assert "+90" in text or "+89" in text


def test_one_that_is_not_there_is_a_warning_on_paper_and_a_failure_live():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        rest = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        state, text = told(rest)["reach of v"]
        live = Settings(venues={"v": Venue(protocol="binance_spot", rest=rest)})
        live = msgspec.structs.replace(live, engine=msgspec.structs.replace(live.engine, mode="live"))
        found = {line.about: line.state for line in examine(live)}
    assert (state, found["reach of v"]) == (WARNING, FAIL)
    assert "refused" in text


def test_a_certificate_that_nobody_signed_is_trouble_and_not_an_answer(served, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(tmp_path))
    found = reach(Venue(protocol="binance_spot", rest=served(context=context)))
    assert found is not None
    assert "CERTIFICATE_VERIFY_FAILED" in found.trouble


def test_a_server_that_is_no_venue_is_told(served):
    found = reach(Venue(protocol="binance_usdm", rest=served()))
    assert found is not None
    assert found.trouble == "answers 404 Not Found"


def test_what_has_no_such_question_is_not_asked():
    assert reach(Venue(protocol="embedded")) is None
    assert reach(Venue(protocol="ccxt")) is None
    assert "reach of v" not in told("", enabled=False)
