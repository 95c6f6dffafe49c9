"""The schema's history: which steps were taken, and which are still to take."""

import hashlib
import uuid
from collections.abc import Sequence

from registry_server.infrastructure.sql import Migration, Row

HISTORY_TABLE = (
    "CREATE TABLE IF NOT EXISTS migrations (number BIGINT PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL)"
)


class SchemaMismatch(RuntimeError):
    """The database was written by another version of this software."""


def check_history(steps: list[Migration], history: Sequence[Row]) -> list[Migration]:
    """The steps still to take, after those of the history (number, name, sha256) proved to be ours.

    Raises:
        SchemaMismatch: a step was taken that is not ours, or that has been altered since.
    """
    for taken, ours in zip(history, [*steps, *[None] * len(history)], strict=False):
        if ours is None or tuple(taken) != (ours.number, ours.name, hashlib.sha256(ours.text.encode()).hexdigest()):
            raise SchemaMismatch(
                f"the database has step {taken[0]:04d}_{taken[1]} of the schema, which this version does not know: "
                "start the version that wrote it, or a newer one"
            )
    return steps[len(history) :]


def new_source() -> str:
    """The name of a new log, which stands as `source` in each of its events."""
    return f"urn:uuid:{uuid.uuid4()}"
