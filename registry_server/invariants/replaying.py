"""Replay of the log against the rows: finds damaged or edited events and rows for `doctor`, in bounded memory."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from registry_server.core import aliases, approvals, artifacts, changes, models, policies, principals, versions
from registry_server.domain.artifacts import FileEntry
from registry_server.infrastructure import schema_objects
from registry_server.infrastructure.records.aliases import ALIASES
from registry_server.infrastructure.records.approvals import APPROVALS
from registry_server.infrastructure.records.artifacts import BLOBS
from registry_server.infrastructure.records.models import MODELS
from registry_server.infrastructure.records.policies import POLICIES
from registry_server.infrastructure.records.principals import PRINCIPALS, TOKENS
from registry_server.infrastructure.records.timeline import TENURES
from registry_server.infrastructure.records.versions import VERSIONS
from registry_server.infrastructure.rows import Table
from registry_server.infrastructure.sql import Row, Sql
from registry_server.infrastructure.temporary_store import TemporaryStore
from registry_server.invariants.findings import NAMED, Finding, Progress, some
from registry_server.invariants.log import Log, digest_of
from registry_server.invariants.site import Site

_PAGE: Final = 200
_MEND: Final = "restore the database from a backup made before, and run `registry-server doctor` on it"


class _Kind(NamedTuple):
    """A table whose rows are objects of the state, its primary key, and the key of a row in events."""

    table: Table[Any]
    columns: tuple[str, ...]
    key: Callable[[Any], str]


_KINDS: Final = (
    _Kind(MODELS, ("name",), lambda row: models.key(row.name)),
    _Kind(VERSIONS, ("model", "version"), lambda row: versions.key(row.model, row.version)),
    _Kind(POLICIES, ("model",), lambda row: policies.key(row.model)),
    _Kind(
        APPROVALS,
        ("model", "version", "approver"),
        lambda row: approvals.key(row.model, row.version, row.approver),
    ),
    _Kind(ALIASES, ("model", "alias"), lambda row: aliases.key(row.model, row.alias)),
    _Kind(BLOBS, ("sha256",), lambda row: artifacts.key(row.sha256)),
    _Kind(PRINCIPALS, ("name",), lambda row: principals.key(row.name)),
    _Kind(TOKENS, ("id",), lambda row: principals.token_key(row.id)),
)


class _Faults:
    """The first faults in words, and the number of all."""

    def __init__(self, progress: Progress) -> None:
        self.first: list[str] = []
        self.count = 0
        self._progress = progress

    def add(self, fault: str) -> None:
        self.count += 1
        if len(self.first) < NAMED:
            self.first.append(fault)

    def finding(self, what: str, well: str) -> Finding:
        if self.count:
            return Finding(what, False, f"{some(self.first, self.count)}: {_MEND}")
        return Finding(what, True, well)


async def replayed(site: Site, sql: Sql, progress: Progress) -> AsyncIterator[Finding]:
    """Report on the shape of the database, on the log, and on the rows that must follow from it."""
    lost = await schema_objects.find_missing(sql, site.engine)
    if lost:
        yield Finding("shape", False, f"the database lacks {some(lost)}: {_MEND}")
    else:
        yield Finding("shape", True, "all tables, indexes and triggers are there")
    with contextlib.closing(TemporaryStore()) as store:
        log = Log(sql, store)
        faults = _Faults(progress)
        progress("replaying the log …")
        async for fault in log.check():
            faults.add(fault)
        yield faults.finding("log", f"{log.last:,} events, each in its place and in its form")
        faults = _Faults(progress)
        progress("comparing rows with the log …")
        async for fault in _rows(sql, store):
            faults.add(fault)
        yield faults.finding("rows", "what the events say")


async def _rows(sql: Sql, store: TemporaryStore) -> AsyncIterator[str]:
    for kind in _KINDS:
        async for fault in _table(sql, store, kind):
            yield fault
    for key, sequence in store.remaining("state"):
        yield f"{key} of event {sequence} has no row"
    for part in (_timeline, _documents, _files, _secrets):
        async for fault in part(sql, store):
            yield fault


async def _table(sql: Sql, store: TemporaryStore, kind: _Kind) -> AsyncIterator[str]:
    async for row in _pages(sql, kind.table.select, kind.table.name, kind.columns):
        shown = f"{kind.table.name} row {'/'.join(str(value) for value in row[: len(kind.columns)])!r:.200}"
        try:
            entity = kind.table.read(row[len(kind.columns) :])
            key, fields = kind.key(entity), changes.fields(entity)
        except (ValueError, TypeError, OverflowError, AttributeError, msgspec.MsgspecError):
            yield f"{shown} cannot be read"
            continue
        held = store.pop("state", key)
        if held is None:
            yield f"{shown} is in no event"
            continue
        differs = sorted(name for name in fields.keys() | held[1].keys() if fields.get(name) != held[1].get(name))
        if differs:
            yield f"{shown} differs from the log in {', '.join(differs)} (last changed by event {held[0]})"


async def _timeline(sql: Sql, store: TemporaryStore) -> AsyncIterator[str]:
    async for row in _pages(sql, TENURES.select, TENURES.name, ("sequence",)):
        held = store.pop("tenure", f"{row[0]:020d}")
        try:
            fields = changes.fields(TENURES.read(row[1:]))
        except (ValueError, TypeError, OverflowError, msgspec.MsgspecError):
            fields = {}
        if held is None or fields != held[1]:
            yield f"tenures row {row[0]} differs from the log"
    async for row in _pages(sql, "decisions.model", "decisions", ("sequence",)):
        held = store.pop("decision", f"{row[0]:020d}")
        if held is None or held[1] != row[1]:
            yield f"decisions row {row[0]} differs from the log"
    for name in ("tenure", "decision"):
        for _, sequence in store.remaining(name):
            yield f"the {name} of event {sequence} has no row"


async def _documents(sql: Sql, _: TemporaryStore) -> AsyncIterator[str]:
    async for row in _pages(sql, "documents.body", "documents", ("digest",)):
        if not isinstance(row[1], bytes) or digest_of(row[1]) != row[0]:
            yield f"documents row {row[0]!r:.100} holds other bytes than its digest says"


async def _files(sql: Sql, _: TemporaryStore) -> AsyncIterator[str]:
    """Compare the files of each version with its manifest, as long as it names its bytes."""
    columns = "versions.digest, documents.body, versions.tombstone"
    source = "versions LEFT JOIN documents ON documents.digest = versions.digest"
    async for model, number, digest, body, tombstone in _pages(
        sql, columns, "versions", ("model", "version"), source=source
    ):
        shown = f"version {number} of {model!r:.150}"
        if body is None:
            yield f"{shown} has no manifest {digest!r:.100}"
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
            yield f"the manifest of {shown} cannot be read"
            continue
        if [tuple(row) for row in rows] != [(file.path, file.size, file.sha256, file.media_type) for file in files]:
            yield f"the files of {shown} are not those of its manifest"


class _Manifest(msgspec.Struct):
    files: list[FileEntry]


async def _secrets(sql: Sql, _: TemporaryStore) -> AsyncIterator[str]:
    async for row in _pages(sql, "tokens.secret_sha256", "tokens", ("id",)):
        if not str(row[1]).startswith(str(row[0])):
            yield f"tokens row {row[0]!r:.50} holds the secret of another token"


async def _pages(sql: Sql, select: str, table: str, columns: Sequence[str], *, source: str = "") -> AsyncIterator[Row]:
    """Yield all rows in the order of their key, each behind the values of its key, a page at a time."""
    named = ", ".join(f"{table}.{column}" for column in columns)
    marks = ", ".join(f"?{place}" for place in range(1, len(columns) + 1))
    statement = f"SELECT {named}, {select} FROM {source or table}"  # noqa: S608 - names of columns
    end = f"ORDER BY {named} LIMIT {_PAGE}"
    page = await sql.fetch(f"{statement} {end}")
    while page:
        for row in page:
            yield row
        page = await sql.fetch(f"{statement} WHERE ({named}) > ({marks}) {end}", *page[-1][: len(columns)])
