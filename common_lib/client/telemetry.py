"""The events of a client, for metrics and traces: one interface, which writes to the log by default."""

import logging
from collections.abc import Iterable
from typing import Literal

ClientEvent = Literal["attempt", "retry", "open", "half-open", "close", "stale", "budget"]
_log = logging.getLogger("common_lib.client")
_LEVELS = {"open": logging.WARNING, "close": logging.WARNING, "budget": logging.WARNING, "stale": logging.INFO}


class Telemetry:
    """A receiver of the events of a client, to be subclassed. Its exceptions are logged and have no other effect."""

    def on(self, event: ClientEvent, key: str, **facts: object) -> None:
        """Receive an event; `key` is a circuit (endpoint and class of routes), or `resolve` for a stale answer."""

    def headers(self) -> Iterable[tuple[str, str]]:
        """Return headers to send with a call, such as `traceparent`, so that a trace continues at the server."""
        return ()


class Logging(Telemetry):
    """Telemetry that writes to the logger `common_lib.client`: state changes as warnings, attempts for debugging."""

    def on(self, event: ClientEvent, key: str, **facts: object) -> None:
        """Log the event."""
        level = _LEVELS.get(event, logging.DEBUG)
        if _log.isEnabledFor(level):
            details = ", ".join(f"{name} {fact}" for name, fact in facts.items())
            _log.log(level, "%s: %s%s", key, event, f" ({details})" if details else "")


def notify(telemetry: Telemetry, event: ClientEvent, key: str, **facts: object) -> None:
    """Pass an event to the telemetry, and log an exception that it raises."""
    try:
        telemetry.on(event, key, **facts)
    except Exception:  # noqa: BLE001 - of code that is not ours
        _log.exception("the telemetry failed on %s of %s", event, key)


def trace_headers(telemetry: Telemetry) -> tuple[tuple[str, str], ...]:
    """Return the headers that the telemetry wants to send; none if it fails, and only those that are valid."""
    try:
        return tuple((name.lower(), text) for name, text in telemetry.headers() if (name + text).isprintable())
    except Exception:  # noqa: BLE001 - of code that is not ours
        _log.exception("the telemetry failed to return its headers")
        return ()
