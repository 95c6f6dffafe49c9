"""What is still to be done to the schema, and doing it."""

import asyncio

from registry_server.app import FolderInUse, opened
from registry_server.cli.options import fail
from registry_server.domain.errors import RegistryError
from registry_server.infrastructure.inspection import DatabaseUnreadable, open_read_only, pending_steps
from registry_server.infrastructure.schema import SchemaMismatch, step_name
from registry_server.infrastructure.sql import load_migrations
from registry_server.invariants import checks, marker
from registry_server.invariants.findings import InvariantBroken
from registry_server.settings import Settings

# All that keeps a database from being opened, in words for people.
FAILURES = (FolderInUse, InvariantBroken, SchemaMismatch, RegistryError, DatabaseUnreadable, OSError)


async def look(settings: Settings) -> list[str]:
    """The steps that are still to take, on a connection of its own.

    Raises:
        SchemaMismatch: another version of this software wrote the database.
        DatabaseUnreadable: the database cannot be read.
    """
    async with open_read_only(settings.data / "registry.sqlite3", settings.database_url) as sql:
        return await pending_steps(sql, "postgres" if settings.database_url else "sqlite")


def migrated(settings: Settings) -> list[str]:
    """The steps that were taken to bring the schema up to date; the command ends if none can be."""
    try:
        return asyncio.run(_migrated(settings))
    except FAILURES as failure:
        fail(str(failure))


async def _migrated(settings: Settings) -> list[str]:
    checks.require_engine(settings)
    if settings.database_url:
        if marker.read_or_none(settings.data) is not None:
            await checks.require_store(settings)
        await look(settings)
        from registry_server.infrastructure.postgres import PostgresDatabase  # noqa: PLC0415 - an extra may be absent

        # Servers on other folders, and on this one, may go on: the rows are not theirs alone.
        return await PostgresDatabase(settings.database_url).migrate()
    new = not (settings.data / "registry.sqlite3").exists()
    steps = [step_name(step) for step in load_migrations("sqlite")] if new else await look(settings)
    async with opened(settings):
        return steps
