"""Change windows: hours of the week in which promotions are allowed, except on closed days.

The windows of a policy are a mapping with `zone`, `hours` (each with `days`, `since` and `until`) and `closed`.
"""

import bisect
import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from zoneinfo import ZoneInfo

from common_lib.rules.codes import Code
from common_lib.rules.facts import check_unique
from common_lib.rules.violation import RuleViolation

CLOCK: Final = r"^(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)$(?!\n)"
DAY: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$(?!\n)"
ZONE: Final = r"^[A-Za-z][A-Za-z0-9_+-]{0,31}(?:/[A-Za-z0-9_+-]{1,32}){0,2}$(?!\n)"
MAX_WINDOWS: Final = 32
MAX_CLOSED: Final = 366
_WEEK: Final = 7
# Files beside the zones of IANA: settings of one machine, and zones that count leap seconds.
_OF_A_MACHINE: Final = frozenset({"Factory", "localtime", "posix", "posixrules", "right"})
_MINUTE: Final = timedelta(minutes=1)


class Weekday(StrEnum):
    """A day of the week, Monday first."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


def check_windows(windows: Mapping[str, Any]) -> None:
    """Check that the zone and the dates exist, and that each entry of `hours` opens at some time.

    Raises:
        RuleViolation: `invalid_policy`; `field` is the wrong part.
    """
    _zone(windows["zone"])
    check_unique("rules.windows.closed", windows["closed"], "this day is listed twice", code=Code.INVALID_POLICY)
    spans = [f"{', '.join(sorted(hours['days']))} {hours['since']}-{hours['until']}" for hours in windows["hours"]]
    check_unique("rules.windows.hours", spans, "these hours are listed twice", code=Code.INVALID_POLICY)
    for place, hours in enumerate(windows["hours"]):
        check_unique(
            f"rules.windows.hours[{place}].days", hours["days"], "this day is listed twice", code=Code.INVALID_POLICY
        )
    for place, day in enumerate(windows["closed"]):
        try:
            date.fromisoformat(day)
        except ValueError:
            raise _refused(f"closed[{place}]", day, "this is not a date", "write a date such as 2026-12-24") from None
    for place, hours in enumerate(windows["hours"]):
        if not hours["days"] or hours["since"] >= hours["until"]:
            span = f"{', '.join(hours['days']) or 'no day'} {hours['since']}-{hours['until']}"
            remedy = "list days and an end after the start; split hours past midnight in two, the first until 24:00"
            raise _refused(f"hours[{place}]", span, "these hours contain no time", remedy)
    if not windows["hours"]:
        raise _refused(
            "hours", "none", "the windows are never open", "add hours, or leave out the windows to allow all times"
        )


def is_open(windows: Mapping[str, Any], at: datetime) -> bool:
    """Return whether changes are allowed at a given time."""
    local = at.astimezone(_zone(windows["zone"]))
    clock = local.strftime("%H:%M")
    return any(since <= clock < until for since, until in _hours_of(windows, local.date()))


def next_opening(windows: Mapping[str, Any], at: datetime) -> datetime | None:
    """Return the next time, at or after `at`, at which changes are allowed; None if there will not be one."""
    if is_open(windows, at):
        return at
    zone = _zone(windows["zone"])
    first = at.astimezone(zone).date()
    with contextlib.suppress(OverflowError):
        # Each closed day can close a whole week; two more weeks cover changes of the clocks.
        for ahead in range(_WEEK * (len(windows["closed"]) + 2) + 1):
            for opens in sorted(_openings(windows, first + timedelta(days=ahead), zone)):
                if opens > at and is_open(windows, opens):
                    return opens
    return None


def _openings(windows: Mapping[str, Any], day: date, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield the times of a day at which a window may open: the starts of hours, and a change of the clocks."""
    hours = _hours_of(windows, day)
    if not hours:
        return
    for since, _ in hours:
        begins = datetime(day.year, day.month, day.day, int(since[:2]), int(since[3:]), tzinfo=zone)
        yield from (begins.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    begin, end = midnight.astimezone(UTC), (midnight + timedelta(days=1)).astimezone(UTC)
    after = end.astimezone(zone).utcoffset()
    if begin.astimezone(zone).utcoffset() != after:
        minutes = range(int((end - begin) / _MINUTE))
        yield begin + _MINUTE * bisect.bisect_left(
            minutes, 1, key=lambda minute: (begin + _MINUTE * minute).astimezone(zone).utcoffset() == after
        )


def _hours_of(windows: Mapping[str, Any], day: date) -> list[tuple[str, str]]:
    name = list(Weekday)[day.weekday()]
    hours = [(hours["since"], hours["until"]) for hours in windows["hours"] if name in hours["days"]]
    return [] if hours and day.isoformat() in windows["closed"] else hours


def _zone(name: str) -> ZoneInfo:
    if _OF_A_MACHINE.isdisjoint(name.split("/")):
        with contextlib.suppress(KeyError, ValueError, OSError):
            return ZoneInfo(name)
    remedy = "use a name of the IANA database, such as Europe/Berlin or UTC"
    raise _refused("zone", name, "this is not a known time zone", remedy)


def _refused(field: str, value: str, why: str, remedy: str) -> RuleViolation:
    return RuleViolation(Code.INVALID_POLICY, field=f"rules.windows.{field}", value=value, why=why, remedy=remedy)
