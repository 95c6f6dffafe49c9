"""What a client does as metrics of Prometheus; needs the extra `prometheus`."""

from typing import Any, Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from common_lib.client.telemetry import Happening, Telemetry

_STATES: Final = {"close": 0, "half-open": 1, "open": 2}


class Prometheus(Telemetry):
    """Counts attempts, retries, stale answers and refused retries, and shows the state of each circuit.

    One is enough for all clients of a process. `circuit` is an address and a class of routes, `outcome` the class of a
    status, such as `2xx`, or `none` if no answer came.

    Example:
        >>> telemetry = Prometheus(CollectorRegistry())
        >>> telemetry.on("retry", "http://127.0.0.1:8321 read", pause_s=0.1)
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._took = Histogram(
            "registry_client_attempt_seconds", "How long attempts took.", ["circuit", "outcome"], registry=registry
        )
        self._counters = {
            "retry": _counter("registry_client_retries", "Attempts after the first one.", registry),
            "stale": _counter("registry_client_stale_answers", "Answers out of the cache for want of one.", registry),
            "budget": _counter("registry_client_refused_retries", "Retries that the budget refused.", registry),
        }
        self._state = Gauge(
            "registry_client_circuit_state", "0 closed, 1 half open, 2 open.", ["circuit"], registry=registry
        )

    def on(self, happening: Happening, key: str, **facts: Any) -> None:
        """Count it."""
        if happening == "attempt":
            self._took.labels(key, kind(str(facts["outcome"]))).observe(facts["took_s"])
        elif happening in _STATES:
            self._state.labels(key).set(_STATES[happening])
        else:
            self._counters[happening].labels(key).inc()


def kind(outcome: str) -> str:
    """Few words, so that there are few series: `2xx` to `5xx`, or `none` for no answer."""
    return f"{outcome[7]}xx" if outcome.startswith("status ") else "none"


def _counter(name: str, what: str, registry: CollectorRegistry) -> Counter:
    return Counter(name, what, ["circuit"], registry=registry)
