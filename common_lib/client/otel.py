"""What a client does as metrics and span events of OpenTelemetry, and traces that go on at the server.

Needs the extra `otel`, which brings the API alone: the service itself chooses and sets up an SDK.
"""

from collections.abc import Iterable
from typing import Any, Final

from opentelemetry import metrics, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from common_lib.client.telemetry import Happening, Telemetry

_NAME: Final = "common_lib.client"


class OpenTelemetry(Telemetry):
    """Counts happenings, times attempts, writes both as events of the current span, and sends its `traceparent`.

    Source of the header: W3C Trace Context, section 3.2. Baggage is not sent: it is the service's own.
    """

    def __init__(
        self,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        meter = metrics.get_meter(_NAME, meter_provider=meter_provider)
        self._took = meter.create_histogram("registry.client.attempt.duration", "s", "How long attempts took.")
        self._count = meter.create_counter("registry.client.happenings", "1", "Retries, stale answers, and the like.")
        self._trace_context = TraceContextTextMapPropagator()

    def on(self, happening: Happening, key: str, **facts: Any) -> None:
        """Count or time it, and note it in the current span."""
        if happening == "attempt":
            outcome = str(facts["outcome"])
            answered = outcome.startswith("status ")
            attributes = {"registry.circuit": key, "outcome": outcome if answered else "none"}
            self._took.record(facts["took_s"], attributes)
        else:
            self._count.add(1, {"registry.circuit": key, "happening": happening})
        span = trace.get_current_span()
        if span.is_recording():
            told = {name: fact if isinstance(fact, str | int | float) else str(fact) for name, fact in facts.items()}
            span.add_event(f"registry.{happening}", {"registry.circuit": key, **told})

    def headers(self) -> Iterable[tuple[str, str]]:
        """`traceparent` and `tracestate` of the current span, if there is one."""
        carrier: dict[str, str] = {}
        self._trace_context.inject(carrier)
        return carrier.items()
