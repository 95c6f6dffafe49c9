"""The list of invariants. The server checks all of them before it changes anything, and `doctor` reports all of them.

| check          | subject                                                                |
| -------------- | ---------------------------------------------------------------------- |
| data folder    | owner and mode of the folder                                           |
| admin token    | owner, mode and kind of its file                                       |
| own files      | owner, mode and kind of lock, `server.json`, marker and SQLite files   |
| blob folder    | owner and mode of the blob folders                                     |
| engine         | the engine for which the folder was created                            |
| schema         | the history of migrations in the database                              |
| store          | the id that data folder, blob folder and database share                |
| blob store     | whether the blobs of the database exist, checked by a sample           |

Only `doctor` runs the checks that read all pages of the database, the whole log, or all bytes of the blobs.
"""

from collections.abc import Callable, Iterable
from typing import Final

from registry_server.infrastructure.inspection import open_read_only, pending_steps
from registry_server.infrastructure.schema_history import SchemaMismatch
from registry_server.invariants import files, store_identity
from registry_server.invariants.findings import Finding, InvariantBroken
from registry_server.invariants.store_identity import Facts
from registry_server.invariants.store_location import StoreLocation
from registry_server.queries.sql import Sql
from registry_server.settings import Settings

FOLDER: Final = files.check_data_folder
FILES: Final[tuple[Callable[[StoreLocation], Finding], ...]] = (
    files.check_admin_token,
    files.check_own_files,
    files.check_blob_folder,
    files.check_engine,
)
STORE: Final[tuple[Callable[[Facts], Finding], ...]] = (
    store_identity.check_identity,
    store_identity.check_blobs_present,
)


def require(findings: Iterable[Finding]) -> None:
    """Raise InvariantBroken with the sentence of the first finding that reports a fault."""
    for finding in findings:
        if finding.well is False:
            raise InvariantBroken(finding.found)


def require_folder(settings: Settings) -> None:
    """Require that no other user can write to the data folder, before any file in it is opened."""
    require([FOLDER(StoreLocation(settings))])


def require_files(settings: Settings, *, adopt: bool = False) -> None:
    """Require the invariants of files. With `adopt`, the folder may have been created for another engine."""
    location = StoreLocation(settings)
    require(check(location) for check in FILES if not adopt or check is not files.check_engine)


async def require_store(settings: Settings, *, adopt: bool = False, lost: bool = False) -> Facts:
    """Require the invariants of the database before anything is written to it; return the facts about the store.

    With `adopt`, folder and database may belong to different stores. With `lost`, the blobs may be missing too.

    Raises:
        InvariantBroken: an invariant does not hold.
        SchemaMismatch: a newer or different version of this software wrote the database.
        DatabaseUnreadable: the database cannot be read.
    """
    location = StoreLocation(settings)
    if location.engine == "sqlite" and not location.file.exists():
        facts = await store_identity.collect_facts(location, None)
    else:
        async with open_read_only(location.file, location.database_url) as sql:
            await pending_steps(sql, location.engine)
            facts = await store_identity.collect_facts(location, sql)
    if adopt and facts.marker is not None and facts.marker.engine != location.engine and not facts.found:
        # An empty registry would delete the blobs of the other registry as garbage.
        require([files.check_engine(location)])
    required = STORE[1:] if adopt else STORE
    require(check(facts) for check in (() if lost else required))
    return facts


def require_engine(settings: Settings) -> None:
    """Require that the folder was not created for another engine."""
    require([files.check_engine(StoreLocation(settings))])


async def check_store(location: StoreLocation, sql: Sql) -> list[Finding]:
    """Check the identity of the store and the presence of its blobs."""
    facts = await store_identity.collect_facts(location, sql)
    return [check(facts) for check in STORE]


async def check_schema(location: StoreLocation, sql: Sql) -> Finding:
    """Check that no migration is pending. The server applies pending migrations when it starts."""
    try:
        steps = await pending_steps(sql, location.engine)
    except SchemaMismatch as error:
        return Finding("schema", False, str(error))
    if steps:
        return Finding("schema", False, f"not yet applied: {', '.join(steps)}: run `registry-server migrate`")
    return Finding("schema", True, "the schema is up to date")
