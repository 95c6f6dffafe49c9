"""What most commands of `registry-server` share: where the data is, who asks, and what grants look like."""

import functools
import os
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import rich_click as click

from common_lib.cli import show
from common_lib.cli.paths import PathType
from common_lib.rules.access import Role
from common_lib.rules.transfers import DAY_S, LONGEST_S
from registry_server.settings import InvalidSetting, Settings, default_data_folder, from_variables

if TYPE_CHECKING:
    from common_lib.types.principals import Grant

_ROLES = [str(role) for role in Role]
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": DAY_S}


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """A command that gets `Settings` first, out of the options for them."""

    @click.option(
        "--data",
        type=PathType(file_okay=False),
        metavar="FOLDER",
        help="The data folder; without it REGISTRY_DATA, or model-registry in the user's own data folder.",
    )
    @click.option(
        "--database-url",
        envvar="REGISTRY_DATABASE_URL",
        show_envvar=True,
        default="",
        metavar="URL",
        help="postgresql://… for the rows, which are else in SQLite in the data folder; bytes stay in the folder.",
    )
    @functools.wraps(command)
    def configured(*, data: Path | None, database_url: str, **arguments: Any) -> None:
        if database_url:
            _check(database_url)
        # Only `serve` says what is asked of it.
        folder = data or default_data_folder()
        try:
            more = from_variables(os.environ)
        except InvalidSetting as why:
            raise click.UsageError(str(why)) from None
        command(Settings(data=folder, database_url=database_url, access_log=False, **more), **arguments)

    return configured


def reach(command: Callable[..., None]) -> Callable[..., None]:
    """A command that gets also the address of the registry and the file of an admin's token, both of them optional."""
    url = click.option("--url", metavar="URL", help="The address of the registry, if it does not run on this machine.")
    file = click.option(
        "--token-file",
        type=PathType(exists=True, dir_okay=False),
        metavar="FILE",
        help="The file with the token of an admin, if it is not admin-token in the data folder.",
    )
    return with_settings(url(file(command)))


def duration(text: str) -> int:
    """The seconds that are written as a number and s, m, h or d.

    >>> duration("36h"), duration("7d")
    (129600, 604800)
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else LONGEST_S + 1
    if seconds > LONGEST_S:
        raise click.BadParameter(f"{text!r} is no time of up to ten years: write 90s, 30m, 36h or 7d")
    return seconds


def grant_type(text: str) -> "Grant":
    """The grant that is written ROLE:PATTERN."""
    from common_lib.errors import InvalidRequest  # noqa: PLC0415 - see above
    from common_lib.types.principals import Grant  # noqa: PLC0415 - help does not wait for the imports

    role, _, models = text.partition(":")
    if role not in _ROLES:
        raise click.BadParameter(f"{role!r} in {text!r} is none of {', '.join(_ROLES)}")
    try:
        return Grant(role=Role(role), models=models)
    except InvalidRequest:
        raise click.BadParameter(
            f"{models!r} in {text!r} is no pattern: write a model's name, a prefix followed by *, or *"
        ) from None


def grant_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command that gets `grants`, out of those for all models and those for some."""

    @click.option(
        "--role",
        "roles",
        type=click.Choice(_ROLES),
        metavar="ROLE",
        multiple=True,
        help=f"A role on all models: {', '.join(_ROLES)}; may be repeated.",
    )
    @click.option(
        "--grant",
        "some",
        type=grant_type,
        metavar="ROLE:PATTERN",
        multiple=True,
        help="A role on some models, such as analysis:eurusd-*; may be repeated.",
    )
    @functools.wraps(command)
    def granting(*before: Any, roles: tuple[str, ...], some: "tuple[Grant, ...]", **arguments: Any) -> None:
        command(*before, grants=[*(grant_type(f"{role}:*") for role in roles), *some], **arguments)

    return granting


def fail(sentence: str) -> NoReturn:
    """End with status 1 and a sentence."""
    show.stderr().print(show.text(f"✗ {sentence}", "bold red"), soft_wrap=True)
    raise SystemExit(1)


def _check(database_url: str) -> None:
    from registry_server.infrastructure.database_url import DatabaseUrl, InvalidDatabaseUrl  # noqa: PLC0415 - see above

    try:
        DatabaseUrl.parse(database_url)
    except InvalidDatabaseUrl as why:
        raise click.UsageError(str(why)) from None
    if find_spec("asyncpg") is None:
        raise click.UsageError("PostgreSQL needs asyncpg: pip install 'model-registry-service[postgres]'")
