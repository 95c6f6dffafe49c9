"""Parser of references to versions, such as `models:/name/7`, `models:/name@champion` or `models:/name/production`."""

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

from common_lib.rules import names
from common_lib.rules.codes import Code
from common_lib.rules.lifecycle import ModelStage
from common_lib.rules.violation import RuleViolation

_REFERENCE: Final = re.compile(
    r"^models:/(?P<name>[^/@?\s]+)(?:/(?P<word>[^/@?\s]+)|(?P<alias>@[^/@?\s]+))"
    r"(?:\?as_of=(?P<as_of>[^/@?\s]+))?$(?!\n)"
)
_WORDS: Final = frozenset({"latest", *(str(stage) for stage in ModelStage)})
_MOMENT: Final = re.compile(
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})$(?!\n)"
)
MAX_VERSION: Final = 2**31 - 1


class Reference(NamedTuple):
    """A parsed reference; `selector` is a version number, `@alias`, a stage or `latest`; `as_of` is a past time."""

    name: str
    selector: str
    as_of: datetime | None = None

    def __str__(self) -> str:
        """Return the reference as text that `parse` accepts: `models:/…`."""
        place = self.selector if self.selector.startswith("@") else f"/{self.selector}"
        return f"models:/{self.name}{place}" + (f"?as_of={format_moment(self.as_of)}" if self.as_of else "")


def parse(text: str) -> Reference:
    """Parse a reference.

    Raises:
        RuleViolation: `invalid_reference`; the remedy lists the possible forms.

    >>> parse("models:/eurusd-direction/production")
    Reference(name='eurusd-direction', selector='production', as_of=None)
    >>> str(parse("models:/eurusd-direction/production?as_of=2026-03-01T00:00:00+01:00"))
    'models:/eurusd-direction/production?as_of=2026-02-28T23:00:00Z'
    >>> str(parse("models:/eurusd-direction@champion"))
    'models:/eurusd-direction@champion'
    """
    match = names.matches(_REFERENCE, text)
    if match is None:
        raise _refused(text)
    name, selector = names.check_model_name(match["name"]), check_selector(match["alias"] or match["word"])
    if match["as_of"] is None:
        return Reference(name, selector)
    return Reference(name, check_has_history(selector), parse_moment("as_of", match["as_of"]))


def check_selector(selector: str) -> str:
    """Check a selector: a version number without leading zero, `@alias`, a stage, or `latest`."""
    if selector.startswith("@"):
        names.check_alias(selector[1:])
    elif selector not in _WORDS and parse_version_number(selector) is None:
        raise _refused(selector)
    return selector


def check_has_history(selector: str) -> str:
    """Check that a selector can be combined with a past time: only `production` can, because its history is stored."""
    if selector != "production":
        raise RuleViolation(
            Code.INVALID_REFERENCE,
            field="selector",
            value=selector,
            why="this selector cannot be combined with as_of, because only production has a history",
            remedy="use as_of with production; to see who moved an alias and when, read the history of the model",
        )
    return selector


def parse_moment(field: str, text: str) -> datetime:
    """Parse an RFC 3339 time, which must have a time zone, and return it in UTC.

    >>> parse_moment("as_of", "2026-03-01T09:15:00.25+01:00")
    datetime.datetime(2026, 3, 1, 8, 15, 0, 250000, tzinfo=datetime.timezone.utc)
    """
    try:
        found = datetime.fromisoformat(text) if names.matches(_MOMENT, text) else None
        # Near the first and last date of the calendar, the time in UTC may be outside the calendar.
        return found.astimezone(UTC) if found is not None else _no_moment(field, text)
    except (ValueError, OverflowError):
        return _no_moment(field, text)


def format_moment(time: datetime) -> str:
    """Format a time in UTC as in references and events, with microseconds only if they are not zero.

    >>> format_moment(datetime(2026, 3, 1, tzinfo=UTC))
    '2026-03-01T00:00:00Z'
    """
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_version_number(selector: str) -> int | None:
    """Return the version number if the selector is one (1 … 2**31 - 1, without leading zero), otherwise None."""
    if not re.match(r"^[1-9][0-9]{0,9}$(?!\n)", selector):
        return None
    number = int(selector)
    return number if number <= MAX_VERSION else None


def _refused(text: str) -> RuleViolation:
    return RuleViolation(
        Code.INVALID_REFERENCE,
        field="reference",
        value=text,
        why="this is not a reference to a version",
        remedy="write models:/name/7, models:/name@champion, models:/name/production, /staging, /archived, "
        "/development, /latest, or models:/name/production?as_of=2026-03-01T00:00:00Z",
    )


def _no_moment(field: str, text: str) -> datetime:
    raise RuleViolation(
        Code.INVALID_REFERENCE,
        field=field,
        value=text,
        why="this is not a time with a time zone",
        remedy="write a time such as 2026-03-01T00:00:00Z",
    )
