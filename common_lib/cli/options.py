"""Options and option types that several commands share."""

import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import rich_click as click

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
Scalar = str | int | float | bool | None
_PAGE = 1000

limit_option = click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Show at most N results. Default: all."
)
reason_option = click.option("--reason", default="", help="The reason, for the audit log. Required with --force.")
required_reason_option = click.option("--reason", required=True, help="The reason, for the audit log.")


def pair_parser(parse: Callable[[str], Any]) -> Callable[[str], tuple[str, Any]]:
    """Return a function that converts the text `name=value` to the pair of the name and the parsed value."""

    def parse_pair(text: str) -> tuple[str, Any]:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{text!r} is not of the form name=value")
        try:
            return name, parse(value)
        except ValueError:
            raise click.BadParameter(f"{value!r} is not a finite number") from None

    return parse_pair


def parse_time(text: str) -> datetime:
    """Parse a time in ISO 8601. A time without an offset is in UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time: write 2026-03-01 or 2026-03-01T09:15:00+01:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def parse_scalar(text: str) -> Scalar:
    """Parse a JSON scalar; return the text unchanged if it is not a JSON scalar.

    >>> parse_scalar("3"), parse_scalar("true"), parse_scalar("adam"), parse_scalar('"3"')
    (3, True, 'adam', '3')
    """
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, dict | list) or (isinstance(value, float) and not math.isfinite(value)):
        return text
    return value  # type: ignore[no-any-return]


def parse_finite(text: str) -> float:
    """Parse a finite float.

    Raises:
        ValueError: the text is not a number, or the number is infinite or NaN.
    """
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def pairs_option(*names: str, parse: Callable[[str], Any] = str, help: str) -> Callable[[F], F]:
    """Return a decorator that adds a repeatable option `name=value`; the command receives all pairs as a dict."""

    def as_dict(_ctx: click.Context, _param: click.Parameter, pairs: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
        return dict(pairs)

    parser = pair_parser(parse)
    return click.option(*names, type=parser, metavar="NAME=VALUE", multiple=True, callback=as_dict, help=help)


def edit_options(command: F) -> F:
    """Add the options --description, --tag and --remove-tag to a command that updates a model or version."""
    description = click.option("--description", help="The new description.")
    tag = pairs_option("--tag", help="A tag to add or to replace; may be repeated.")
    removed = click.option("--remove-tag", multiple=True, metavar="NAME", help="A tag to remove; may be repeated.")
    return description(tag(removed(command)))


def edit_mapping(
    before: Mapping[str, Any], added: Mapping[str, Any], removed: tuple[str, ...]
) -> dict[str, Any] | None:
    """Return `before` with the given entries added and removed, or None if there is nothing to add or remove."""
    if not added and not removed:
        return None
    return {key: value for key, value in before.items() if key not in removed} | dict(added)


def change_options(command: F) -> F:
    """Add the options --revision and --force, which set the precondition of a change."""
    revision = click.option(
        "--revision",
        type=click.IntRange(min=1),
        metavar="N",
        help="Fail unless the current revision is N. Default: the revision that the command reads first.",
    )
    force = click.option(
        "--force",
        is_flag=True,
        help="Overwrite changes that others have just made. Requires --reason, and is recorded in the audit log.",
    )
    return revision(force(command))


def check_precondition(revision: int | None, force: bool) -> None:  # noqa: FBT001 - as parsed
    """Raise a usage error if both --revision and --force are given."""
    if force and revision is not None:
        raise click.UsageError("--revision and --force cannot be combined: use only one of them")


def precondition(revision: int | None, force: bool, read: Callable[[], Any]) -> dict[str, Any]:  # noqa: FBT001 - as parsed
    """Return the arguments for the precondition of a change.

    They are `force`, or the given revision, or otherwise the revision of the resource that `read` returns.
    """
    check_precondition(revision, force)
    return {"force": True} if force else {"revision": revision or read().revision}


def take(limit: int | None, search: Callable[..., Iterable[T]]) -> list[T]:
    """Call `search` and return its first `limit` results, or all results if `limit` is None."""
    return list(itertools.islice(search(page_size=min(limit or _PAGE, _PAGE)), limit))
