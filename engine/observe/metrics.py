"""Prometheus: the picture as metrics, by the official client library.

Nothing is counted here: a scrape takes one picture and writes it out, so what the page shows and what is scraped are
the same numbers, and the engine pays only when somebody asks. The endpoint is loopback only and knows no secret. Under
the display rule what is hidden has no sample at all, rather than a made-up zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from engine.errors import DashboardError, DashboardExposed
from engine.observe.display import Display
from engine.observe.status import LatencyStatus, Status
from engine.observe.tracing import OFF, Tracer
from engine.settings.relations import is_loopback

MODES = ("Normal", "Paused", "Reduced", "Emergency")
BREAKER_STATES = ("closed", "half-open", "open")


def _gauge(name: str, text: str, rows: Iterable[tuple[tuple[str, ...], Any]], labels: tuple[str, ...] = ()) -> Metric:
    family = GaugeMetricFamily(f"bot4_{name}", text, labels=labels)
    for values, value in rows:
        if value is not None:
            family.add_metric(values, float(value))
    return family


def _counter(name: str, text: str, rows: Iterable[tuple[tuple[str, ...], int]], labels: tuple[str, ...]) -> Metric:
    family = CounterMetricFamily(f"bot4_{name}", text, labels=labels)
    for values, value in rows:
        family.add_metric(values, float(value))
    return family


class StatusCollector(Collector):
    """One picture as metric families."""

    def __init__(self, display: Display) -> None:
        self.display = display

    def describe(self) -> list[Metric]:
        # Registering must not ask the engine, which may not be there yet.
        return []

    def collect(self) -> Iterator[Metric]:
        status = self.display.status()
        yield from _engine(status)
        yield from _money(status)
        yield from _symbols(status)
        yield from _parts(status)
        yield _latency(status.latency)


def _engine(s: Status) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "bot4",
        "Which engine this is.",
        {"name": s.name, "run": s.run, "tier": s.tier, "settings": s.settings_hash[:16]},
    )
    yield _gauge("uptime_seconds", "Time since the start.", [((), (s.ts_ns - s.started_ns) / 1e9)])
    yield _gauge("healthy", "1 while nothing is wrong.", [((), s.healthy)])
    yield _gauge("latch_tripped", "1 while nothing may leave.", [((), s.latch.tripped)])
    yield _gauge("latch_durable", "0 when the latch file could not be written.", [((), s.latch.durable)])
    yield _gauge("mode", "1 for the mode in force.", [((m,), m == s.mode) for m in MODES], ("mode",))
    yield _gauge("settings_waiting", "Looser settings that wait their day.", [((), s.waiting)])
    yield _gauge("loop_lag_seconds", "How late the loop runs.", [((), _seconds(s.loop_lag_ns))])
    yield _gauge("memory_bytes", "Resident memory.", [((), s.memory_bytes)])
    yield _counter("core", "What the core counted, by what.", [((n,), v) for n, v in s.counts.items()], ("what",))
    denied = [((rule,), count) for rule, count in s.denied_by_rule.items()]
    yield _counter("denied", "Orders denied, by rule; one order may break several.", denied, ("rule",))


def _money(s: Status) -> Iterator[Metric]:
    a = s.account
    yield _gauge("equity", "Equity in the account's asset.", [((a.asset,), a.equity)], ("asset",))
    yield _gauge("equity_peak", "Highest equity.", [((a.asset,), a.peak)], ("asset",))
    yield _gauge("profit_day", "Profit since the daily cut.", [((a.asset,), a.day_profit)], ("asset",))
    yield _gauge("drawdown_ratio", "Fall from the peak.", [((), _ratio(a.drawdown_ppm))])
    yield _gauge("margin_available", "Margin available.", [((a.asset,), a.margin_available)], ("asset",))
    used = [((row.rule,), _ratio(row.used_ppm)) for row in s.headroom]
    yield _gauge("limit_used_ratio", "Share of a limit in use; 1 is all of it.", used, ("rule",))


def _symbols(s: Status) -> Iterator[Metric]:
    at = ("symbol",)
    yield _gauge("bid", "Best bid.", [((r.name,), r.bid) for r in s.symbols], at)
    yield _gauge("ask", "Best ask.", [((r.name,), r.ask) for r in s.symbols], at)
    yield _gauge("book_trusted", "1 while the book may be quoted on.", [((r.name,), r.trusted) for r in s.symbols], at)
    ages = [((r.name,), _seconds(r.book_age_ns)) for r in s.symbols]
    yield _gauge("book_age_seconds", "Age of the book.", ages, at)
    yield _gauge("position", "Position in the base asset.", [((r.name,), r.position) for r in s.symbols], at)
    yield _gauge("profit_unrealised", "Profit not realised.", [((r.name,), r.unrealised) for r in s.symbols], at)
    yield _gauge("orders_open", "Live orders.", [((r.name,), r.orders_open) for r in s.symbols], at)


def _parts(s: Status) -> Iterator[Metric]:
    j = s.journal
    yield _gauge("journal_healthy", "1 while what happens is written down.", [((), j.healthy)])
    yield _gauge("journal_lag_seconds", "From write to disk.", [((), _seconds(j.lag_ns))])
    yield _gauge("journal_disk_free_bytes", "Free disk below the journal.", [((), j.disk_free_bytes)])
    yield _counter("journal_records", "Records written.", [((), j.records)], ())
    yield _counter("journal_bytes", "Bytes written.", [((), j.bytes)], ())
    at = ("feed",)
    yield _gauge("feed_connected", "1 while the stream lives.", [((f.name,), f.connected) for f in s.feeds], at)
    yield _gauge(
        "feed_age_seconds", "Time since its last word.", [((f.name,), _seconds(f.age_ns)) for f in s.feeds], at
    )
    yield _counter("feed_messages", "Messages.", [((f.name,), f.messages) for f in s.feeds], at)
    yield _counter("feed_gaps", "Gaps in the sequence.", [((f.name,), f.gaps) for f in s.feeds], at)
    yield _counter("feed_reconnects", "New connections.", [((f.name,), f.reconnects) for f in s.feeds], at)
    states = [((b.name, state), b.state == state) for b in s.breakers for state in BREAKER_STATES]
    yield _gauge("breaker", "1 for the state the breaker is in.", states, ("breaker", "state"))
    yield _counter("breaker_trips", "Times it opened.", [((b.name,), b.trips) for b in s.breakers], ("breaker",))
    of = ("strategy", "symbol")
    rows = s.strategies
    yield _gauge("strategy_running", "1 while it runs.", [((r.name, r.symbol), r.state == "running") for r in rows], of)
    yield _counter("strategy_calls", "Calls.", [((r.name, r.symbol), r.calls) for r in rows], of)
    yield _counter("strategy_intents", "Orders it wished for.", [((r.name, r.symbol), r.intents) for r in rows], of)
    yield _counter("strategy_denied", "Of them denied.", [((r.name, r.symbol), r.denied) for r in rows], of)


def _latency(stages: tuple[LatencyStatus, ...]) -> Metric:
    family = HistogramMetricFamily("bot4_latency_seconds", "Time of each stage, tick to order.", labels=("stage",))
    for stage in stages:
        buckets = [(repr(top / 1e9), float(count)) for top, count in stage.buckets]
        family.add_metric((stage.stage,), [*buckets, ("+Inf", float(stage.count))], (stage.sum_ns or 0) / 1e9)
    return family


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else ns / 1e9


def _ratio(ppm: int | None) -> float | None:
    return None if ppm is None else ppm / 1e6


class MetricsServer:
    """GET /metrics on loopback."""

    def __init__(self, display: Display, *, host: str = "127.0.0.1", port: int = 9090, tracer: Tracer = OFF) -> None:
        if not is_loopback(host):
            raise DashboardExposed(f"metrics at {host}")
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(StatusCollector(display))
        self.host, self.port, self.tracer = host, port, tracer
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except OSError as error:
            await runner.cleanup()
            raise DashboardError(f"metrics at {self.host}:{self.port}: {error.strerror}.") from None
        self._runner = runner
        self.port = runner.addresses[0][1]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _metrics(self, _request: web.Request) -> web.Response:
        with self.tracer.span("scrape"):
            text = generate_latest(self.registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})
