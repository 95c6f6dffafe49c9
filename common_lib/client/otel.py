"""Metrics and span events of a client in OpenTelemetry, and traces that continue at the server.

Needs the extra `otel`, which installs the API alone: the service chooses and configures an SDK.
"""

from collections.abc import Iterable
from typing import Any, Final

from opentelemetry import metrics, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from common_lib.client.telemetry import ClientEvent, Telemetry

_NAME: Final = "common_lib.client"


class OpenTelemetry(Telemetry):
    """Telemetry that counts events, times attempts, adds both to the current span, and sends its trace.

    Source of the header: W3C Trace Context, section 3.2. Baggage is not sent: it is private to the service.
    """

    def __init__(
        self,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        meter = metrics.get_meter(_NAME, meter_provider=meter_provider)
        self._took = meter.create_histogram("registry.client.attempt.duration", "s", "How long attempts took.")
        self._count = meter.create_counter("registry.client.happenings", "1", "Retries, stale answers, and the like.")
        self._trace_context = TraceContextTextMapPropagator()

    def on(self, event: ClientEvent, key: str, **facts: Any) -> None:
        """Count or time the event, and add it to the current span."""
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
        """Return `traceparent` and `tracestate` of the current span, if there is one."""
        carrier: dict[str, str] = {}
        self._trace_context.inject(carrier)
        return carrier.items()
