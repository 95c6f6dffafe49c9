"""A temporary key-value store on disk, for data that is too large for memory."""

import json
from collections.abc import Iterator
from typing import Any

import apsw

_CACHE_KIB = 8 * 1024


class TemporaryStore:
    """Values by kind and key in a temporary SQLite file, which is deleted when the store is closed."""

    def __init__(self) -> None:
        # For an empty name, SQLite creates a private file and deletes it itself.
        self._raw = apsw.Connection("")
        self._raw.execute(f"PRAGMA cache_size = -{_CACHE_KIB}").fetchall()
        self._raw.execute("PRAGMA journal_mode = OFF").fetchall()
        self._raw.execute("PRAGMA synchronous = OFF")
        self._raw.execute(
            "CREATE TABLE entries (kind TEXT, key TEXT, sequence INT, value TEXT, PRIMARY KEY (kind, key))"
            " WITHOUT ROWID"
        )

    def get(self, kind: str, key: str) -> tuple[int, Any] | None:
        """Return the sequence number and the value that are stored under a key, or None."""
        rows = self._raw.execute(
            "SELECT sequence, value FROM entries WHERE kind = ?1 AND key = ?2", (kind, key)
        ).fetchall()
        return next(((int(str(sequence)), json.loads(str(value))) for sequence, value in rows), None)

    def put(self, kind: str, key: str, sequence: int, value: Any) -> None:
        """Store a value and its sequence number under a key; replace an earlier value."""
        text = json.dumps(value)
        self._raw.execute(
            "INSERT OR REPLACE INTO entries VALUES (?1, ?2, ?3, ?4)", (kind, key, sequence, text)
        ).fetchall()

    def pop(self, kind: str, key: str) -> tuple[int, Any] | None:
        """Return the value of a key like `get`, and remove the key."""
        found = self.get(kind, key)
        if found is not None:
            self._raw.execute("DELETE FROM entries WHERE kind = ?1 AND key = ?2", (kind, key)).fetchall()
        return found

    def remaining(self, kind: str) -> Iterator[tuple[str, int]]:
        """Yield the stored keys in order, each with its sequence number."""
        yield from self._raw.execute("SELECT key, sequence FROM entries WHERE kind = ?1 ORDER BY key", (kind,))

    def close(self) -> None:
        """Close and delete the file."""
        self._raw.close()
