"""The interface that receives the events of a client, for metrics and traces. By default, the events are logged."""

import logging
from collections.abc import Iterable
from typing import Literal

ClientEvent = Literal["attempt", "retry", "open", "half-open", "close", "stale", "budget"]
_log = logging.getLogger("common_lib.client")
_LEVELS = {"open": logging.WARNING, "close": logging.WARNING, "budget": logging.WARNING, "stale": logging.INFO}


class Telemetry:
    """The base class for receivers of client events. Exceptions of a receiver are logged and have no other effect."""

    def on(self, event: ClientEvent, key: str, **facts: object) -> None:
        """Receive an event; `key` is a circuit (endpoint and class of routes), or `resolve` for a stale answer."""

    def headers(self) -> Iterable[tuple[str, str]]:
        """Return headers to send with each call, such as `traceparent`, so that a trace continues at the server."""
        return ()


class Logging(Telemetry):
    """Telemetry that writes to the logger `common_lib.client`: warnings for open circuits, debug lines for attempts."""

    def on(self, event: ClientEvent, key: str, **facts: object) -> None:
        """Log the event and its facts."""
        level = _LEVELS.get(event, logging.DEBUG)
        if _log.isEnabledFor(level):
            details = ", ".join(f"{name} {fact}" for name, fact in facts.items())
            _log.log(level, "%s: %s%s", key, event, f" ({details})" if details else "")


def notify(telemetry: Telemetry, event: ClientEvent, key: str, **facts: object) -> None:
    """Pass an event to the telemetry. If the telemetry raises an exception, log it."""
    try:
        telemetry.on(event, key, **facts)
    except Exception:  # noqa: BLE001 - of code that is not ours
        _log.exception("the telemetry raised an error for the event %s of %s", event, key)


def trace_headers(telemetry: Telemetry) -> tuple[tuple[str, str], ...]:
    """Return the valid headers that the telemetry wants to send; empty if the telemetry raises an exception."""
    try:
        return tuple((name.lower(), text) for name, text in telemetry.headers() if (name + text).isprintable())
    except Exception:  # noqa: BLE001 - of code that is not ours
        _log.exception("the telemetry raised an error instead of returning its headers")
        return ()
