"""`registry-server store`: folder, bytes and database as one."""

import asyncio

import rich_click as click

from common_lib.cli import show
from registry_server.cli.options import fail, with_settings
from registry_server.settings import Settings


@click.group()
def store() -> None:
    """Manage the store: the folder of bytes and the database that belong together."""


@store.command()
@with_settings
@click.option(
    "--lost",
    is_flag=True,
    help="Accept that bytes are missing: put each blob whose file is not there into quarantine.",
)
def adopt(settings: Settings, *, lost: bool) -> None:
    """Make this folder and this database one store from now on, after they were moved, copied or restored.

    Copies that still carry the old identity are refused from then on. No server may run on the folder.
    """
    from registry_server.cli.adoption import adopted  # noqa: PLC0415 - help does not wait for the imports

    if not settings.data.is_dir():
        fail(f"{settings.data} is not there: name the folder of the registry by --data")
    identity, missing = asyncio.run(adopted(settings, lost=lost))
    sentence = f"{identity.folder} and its database are registry {identity.store[:8]} now"
    click.echo(f"{sentence}; {show.count(missing, 'blob')} put into quarantine" if lost else sentence)
