"""The marker `store.json`: it stands in the data folder and in the folder of bytes, and names their database."""

from pathlib import Path
from typing import Final, Literal

import msgspec

from common_lib.own_files import UnsafeFile, read_own, replace_own
from registry_server.infrastructure.database_url import DatabaseUrl
from registry_server.settings import Settings

NAME: Final = "store.json"
SQLITE_FILE: Final = "registry.sqlite3"
_MOST_BYTES: Final = 16 * 1024


class Marker(msgspec.Struct, frozen=True):
    """The id of the store, and the engine and the name of its database; never its password."""

    store: str
    engine: Literal["sqlite", "postgres"]
    database: str

    @property
    def registry(self) -> str:
        """The registry that a folder belongs to, in words."""
        kind = "SQLite" if self.engine == "sqlite" else f"PostgreSQL ({self.database})"
        return f"registry {self.store[:8]} in {kind}"


class InvalidMarker(ValueError):
    """A marker that this product did not write."""


def for_settings(settings: Settings, store: str) -> Marker:
    """Make the marker of a store with the database of these settings."""
    if settings.database_url:
        return Marker(store, "postgres", DatabaseUrl.parse(settings.database_url).display_name)
    return Marker(store, "sqlite", SQLITE_FILE)


def read(folder: Path) -> Marker | None:
    """Read the marker of a folder; None if it has none.

    Raises:
        InvalidMarker: it holds something else.
        UnsafeFile: others control it.
    """
    try:
        return msgspec.json.decode(read_own(folder / NAME, most_bytes=_MOST_BYTES), type=Marker)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except msgspec.MsgspecError:
        raise InvalidMarker(f"{folder / NAME} is not a marker of this product") from None


def write(folder: Path, marker: Marker) -> None:
    """Mark a folder durably, unless it has this very marker."""
    if read_or_none(folder) != marker:
        replace_own(folder / NAME, msgspec.json.encode(marker) + b"\n")


def read_or_none(folder: Path) -> Marker | None:
    """Read the marker of a folder; None also if it is not a marker of this product."""
    try:
        return read(folder)
    except (InvalidMarker, OSError):
        return None


def medium_fault(blobs: Path, store: str) -> str:
    """Return why the folder of bytes is not that of the store, as a sentence; empty if it is.

    Raises:
        OSError: the disk does not say.
    """
    try:
        found = read(blobs)
    except (InvalidMarker, UnsafeFile) as why:
        return str(why)
    if found is None:
        return f"{blobs} is not there, or not the folder of this registry: it has no {NAME}"
    return "" if found.store == store else f"{blobs} belongs to the {found.registry}"
