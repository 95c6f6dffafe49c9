"""Telemetry of a client with the real libraries, whose failures do not affect calls."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest

from common_lib import HttpRegistry
from common_lib.client.otel import OpenTelemetry
from common_lib.client.prometheus import Prometheus
from common_lib.client.telemetry import Telemetry
from common_lib.errors import RegistryUnavailable
from common_lib.faults import Faults

URL = "http://registry.test"


class RecordingTransport(httpx.BaseTransport):
    """A transport that records the headers of each request."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner
        self.headers: list[httpx.Headers] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Record the headers and pass the request on."""
        self.headers.append(request.headers)
        return self._inner.handle_request(request)


@pytest.fixture
def network(model_registry: HttpRegistry) -> RecordingTransport:
    """Provide the transport to a registry with one model."""
    model_registry.models.create("eurusd", "forecasting")
    assert model_registry._network is not None
    return RecordingTransport(model_registry._network)


def client(model_registry: HttpRegistry, network: RecordingTransport, telemetry: Telemetry) -> HttpRegistry:
    """Return a client with this telemetry."""
    config = replace(model_registry.config, first_pause_s=0.0, resolve=None)
    return HttpRegistry(config, transport=network, telemetry=telemetry)


def fail_until_open(registry: HttpRegistry, faults: Faults) -> None:
    """Make calls until the circuit of reads opens."""
    faults.outage()
    while registry.circuits().get(f"{URL} read") is None or registry.circuits()[f"{URL} read"].state == "closed":
        with pytest.raises(RegistryUnavailable):
            registry.models.get("eurusd")


def test_prometheus_has_all_events_in_few_series(model_registry: HttpRegistry, network: RecordingTransport) -> None:
    """Attempts by the class of their outcome, retries, refused retries, and the state of the circuit."""
    series = CollectorRegistry()
    with client(model_registry, network, Prometheus(series)) as registry:
        registry.models.get("eurusd")
        faults = Faults()
        fail_until_open(faults.inject_into(registry), faults)  # type: ignore[arg-type]
    text = generate_latest(series).decode()
    assert f'registry_client_attempt_seconds_count{{circuit="{URL} read",outcome="2xx"}} 1.0' in text
    assert re.search(r'registry_client_attempt_seconds_count\{circuit="[^"]+",outcome="none"\} \d\d', text)
    assert re.search(r'registry_client_retries_total\{circuit="[^"]+"\} \d', text)
    assert re.search(r'registry_client_refused_retries_total\{circuit="[^"]+"\} \d', text)
    assert f'registry_client_circuit_state{{circuit="{URL} read"}} 2.0' in text


@pytest.fixture
def spans() -> Iterator[tuple[Any, InMemorySpanExporter]]:
    """Provide a tracer of a real SDK, and its ended spans."""
    ended = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(ended))
    yield provider.get_tracer("test"), ended
    provider.shutdown()


def test_a_trace_continues_at_the_server(
    model_registry: HttpRegistry, network: RecordingTransport, spans: tuple[Any, InMemorySpanExporter]
) -> None:
    """Every attempt sends the current span as traceparent, and the span has the events; without a span none is sent."""
    tracer, ended = spans
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    with client(model_registry, network, OpenTelemetry(meters)) as registry:
        registry.models.get("eurusd")
        assert "traceparent" not in network.headers[-1]
        with tracer.start_as_current_span("trading") as span:
            registry.models.get("eurusd")
        context = span.get_span_context()
        assert (
            network.headers[-1]["traceparent"]
            == f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        )
        faults = Faults()
        fail_until_open(faults.inject_into(registry), faults)  # type: ignore[arg-type]
    (trading,) = ended.get_finished_spans()
    (event,) = trading.events
    assert event.name == "registry.attempt"
    assert event.attributes is not None
    assert event.attributes["outcome"] == "status 200"
    data = reader.get_metrics_data()
    assert data is not None
    names = {metric.name for each in data.resource_metrics for scope in each.scope_metrics for metric in scope.metrics}
    assert names == {"registry.client.attempt.duration", "registry.client.happenings"}
    meters.shutdown()


class Broken(Telemetry):
    """Telemetry that raises for each event and returns an invalid header."""

    def on(self, event: str, key: str, **facts: object) -> None:
        """Raise."""
        raise KeyError(key)

    def headers(self) -> Any:
        """Return an invalid header and a valid one."""
        return [("traceparent", "two\r\nlines: of"), ("ok", "1")]


class BrokenHeaders(Broken):
    """Telemetry that raises for headers too."""

    def headers(self) -> Any:
        """Raise."""
        raise KeyError("headers")


@pytest.mark.parametrize("telemetry", [Broken(), BrokenHeaders()])
def test_an_exception_in_the_telemetry_does_not_affect_a_call(
    model_registry: HttpRegistry, network: RecordingTransport, telemetry: Telemetry
) -> None:
    """The call succeeds, and an invalid header is not sent."""
    with client(model_registry, network, telemetry) as registry:
        assert registry.models.get("eurusd").name == "eurusd"
    assert "traceparent" not in network.headers[-1]
    assert ("ok" in network.headers[-1]) == (type(telemetry) is Broken)
