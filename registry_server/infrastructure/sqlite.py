"""SQLite through apsw: one writer with group commit, point reads on the event loop, lists in a thread."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import apsw

from registry_server.domain import errors
from registry_server.infrastructure import dialects
from registry_server.infrastructure.group_commit import GroupCommit, database_failure, run_without_suspending
from registry_server.infrastructure.schema_history import (
    HISTORY_TABLE,
    check_history,
    history_row,
    new_log_source,
    step_name,
)
from registry_server.queries import Records
from registry_server.queries.sql import Row

T = TypeVar("T")
UseCase = Callable[[Records], Awaitable[T]]
# Older builds of SQLite can lose acknowledged commits in WAL mode when two connections are open.
SAFE_WAL = "3.51.3"


def wal_is_safe(version: str) -> bool:
    """Return whether this version of SQLite is free of the bug that can lose an acknowledged commit in WAL mode."""
    found, safe = (tuple(map(int, text.split("."))) for text in (version, SAFE_WAL))
    return found >= safe


class Connection:
    """An adapter that gives an apsw connection the interface `Sql`; its methods never suspend."""

    def __init__(self, raw: apsw.Connection) -> None:
        self.raw = raw

    async def fetch_one(self, sql: str, *values: Any) -> Row | None:
        rows = await self.fetch_inline(sql, *values)
        return rows[0] if rows else None

    async def fetch_inline(self, sql: str, *values: Any) -> Sequence[Row]:
        # An open RETURNING cursor breaks the savepoints of other use cases, so all rows are fetched.
        try:
            return self.raw.execute(dialects.to_sqlite(sql), values).fetchall()
        except OverflowError:
            raise errors.NumberBeyond64Bits from None

    async def fetch(self, sql: str, *values: Any) -> Sequence[Row]:
        return await self.fetch_inline(sql, *values)

    async def execute(self, sql: str, *values: Any) -> int:
        await self.fetch_inline(sql, *values)
        return self.raw.changes()

    async def execute_many(self, sql: str, rows: Iterable[Row]) -> None:
        self.raw.executemany(dialects.to_sqlite(sql), list(rows)).fetchall()

    async def claim(self, name: str) -> bool:  # noqa: ARG002 - only one process has the file, and it tracks its own claims
        return True


class Reader(Connection):
    """Read-only connections: one for point reads on the event loop, and one for lists in a thread."""

    def __init__(self, points: apsw.Connection, lists: apsw.Connection) -> None:
        super().__init__(points)
        self._lists = lists
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="registry-lists")
        self._running: object | None = None
        self._running_lock = threading.Lock()

    async def fetch_inline(self, sql: str, *values: Any) -> Sequence[Row]:
        try:
            return await super().fetch_inline(sql, *values)
        except apsw.Error as error:
            raise database_failure(error) from error

    async def fetch(self, sql: str, *values: Any) -> Sequence[Row]:
        mine = object()

        def run() -> Sequence[Row]:
            with self._running_lock:
                self._running = mine
            try:
                return self._lists.execute(dialects.to_sqlite(sql), values).fetchall()
            finally:
                with self._running_lock:
                    self._running = None

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, run)
        except asyncio.CancelledError:
            # The caller was cancelled, and the next list waits until this list ends.
            with self._running_lock:
                if self._running is mine:
                    self._lists.interrupt()
            raise
        except apsw.Error as error:
            raise database_failure(error) from error
        except OverflowError:
            raise errors.NumberBeyond64Bits from None

    def close(self) -> None:
        """End the thread and close both connections."""
        self._thread.shutdown()
        self._lists.close()
        self.raw.close()


class SqliteDatabase:
    """The registry's records in one SQLite file, or in memory if no path is given."""

    read: Records
    source: str

    def __init__(self, path: Path | None, *, vfs: str | None = None) -> None:
        self._path = path
        self._vfs = vfs
        self._commits: GroupCommit[Records] | None = None
        self._reader: Reader | None = None

    def migrate(self) -> list[str]:
        """Open the file, apply the pending migrations, and return their names."""
        self._writer = Connection(self._connect(apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE))
        raw = self._writer.raw
        if self._path is not None:
            mode = "WAL" if wal_is_safe(apsw.sqlite_lib_version()) else "DELETE"
            raw.execute(f"PRAGMA journal_mode = {mode}").fetchall()
        raw.execute("PRAGMA synchronous = FULL")
        raw.execute("PRAGMA foreign_keys = ON")
        try:
            return self._migrate(raw)
        except BaseException:
            raw.close()
            raise

    async def open(self) -> None:
        """Apply the pending migrations and accept reads and writes."""
        self.migrate()
        if self._path is None:
            self.read = Records(self._writer)
            return
        self._reader = Reader(self._connect(apsw.SQLITE_OPEN_READONLY), self._connect(apsw.SQLITE_OPEN_READONLY))
        self.read = Records(self._reader)
        self._commits = GroupCommit(self._writer.raw, Records(self._writer))

    async def close(self) -> None:
        """Wait until all waiting writes are committed, then close the database."""
        if self._commits is not None:
            await self._commits.close()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._writer.raw.close()

    async def write(self, use_case: UseCase[T]) -> T:
        """Run a use case in one durable transaction; an exception rolls back the whole transaction."""
        if self._path is None:
            with _transaction(self._writer.raw):
                return run_without_suspending(use_case(Records(self._writer)))
        if self._commits is None:
            raise errors.DatabaseClosed
        return await self._commits.write(use_case)

    async def ping(self) -> None:
        """Check that the file can be read and that the writer is alive.

        Raises:
            StorageUnavailable: the file cannot be read, or the writer has ended.
        """
        try:
            await (self._reader or self._writer).fetch_one("SELECT 1 FROM meta LIMIT 1")
        except apsw.Error as error:
            raise database_failure(error) from None
        if self._path is not None and (self._commits is None or not self._commits.is_alive):
            raise errors.WriterEnded

    def _migrate(self, raw: apsw.Connection) -> list[str]:
        applied = []
        with _transaction(raw):
            raw.execute(HISTORY_TABLE)
            steps = dialects.load_migrations("sqlite")
            history = raw.execute("SELECT number, name, sha256 FROM migrations ORDER BY number").fetchall()
            for step in check_history(steps, history):
                raw.execute(step.text)
                raw.execute("INSERT INTO migrations VALUES (?1, ?2, ?3)", history_row(step))
                applied.append(step_name(step))
            raw.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('source', ?1)", (new_log_source(),))
            self.source = str(raw.execute("SELECT value FROM meta WHERE key = 'source'").fetchall()[0][0])
        return applied

    def _connect(self, flags: int) -> apsw.Connection:
        if self._path is not None:
            # SQLite would use the umask; its -wal and -shm files get the mode of this file.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600))
        raw = apsw.Connection(":memory:" if self._path is None else str(self._path), flags=flags, vfs=self._vfs)
        raw.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
        # Stable query plans: with a new plan for each bound value a point read takes three times as long.
        raw.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        raw.set_busy_timeout(5_000)
        return raw


class _transaction:  # noqa: N801 - used like a keyword
    """A context manager that begins a transaction and commits it, or rolls it back after an exception."""

    def __init__(self, raw: apsw.Connection) -> None:
        self._raw = raw

    def __enter__(self) -> None:
        self._raw.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._raw.execute("COMMIT")
        finally:
            if self._raw.in_transaction:
                self._raw.execute("ROLLBACK")
