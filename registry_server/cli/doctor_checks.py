"""The checks of `doctor`; every check only reads."""

import asyncio
import fcntl
import os
import shutil
import stat
from collections.abc import AsyncIterator, Iterator
from importlib import metadata, util
from importlib.machinery import PathFinder
from pathlib import Path

import registry_server
from common_lib.own_files import UnsafeFile
from registry_server.cli.doctor_blobs import check_bytes
from registry_server.infrastructure.inspection import DatabaseUnreadable, open_read_only
from registry_server.infrastructure.sqlite import SAFE_WAL, wal_is_safe
from registry_server.invariants import checks as invariants
from registry_server.invariants.findings import LISTED, Finding, Progress
from registry_server.invariants.log_checks import check_log
from registry_server.invariants.store_location import StoreLocation
from registry_server.queries.sql import Sql
from registry_server.serving import Announcement
from registry_server.settings import Settings

_LEAST_FREE = 1024**3
_UNANNOUNCED = "a process without server.json; if it is a server, restart it, or give its address with --url"


def examine(settings: Settings, *, verify: bool, progress: Progress) -> list[Finding]:
    """Run all checks and return their findings; with `verify`, also hash the bytes of every blob.

    `progress` is called with a sentence that says how far the checks have advanced.
    """

    async def collect() -> list[Finding]:
        return [finding async for finding in _findings(settings, verify=verify, progress=progress)]

    return asyncio.run(collect())


async def _findings(settings: Settings, *, verify: bool, progress: Progress) -> AsyncIterator[Finding]:
    for finding in (*_imports("common_lib"), *_imports("adapters")):
        yield finding
    location = StoreLocation(settings)
    found = list(_check_files(location))
    for finding in found:
        yield finding
    if not location.data.is_dir() and location.engine == "sqlite":
        return
    if location.engine == "sqlite" and any(finding.what == "own files" and finding.well is False for finding in found):
        # SQLite would read a file that another user put there, and would wait for ever if the file is a pipe.
        yield Finding("database", None, "not opened: another user can change a file in the same folder")
        return
    try:
        async for finding in _check_database(location, settings, verify=verify, progress=progress):
            yield finding
    except DatabaseUnreadable as error:
        yield Finding("database", False, str(error))


def _check_files(location: StoreLocation) -> Iterator[Finding]:
    folder = invariants.FOLDER(location)
    yield _folder_mode(location.data) if folder.well else folder
    if location.data.is_dir():
        yield from (check(location) for check in (*invariants.FILES, _lock, _space))


async def _check_database(
    location: StoreLocation, settings: Settings, *, verify: bool, progress: Progress
) -> AsyncIterator[Finding]:
    async with open_read_only(location.file, settings.database_url) as sql:
        yield await (_postgres(sql) if settings.database_url else _sqlite(sql))
        schema = await invariants.check_schema(location, sql)
        yield schema
        for finding in await invariants.check_store(location, sql):
            yield finding
        yield await _integrity(settings, sql)
        if not schema.well:
            yield Finding("blobs", None, "not checked: the schema has another version")
            yield Finding("log", None, "not replayed: the schema has another version")
            return
        async for finding in check_bytes(location.blobs, sql, verify=verify, progress=progress):
            yield finding
    async with open_read_only(location.file, settings.database_url, snapshot=True) as sql:
        async for finding in check_log(location, sql, progress):
            yield finding


def _imports(name: str) -> Iterator[Finding]:
    # PyPI has a package named `adapters` too; Python imports the one that comes first on the path.
    ours = Path(registry_server.__file__).parent.parent / name / "__init__.py"
    spec = util.find_spec(name)
    here = PathFinder.find_spec(name, [str(Path.cwd())])
    what = f"import {name}"
    if spec is None or spec.origin is None or not ours.exists() or not ours.samefile(spec.origin):
        yield Finding(what, False, f"{spec and spec.origin} is imported instead of {ours}: remove it from the path")
    elif here is not None and (here.origin is None or not ours.samefile(here.origin)):
        yield Finding(what, False, f"Python started in this folder imports {here.origin or Path.cwd() / name}")
    elif name in {found.metadata["Name"] for found in metadata.distributions(name=name)}:
        yield Finding(what, False, f"the package {name} of PyPI is installed too: pip uninstall {name}, then reinstall")
    else:
        yield Finding(what, True, spec.origin)


def _folder_mode(data: Path) -> Finding:
    """Report whether other users can enter the data folder, even if they cannot change anything in it."""
    mode = stat.S_IMODE(data.stat().st_mode)
    if mode & 0o077:
        return Finding("data folder", False, f"{data} has mode {mode:04o}; other users can enter it: chmod 700 {data}")
    return Finding("data folder", True, f"no other user can enter {data}")


def _lock(location: StoreLocation) -> Finding:
    try:
        # Without O_NONBLOCK, opening a pipe would block.
        descriptor = os.open(location.data / "lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return Finding("lock", True, "not held: no server uses the folder")
    except OSError as error:
        return Finding("lock", None, f"cannot be read ({error.strerror})")
    try:
        # Shared, and released at once: a server that starts at this moment is refused, so the moment must be short.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            announced = Announcement.read(location.data)
        except UnsafeFile as error:
            return Finding("lock", False, str(error))
        owner = f"process {announced.pid}, serving at {announced.url}" if announced else _UNANNOUNCED
        return Finding("lock", True, f"held by {owner}")
    finally:
        os.close(descriptor)
    return Finding("lock", True, "not held: no server uses the folder")


def _space(location: StoreLocation) -> Finding:
    usage = shutil.disk_usage(location.data)
    free = f"{usage.free / 1024**3:,.1f} of {usage.total / 1024**3:,.1f} GiB are free"
    if usage.free < _LEAST_FREE:
        return Finding("disk", False, f"{free}: free at least {_LEAST_FREE / 1024**3:,.1f} GiB")
    return Finding("disk", True, free)


async def _sqlite(sql: Sql) -> Finding:
    row = await sql.fetch_one("SELECT sqlite_version(), (SELECT journal_mode FROM pragma_journal_mode)")
    version, mode = row or ("0", "unknown")
    if mode == "wal" and not wal_is_safe(version):
        return Finding(
            "SQLite", False, f"{version} can lose commits in WAL mode: get {SAFE_WAL} or newer with pip install -U apsw"
        )
    return Finding("SQLite", True, f"{version}, journal mode {mode}")


async def _postgres(sql: Sql) -> Finding:
    row = await sql.fetch_one("SELECT current_setting('server_version'), current_setting('fsync')")
    version, fsync = row or ("", "")
    if fsync != "on":
        return Finding(
            "PostgreSQL", False, f"{version} runs without fsync: acknowledged changes can be lost; set fsync = on"
        )
    return Finding("PostgreSQL", True, str(version))


async def _integrity(settings: Settings, sql: Sql) -> Finding:
    if settings.database_url:
        return Finding("integrity", None, "not checked: PostgreSQL has its own tool, pg_amcheck")
    faults = [str(row[0]) for row in await sql.fetch("PRAGMA integrity_check") if row[0] != "ok"]
    faults += [f"{row[0]} row {row[1]} references a missing row" for row in await sql.fetch("PRAGMA foreign_key_check")]
    if faults:
        return Finding("integrity", False, f"{'; '.join(faults[:LISTED])}: restore the database from a backup")
    return Finding("integrity", True, "every page and every reference is intact")
