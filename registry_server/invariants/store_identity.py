"""The identity of the store: the database, the data folder and the blob folder that belong together."""

from collections.abc import Callable
from typing import Final, NamedTuple

from registry_server.domain.store import StoreIdentity
from registry_server.infrastructure import inspection
from registry_server.invariants import store_marker
from registry_server.invariants.findings import Finding
from registry_server.invariants.store_location import StoreLocation
from registry_server.invariants.store_marker import StoreMarker
from registry_server.queries.sql import Sql
from registry_server.queries.store_identity import StoreRecords

_PREFIXES: Final = "0123456789abcdef"
_SAMPLES_PER_PREFIX: Final = 2
# In a smaller sample, single files may be damaged; in a larger one, a loss of most files means a missing folder.
_CONCLUSIVE_SAMPLE: Final = 10


class Facts(NamedTuple):
    """Data from which the checks see whether folders and database belong to one store.

    These are the markers of the data folder and of the blob folder, the identity that the database has stored, and a
    sample of blobs: `sampled` is their number, and `found` is the number of those that exist.
    """

    location: StoreLocation
    data: StoreMarker | None
    blobs: StoreMarker | None
    stored: StoreIdentity | None
    events: bool
    sampled: int
    found: int
    files: bool

    @property
    def marker(self) -> StoreMarker | None:
        """The marker of the data folder, or the marker of the blob folder if the data folder has none."""
        return self.data or self.blobs

    @property
    def bytes_missing(self) -> bool:
        """True if all or most blobs of the database are missing, and not only single files."""
        if not self.sampled:
            return False
        return not self.files or (self.sampled >= _CONCLUSIVE_SAMPLE and self.found * 2 < self.sampled)


async def collect_facts(location: StoreLocation, sql: Sql | None) -> Facts:
    """Read the facts from folders and database; `sql` is None if the database does not exist yet."""
    stored, events, sample = None, False, list[str]()
    if sql is not None and await inspection.has_history(sql, location.engine):
        stored = await StoreRecords(sql).find()
        events = await sql.fetch_one("SELECT 1 FROM events LIMIT 1") is not None
        sample = await _sample(sql, await inspection.has_column(sql, location.engine, "blobs", "quarantined_at"))
    folder = location.blobs / "sha256"
    return Facts(
        location=location,
        data=store_marker.read_or_none(location.data),
        blobs=store_marker.read_or_none(location.blobs),
        stored=stored,
        events=events,
        sampled=len(sample),
        found=sum((folder / sha256[:2] / sha256).is_file() for sha256 in sample),
        files=_has_files(location),
    )


async def _sample(sql: Sql, quarantine: bool) -> list[str]:  # noqa: FBT001 - there is only one caller
    """Return the digests of some blobs of each prefix; blobs in quarantine are left out."""
    also = "AND quarantined_at IS NULL " if quarantine else ""
    statement = f"SELECT sha256 FROM blobs WHERE sha256 >= ?1 {also}ORDER BY sha256 LIMIT {_SAMPLES_PER_PREFIX}"  # noqa: S608 - constants
    found = set[str]()
    for prefix in _PREFIXES:
        found |= {row[0] for row in await sql.fetch(statement, prefix)}
    return sorted(found)


def _has_files(location: StoreLocation) -> bool:
    """Return whether the blob folder has at least one folder for blobs, even if the blobs in it are lost."""
    try:
        return any(len(folder.name) == 2 for folder in (location.blobs / "sha256").iterdir())  # noqa: PLR2004 - two digits
    except (FileNotFoundError, NotADirectoryError):
        return False


def check_identity(facts: Facts) -> Finding:
    """Check that data folder, blob folder and database belong to one store."""
    for rule in _RULES:
        if refusal := rule(facts):
            return Finding("store", False, refusal)
    if facts.stored is None:
        return Finding("store", True, f"a new store in {facts.location.data}")
    return Finding("store", True, f"{facts.stored.store[:8]}: {facts.location.database} with {facts.location.data}")


def check_blobs_present(facts: Facts) -> Finding:
    """Check that most blobs of the database exist; single blobs may be missing or damaged."""
    if facts.bytes_missing:
        return Finding(
            "blob store",
            False,
            f"of {facts.sampled} blobs of the database {facts.location.database} that were looked for in "
            f"{facts.location.blobs}, {facts.sampled - facts.found} are missing: mount or move the blob folder "
            "back, or restore it from a backup; if these bytes are lost for good, run "
            f"{facts.location.adopt_command[:-1]} --lost`",
        )
    if not facts.sampled:
        return Finding("blob store", True, "the database has no blobs yet")
    return Finding("blob store", True, f"{facts.found} of {facts.sampled} sampled blobs exist")


def _folders_differ(facts: Facts) -> str:
    """Return a fault if data folder and blob folder belong to different stores, otherwise an empty text."""
    if facts.data is None or facts.blobs is None or facts.data.store == facts.blobs.store:
        return ""
    return (
        f"{facts.location.data} belongs to the {facts.data.registry}, and {facts.location.blobs} to the "
        f"{facts.blobs.registry}: move each blob folder back to its own data folder"
    )


def _database_differs(facts: Facts) -> str:
    """Return a fault if data folder and database belong to different stores, otherwise an empty text."""
    if facts.marker is None or facts.stored is None or facts.marker.store == facts.stored.store:
        return ""
    return (
        f"{facts.location.data} belongs to the {facts.marker.registry}, and the database {facts.location.database} "
        f"to registry {facts.stored.store[:8]} with the folder {facts.stored.folder}: give the folder and the "
        f"database of the same registry; after a restore from a backup, run {facts.location.adopt_command}"
    )


def _database_is_another(facts: Facts) -> str:
    """Return a fault if the folder has a store id and the database has none, otherwise an empty text.

    An older database without an id is accepted if the folder contains its blobs.
    """
    if facts.marker is None or facts.stored is not None or (facts.events and facts.found):
        return ""
    return (
        f"{facts.location.data} belongs to the {facts.marker.registry}, and the database {facts.location.database} "
        "is new or belongs to another folder: restore the database from a backup, or give the address of the right "
        f"database; if folder and database belong together, run {facts.location.adopt_command}"
    )


def _folder_is_another(facts: Facts) -> str:
    """Return a fault if the database in PostgreSQL belongs to another folder, otherwise an empty text."""
    if facts.location.engine == "sqlite" or facts.stored is None or facts.stored.folder == facts.location.folder:
        return ""
    return (
        f"the database {facts.location.database} belongs to the folder {facts.stored.folder} (registry "
        f"{facts.stored.store[:8]}), and not to {facts.location.data}: start with --data {facts.stored.folder}; if "
        f"that folder was moved, copied or restored to {facts.location.data}, run {facts.location.adopt_command}"
    )


def _never_marked(facts: Facts) -> str:
    """Return a fault if the folder or the database without an id evidently belongs to another registry, or ""."""
    if facts.marker is not None or facts.stored is not None or facts.found:
        return ""
    if facts.files and not facts.sampled and not facts.events:
        return (
            f"{facts.location.blobs} contains blobs, but the database {facts.location.database} is new: the folder "
            "belongs to another registry, perhaps in PostgreSQL: give the address of its database with "
            "--database-url, or another folder with --data; if it belongs to no other registry, run "
            f"{facts.location.adopt_command}"
        )
    if facts.location.engine == "postgres" and facts.location.file.exists():
        return (
            f"{facts.location.data} contains a registry in SQLite, but --database-url is the address of "
            f"{facts.location.database}: leave out --database-url and REGISTRY_DATABASE_URL, or give another folder "
            "with --data"
        )
    return ""


_RULES: Final[tuple[Callable[[Facts], str], ...]] = (
    _folders_differ,
    _database_differs,
    _database_is_another,
    _folder_is_another,
    _never_marked,
)
