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


def label(step: Migration | Row) -> str:
    """What a step or a row of the history is called, which is the name of the step's file without its ending.

    >>> label(Migration(1, "registry", "CREATE TABLE …"))
    '0001_registry'
    """
    return f"{step[0]:04d}_{step[1]}"


def note(step: Migration) -> tuple[int, str, str]:
    """The row of the history that says that a step was taken, and that its text was this one."""
    return step.number, step.name, hashlib.sha256(step.text.encode()).hexdigest()


def check_history(steps: list[Migration], history: Sequence[Row]) -> list[Migration]:
    """The steps still to take, after those of the history (number, name, sha256) proved to be ours.

    Raises:
        SchemaMismatch: a step was taken that is not ours, or that has been altered since.
    """
    for taken, ours in zip(history, [*steps, *[None] * len(history)], strict=False):
        if ours is None or tuple(taken) != note(ours):
            raise SchemaMismatch(
                f"the database has step {label(taken)} of the schema, which this version does not know: "
                "start the version that wrote it, or a newer one"
            )
    return steps[len(history) :]


def new_source() -> str:
    """The name of a new log, which stands as `source` in each of its events."""
    return f"urn:uuid:{uuid.uuid4()}"
