"""Traces leave the process: a receiver on this machine decodes what the exporter of the extra sends."""

from __future__ import annotations

import queue

import pytest
from aiohttp import ClientSession, web

from engine.observe import commands as c
from engine.observe.client import ControlClient
from engine.observe.tracing import Tracer
from engine.settings.schema import Tracing
from engine.settings.secrets import Secrets
from engine.web.faces import Faces
from tests.support.hand import Hand, paper
from tests.support.serving import running_loop

otlp = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")


class Collector:
    """Takes OTLP over HTTP, as a collector does."""

    def __init__(self):
        self.spans = []

    async def start(self):
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        self.runner = web.AppRunner(app, access_log=None)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    async def _take(self, request):
        told = otlp.ExportTraceServiceRequest.FromString(await request.read())
        for resource in told.resource_spans:
            names = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(names["service.name"], span) for span in scope.spans]
        return web.Response(body=otlp.ExportTraceServiceResponse().SerializeToString())


def _attributes(span):
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}


def test_commands_scrapes_and_alerts_of_a_session_reach_the_collector(tmp_path):
    with running_loop() as loop:
        collector = Collector()
        address = loop.run(collector.start())
        traced = {"BOT4__TRACING__ENABLED": "true", "BOT4__TRACING__ENDPOINT": address,
                  "BOT4__TRACING__SAMPLE_PPM": "1000000"}  # fmt: skip
        hand = Hand(tmp_path)
        faces = Faces(paper(tmp_path, **traced).settings, hand.picture, hand.control, Secrets({}))
        loop.run(faces.start())

        async def scrape():
            address = f"http://127.0.0.1:{faces.metrics.port}/metrics"
            async with ClientSession() as session, session.get(address) as answer:
                return answer.status

        with ControlClient(faces.control.path) as client:
            client.call(c.Pause())
            client.call(c.Halt("a test"))
        assert loop.run(scrape()) == 200
        loop.call(faces.look)
        # The end waits for what was not sent yet.
        loop.run(faces.close())
        loop.run(collector.runner.cleanup())
        hand.close()
    found = {(span.name, _attributes(span).get("command", "")) for _, span in collector.spans}
    assert {("control", "pause"), ("control", "halt"), ("scrape", "")} <= found
    (alert,) = [_attributes(span) for _, span in collector.spans if span.name == "alert"]
    assert alert["severity"] == "P0"
    assert {service for service, _ in collector.spans} == {"paper"}
    assert all(span.end_time_unix_nano >= span.start_time_unix_nano > 0 for _, span in collector.spans)


def test_a_collector_that_is_gone_costs_spans_and_nothing_else(tmp_path):
    told = queue.Queue()
    with running_loop() as loop:
        collector = Collector()
        address = loop.run(collector.start())
        loop.run(collector.runner.cleanup())
        tracer = Tracer(Tracing(enabled=True, endpoint=address, sample_ppm=1_000_000), "t")
        with tracer.span("reload"):
            told.put("done")
        tracer.close()
    assert told.get_nowait() == "done"
    assert collector.spans == []
