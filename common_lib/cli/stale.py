"""A line that says so when an answer is not the registry's own."""

from typing import Any

import rich_click as click

from common_lib.cli import show
from common_lib.client.telemetry import ClientEvent, Telemetry

_MINUTE_S = 60
_HOUR_S = 3_600


class Stale(Telemetry):
    """Tells people and machines, on standard error, that the registry did not answer, and how old what is shown is."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def on(self, event: ClientEvent, key: str, **facts: Any) -> None:
        """Tell it, if it is that."""
        del key
        if event != "stale":
            return
        detail = f"the registry gave no answer; this is what it said {_ago(facts['age_s'])}"
        if self._as_json:
            members = {"code": "stale_answer", "detail": detail, "age_s": facts["age_s"], "reason": facts["reason"]}
            click.echo(show.as_json(members), err=True)
        else:
            show.stderr().print(show.text(f"! {detail} ({facts['reason']})", "yellow"), soft_wrap=True)


def _ago(seconds: float) -> str:
    if seconds < _MINUTE_S:
        return f"{show.count(round(seconds), 'second')} ago"
    if seconds < _HOUR_S:
        return f"{show.count(round(seconds / _MINUTE_S), 'minute')} ago"
    return f"{show.count(round(seconds / _HOUR_S), 'hour')} ago"
