"""The identity of the store: which database, which folder and which bytes belong together."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from registry_server.domain.store import StoreIdentity
from registry_server.infrastructure import inspection
from registry_server.infrastructure.records.store import StoreRecords
from registry_server.infrastructure.sql import Sql
from registry_server.invariants import marker
from registry_server.invariants.findings import Finding
from registry_server.invariants.marker import Marker
from registry_server.invariants.site import Site

_PREFIXES: Final = "0123456789abcdef"
_EACH: Final = 2
# Of fewer blobs, losing most may be damage of each; of more it is the medium.
_TELLING: Final = 10
_NAME: Final = re.compile(r"^[0-9a-f]{64}$(?!\n)")


class Facts(NamedTuple):
    """The ids in folder and database, and a sample: `sampled` blobs were looked for, and `found` of them are there."""

    site: Site
    data: Marker | None
    blobs: Marker | None
    stored: StoreIdentity | None
    events: bool
    sampled: int
    found: int
    files: bool

    @property
    def mark(self) -> Marker | None:
        """The marker of the data folder, or else that of the folder of bytes."""
        return self.data or self.blobs

    @property
    def bytes_missing(self) -> bool:
        """True if the bytes that the database names are missing as a whole, and not one by one."""
        if not self.sampled:
            return False
        return not self.files or (self.sampled >= _TELLING and self.found * 2 < self.sampled)


async def gather(site: Site, sql: Sql | None) -> Facts:
    """Collect the facts; without a connection, for a database that does not exist yet."""
    stored, events, sample = None, False, list[str]()
    if sql is not None and await inspection.has_history(sql, site.engine):
        stored = await StoreRecords(sql).find()
        events = await sql.fetch_one("SELECT 1 FROM events LIMIT 1") is not None
        sample = await _sample(sql, await inspection.has_column(sql, site.engine, "blobs", "quarantined_at"))
    folder = site.blobs / "sha256"
    return Facts(
        site=site,
        data=marker.read_or_none(site.data),
        blobs=marker.read_or_none(site.blobs),
        stored=stored,
        events=events,
        sampled=len(sample),
        found=sum((folder / sha256[:2] / sha256).is_file() for sha256 in sample),
        files=_has_files(site),
    )


async def _sample(sql: Sql, quarantine: bool) -> list[str]:  # noqa: FBT001 - the one caller names it
    """Return the digests of some blobs from all over the range, without those in quarantine."""
    also = "AND quarantined_at IS NULL " if quarantine else ""
    statement = f"SELECT sha256 FROM blobs WHERE sha256 >= ?1 {also}ORDER BY sha256 LIMIT {_EACH}"  # noqa: S608 - constants
    found = set[str]()
    for prefix in _PREFIXES:
        found |= {row[0] for row in await sql.fetch(statement, prefix)}
    return sorted(found)


def _has_files(site: Site) -> bool:
    """Return whether there is at least one folder with a blob, or from which single blobs were lost."""
    try:
        return any(len(folder.name) == 2 for folder in (site.blobs / "sha256").iterdir())  # noqa: PLR2004 - two digits
    except (FileNotFoundError, NotADirectoryError):
        return False


def store_identity(facts: Facts) -> Finding:
    """Check that the folder, its bytes and the database belong to one store."""
    for rule in _RULES:
        if refusal := rule(facts):
            return Finding("store", False, refusal)
    if facts.stored is None:
        return Finding("store", True, f"a new one, in {facts.site.data}")
    return Finding("store", True, f"{facts.stored.store[:8]}: {facts.site.database} with {facts.site.data}")


def blobs_present(facts: Facts) -> Finding:
    """Check that the bytes which the database names are there as a whole; single ones may be damaged."""
    if facts.bytes_missing:
        return Finding(
            "blob store",
            False,
            f"the database {facts.site.database} names blobs, and of {facts.sampled} looked for in {facts.site.blobs} "
            f"{facts.sampled - facts.found} are missing: mount or move the folder of bytes back, or restore it from a "
            f"backup; if these bytes are lost for good, run {facts.site.adopt[:-1]} --lost`",
        )
    if not facts.sampled:
        return Finding("blob store", True, "the database names no bytes yet")
    return Finding("blob store", True, f"{facts.found} of {facts.sampled} blobs looked for are there")


def _folders_differ(facts: Facts) -> str:
    """Refuse two markers of different stores in one data folder."""
    if facts.data is None or facts.blobs is None or facts.data.store == facts.blobs.store:
        return ""
    return (
        f"{facts.site.data} belongs to the {facts.data.registry}, and {facts.site.blobs} to the "
        f"{facts.blobs.registry}: put each folder of bytes back to its own data folder"
    )


def _database_differs(facts: Facts) -> str:
    """Refuse a folder of one store with the database of another one."""
    if facts.mark is None or facts.stored is None or facts.mark.store == facts.stored.store:
        return ""
    return (
        f"{facts.site.data} belongs to the {facts.mark.registry}, and the database {facts.site.database} to registry "
        f"{facts.stored.store[:8]} with the folder {facts.stored.folder}: name the folder and the database of one "
        f"registry; after a restore from a backup, run {facts.site.adopt}"
    )


def _database_is_another(facts: Facts) -> str:
    """Refuse the folder of a known store with a database that is new, or that knows nothing of these bytes."""
    if facts.mark is None or facts.stored is not None or (facts.events and facts.found):
        return ""
    return (
        f"{facts.site.data} belongs to the {facts.mark.registry}, and the database {facts.site.database} is new or "
        f"belongs to another folder: restore the database from a backup, or give the right one; if both belong "
        f"together, run {facts.site.adopt}"
    )


def _folder_is_another(facts: Facts) -> str:
    """Refuse another folder than the one of a shared database."""
    if facts.site.engine == "sqlite" or facts.stored is None or facts.stored.folder == facts.site.folder:
        return ""
    return (
        f"the database {facts.site.database} belongs to the bytes in {facts.stored.folder} (registry "
        f"{facts.stored.store[:8]}), and not to {facts.site.data}: start with --data {facts.stored.folder}; if that "
        f"folder was moved, copied or restored to {facts.site.data}, run {facts.site.adopt}"
    )


def _never_marked(facts: Facts) -> str:
    """Refuse to tie a folder and a database together for the first time where they evidently belong elsewhere."""
    if facts.mark is not None or facts.stored is not None or facts.found:
        return ""
    if facts.files and not facts.sampled and not facts.events:
        return (
            f"{facts.site.blobs} holds bytes, and the database {facts.site.database} is new: the folder belongs to "
            "another registry, perhaps in PostgreSQL: give the address of its database by --database-url, or another "
            f"folder by --data; if it belongs to none, run {facts.site.adopt}"
        )
    if facts.site.engine == "postgres" and facts.site.file.exists():
        return (
            f"{facts.site.data} holds a registry in SQLite, and would be served with {facts.site.database}: leave out "
            "--database-url and REGISTRY_DATABASE_URL, or give another folder by --data"
        )
    return ""


_RULES: Final[tuple[Callable[[Facts], str], ...]] = (
    _folders_differ,
    _database_differs,
    _database_is_another,
    _folder_is_another,
    _never_marked,
)
