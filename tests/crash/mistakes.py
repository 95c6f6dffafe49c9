"""Mistakes that somebody could make, ready to be put in the place of what is right."""

import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from common_lib.artifacts import cache
from common_lib.types.artifacts import Manifest
from registry_server.core import artifacts, changes
from registry_server.core.environment import Environment
from registry_server.core.writes import Outcome, WriteRequest, execute
from registry_server.domain.answers import Answer
from registry_server.domain.artifacts import Blob
from registry_server.infrastructure import durable_blobs, filesystem_blobs
from registry_server.infrastructure.group_commit import GroupCommit
from registry_server.infrastructure.sqlite import SqliteDatabase
from registry_server.queries import Records


class Os:
    """The module `os` with another function in it."""

    def __init__(self, **other: Callable[..., Any]) -> None:
        self.__dict__.update(other)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def sync_no_file(descriptor: int) -> None:
    """Sync folders only."""
    if not stat.S_ISREG(os.stat(descriptor).st_mode):
        os.fsync(descriptor)


def sync_and_hope(descriptor: int) -> None:
    """Sync, and go on if that fails."""
    with suppress(OSError):
        os.fsync(descriptor)


_sync_folder = durable_blobs.sync_folder


def unless(wanted: Callable[[Path], bool]) -> Callable[[Path], None]:
    """Sync folders, but not these."""
    return lambda path: None if wanted(path) else _sync_folder(path)


async def row_first(
    env: Environment, request: WriteRequest, sha256: str, chunks: AsyncIterator[bytes], limit: int
) -> Answer:
    """Write the row, then receive the bytes."""

    async def record(records: Records, request: WriteRequest) -> Outcome[Blob]:
        blob = Blob(sha256, 200, request.caller.name, request.at)
        await records.artifacts.insert_blob(blob)
        return Outcome(blob, changes.created("blob.published", artifacts.key(sha256), blob), status=201)

    answer = await execute(env, request, record)
    await env.blobs.put(sha256, chunks, limit)
    return answer


async def put_then_look(self: Any, sha256: str, chunks: AsyncIterator[bytes], limit: int) -> int:
    """Give the bytes their name, then verify them."""
    staged = self._staging / sha256
    size = await _written(staged, chunks)
    final = self._path(sha256)
    final.parent.mkdir(exist_ok=True)
    durable_blobs.sync_folder(self._blobs)
    os.replace(staged, final)  # noqa: PTH105 - as the real one does
    durable_blobs.sync_folder(final.parent)
    actual = filesystem_blobs.hashlib.sha256(final.read_bytes()).hexdigest()
    if actual != sha256:
        final.unlink()
        filesystem_blobs._check_digest(actual, sha256, size)
    return size


async def put_under_the_name(self: Any, sha256: str, chunks: AsyncIterator[bytes], limit: int) -> int:
    """Receive the bytes under their final name."""
    final = self._path(sha256)
    final.parent.mkdir(exist_ok=True)
    size = await _written(final, chunks)
    durable_blobs.sync_folder(final.parent)
    durable_blobs.sync_folder(self._blobs)
    return size


async def _written(path: Path, chunks: AsyncIterator[bytes]) -> int:
    size = 0
    with path.open("wb", buffering=0) as file:
        async for chunk in chunks:
            size += file.write(chunk)
        os.fsync(file.fileno())
    return size


_run_in_savepoint = GroupCommit._run_in_savepoint


def answer_early(self: Any, job: Any) -> Any:
    """Answer a write before it is committed."""
    value, error = _run_in_savepoint(self, job)
    if error is None:
        job.done.set_result(value)
    return value, error


def commit_late(self: Any) -> None:
    """Commit a little later."""
    # Or the answer might be slower than the commit, now and then.
    if self._results:
        self._committing = True
        self._loop.call_later(0.05, self._commits.put, True)
    else:
        self._run_waiting_or_close()


_migrate = SqliteDatabase.migrate


def unsynced(self: Any) -> Any:
    """Let the database not sync."""
    taken = _migrate(self)
    self._writer.raw.execute("PRAGMA synchronous = OFF")
    return taken


def keep_staging(self: Any) -> None:
    """Make the folders, and leave staging as it is."""
    for place in (self._blobs, self._staging, self._uploads, self._quarantine, self._trash):
        place.mkdir(parents=True, exist_ok=True)


def undo_unsynced(self: Any, sha256: str) -> bool:
    """Take bytes back from the trash, and sync nothing."""
    os.link(self._trash / sha256, self._path(sha256))
    os.unlink(self._trash / sha256)  # noqa: PTH108 - as the real one does
    return True


async def settle_nothing(self: Any, sha256: str) -> None:
    """Believe that bytes which were put back by hand are durable."""


async def leave_trash(env: Environment) -> int:
    """Take nothing back from the trash."""
    return 0


def one_name(descriptor: int) -> Any:
    """Say that a file has one name, however many it has."""
    real = os.fstat(descriptor)
    return SimpleNamespace(st_nlink=1, st_size=real.st_size, st_ino=real.st_ino)


def take_whatever_stands_there(self: Any, sha256: str, damage: str) -> bool:
    """Put into quarantine what has the name now."""
    self._move(self._path(sha256), self._quarantine / sha256)
    return True


def only_absent(self: Any, entries: Any, report: Any = None) -> list[Any]:
    """Trust the bytes that are there."""
    return [entry for entry in entries if not self.blob(entry.sha256).exists()]


def read_unsealed(path: Path, *_: object, **__: object) -> bytes:
    """Read a sealed file without its seal."""
    return path.read_bytes().partition(b"\n")[2]


def any_manifest(self: Any, digest: str) -> Manifest | None:
    """Read a manifest without its own digest."""
    with suppress(OSError, ValueError):
        return Manifest.model_validate_json(self._manifest_path(digest).read_bytes().partition(b"\n")[2])
    return None


def name_unseen(self: Any) -> None:
    """Give bytes their name unverified."""
    self._final.parent.mkdir(parents=True, exist_ok=True)
    os.fsync(self._file.fileno())
    self._partial.replace(self._final)


_arriving = cache.PartialDownload.__init__


def under_the_name(self: Any, store: Any, entry: Any, report: Any) -> None:
    """Let bytes arrive under their final name."""
    _arriving(self, store, entry, report)
    self._final.parent.mkdir(parents=True, exist_ok=True)
    self._partial.replace(self._final)
    self._partial = self._final
