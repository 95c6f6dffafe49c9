"""Command-line options, and their types, that several commands of `registry-server` share."""

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
from common_lib.rules.collection import DAY_S, LONGEST_S
from registry_server.settings import InvalidSetting, Settings, default_data_folder, from_variables

if TYPE_CHECKING:
    from common_lib.types.principals import Grant

_ROLES = [str(role) for role in Role]
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": DAY_S}

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Write one JSON document, and errors as JSON problems."
)


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of `Settings` to a command, and pass the settings as its first argument."""

    @click.option(
        "--data",
        type=PathType(file_okay=False),
        metavar="FOLDER",
        help="The data folder. Default: REGISTRY_DATA, or model-registry in the user's data folder.",
    )
    @click.option(
        "--database-url",
        envvar="REGISTRY_DATABASE_URL",
        show_envvar=True,
        default="",
        metavar="URL",
        help="postgresql://… to store the rows in PostgreSQL. Default: SQLite in the data folder.",
    )
    @functools.wraps(command)
    def run(*, data: Path | None, database_url: str, **arguments: Any) -> None:
        if database_url:
            _check_database_url(database_url)
        folder = data or default_data_folder()
        try:
            more = from_variables(os.environ)
        except InvalidSetting as error:
            raise click.UsageError(str(error)) from None
        # `serve` alone turns the access log on.
        command(Settings(data=folder, database_url=database_url, access_log=False, **more), **arguments)

    return run


def with_registry_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of `with_settings` to a command, and options for the registry's address and an admin's token."""
    url = click.option("--url", metavar="URL", help="The address of the registry, if it runs on another machine.")
    file = click.option(
        "--token-file",
        type=PathType(exists=True, dir_okay=False),
        metavar="FILE",
        help="The file with the token of an admin. Default: admin-token in the data folder.",
    )
    return with_settings(url(file(command)))


def parse_duration(text: str) -> int:
    """Parse a number with the unit s, m, h or d; return the number of seconds.

    >>> parse_duration("36h"), parse_duration("7d")
    (129600, 604800)
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else LONGEST_S + 1
    if seconds > LONGEST_S:
        raise click.BadParameter(f"{text!r} is not a time of up to ten years: write 90s, 30m, 36h or 7d")
    return seconds


def parse_grant(text: str) -> "Grant":
    """Parse a grant of the form ROLE:PATTERN."""
    from common_lib.errors import InvalidRequest  # noqa: PLC0415 - help does not wait for the imports
    from common_lib.types.principals import Grant  # noqa: PLC0415 - see above

    role, _, models = text.partition(":")
    if role not in _ROLES:
        raise click.BadParameter(f"{role!r} in {text!r} is not a role: give one of {', '.join(_ROLES)}")
    try:
        return Grant(role=Role(role), models=models)
    except InvalidRequest:
        raise click.BadParameter(
            f"{models!r} in {text!r} is not a pattern: write a model's name, a prefix followed by *, or *"
        ) from None


def grant_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --role and --grant to a command, and pass both as the argument `grants`."""

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
        type=parse_grant,
        metavar="ROLE:PATTERN",
        multiple=True,
        help="A role on some models, such as analysis:eurusd-*; may be repeated.",
    )
    @functools.wraps(command)
    def run(*before: Any, roles: tuple[str, ...], some: "tuple[Grant, ...]", **arguments: Any) -> None:
        command(*before, grants=[*(parse_grant(f"{role}:*") for role in roles), *some], **arguments)

    return run


def fail(sentence: str) -> NoReturn:
    """Print a sentence to standard error and end the command with status 1."""
    show.stderr().print(show.text(f"✗ {sentence}", "bold red"), soft_wrap=True)
    raise SystemExit(1)


def _check_database_url(database_url: str) -> None:
    from registry_server.infrastructure.database_url import DatabaseUrl, InvalidDatabaseUrl  # noqa: PLC0415 - see above

    try:
        DatabaseUrl.parse(database_url)
    except InvalidDatabaseUrl as error:
        raise click.UsageError(str(error)) from None
    if find_spec("asyncpg") is None:
        raise click.UsageError("PostgreSQL needs asyncpg: pip install 'model-registry-service[postgres]'")
