"""OpenTelemetry traces of what runs beside the core: commands, scrapes, alerts. The extra `trace`.

The core is never traced: its stages are measured in its own histograms. Switched off, a span costs one call; the
library is imported only when it is switched on. Switched on, spans are exported from a thread of the library's own,
over HTTP; a collector that is gone costs spans and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from engine.errors import TracingMissing
from engine.settings.redact import REDACTOR
from engine.settings.schema import Tracing

EXPORT_S = 2  # longest wait for the collector


class Tracer:
    """Makes spans, or nothing when tracing is off."""

    def __init__(self, settings: Tracing, engine: str, *, exporter: Any = None) -> None:
        self._tracer: Any = None
        self._provider: Any = None
        if not settings.enabled:
            return
        try:
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor  # noqa: PLC0415
            from opentelemetry.sdk.trace.sampling import TraceIdRatioBased  # noqa: PLC0415

            if exporter is None:
                from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

                sender = OTLPSpanExporter(endpoint=f"{settings.endpoint}/v1/traces", timeout=EXPORT_S)
                processor: Any = BatchSpanProcessor(sender)
            else:
                processor = SimpleSpanProcessor(exporter)
        except ImportError as error:
            raise TracingMissing(f"{error}.") from None
        sampler = TraceIdRatioBased(settings.sample_ppm / 1_000_000)
        self._provider = TracerProvider(resource=Resource({"service.name": engine}), sampler=sampler)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("bot4")

    @contextmanager
    def span(self, name: str, **attributes: str | int | float | bool) -> Iterator[None]:
        """A span around some work; its attributes are redacted like a log's."""
        if self._tracer is None:
            yield
            return
        clean = {key: REDACTOR.value(value) for key, value in attributes.items()}
        with self._tracer.start_as_current_span(name, attributes=clean):
            yield

    def close(self) -> None:
        if self._provider is not None:
            self._provider.shutdown()
            self._provider = self._tracer = None


OFF = Tracer(Tracing(), "")
