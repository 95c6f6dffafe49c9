"""Reads and writes `store.json`, a marker in the data folder and in the blob folder: it contains their store's id."""

from pathlib import Path
from typing import Final, Literal

import msgspec

from common_lib.own_files import UnsafeFile, read_own, replace_own
from registry_server.infrastructure.database_url import DatabaseUrl
from registry_server.settings import Settings

NAME: Final = "store.json"
SQLITE_FILE: Final = "registry.sqlite3"
_MOST_BYTES: Final = 16 * 1024


class StoreMarker(msgspec.Struct, frozen=True):
    """The id of the store, and the engine and display name of its database, without the password."""

    store: str
    engine: Literal["sqlite", "postgres"]
    database: str

    @property
    def registry(self) -> str:
        """A description of the registry to which the folder belongs."""
        kind = "SQLite" if self.engine == "sqlite" else f"PostgreSQL ({self.database})"
        return f"registry {self.store[:8]} in {kind}"


class InvalidMarker(ValueError):
    """The error for a file `store.json` that this product did not write."""


def for_settings(settings: Settings, store: str) -> StoreMarker:
    """Return the marker for the store with that id and the database of these settings."""
    if settings.database_url:
        return StoreMarker(store, "postgres", DatabaseUrl.parse(settings.database_url).display_name)
    return StoreMarker(store, "sqlite", SQLITE_FILE)


def read(folder: Path) -> StoreMarker | None:
    """Read the marker of a folder; return None if the file does not exist.

    Raises:
        InvalidMarker: the content of the file is not a marker.
        UnsafeFile: another user controls the file.
    """
    try:
        return msgspec.json.decode(read_own(folder / NAME, most_bytes=_MOST_BYTES), type=StoreMarker)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except msgspec.MsgspecError:
        raise InvalidMarker(f"{folder / NAME} is not a marker of this product") from None


def write(folder: Path, marker: StoreMarker) -> None:
    """Write the marker of a folder durably, unless the folder already has the same marker."""
    if read_or_none(folder) != marker:
        replace_own(folder / NAME, msgspec.json.encode(marker) + b"\n")


def read_or_none(folder: Path) -> StoreMarker | None:
    """Read the marker of a folder; return None if the file is missing or invalid, or cannot be read."""
    try:
        return read(folder)
    except (InvalidMarker, OSError):
        return None


def blob_folder_fault(blobs: Path, store: str) -> str:
    """Return a sentence that says why a folder is not the blob folder of the store, or "" if it is.

    Raises:
        OSError: the marker cannot be read.
    """
    try:
        found = read(blobs)
    except (InvalidMarker, UnsafeFile) as error:
        return str(error)
    if found is None:
        return f"{blobs} does not exist, or is not the blob folder of this registry: it has no {NAME}"
    return "" if found.store == store else f"{blobs} belongs to the {found.registry}"
