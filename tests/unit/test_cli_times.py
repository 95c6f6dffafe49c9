"""Times on the command line: without an offset they are UTC, whatever the time zone of the machine."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import rich_click as click

from common_lib.cli.options import parse_time


@pytest.fixture(params=["Asia/Tokyo", "America/New_York"])
def _time_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_time_zone")
@pytest.mark.parametrize("text", ["2026-03-01", "2026-03-01T00:00", "2026-03-01T09:00:00+09:00"])
def test_a_time_has_the_same_meaning_on_every_machine(text: str) -> None:
    """A time with an offset has that offset, a time without one is UTC."""
    assert parse_time(text) == datetime(2026, 3, 1, tzinfo=UTC)


def test_an_invalid_time_is_refused() -> None:
    """The error gives the right form."""
    with pytest.raises(click.BadParameter, match="write 2026-03-01"):
        parse_time("yesterday")
