"""The dashboard: who may look, what a browser may load, and the page itself in headless Chromium."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import ssl
import subprocess

import aiohttp
import pytest

from engine._core.clock import utc_ns
from engine.errors import DashboardError, DashboardExposed
from engine.observe.commands import Peer
from engine.observe.display import Display
from engine.observe.history import History
from engine.web.server import FILES, HEADERS, STATIC, Dashboard, tls_context
from tests.integration.test_run import BOT4, FREE_PORTS
from tests.support.browser import chromium
from tests.support.certificate import self_signed
from tests.support.hand import Hand, Shown
from tests.support.serving import running_loop

PEER = Peer(1, 0, 0)


@pytest.fixture(scope="module")
def loop():
    with running_loop() as it:
        yield it


@pytest.fixture
def engine(tmp_path):
    engine = Shown(tmp_path / "session")
    yield engine
    engine.close()


@pytest.fixture
def served(loop, engine):
    made = []

    def serve(**kw):
        dashboard = Dashboard(Display(engine, redact=kw.pop("redact", False)), **({"port": 0} | kw))
        loop.run(dashboard.start())
        made.append(dashboard)
        return dashboard

    yield serve
    for dashboard in made:
        loop.run(dashboard.close())


def _get(loop, address, **kw):
    async def get():
        async with aiohttp.ClientSession() as session, session.get(address, allow_redirects=False, **kw) as answer:
            return answer.status, dict(answer.headers), await answer.text()

    return loop.run(get())


def _pictures(loop, dashboard, count, **kw):
    async def read():
        async with aiohttp.ClientSession() as session, session.ws_connect(dashboard.address + "stream", **kw) as stream:
            return [json.loads((await stream.receive(timeout=20)).data) for _ in range(count)]

    return loop.run(read())


# ------------------------------------------------------------------------------------------------- what is served
def test_every_file_is_served_with_a_strict_policy(loop, served):
    dashboard = served()
    for path, (name, kind) in FILES.items():
        status, headers, text = _get(loop, dashboard.address.rstrip("/") + path)
        assert (status, text) == (200, (STATIC / name).read_text())
        assert headers["Content-Type"].startswith(kind)
        for header, value in HEADERS.items():
            assert headers[header] == value
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_no_file_speaks_to_the_outside_or_holds_inline_code():
    for name, _ in FILES.values():
        text = (STATIC / name).read_text()
        assert not re.search(r"https?://(?!www\.w3\.org/)|//cdn|@import|url\(", text), name
        assert not re.search(r"\bon\w+=|<script>|<style|style=|innerHTML|eval\(|document\.write", text), name


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_sent_to_it(loop, served, method):
    dashboard = served()

    async def send():
        async with aiohttp.ClientSession() as session:
            return [(await session.request(method, dashboard.address + path)).status for path in ("", "stream", "x")]

    assert set(loop.run(send())) <= {404, 405}


def test_paths_beside_the_list_are_not_there(loop, served):
    address = served().address
    for path in ("../server.py", "%2e%2e/server.py", "app.js/", "static/app.js", "status"):
        assert _get(loop, address + path)[0] == 404


# ----------------------------------------------------------------------------------------------------- who may look
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org"])
def test_beyond_loopback_a_token_and_tls_are_needed(engine, host, tmp_path):
    tls = tls_context(*self_signed(tmp_path))
    for more in ({}, {"token": "t" * 32}, {"tls": tls}):
        with pytest.raises(DashboardExposed):
            Dashboard(Display(engine), host=host, **more)
    assert Dashboard(Display(engine), host=host, token="t" * 32, tls=tls).host == host


def test_with_a_token_and_tls_only_who_shows_the_token_sees_anything(loop, served, tmp_path):
    certificate, key = self_signed(tmp_path)
    dashboard = served(token="t" * 32, tls=tls_context(certificate, key))
    trust = ssl.create_default_context(cafile=certificate)
    trust.check_hostname = False
    address = dashboard.address
    assert address.startswith("https://")
    for path in ("", "app.js", "stream", "?token=wrong"):
        assert _get(loop, address + path, ssl=trust)[0] == 401
    assert _get(loop, address, ssl=trust, headers={"Authorization": "Bearer " + "t" * 32})[0] == 200
    status, headers, _ = _get(loop, address + "?token=" + "t" * 32, ssl=trust)
    assert (status, headers["Location"]) == (303, "/")
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "Secure" in cookie
    assert "SameSite=Strict" in cookie
    assert _get(loop, address, ssl=trust, headers={"Cookie": cookie.split(";")[0]})[0] == 200


@pytest.mark.parametrize(("header", "value"), [("Host", "evil.example"), ("Origin", "https://evil.example")])
def test_another_site_cannot_reach_it_through_a_visitors_browser(loop, served, header, value):
    address = served().address
    for path in ("", "stream"):
        assert _get(loop, address + path, headers={header: value})[0] == 403


def test_a_port_that_is_taken_and_a_certificate_that_is_none_are_one_plain_error(loop, engine, served, tmp_path):
    with pytest.raises(DashboardError, match="127"):
        loop.run(Dashboard(Display(engine), port=served().port).start())
    (tmp_path / "x.pem").write_text("no certificate")
    with pytest.raises(DashboardError):
        tls_context(str(tmp_path / "x.pem"), str(tmp_path / "x.pem"))


# ------------------------------------------------------------------------------------------------------ the stream
def test_a_viewer_gets_the_history_and_then_pictures(loop, served, engine):
    first, second, third = _pictures(loop, served(), 3)
    assert first["kind"] == "history"
    assert first["candles"].keys() <= {"BTCUSDT", "ETHUSDT", "SOLUSDT"}
    assert second["status"]["symbols"][0]["name"] == third["status"]["symbols"][0]["name"] == "BTCUSDT"
    assert len(first["events"]) + len(second["events"]) == engine.numbered


def test_one_viewer_too_many_is_refused(loop, served):
    dashboard = served(viewers_max=1)

    async def two():
        address = dashboard.address + "stream"
        async with aiohttp.ClientSession() as session, session.ws_connect(address) as first:
            await first.receive()
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(address)
            return refused.value.status

    assert loop.run(two()) == 503


def test_a_viewer_that_does_not_read_is_skipped_and_loses_no_event_when_it_does(loop, served, engine):
    dashboard = served()

    async def slow():
        address = dashboard.address + "stream"
        async with aiohttp.ClientSession() as session, session.ws_connect(address) as stream:
            (viewer,) = dashboard._viewers.values()
            # Its queue is full, as it is while its socket takes nothing more.
            while not viewer.queue.full():
                viewer.queue.put_nowait(b'{"kind": "filler"}')
            engine.pass_time(1)
            seen = []
            # Until the last event was told: pictures from before it may come first.
            while not any(e["number"] == engine.numbered for message in seen for e in message.get("events", [])):
                seen.append(json.loads((await stream.receive(timeout=20)).data))
            return seen

    seen = loop.run(slow())
    told = [event["number"] for message in seen for event in message.get("events", [])]
    assert told == list(range(1, engine.numbered + 1))


def test_under_the_display_rule_the_stream_holds_no_position_and_no_profit(loop, served):
    first, second = _pictures(loop, served(redact=True), 2)
    account, symbol = second["status"]["account"], second["status"]["symbols"][0]
    assert second["status"]["redacted"]
    assert not {"equity", "day_profit", "peak", "unrealised"} & account.keys()
    assert not {"position", "unrealised", "realised"} & symbol.keys()
    assert all("qty" not in event for event in first["events"] + second["events"])
    assert all(point[1] is None for point in first["equity"])


def test_the_history_takes_fixed_room(engine):
    history = History(Display(engine), candle_ns=1)
    for _ in range(30):
        engine.pass_time(0.2)
        history.update()
    document = history.document()
    assert len(document["candles"]["BTCUSDT"]) == 30
    for opened, high, low, close in (row[1:] for row in document["candles"]["BTCUSDT"]):
        assert low <= min(opened, close) <= max(opened, close) <= high
    assert len(document["events"]) <= 200
    assert len(document["equity"]) <= 720


# -------------------------------------------------------------------------------------------------- in a browser
BROWSER = chromium()
# Drawing is done by the processor here: two pictures a second leave room for everything else on a busy machine. What
# waits for the page waits long: a page that shows it at once costs nothing of that.
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
PATIENCE_MS = 240_000
CALM_HZ = 2.0
needs_browser = pytest.mark.skipif(
    BROWSER is None or importlib.util.find_spec("playwright") is None,
    reason="no Chromium on this machine: apt install chromium-headless-shell",
)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=ARGS, timeout=PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1100, "height": 700})
    page.set_default_timeout(PATIENCE_MS)
    page.wrong = []
    page.on("console", lambda m: page.wrong.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    page.close()


@pytest.fixture
def hand(tmp_path):
    """The session of `bot4 run`, some seconds old."""
    it = Hand(tmp_path / "paper")
    for _ in range(20):
        it.run()
    yield it
    it.close()


@pytest.fixture
def board(loop, hand):
    dashboard = Dashboard(Display(hand.picture), port=0, rate_hz=CALM_HZ)
    loop.run(dashboard.start())
    yield dashboard
    loop.run(dashboard.close())


def _pixels(page, name, colour=None):
    """How many pixels of a canvas are drawn, or drawn in one colour."""
    return page.evaluate(
        "([id, want]) => { const c = document.getElementById(id); const d = c.getContext('2d').getImageData(0, 0, "
        "c.width, c.height).data; let n = 0; for (let i = 0; i < d.length; i += 4) n += want === null ? d[i + 3] > 0 : "
        "d[i] === want[0] && d[i + 1] === want[1] && d[i + 2] === want[2]; return n; }",
        [name, colour],
    )


@needs_browser
def test_the_page_shows_the_session_of_bot4_run_and_asks_nobody_else(page, loop, hand, board):
    page.goto(board.address)
    page.wait_for_selector('#head[data-state="good"]')
    page.wait_for_selector("#symbols tbody tr:nth-child(3)")
    before = page.text_content("#strategies tbody")
    loop.call(hand.run)
    page.wait_for_function("was => document.querySelector('#strategies tbody').textContent !== was", arg=before)
    status = hand.picture.status()
    assert page.locator("#symbols tbody td:first-child").all_text_contents() == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    assert page.locator("#tabs button").all_text_contents() == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    assert page.locator("#stages button").all_text_contents() == [stage.stage for stage in status.latency]
    assert page.locator("#headroom > div span:first-child").count() == len(status.headroom)
    assert page.locator("#feeds tbody td:first-child").all_text_contents() == [f.name for f in status.feeds]
    assert page.locator("#strategies tbody tr").count() == 3
    assert page.locator("#events tbody tr").count() > 3
    assert page.locator("#why tbody tr").count() == len(status.why) > 0
    assert "healthy" in page.text_content("#journal")
    assert page.text_content("#breakers") == "data closedjournal closedclock closedpaper closed"
    for canvas in ("candles", "depth", "equity", "histogram"):
        assert _pixels(page, canvas) > 100, canvas
    assert {url.split("/")[2] for url in page.asked} == {f"127.0.0.1:{board.port}"}
    assert page.wrong == []


@needs_browser
def test_each_stage_has_its_own_histogram_and_each_symbol_its_own_candles(page, loop, hand, board):
    page.goto(board.address)
    page.wait_for_selector("#stages button:nth-child(2)")
    page.click("#stages button:nth-child(2)")
    assert page.get_attribute("#stages button:nth-child(2)", "aria-pressed") == "true"
    page.click("#tabs button:nth-child(3)")
    bid = hand.picture.status().symbols[2].bid
    page.wait_for_function("want => document.getElementById('touch').textContent.startsWith(want)", arg=f"{bid:,.2f}")


FILL_BLUE = [90, 162, 232]  # nothing else on that canvas has it


@needs_browser
def test_own_fills_stand_on_the_candles(page, loop, hand, board):
    # The pictures of the past were not taken: the candles begin now, and the fills must lie in them.
    newest = hand.picture.latest(1)[-1].number
    loop.call(board.history.update)
    while not [e for e in hand.picture.events(newest, 10_000) if e.kind == "fill" and e.symbol == "BTCUSDT"]:
        loop.call(hand.run)
    page.goto(board.address)
    page.wait_for_selector('#head[data-state="good"]')
    page.wait_for_function("() => state.history.fills.some((f) => f.symbol === 'BTCUSDT')")
    page.evaluate("() => show()")
    assert _pixels(page, "candles", FILL_BLUE) > 5
    page.evaluate("() => { state.history.fills = []; show(); }")
    assert _pixels(page, "candles", FILL_BLUE) == 0


@needs_browser
def test_a_trip_is_shown_in_red_with_its_reason_and_stays_red_when_the_engine_has_gone(page, loop, hand, board):
    page.goto(board.address)
    page.wait_for_selector('#head[data-state="good"]')
    # The page itself notes when it turned red, so that the way through this test is not counted.
    page.evaluate(
        "() => { window.red = new Promise((done) => { const head = document.getElementById('head'); "
        "new MutationObserver(() => head.dataset.state === 'halted' && done(Date.now()))"
        ".observe(head, {attributes: true}); }); }"
    )

    def trip():
        hand.control.halt(PEER, "drill")
        at_ns = utc_ns()
        board.notify()
        return at_ns

    tripped_ms = loop.call(trip) / 1e6
    shown_ms = page.evaluate("() => window.red")
    assert page.text_content("#latch") == "HALTED: command"
    colour = page.evaluate("() => getComputedStyle(document.getElementById('latch')).backgroundColor")
    assert colour == "rgb(239, 91, 91)"
    # A figure of this machine, now: `python -m tests.support.screenshots` measures it too.
    print(f"from trip to red: {shown_ms - tripped_ms:.0f} ms")  # noqa: T201
    assert page.wrong == []
    loop.run(board.close())
    page.wait_for_function("() => document.getElementById('mode').textContent === 'engine ended'")
    assert page.get_attribute("#head", "data-state") == "halted"
    assert page.is_visible("#latch")


@needs_browser
def test_a_trip_just_before_the_end_is_still_told(page, loop, hand, board):
    """A trip ends the engine: its last picture goes out before the streams are closed."""
    page.goto(board.address)
    page.wait_for_selector('#head[data-state="good"]')

    def trip_and_go():
        hand.control.halt(PEER, "drill")

    loop.call(trip_and_go)
    loop.run(board.close())
    page.wait_for_selector('#head[data-state="halted"]')
    assert page.text_content("#latch") == "HALTED: command"


@pytest.fixture
def started(tmp_path):
    """Starts `bot4 run` in a process of its own and gives the address of its page."""
    running: list[subprocess.Popen[str]] = []

    def start(port: str) -> str:
        environ = os.environ | FREE_PORTS | {"BOT4__DASHBOARD__PORT": port}
        words = [*BOT4, "run", "--plain", "-d", str(tmp_path / "run"), "--seconds", "900"]
        running.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environ))
        line = running[-1].stdout.readline()
        assert line.startswith("the page: "), line
        return line.removeprefix("the page: ").strip()

    start.running = running
    yield start
    for process in running:
        with process:
            process.kill()


@needs_browser
def test_the_page_lives_through_a_stop_and_a_start_of_bot4_run(page, started):
    address = started("0")
    page.goto(address)
    page.wait_for_selector('#head[data-state="good"]')
    page.wait_for_selector("#events tbody tr")
    started.running[0].send_signal(signal.SIGINT)
    assert started.running[0].wait(timeout=PATIENCE_MS / 1_000) == 0
    page.wait_for_selector('#head[data-state="offline"]')
    # The page looks for its engine where it was.
    assert started(address.rsplit(":", 1)[1].strip("/")) == address
    page.wait_for_selector('#head[data-state="good"]')
    moving = "() => document.querySelector('#symbols td:nth-child(2)').textContent"
    was = page.evaluate(moving)
    page.wait_for_function(f"was => ({moving})() !== was", arg=was)
    assert page.locator("#symbols tbody tr").count() == 3


@needs_browser
def test_the_display_rule_holds_on_the_page(page, served):
    page.goto(served(redact=True, rate_hz=CALM_HZ).address)
    page.wait_for_selector("#redacted:not([hidden])")
    page.wait_for_selector("#symbols tbody tr")
    cells = page.locator("#symbols tbody tr").first.locator("td").all_text_contents()
    assert cells[3:5] == ["hidden", "hidden"]
    assert "hidden" in page.text_content("#account")
