"""What most commands of `registry-server` share: where the data is."""

import functools
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import rich_click as click

from common_lib.cli import show
from registry_server.settings import Settings, default_data_folder


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """A command that gets `Settings` first, out of the options for them."""

    @click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
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
        command(Settings(data=folder, database_url=database_url, access_log=False), **arguments)

    return configured


def fail(sentence: str) -> NoReturn:
    """End with status 1 and a sentence."""
    show.stderr().print(show.text(f"✗ {sentence}", "bold red"), soft_wrap=True)
    raise SystemExit(1)


def _check(database_url: str) -> None:
    # The value is not shown: it may hold a password.
    if not database_url.startswith(("postgresql://", "postgres://")):
        raise click.UsageError("the database URL does not begin with postgresql://")
    if find_spec("asyncpg") is None:
        raise click.UsageError("PostgreSQL needs asyncpg: pip install 'model-registry-service[postgres]'")
