"""`registry-server migrate`: list and apply the steps that bring the schema up to date."""

import asyncio

from registry_server.app import FolderInUse, open_environment
from registry_server.cli.options import fail
from registry_server.domain.errors import RegistryError
from registry_server.infrastructure.dialects import load_migrations
from registry_server.infrastructure.inspection import DatabaseUnreadable, open_read_only, pending_steps
from registry_server.infrastructure.schema_history import SchemaMismatch, step_name
from registry_server.invariants import checks, store_marker
from registry_server.invariants.findings import InvariantBroken
from registry_server.settings import Settings

# All errors that can prevent a database from being opened; their messages are written for the operator.
FAILURES = (FolderInUse, InvariantBroken, SchemaMismatch, RegistryError, DatabaseUnreadable, OSError)


async def read_pending_steps(settings: Settings) -> list[str]:
    """Return the steps that are not yet applied, read on a separate connection.

    Raises:
        SchemaMismatch: another version of this software wrote the database.
        DatabaseUnreadable: the database cannot be read.
    """
    async with open_read_only(settings.data / "registry.sqlite3", settings.database_url) as sql:
        return await pending_steps(sql, "postgres" if settings.database_url else "sqlite")


def apply_steps(settings: Settings) -> list[str]:
    """Bring the schema up to date and return the applied steps; end the command if that fails."""
    try:
        return asyncio.run(_apply_steps(settings))
    except FAILURES as failure:
        fail(str(failure))


async def _apply_steps(settings: Settings) -> list[str]:
    checks.require_engine(settings)
    if settings.database_url:
        if store_marker.read_or_none(settings.data) is not None:
            await checks.require_store(settings)
        await read_pending_steps(settings)
        from registry_server.infrastructure.postgres import PostgresDatabase  # noqa: PLC0415 - an extra may be absent

        # Without the folder's lock, because running servers may use the database meanwhile.
        return await PostgresDatabase(settings.database_url).migrate()
    new = not (settings.data / "registry.sqlite3").exists()
    steps = [step_name(step) for step in load_migrations("sqlite")] if new else await read_pending_steps(settings)
    async with open_environment(settings):
        return steps
