"""Warn the user, on standard error, if a cached answer is shown because the registry did not respond."""

from typing import Any

import rich_click as click

from common_lib.cli import show
from common_lib.client.telemetry import ClientEvent, Telemetry

_MINUTE_S = 60
_HOUR_S = 3_600


class StaleWarning(Telemetry):
    """A telemetry receiver that prints a warning with the age of each stale answer to standard error."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def on(self, event: ClientEvent, key: str, **facts: Any) -> None:
        """Print a warning if the event is a stale answer."""
        del key
        if event != "stale":
            return
        detail = f"the registry did not respond; this is its answer from {_format_age(facts['age_s'])} ago"
        if self._as_json:
            members = {"code": "stale_answer", "detail": detail, "age_s": facts["age_s"], "reason": facts["reason"]}
            click.echo(show.to_json(members), err=True)
        else:
            show.stderr().print(show.text(f"! {detail} ({facts['reason']})", "yellow"), soft_wrap=True)


def _format_age(seconds: float) -> str:
    if seconds < _MINUTE_S:
        return show.count(round(seconds), "second")
    if seconds < _HOUR_S:
        return show.count(round(seconds / _MINUTE_S), "minute")
    return show.count(round(seconds / _HOUR_S), "hour")
