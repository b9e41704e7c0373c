"""Metrics, dashboards of Grafana, logs, sinks of alerts and traces: against real servers on this machine."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import socket
import socketserver
import threading

import msgspec
import pytest
from aiohttp import web

from engine.errors import DashboardExposed
from engine.observe import status as s
from engine.observe.alerts import Finding, Message
from engine.observe.display import Display
from engine.observe.logs import JournaldHandler, setup
from engine.observe.metrics import MetricsServer
from engine.observe.sinks import Dispatcher, SinkTask
from engine.observe.tracing import Tracer
from engine.settings.redact import REDACTOR, Redactor
from engine.settings.schema import Logs, Sink, Tracing
from engine.settings.secrets import Secret
from tests.source.files import ROOT
from tests.support.hand import Hand, Shown
from tests.support.serving import running_loop

GRAFANA = ROOT / "config" / "grafana"
TOKEN = "very-secret-token-7391"


@pytest.fixture(scope="module")
def loop():
    with running_loop() as it:
        yield it


@pytest.fixture
def engine(tmp_path):
    engine = Shown(tmp_path / "session")
    yield engine
    engine.close()


def _full(engine):
    """The running picture, with the parts that the thin session has none of."""
    return msgspec.structs.replace(
        engine.status(),
        memory_bytes=1, loop_lag_ns=5, denied_by_rule={"px_band": 2},
        journal=msgspec.structs.replace(engine.status().journal, lag_ns=7, disk_free_bytes=9),
        feeds=(s.FeedStatus(name="f", connected=True, age_ns=1),),
        account=msgspec.structs.replace(engine.status().account, margin_available=1.0),
    )  # fmt: skip


class Fixed:
    def __init__(self, status):
        self._status = status

    def status(self):
        return self._status

    def events(self, after, most):
        return []

    def why(self, most, symbol):
        return []


def _scrape(loop, display):
    import aiohttp  # noqa: PLC0415

    server = MetricsServer(display, port=0)

    async def get():
        await server.start()
        try:
            address = f"http://127.0.0.1:{server.port}/metrics"
            async with aiohttp.ClientSession() as session, session.get(address) as answer:
                return await answer.text()
        finally:
            await server.close()

    return loop.run(get())


# ---------------------------------------------------------------------------------------------------------- metrics
def test_a_scrape_is_the_picture_and_parses_by_the_official_library(loop, engine):
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    status = engine.status()
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(_scrape(loop, Display(engine)))
        for sample in family.samples
    }
    assert found["bot4_equity", (("asset", "USDT"),)] == status.account.equity
    assert found["bot4_bid", (("symbol", "BTCUSDT"),)] == status.symbols[0].bid
    assert found["bot4_core_total", (("what", "events"),)] == status.counts["events"]
    assert found["bot4_latency_seconds_count", (("stage", "tick_to_order"),)] == status.latency[0].count
    assert found["bot4_mode", (("mode", "Normal"),)] == 1
    assert found["bot4_latch_tripped", ()] == 0
    for stage in {dict(labels)["stage"] for name, labels in found if name == "bot4_latency_seconds_bucket"}:
        buckets = [v for (name, labels), v in found.items() if name.endswith("_bucket") and ("stage", stage) in labels]
        assert buckets == sorted(buckets)


def test_what_the_display_rule_hides_has_no_sample(loop, engine):
    text = _scrape(loop, Display(engine, redact=True))
    for name in ("bot4_equity", "bot4_position", "bot4_profit_day", "bot4_profit_unrealised"):
        assert not re.search(rf"^{name}[{{ ]", text, re.MULTILINE)
    assert re.search(r"^bot4_bid{", text, re.MULTILINE)


def test_metrics_are_loopback_only(engine):
    with pytest.raises(DashboardExposed):
        MetricsServer(Display(engine), host="0.0.0.0")


def _expressions():
    found = []
    for path in sorted(GRAFANA.glob("*.json")):
        document = json.loads(path.read_text())
        for panel in document["panels"]:
            found += [(path.name, panel["title"], target["expr"]) for target in panel["targets"]]
    rules = [line for line in (GRAFANA / "alerts.yml").read_text().splitlines() if "expr:" in line]
    return found + [("alerts.yml", "", line.split("expr:", 1)[1].strip()) for line in rules]


def test_there_are_five_dashboards_and_no_two_are_one():
    documents = [json.loads(path.read_text()) for path in GRAFANA.glob("*.json")]
    assert len(documents) == len({d["uid"] for d in documents}) == 5
    for document in documents:
        assert document["refresh"] == "1s"
        assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"]) >= 5


def test_every_query_of_every_panel_and_rule_names_metrics_and_labels_that_are_exposed(loop, engine):
    text = _scrape(loop, Display(Fixed(_full(engine))))
    exposed = {}
    for line in text.splitlines():
        if sample := re.match(r"(\w+)(?:\{(.*)\})? ", line):
            exposed.setdefault(sample[1], set()).update(re.findall(r'(\w+)="', sample[2] or ""))
    queries = _expressions()
    assert len(queries) > 45
    used = set()
    for where, title, expression in queries:
        names = re.findall(r"\bbot4_\w+", expression)
        assert names, (where, title)
        for name in names:
            assert name in exposed, (where, title, name)
            used.add(name)
        for name, labels in re.findall(r"\b(bot4_\w+)\{([^}]*)\}", expression):
            assert set(re.findall(r"(\w+)=", labels)) <= exposed[name], (where, title)
    # The other way round: what nobody looks at would be a metric for nothing.
    made = ("_created", "_info", "_bucket", "_sum", "_count")
    assert {name for name in exposed if name not in used and not name.endswith(made)} == set()


def test_every_panel_of_grafana_has_something_to_show_of_a_session_of_bot4_run(loop, tmp_path):
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    hand = Hand(tmp_path / "run")
    hand.run(3_000)
    text = _scrape(loop, Display(hand.picture))
    hand.close()
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(sample.labels)
    assert hand.picture.status().counts["denied"] > 0
    for where, title, expression in _expressions():
        for name, matchers in re.findall(r"\b(bot4_\w+)(?:\{([^}]*)\})?", expression):
            wanted = dict(re.findall(r'(\w+)="([^"$]*)"', matchers))
            found = [labels for labels in samples.get(name, []) if wanted.items() <= labels.items()]
            assert found, (where, title, name, wanted)


# ------------------------------------------------------------------------------------------------------------- logs
def _logger(**kw):
    stream = io.StringIO()
    redactor = Redactor()
    redactor.learn(TOKEN)
    settings = Logs(**({"sink": "stderr", "form": "json"} | kw))
    return setup(settings, "t", stream=stream, redactor=redactor, environ={}), stream


def test_a_log_line_is_one_document_with_its_fields_and_no_secret():
    log, stream = _logger()
    try:
        raise RuntimeError(TOKEN)
    except RuntimeError:
        log.exception("sent %s", TOKEN, extra={"symbol": "X", "deep": {"token": "abc"}, "line": "a\nb"})
    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert found["message"] == "sent [redacted]"
    assert (found["level"], found["engine"], found["symbol"], found["line"]) == ("error", "t", "X", "a\nb")
    assert found["deep"] == {"token": "[redacted]"}
    assert "RuntimeError" in found["traceback"]
    assert TOKEN not in line


def test_the_level_holds_and_setting_up_again_replaces_the_handler():
    log, stream = _logger(level="warning")
    log.info("quiet")
    log.warning("loud")
    log, again = _logger(form="text")
    log.info("plain %d", 5)
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["loud"]
    assert again.getvalue().endswith("INFO bot4: plain 5\n")
    assert len(log.handlers) == 1


def test_journald_gets_fields_by_its_own_protocol_and_a_dead_one_costs_lines_only(tmp_path):
    path = tmp_path / "journal.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(str(path))
        journald.settimeout(10)
        handler = JournaldHandler("t", str(path))
        log = logging.Logger("bot4.x")
        log.addHandler(handler)
        log.warning("two\nlines", extra={"symbol": "X"})
        told = journald.recv(65_536)
    assert b"PRIORITY=4\n" in told
    assert b"BOT4_SYMBOL=X\n" in told
    assert b"MESSAGE\n" + (9).to_bytes(8, "little") + b"two\nlines\n" in told
    path.unlink()
    log.warning("nobody hears")
    assert handler.lost_count == 1
    handler.close()


# ------------------------------------------------------------------------------------------------------------ sinks
MESSAGE = Message(
    7, 1, "alert", "P0", "halt", "desk", (Finding("halted", "", "P0", f"halted: {TOKEN}"),), ("feed-lost a",)
)


class Service:
    """A real HTTP server that keeps what it is sent and answers what it is told."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def start(self):
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        self.runner = web.AppRunner(app, access_log=None)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    async def _take(self, request):
        self.asked.append((request.path, await request.json()))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)


@pytest.fixture
def redactor():
    REDACTOR.learn(TOKEN)
    return REDACTOR


def _deliver(loop, kind, *, answers=(), messages=(MESSAGE,), secret="s3cret-key-value", **kw):
    service = Service(*answers)

    async def run():
        address = await service.start()
        sink = Sink(kind=kind, credential="c", **({"host": address + "/hook" if kind != "telegram" else address} | kw))
        task = SinkTask("ops", sink, Secret("c", secret, "test"), queue_max=4)
        dispatcher = Dispatcher([task])
        dispatcher.start()
        try:
            dispatcher.send(list(messages))
            await dispatcher.drain()
        finally:
            await dispatcher.close()
            await service.runner.cleanup()
        return task

    return loop.run(run()), service


@pytest.mark.parametrize(
    ("kind", "look"),
    [
        ("slack", lambda b: b["text"].startswith("*[P0] desk: halted")),
        ("discord", lambda b: b["embeds"][0]["title"].startswith("[P0]") and b["allowed_mentions"] == {"parse": []}),
        ("pagerduty", lambda b: (b["routing_key"], b["event_action"], b["payload"]["severity"], b["dedup_key"])
            == ("s3cret-key-value", "trigger", "critical", "desk/halt")),
        ("telegram", lambda b: b["chat_id"] == "42" and b["text"].startswith("[P0]")),
        ("webhook", lambda b: b["findings"][0]["rule"] == "halted" and b["suppressed"] == ["feed-lost a"]),
    ],
)  # fmt: skip
def test_each_service_gets_its_form_and_no_secret_in_the_text(loop, redactor, kind, look):
    task, service = _deliver(loop, kind, to="42")
    ((path, body),) = service.asked
    assert look(body)
    assert (task.sent_count, task.lost_count) == (1, 0)
    assert TOKEN not in json.dumps(body)
    assert path == ("/bots3cret-key-value/sendMessage" if kind == "telegram" else "/hook")


def test_a_service_that_fails_is_asked_again_and_then_given_up_with_its_name_and_no_address(loop, caplog):
    task, service = _deliver(loop, "slack", answers=(500, 200), timeout_ms=50)
    assert (len(service.asked), task.sent_count) == (2, 1)
    log = logging.getLogger("bot4")
    log.propagate = True
    try:
        task, service = _deliver(loop, "slack", answers=(500,) * 9, timeout_ms=50, secret="https://x/T0KEN-of-hook")
    finally:
        log.propagate = False
    assert (len(service.asked), task.lost_count) == (3, 1)
    assert "ops answered 500" in caplog.text
    assert "T0KEN" not in caplog.text


def test_a_dead_sink_never_blocks_and_loses_the_oldest(loop):
    async def run():
        # Nobody listens there: the port was free a moment ago and is free again.
        with socket.socket() as dead:
            dead.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{dead.getsockname()[1]}/"
        sink = Sink(kind="webhook", credential="c", host=address, timeout_ms=60_000)
        task = SinkTask("dead", sink, Secret("c", "xxxxxxxx", "test"), queue_max=4)
        dispatcher = Dispatcher([task])
        dispatcher.start()
        # All at once, without giving the loop away: an offer that waited would never return.
        dispatcher.send([MESSAGE] * 100)
        await dispatcher.close()
        return task.lost_count

    assert loop.run(run()) == 96


def test_a_sink_gets_what_is_severe_enough_and_the_second_one_only_escalations():
    def wants(message, **kw):
        sink = Sink(kind="webhook", credential="c", **kw)
        return SinkTask("x", sink, Secret("c", "xxxxxxxx", "test"), queue_max=1).wants(message)

    small = Message(1, 1, "alert", "P3", "g", "t", MESSAGE.findings)
    assert wants(MESSAGE, severity_min="P1")
    assert not wants(small, severity_min="P1")
    assert wants(small, severity_min="P3")
    assert not wants(MESSAGE, escalation=True)
    assert wants(Message(1, 1, "escalation", "P0", "g", "t", MESSAGE.findings), escalation=True)


class _Smtp(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 here\r\n")
        body, reading = [], False
        for line in self.rfile:
            if reading:
                if line == b".\r\n":
                    reading = False
                    self.server.mails.append(b"".join(body).decode())
                    self.wfile.write(b"250 taken\r\n")
                else:
                    body.append(line)
            elif line.upper().startswith(b"DATA"):
                reading = True
                self.wfile.write(b"354 go on\r\n")
            elif line.upper().startswith(b"QUIT"):
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 fine\r\n")


def test_mail_goes_out_over_smtp(loop, redactor):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Smtp) as server:
        server.mails = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:

            async def run():
                host = f"127.0.0.1:{server.server_address[1]}"
                sink = Sink(kind="mail", credential="c", to="ops@example.org", host=host)
                task = SinkTask("mail", sink, Secret("c", "", "test"), queue_max=4)
                task.start()
                task.offer(MESSAGE)
                await asyncio.wait_for(task.drain(), 30)
                await task.close()
                return task.sent_count

            assert loop.run(run()) == 1
        finally:
            server.shutdown()
            thread.join()
        (mail,) = server.mails
    assert "To: ops@example.org" in mail
    assert "Subject: [P0] desk: halted" in mail
    assert "follows from it: feed-lost a" in mail
    assert TOKEN not in mail


# ----------------------------------------------------------------------------------------------------------- traces
def test_traces_are_off_by_default_and_cost_no_import():
    tracer = Tracer(Tracing(), "t")
    with tracer.span("reload"):
        pass
    tracer.close()
    assert tracer._tracer is None


def test_a_span_is_exported_with_clean_attributes(redactor):
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter = memory.InMemorySpanExporter()
    tracer = Tracer(Tracing(enabled=True, sample_ppm=1_000_000), "t", exporter=exporter)
    with tracer.span("reload", what=f"with {TOKEN}", count=3):
        pass
    (span,) = exporter.get_finished_spans()
    tracer.close()
    assert span.name == "reload"
    assert dict(span.attributes) == {"what": "with [redacted]", "count": 3}
