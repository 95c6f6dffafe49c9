"""The list of invariants: start-up requires all of it before it changes anything, and `doctor` reports all of it.

| check          | looks at                                                               |
| data folder    | owner and mode of the folder                                           |
| admin token    | owner, mode and kind of its file                                       |
| own files      | the same of lock, address, marker and the files of SQLite              |
| blob folder    | owner and mode of the folders of bytes                                 |
| engine         | the engine that the folder was made for                                |
| schema         | the history of the database                                            |
| store          | the identity that folder, bytes and database share                     |
| blob store     | whether the bytes that the database names are there as a whole         |

Checks that read everything (pages, log, every byte) are `doctor`'s alone.
"""

from collections.abc import Callable, Iterable
from typing import Final

from registry_server.infrastructure.inspection import open_read_only, pending_steps
from registry_server.infrastructure.schema import SchemaMismatch
from registry_server.infrastructure.sql import Sql
from registry_server.invariants import files, identity
from registry_server.invariants.findings import Finding, InvariantBroken
from registry_server.invariants.identity import Facts
from registry_server.invariants.site import Site
from registry_server.settings import Settings

FOLDER: Final = files.data_folder
FILES: Final[tuple[Callable[[Site], Finding], ...]] = (
    files.admin_token,
    files.own_files,
    files.blob_folder,
    files.engine,
)
STORE: Final[tuple[Callable[[Facts], Finding], ...]] = (identity.store_identity, identity.blobs_present)


def require(findings: Iterable[Finding]) -> None:
    """Raise with the first finding that is not well.

    Raises:
        InvariantBroken: with the sentence of the finding.
    """
    for finding in findings:
        if finding.well is False:
            raise InvariantBroken(finding.found)


def require_folder(settings: Settings) -> None:
    """Require that the data folder is ours alone, before any file in it is opened."""
    require([FOLDER(Site(settings))])


def require_files(settings: Settings, *, adopt: bool = False) -> None:
    """Require the invariants that files alone decide; with `adopt` the folder may have been made for another engine."""
    site = Site(settings)
    require(check(site) for check in FILES if not adopt or check is not files.engine)


async def require_store(settings: Settings, *, adopt: bool = False, lost: bool = False) -> Facts:
    """Require what the database decides, before anything is written to it, and return what was found.

    With `adopt` folder and database may belong to different stores, with `lost` the bytes may be missing too.

    Raises:
        InvariantBroken: an invariant does not hold.
        SchemaMismatch: another version of this software wrote the database.
        DatabaseUnreadable: the database cannot be read.
    """
    site = Site(settings)
    if site.engine == "sqlite" and not site.file.exists():
        facts = await identity.gather(site, None)
    else:
        async with open_read_only(site.file, site.database_url) as sql:
            await pending_steps(sql, site.engine)
            facts = await identity.gather(site, sql)
    if adopt and facts.mark is not None and facts.mark.engine != site.engine and not facts.found:
        # Bytes of another registry would become garbage of an empty one.
        require([files.engine(site)])
    wanted = STORE[1:] if adopt else STORE
    require(check(facts) for check in (() if lost else wanted))
    return facts


def require_engine(settings: Settings) -> None:
    """Require that the folder was not made for a registry in another engine."""
    require([files.engine(Site(settings))])


async def store(site: Site, sql: Sql) -> list[Finding]:
    """Report on the identity of the store and on the presence of its bytes."""
    facts = await identity.gather(site, sql)
    return [check(facts) for check in STORE]


async def schema(site: Site, sql: Sql) -> Finding:
    """Report on the history of the database; start-up takes the steps that are missing."""
    try:
        steps = await pending_steps(sql, site.engine)
    except SchemaMismatch as why:
        return Finding("schema", False, str(why))
    if steps:
        return Finding("schema", False, f"still to take: {', '.join(steps)}: registry-server migrate")
    return Finding("schema", True, "up to date")
