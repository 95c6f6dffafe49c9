"""Checks that no other user can change the data folder and the files in it. The checks change nothing."""

import contextlib
from pathlib import Path

from common_lib.own_files import UnsafeFile, check_folder, check_own, read_own
from registry_server.invariants import store_marker
from registry_server.invariants.findings import Finding
from registry_server.invariants.store_location import StoreLocation

_MOST_BYTES = 16 * 1024
_FOLDERS = ("sha256", "staging", "uploads", "quarantine", "trash")


def check_data_folder(location: StoreLocation) -> Finding:
    """Check that the data folder belongs to this user and that no other user can write to it."""
    try:
        check_folder(location.data)
    except FileNotFoundError:
        return Finding("data folder", False, f"{location.data} does not exist; `registry-server serve` creates it")
    except OSError as error:
        return Finding("data folder", False, _describe(error))
    return Finding("data folder", True, f"{location.data} belongs to you, and no other user can write to it")


def check_admin_token(location: StoreLocation) -> Finding:
    """Check that no other user can read or replace the first admin's token, if its file still exists."""
    what, file = "admin token file", location.data / "admin-token"
    try:
        read_own(file, most_bytes=_MOST_BYTES, secret=True)
    except FileNotFoundError:
        return Finding(what, True, "the file was removed, so nobody can read it")
    except UnsafeFile as error:
        if "can read it" in error.why:
            mode = error.why.partition(",")[0]
            return Finding(what, False, f"{file} {mode}: {error.remedy}, and revoke the token, which others could read")
        return Finding(what, False, str(error))
    except OSError as error:
        return Finding(what, False, _describe(error))
    return Finding(what, True, f"no other user can read or replace {file}")


def check_own_files(location: StoreLocation) -> Finding:
    """Check those of these files that exist: lock, `server.json`, marker, and SQLite's files."""
    companions = [location.file.with_name(f"{location.file.name}{end}") for end in ("-wal", "-shm", "-journal")]
    files = [
        location.data / "lock",
        location.data / "server.json",
        location.data / store_marker.NAME,
        location.file,
        *companions,
    ]
    for file in [*files, location.blobs / store_marker.NAME]:
        try:
            # Others may read lock and address, but not the database; the mode of the folder prevents that.
            check_own(file)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            return Finding("own files", False, _describe(error))
    return Finding("own files", True, "all are regular files that no other user can change")


def check_blob_folder(location: StoreLocation) -> Finding:
    """Check that the blob folders belong to this user and that no other user can write to them."""
    for folder in (location.blobs, *(location.blobs / name for name in _FOLDERS)):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            try:
                check_folder(folder)
            except UnsafeFile as error:
                return Finding("blob folder", False, str(error))
    return Finding("blob folder", True, f"{location.blobs} belongs to you, and no other user can write to it")


def check_engine(location: StoreLocation) -> Finding:
    """Check that the folder was not created for another engine."""
    try:
        found = store_marker.read(location.data) or store_marker.read(location.blobs)
    except UnsafeFile as error:
        return Finding("engine", False, str(error))
    except (store_marker.InvalidMarker, OSError) as error:
        return Finding(
            "engine", False, f"{_describe(error)}: restore it from a backup, or run {location.adopt_command}"
        )
    if found is None or found.engine == location.engine:
        return Finding("engine", True, "SQLite" if location.engine == "sqlite" else "PostgreSQL")
    if found.engine == "postgres":
        return Finding(
            "engine",
            False,
            f"{location.data} belongs to the {found.registry}, but no --database-url is given: "
            "give the address of that database with --database-url, or another folder with --data",
        )
    return Finding(
        "engine",
        False,
        f"{location.data} belongs to the {found.registry}, and not to {location.database}: "
        "leave out --database-url and REGISTRY_DATABASE_URL, or give another folder with --data",
    )


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, UnsafeFile):
        return f"{error.filename or Path()} cannot be read ({error.strerror})"
    return str(error)
