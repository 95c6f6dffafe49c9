"""Compares the event log with the rows, for `doctor`: finds damaged or edited events and rows, in bounded memory."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from registry_server.core import aliases, approvals, artifacts, changes, models, policies, principals, versions
from registry_server.domain.artifacts import FileEntry
from registry_server.infrastructure import schema_objects
from registry_server.infrastructure.temporary_store import TemporaryStore
from registry_server.invariants.findings import LISTED, Finding, Progress, list_first
from registry_server.invariants.log_replay import LogReplay, digest_of
from registry_server.invariants.store_location import StoreLocation
from registry_server.queries.aliases import ALIASES
from registry_server.queries.approvals import APPROVALS
from registry_server.queries.artifacts import BLOBS
from registry_server.queries.models import MODELS
from registry_server.queries.policies import POLICIES
from registry_server.queries.principals import PRINCIPALS, TOKENS
from registry_server.queries.rows import Table
from registry_server.queries.sql import Row, Sql
from registry_server.queries.timeline import TENURES
from registry_server.queries.versions import VERSIONS

_PAGE: Final = 200
_REMEDY: Final = "restore the database from an older backup, and run `registry-server doctor` on it"


class _Kind(NamedTuple):
    """A table of entities, its primary key, and the key of an entity in events."""

    table: Table[Any]
    columns: tuple[str, ...]
    key: Callable[[Any], str]


_KINDS: Final = (
    _Kind(MODELS, ("name",), lambda row: models.key(row.name)),
    _Kind(VERSIONS, ("model", "version"), lambda row: versions.key(row.model, row.version)),
    _Kind(POLICIES, ("model",), lambda row: policies.key(row.model)),
    _Kind(APPROVALS, ("model", "version", "approver"), lambda row: approvals.key(row.model, row.version, row.approver)),
    _Kind(ALIASES, ("model", "alias"), lambda row: aliases.key(row.model, row.alias)),
    _Kind(BLOBS, ("sha256",), lambda row: artifacts.key(row.sha256)),
    _Kind(PRINCIPALS, ("name",), lambda row: principals.key(row.name)),
    _Kind(TOKENS, ("id",), lambda row: principals.token_key(row.id)),
)


class _Faults:
    """The faults of one check: the first ones as sentences, and the number of all of them."""

    def __init__(self, progress: Progress) -> None:
        self.first: list[str] = []
        self.count = 0
        self._progress = progress

    def add(self, fault: str) -> None:
        self.count += 1
        if len(self.first) < LISTED:
            self.first.append(fault)

    def finding(self, what: str, success: str) -> Finding:
        if self.count:
            return Finding(what, False, f"{list_first(self.first, self.count)}: {_REMEDY}")
        return Finding(what, True, success)


async def check_log(location: StoreLocation, sql: Sql, progress: Progress) -> AsyncIterator[Finding]:
    """Check that the schema is complete, that each event is valid, and that the rows are as the events require."""
    lacking = await schema_objects.find_missing(sql, location.engine)
    if lacking:
        yield Finding("shape", False, f"the database lacks {list_first(lacking)}: {_REMEDY}")
    else:
        yield Finding("shape", True, "all tables, indexes and triggers exist")
    with contextlib.closing(TemporaryStore()) as store:
        log = LogReplay(sql, store)
        faults = _Faults(progress)
        progress("replaying the log …")
        async for fault in log.check():
            faults.add(fault)
        yield faults.finding("log", f"{log.last:,} events are valid and in order")
        faults = _Faults(progress)
        progress("comparing rows with the log …")
        async for fault in _check_rows(sql, store):
            faults.add(fault)
        yield faults.finding("rows", "the rows are equal to the state in the log")


async def _check_rows(sql: Sql, store: TemporaryStore) -> AsyncIterator[str]:
    for kind in _KINDS:
        async for fault in _check_table(sql, store, kind):
            yield fault
    for key, sequence in store.remaining("state"):
        yield f"{key} of event {sequence} has no row"
    for check in (_check_timeline, _check_documents, _check_files, _check_secrets):
        async for fault in check(sql, store):
            yield fault


async def _check_table(sql: Sql, store: TemporaryStore, kind: _Kind) -> AsyncIterator[str]:
    async for row in _read_pages(sql, kind.table.select, kind.table.name, kind.columns):
        label = f"{kind.table.name} row {'/'.join(str(value) for value in row[: len(kind.columns)])!r:.200}"
        try:
            entity = kind.table.read(row[len(kind.columns) :])
            key, fields = kind.key(entity), changes.to_fields(entity)
        except (ValueError, TypeError, OverflowError, AttributeError, msgspec.MsgspecError):
            yield f"{label} cannot be read"
            continue
        replayed = store.pop("state", key)
        if replayed is None:
            yield f"{label} appears in no event"
            continue
        differs = sorted(
            name for name in fields.keys() | replayed[1].keys() if fields.get(name) != replayed[1].get(name)
        )
        if differs:
            yield f"{label} differs from the log in {', '.join(differs)} (last changed by event {replayed[0]})"


async def _check_timeline(sql: Sql, store: TemporaryStore) -> AsyncIterator[str]:
    async for row in _read_pages(sql, TENURES.select, TENURES.name, ("sequence",)):
        replayed = store.pop("tenure", f"{row[0]:020d}")
        try:
            fields = changes.to_fields(TENURES.read(row[1:]))
        except (ValueError, TypeError, OverflowError, msgspec.MsgspecError):
            fields = {}
        if replayed is None or fields != replayed[1]:
            yield f"tenures row {row[0]} differs from the log"
    async for row in _read_pages(sql, "decisions.model", "decisions", ("sequence",)):
        replayed = store.pop("decision", f"{row[0]:020d}")
        if replayed is None or replayed[1] != row[1]:
            yield f"decisions row {row[0]} differs from the log"
    for name in ("tenure", "decision"):
        for _, sequence in store.remaining(name):
            yield f"the {name} of event {sequence} has no row"


async def _check_documents(sql: Sql, _: TemporaryStore) -> AsyncIterator[str]:
    async for row in _read_pages(sql, "documents.body", "documents", ("digest",)):
        if not isinstance(row[1], bytes) or digest_of(row[1]) != row[0]:
            yield f"documents row {row[0]!r:.100} does not match its digest"


async def _check_files(sql: Sql, _: TemporaryStore) -> AsyncIterator[str]:
    """Compare the file rows of each version with its manifest; a tombstoned version may have none."""
    columns = "versions.digest, documents.body, versions.tombstone"
    source = "versions LEFT JOIN documents ON documents.digest = versions.digest"
    async for model, number, digest, body, tombstone in _read_pages(
        sql, columns, "versions", ("model", "version"), source=source
    ):
        label = f"version {number} of {model!r:.150}"
        if body is None:
            yield f"{label} has no manifest {digest!r:.100}"
            continue
        rows = await sql.fetch(
            "SELECT path, size, sha256, media_type FROM version_files WHERE model = ?1 AND version = ?2 ORDER BY path",
            model,
            number,
        )
        if not rows and tombstone is not None:
            continue
        try:
            files = msgspec.json.decode(body, type=_Manifest).files
        except (msgspec.MsgspecError, TypeError):
            yield f"the manifest of {label} cannot be read"
            continue
        if [tuple(row) for row in rows] != [(file.path, file.size, file.sha256, file.media_type) for file in files]:
            yield f"the file rows of {label} differ from its manifest"


class _Manifest(msgspec.Struct):
    files: list[FileEntry]


async def _check_secrets(sql: Sql, _: TemporaryStore) -> AsyncIterator[str]:
    async for row in _read_pages(sql, "tokens.secret_sha256", "tokens", ("id",)):
        if not str(row[1]).startswith(str(row[0])):
            yield f"tokens row {row[0]!r:.50} has the secret of another token"


async def _read_pages(
    sql: Sql, select: str, table: str, columns: Sequence[str], *, source: str = ""
) -> AsyncIterator[Row]:
    """Yield all rows, sorted by their key, and read them page by page; each row begins with the values of the key."""
    named = ", ".join(f"{table}.{column}" for column in columns)
    marks = ", ".join(f"?{place}" for place in range(1, len(columns) + 1))
    statement = f"SELECT {named}, {select} FROM {source or table}"  # noqa: S608 - names of columns
    end = f"ORDER BY {named} LIMIT {_PAGE}"
    page = await sql.fetch(f"{statement} {end}")
    while page:
        for row in page:
            yield row
        page = await sql.fetch(f"{statement} WHERE ({named}) > ({marks}) {end}", *page[-1][: len(columns)])
