"""Checks of the folder and of the files in it that this product must be able to trust; nothing is changed."""

import contextlib
from pathlib import Path

from common_lib.own_files import UnsafeFile, check_folder, check_own, read_own
from registry_server.invariants import marker
from registry_server.invariants.findings import Finding
from registry_server.invariants.site import Site

_MOST_BYTES = 16 * 1024
_FOLDERS = ("sha256", "staging", "uploads", "quarantine", "trash")


def data_folder(site: Site) -> Finding:
    """Check that the data folder is a folder of this user that nobody else can write in."""
    try:
        check_folder(site.data)
    except FileNotFoundError:
        return Finding("data folder", False, f"{site.data} is not there; `registry-server serve` makes it")
    except OSError as why:
        return Finding("data folder", False, _words(why))
    return Finding("data folder", True, f"{site.data}, yours alone")


def admin_token(site: Site) -> Finding:
    """Check that nobody else can read or exchange the first admin's token, if its file is still there."""
    what, file = "admin token file", site.data / "admin-token"
    try:
        read_own(file, most_bytes=_MOST_BYTES, secret=True)
    except FileNotFoundError:
        return Finding(what, True, "removed, so nobody can read it")
    except UnsafeFile as why:
        if "can read it" in why.why:
            mode = why.why.partition(",")[0]
            return Finding(what, False, f"{file} {mode}: {why.remedy}, and revoke the token, which others could read")
        return Finding(what, False, str(why))
    except OSError as why:
        return Finding(what, False, _words(why))
    return Finding(what, True, f"{file}, yours alone")


def own_files(site: Site) -> Finding:
    """Check the lock, the server's address, the marker and the files of SQLite, as far as they are there."""
    companions = [site.file.with_name(f"{site.file.name}{end}") for end in ("-wal", "-shm", "-journal")]
    files = [site.data / "lock", site.data / "server.json", site.data / marker.NAME, site.file, *companions]
    for file in [*files, site.blobs / marker.NAME]:
        try:
            # A lock or an address may be read by others; rows may not, but their folder is closed as a rule.
            check_own(file)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as why:
            return Finding("own files", False, _words(why))
    return Finding("own files", True, "regular files that nobody else can change")


def blob_folder(site: Site) -> Finding:
    """Check that the folders of bytes belong to this user and that nobody else can write in them."""
    for folder in (site.blobs, *(site.blobs / name for name in _FOLDERS)):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            try:
                check_folder(folder)
            except UnsafeFile as why:
                return Finding("blob folder", False, str(why))
    return Finding("blob folder", True, f"{site.blobs}, yours alone")


def engine(site: Site) -> Finding:
    """Check that the folder was not made for a registry in another engine."""
    try:
        found = marker.read(site.data) or marker.read(site.blobs)
    except UnsafeFile as why:
        return Finding("engine", False, str(why))
    except (marker.InvalidMarker, OSError) as why:
        return Finding("engine", False, f"{_words(why)}: restore it from a backup, or run {site.adopt}")
    if found is None or found.engine == site.engine:
        return Finding("engine", True, "SQLite" if site.engine == "sqlite" else "PostgreSQL")
    if found.engine == "postgres":
        return Finding(
            "engine",
            False,
            f"{site.data} belongs to the {found.registry}, and would be served as a registry in SQLite: "
            "give the address of that database by --database-url, or another folder by --data",
        )
    return Finding(
        "engine",
        False,
        f"{site.data} belongs to the {found.registry}, and would be served with {site.database}: "
        "leave out --database-url and REGISTRY_DATABASE_URL, or give another folder by --data",
    )


def _words(why: Exception) -> str:
    if isinstance(why, OSError) and not isinstance(why, UnsafeFile):
        return f"{why.filename or Path()} cannot be looked at ({why.strerror})"
    return str(why)
