"""`registry-server store`: manage the folder of bytes and the database that belong together."""

import asyncio

import rich_click as click

from common_lib.cli import show
from registry_server.cli.options import fail, with_settings
from registry_server.settings import Settings


@click.group()
def store() -> None:
    """Manage the store: the data folder and the database that belong together."""


@store.command()
@with_settings
@click.option("--lost", is_flag=True, help="Accept missing bytes: put each blob whose file is missing into quarantine.")
def adopt(settings: Settings, *, lost: bool) -> None:
    """Make this folder and this database one store, after they were moved, copied or restored.

    From then on, copies with the old identity are refused. No server may run on the folder meanwhile.
    """
    from registry_server.cli import adoption  # noqa: PLC0415 - help does not wait for the imports

    if not settings.data.is_dir():
        fail(f"{settings.data} is not a folder: give the data folder of the registry with --data")
    identity, missing = asyncio.run(adoption.adopt(settings, lost=lost))
    sentence = f"{identity.folder} and its database are now registry {identity.store[:8]}"
    click.echo(f"{sentence}; {show.count(missing, 'blob')} put into quarantine" if lost else sentence)
