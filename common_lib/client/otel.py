"""Report the metrics, span events and traces of a client through OpenTelemetry.

This module needs the extra `otel`, which installs only the API of OpenTelemetry. The service installs and configures an
SDK.
"""

from collections.abc import Iterable
from typing import Any, Final

from opentelemetry import metrics, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from common_lib.client.telemetry import ClientEvent, Telemetry

_NAME: Final = "common_lib.client"


class OpenTelemetry(Telemetry):
    """Telemetry that records metrics and span events in OpenTelemetry, and sends the current trace to the server.

    Source of the trace header: W3C Trace Context, section 3.2. Baggage is private to the service, so it is not sent.
    """

    def __init__(self, meter_provider: metrics.MeterProvider | None = None) -> None:
        meter = metrics.get_meter(_NAME, meter_provider=meter_provider)
        self._took = meter.create_histogram("registry.client.attempt.duration", "s", "Duration of attempts.")
        self._count = meter.create_counter("registry.client.happenings", "1", "Number of retries and other events.")
        self._trace_context = TraceContextTextMapPropagator()

    def on(self, event: ClientEvent, key: str, **facts: Any) -> None:
        """Record the duration of an attempt, or count any other event, and add the event to the current span."""
        if event == "attempt":
            outcome = str(facts["outcome"])
            has_answer = outcome.startswith("status ")
            attributes = {"registry.circuit": key, "outcome": outcome if has_answer else "none"}
            self._took.record(facts["took_s"], attributes)
        else:
            self._count.add(1, {"registry.circuit": key, "happening": event})
        span = trace.get_current_span()
        if span.is_recording():
            values = {name: fact if isinstance(fact, str | int | float) else str(fact) for name, fact in facts.items()}
            span.add_event(f"registry.{event}", {"registry.circuit": key, **values})

    def headers(self) -> Iterable[tuple[str, str]]:
        """Return the headers `traceparent` and `tracestate` of the current span; empty without a span."""
        carrier: dict[str, str] = {}
        self._trace_context.inject(carrier)
        return carrier.items()
