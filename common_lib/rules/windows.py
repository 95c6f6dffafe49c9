"""When a change may be made: hours of the week in a time zone, but not on days that are closed."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from common_lib.rules.violation import RuleViolation

CLOCK: Final = r"^(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)$(?!\n)"
DAY: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$(?!\n)"
ZONE: Final = r"^[A-Za-z][A-Za-z0-9_+-]{0,31}(?:/[A-Za-z0-9_+-]{1,32}){0,2}$(?!\n)"
MAX_WINDOWS: Final = 32
MAX_CLOSED: Final = 366
_WEEK: Final = 7


class Weekday(StrEnum):
    """A day of the week, Monday first."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


class Hours(Protocol):
    """Hours of some days of the week; `until` is not among them."""

    @property
    def days(self) -> Sequence[Weekday]:
        """On which days."""

    @property
    def since(self) -> str:
        """From when, as 09:00."""

    @property
    def until(self) -> str:
        """Up to when, as 17:30; the day ends at 24:00."""


class Windows(Protocol):
    """When changes may be made."""

    @property
    def zone(self) -> str:
        """A time zone of IANA, such as Europe/Berlin."""

    @property
    def hours(self) -> Sequence[Hours]:
        """The hours of the week in that zone."""

    @property
    def closed(self) -> Sequence[str]:
        """The dates on which they do not hold, as 2026-12-24."""


def check_windows(windows: Windows) -> None:
    """Windows name a zone that there is and dates that there are, and they open.

    Raises:
        RuleViolation: `invalid_policy`, naming the part.
    """
    _zone(windows.zone)
    for place, day in enumerate(windows.closed):
        try:
            date.fromisoformat(day)
        except ValueError:
            raise _refused(f"closed[{place}]", day, "is no date", "write it as 2026-12-24") from None
    for place, hours in enumerate(windows.hours):
        if not hours.days or hours.since >= hours.until:
            said = f"{', '.join(hours.days) or 'no day'} {hours.since}-{hours.until}"
            remedy = "name days, and an end after the begin; for hours over midnight write two, one up to 24:00"
            raise _refused(f"hours[{place}]", said, "never opens", remedy)
    if not windows.hours:
        raise _refused("hours", "none", "never open", "name hours, or leave the windows out to allow all")


def is_open(windows: Windows, at: datetime) -> bool:
    """Whether a change may be made at a moment, by the clocks of the zone."""
    local = at.astimezone(_zone(windows.zone))
    clock = local.strftime("%H:%M")
    return any(since <= clock < until for since, until in _hours_of(windows, local.date()))


def next_opening(windows: Windows, at: datetime) -> datetime | None:
    """When a change may be made next, not before `at`; None if that is beyond the calendar."""
    if is_open(windows, at):
        return at
    zone = _zone(windows.zone)
    for day in _days(at.astimezone(zone).date(), len(windows.closed)):
        for since, _ in sorted(_hours_of(windows, day)):
            opens = datetime(day.year, day.month, day.day, int(since[:2]), int(since[3:]), tzinfo=zone).astimezone(UTC)
            # Where the clocks jump over the hour, it is not open when they say so.
            if opens > at and is_open(windows, opens):
                return opens
    return None


def _days(first: date, closed: int) -> Iterator[date]:
    # Every closed day may be the one day of its week; two weeks more cover the clocks' own jumps.
    try:
        for ahead in range(_WEEK * (closed + 2) + 1):
            yield first + timedelta(days=ahead)
    except OverflowError:
        return


def _hours_of(windows: Windows, day: date) -> list[tuple[str, str]]:
    if day.isoformat() in windows.closed:
        return []
    name = list(Weekday)[day.weekday()]
    return [(hours.since, hours.until) for hours in windows.hours if name in hours.days]


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        remedy = "name one of IANA, such as Europe/Berlin or UTC"
        raise _refused("zone", name, "is no time zone that is known here", remedy) from None


def _refused(field: str, value: str, why: str, remedy: str) -> RuleViolation:
    return RuleViolation("invalid_policy", field=f"rules.windows.{field}", value=value, why=why, remedy=remedy)
