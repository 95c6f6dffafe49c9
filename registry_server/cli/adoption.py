"""Gives a folder and a database the same new identity, after they were moved, copied or restored."""

from registry_server.app import open_environment
from registry_server.cli.options import fail
from registry_server.cli.schema import FAILURES
from registry_server.core import scrub
from registry_server.domain.store import StoreIdentity
from registry_server.settings import Settings


async def _require_no_server(settings: Settings) -> None:
    # The lock of this folder does not exclude a server that uses the same database with another folder.
    if not settings.database_url:
        return
    from registry_server.infrastructure.postgres import connected_servers  # noqa: PLC0415 - an extra may be absent

    if await connected_servers(settings.database_url):
        fail(
            "a server is connected to this database and would continue with its own folder: "
            "stop all servers of the database, then adopt again"
        )


async def adopt(settings: Settings, *, lost: bool) -> tuple[StoreIdentity, int]:
    """Give folder and database a new identity; return the identity and the number of blobs that went to quarantine."""
    try:
        await _require_no_server(settings)
        async with open_environment(settings, adopt=True, lost=lost) as env:
            identity = await env.database.read.store.find()
            if identity is None:
                raise AssertionError("the opened registry has no identity, although opening it creates one")
            return identity, await scrub.quarantine_missing(env) if lost else 0
    except FAILURES as failure:
        fail(str(failure))
