"""What is typed after options: pairs, scalars, numbers, moments."""

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import rich_click as click

F = TypeVar("F", bound=Callable[..., Any])
Scalar = str | int | float | bool | None


def pair(read: Callable[[str], Any]) -> Callable[[str], tuple[str, Any]]:
    """How `name=value` is read, the value by a function of its own."""

    def split(text: str) -> tuple[str, Any]:
        name, equals, rest = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{text!r} is no pair: write name=value")
        try:
            return name, read(rest)
        except ValueError:
            raise click.BadParameter(f"{rest!r} is no finite number") from None

    return split


def moment(text: str) -> datetime:
    """A time in ISO 8601; without an offset it is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time: write 2026-03-01 or 2026-03-01T09:15:00+01:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def scalar(text: str) -> Scalar:
    """The JSON scalar that the text is, or the text itself.

    >>> scalar("3"), scalar("true"), scalar("adam"), scalar('"3"')
    (3, True, 'adam', '3')
    """
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, dict | list) or (isinstance(value, float) and not math.isfinite(value)):
        return text
    return value  # type: ignore[no-any-return]


def finite(text: str) -> float:
    """A number that is one."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def pairs_option(*names: str, read: Callable[[str], Any] = str, help: str) -> Callable[[F], F]:
    """An option that is given once for each pair; the command gets a dict."""

    def as_dict(_ctx: click.Context, _param: click.Parameter, given: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
        return dict(given)

    return click.option(*names, type=pair(read), metavar="NAME=VALUE", multiple=True, callback=as_dict, help=help)


def edit_options(command: F) -> F:
    """The options of what models and versions both let change."""
    description = click.option("--description", help="Another description.")
    tag = pairs_option("--tag", help="A tag to add or to replace; may be repeated.")
    removed = click.option("--remove-tag", multiple=True, metavar="NAME", help="A tag to remove; may be repeated.")
    return description(tag(removed(command)))


def merged(before: Mapping[str, Any], added: Mapping[str, Any], removed: tuple[str, ...]) -> dict[str, Any] | None:
    """What a mapping becomes by entries that are added and removed; None if there are none."""
    if not added and not removed:
        return None
    return {key: value for key, value in before.items() if key not in removed} | dict(added)


def change_options(command: F) -> F:
    """The options of a change: what it is based on."""
    revision = click.option(
        "--revision",
        type=click.IntRange(min=1),
        metavar="N",
        help="Change it only if it still is at this revision; without it, the revision is read just before.",
    )
    force = click.option(
        "--force", is_flag=True, help="Change it whatever somebody else changed meanwhile; needs a reason, is recorded."
    )
    return revision(force(command))


def reason_option(command: F) -> F:
    """The option of a change that needs a reason only if it is forced."""
    return click.option("--reason", default="", help="Why; kept in the audit log. Needed with --force.")(command)


def check_basis(revision: int | None, force: bool) -> None:  # noqa: FBT001 - as parsed
    """Refuse a change that is based on a revision and on none."""
    if force and revision is not None:
        raise click.UsageError("--revision and --force contradict each other: give one")


def based_on(revision: int | None, force: bool, read: Callable[[], Any]) -> dict[str, Any]:  # noqa: FBT001 - as parsed
    """What a change is based on: the given revision, the one that is read, or nothing if it is forced."""
    check_basis(revision, force)
    return {"force": True} if force else {"revision": revision or read().revision}
