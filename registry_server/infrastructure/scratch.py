"""A temporary database on disk, for what is too large for memory; it is gone when it is closed."""

import json
from collections.abc import Iterator
from typing import Any

import apsw

_CACHE_KIB = 8 * 1024


class Scratch:
    """Values by kind and key, held in a temporary file of SQLite."""

    def __init__(self) -> None:
        # An empty name means a private file on disk that is removed by itself.
        self._raw = apsw.Connection("")
        self._raw.execute(f"PRAGMA cache_size = -{_CACHE_KIB}").fetchall()
        self._raw.execute("PRAGMA journal_mode = OFF").fetchall()
        self._raw.execute("PRAGMA synchronous = OFF")
        self._raw.execute(
            "CREATE TABLE held (kind TEXT, key TEXT, sequence INT, value TEXT, PRIMARY KEY (kind, key)) WITHOUT ROWID"
        )

    def get(self, kind: str, key: str) -> tuple[int, Any] | None:
        """Return a value and the sequence number that it was put with."""
        rows = self._raw.execute(
            "SELECT sequence, value FROM held WHERE kind = ?1 AND key = ?2", (kind, key)
        ).fetchall()
        return next(((int(str(sequence)), json.loads(str(value))) for sequence, value in rows), None)

    def put(self, kind: str, key: str, sequence: int, value: Any) -> None:
        """Hold a value in place of an earlier one."""
        text = json.dumps(value)
        self._raw.execute("INSERT OR REPLACE INTO held VALUES (?1, ?2, ?3, ?4)", (kind, key, sequence, text)).fetchall()

    def take(self, kind: str, key: str) -> tuple[int, Any] | None:
        """Return a value as `get` does, and forget it."""
        found = self.get(kind, key)
        if found is not None:
            self._raw.execute("DELETE FROM held WHERE kind = ?1 AND key = ?2", (kind, key)).fetchall()
        return found

    def left(self, kind: str) -> Iterator[tuple[str, int]]:
        """Yield the keys that are still held, in order, each with its sequence number."""
        yield from self._raw.execute("SELECT key, sequence FROM held WHERE kind = ?1 ORDER BY key", (kind,))

    def close(self) -> None:
        """Close and remove the file."""
        self._raw.close()
