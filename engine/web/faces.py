"""All faces of one engine, started and stopped together: socket, page, metrics, alerts.

The composition root makes a source and handlers and hands them here with the settings; nothing else of the face has to
be known to it. A face that cannot start (a port that is taken) is one plain error before the first order; one that
fails later never touches trading.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from engine._core.clock import utc_ns
from engine.errors import AlertUnknown, Bot4Error
from engine.observe.alerts import RULES, AlertEngine
from engine.observe.commands import Handlers, OpenAlert, Peer
from engine.observe.display import Display
from engine.observe.history import History
from engine.observe.metrics import MetricsServer
from engine.observe.server import ControlServer
from engine.observe.sinks import Dispatcher, SinkTask
from engine.observe.status import StatusSource
from engine.observe.tracing import Tracer
from engine.settings.schema import Settings
from engine.settings.secrets import Secrets
from engine.web.server import Dashboard, tls_context

log = logging.getLogger("bot4.faces")
ALERT_PERIOD_S = 0.25


class Faces:
    """`start` binds what the settings switch on; `notify` makes a trip seen at once; `close` ends it all."""

    def __init__(
        self,
        settings: Settings,
        source: StatusSource,
        handlers: Handlers,
        secrets: Secrets,
        *,
        now_ns: Callable[[], int] = utc_ns,
    ) -> None:
        board, control = settings.dashboard, settings.control
        redact = board.redact == "on" or (board.redact == "auto" and settings.engine.mode == "live")
        hour = settings.account.day_cut_hour_utc
        # Each face its own view: the display rule keeps the picture of the cut, and faces ask at different times.
        self.displays = [Display(source, redact=redact, day_cut_hour_utc=hour) for _ in range(3)]
        path = Path(settings.engine.directory) / control.socket
        self.tracer = Tracer(settings.tracing, settings.engine.name)
        self.control = ControlServer(
            path, source, handlers, display=self.displays[0], clients_max=control.clients_max, alerts=self,
            tracer=self.tracer,
        )  # fmt: skip
        self.dashboard: Dashboard | None = None
        if board.enabled:
            self.dashboard = Dashboard(
                self.displays[1],
                history=History(self.displays[1]),
                host=board.host,
                port=board.port,
                rate_hz=board.rate_hz,
                viewers_max=board.viewers_max,
                token=secrets.get(board.token).reveal() if board.token else None,
                tls=tls_context(board.tls_certificate, board.tls_key) if board.tls_certificate else None,
            )
        self.metrics: MetricsServer | None = None
        if settings.metrics.enabled:
            metrics = settings.metrics
            self.metrics = MetricsServer(self.displays[2], host=metrics.host, port=metrics.port, tracer=self.tracer)
        self._source, self._now_ns = source, now_ns
        self.judge = AlertEngine(settings.alerts, RULES, engine=settings.engine.name)
        queue_max = settings.alerts.queue_max
        self.sinks = Dispatcher([
            SinkTask(name, sink, secrets.get(sink.credential), queue_max=queue_max)
            for name, sink in settings.alerts.sinks.items()
        ])  # fmt: skip
        self._watching: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    async def start(self) -> None:
        try:
            await self.control.start()
            if self.dashboard is not None:
                await self.dashboard.start()
            if self.metrics is not None:
                await self.metrics.start()
        except Bot4Error:
            await self.close()
            raise
        self.sinks.start()
        self._watching = asyncio.create_task(self._watch())

    def notify(self) -> None:
        """A trip, a switch of mode: watchers, viewers and alerts look now and not at their next turn."""
        self.control.notify()
        if self.dashboard is not None:
            self.dashboard.notify()
        self._wake.set()

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
            self._watching = None
        await self.sinks.close()
        if self.metrics is not None:
            await self.metrics.close()
        if self.dashboard is not None:
            await self.dashboard.close()
        await self.control.close()
        # What is traced and not sent yet gets its time, away from the loop.
        await asyncio.to_thread(self.tracer.close)

    # --------------------------------------------------------------------------------------------------------- alerts
    def alerts(self) -> list[OpenAlert]:
        """What is open, for `bot4 alerts`."""
        return self.judge.listed()

    def acknowledge(self, peer: Peer, group: str) -> str:
        """Somebody has seen them: what is open is not escalated. Who it was goes into the log."""
        known = sorted({alert.group for alert in self.alerts() if alert.told_ns is not None})
        if group and group not in known:
            raise AlertUnknown(f"{group!r}; open are: {', '.join(known) or 'none'}.")
        count = self.judge.acknowledge(group or None)
        log.warning("acknowledged", extra={"group": group or "all", "alerts": count, "peer": str(peer)})
        return f"{count} {'alert is' if count == 1 else 'alerts are'} acknowledged: no escalation."

    def look(self) -> None:
        """Judge the picture of this moment and hand out what there is to tell."""
        messages = self.judge.step(self._source.status(), self._now_ns())
        for message in messages:
            with self.tracer.span("alert", group=message.group, severity=message.severity, kind=message.kind):
                self.sinks.send([message])

    async def _watch(self) -> None:
        """Alerts look at the true picture: what they tell are names and shares, no position."""
        while True:
            self._wake.clear()
            try:
                self.look()
            except (Bot4Error, ArithmeticError, LookupError) as error:
                log.error("the alerts could not judge a picture: %s", error)
            try:
                # Not wait_for: where a time-out and a cancellation meet, it swallows the cancellation.
                async with asyncio.timeout(ALERT_PERIOD_S):
                    await self._wake.wait()
            except TimeoutError:
                continue
