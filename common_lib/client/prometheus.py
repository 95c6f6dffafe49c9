"""Report the metrics of a client to Prometheus. This module needs the extra `prometheus`."""

from typing import Any, Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from common_lib.client.telemetry import ClientEvent, Telemetry

_STATES: Final = {"close": 0, "half-open": 1, "open": 2}


class Prometheus(Telemetry):
    """Telemetry that counts attempts, retries and stale answers, and exports the state of each circuit.

    All clients of a process share one instance. The label `circuit` contains an endpoint and a class of routes. The
    label `outcome` contains the class of the status, such as `2xx`, or `none` if there was no answer.

    Example:
        >>> telemetry = Prometheus(CollectorRegistry())
        >>> telemetry.on("retry", "http://127.0.0.1:8321 read", pause_s=0.1)
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._took = Histogram(
            "registry_client_attempt_seconds", "Duration of attempts.", ["circuit", "outcome"], registry=registry
        )
        self._counters = {
            "retry": _counter("registry_client_retries", "Attempts after the first one.", registry),
            "stale": _counter(
                "registry_client_stale_answers", "Stored answers that were served after a failure.", registry
            ),
            "budget": _counter("registry_client_refused_retries", "Retries that the retry budget refused.", registry),
        }
        self._state = Gauge(
            "registry_client_circuit_state", "State: 0 closed, 1 half open, 2 open.", ["circuit"], registry=registry
        )

    def on(self, event: ClientEvent, key: str, **facts: Any) -> None:
        """Record an event in the metrics."""
        if event == "attempt":
            self._took.labels(key, outcome_class(str(facts["outcome"]))).observe(facts["took_s"])
        elif event in _STATES:
            self._state.labels(key).set(_STATES[event])
        else:
            self._counters[event].labels(key).inc()


def outcome_class(outcome: str) -> str:
    """Return the class of a status, such as `2xx`, or `none` if there was no answer, to limit the number of series."""
    return f"{outcome[7]}xx" if outcome.startswith("status ") else "none"


def _counter(name: str, description: str, registry: CollectorRegistry) -> Counter:
    return Counter(name, description, ["circuit"], registry=registry)
