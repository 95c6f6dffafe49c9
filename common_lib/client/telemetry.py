"""What a client tells of itself while it works: one interface, with logging behind it by default."""

import logging
from collections.abc import Iterable
from typing import Literal

Happening = Literal["attempt", "retry", "open", "half-open", "close", "stale", "budget"]
_log = logging.getLogger("common_lib.client")
_LEVELS = {"open": logging.WARNING, "close": logging.WARNING, "budget": logging.WARNING, "stale": logging.INFO}


class Telemetry:
    """Told of everything that happens; to be subclassed. What it raises is logged and changes nothing."""

    def on(self, happening: Happening, key: str, **facts: object) -> None:
        """`key` is the circuit, an address and a class of routes, or what was asked for; the facts depend on it all."""

    def headers(self) -> Iterable[tuple[str, str]]:
        """What is sent with a call so that a trace goes on at the server, such as `traceparent`; nothing by default."""
        return ()


class Logging(Telemetry):
    """Writes to the logger `common_lib.client`: what opens and closes as warnings, each attempt for debugging."""

    def on(self, happening: Happening, key: str, **facts: object) -> None:
        """Log it."""
        level = _LEVELS.get(happening, logging.DEBUG)
        if _log.isEnabledFor(level):
            told = ", ".join(f"{name} {fact}" for name, fact in facts.items())
            _log.log(level, "%s: %s%s", key, happening, f" ({told})" if told else "")


def isolated(telemetry: Telemetry, happening: Happening, key: str, **facts: object) -> None:
    """Tell it, whatever it does."""
    try:
        telemetry.on(happening, key, **facts)
    except Exception:  # noqa: BLE001 - whatever it is
        _log.exception("the telemetry failed on %s of %s", happening, key)


def tracing(telemetry: Telemetry) -> tuple[tuple[str, str], ...]:
    """The headers it wants to send; none if it fails, or if they cannot be headers."""
    try:
        return tuple((name.lower(), text) for name, text in telemetry.headers() if (name + text).isprintable())
    except Exception:  # noqa: BLE001 - whatever it is
        _log.exception("the telemetry failed to say what is sent")
        return ()
