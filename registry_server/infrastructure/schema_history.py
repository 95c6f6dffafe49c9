"""The schema's history of migrations: finds out which migrations are applied and which are pending."""

import hashlib
import uuid
from collections.abc import Sequence

from registry_server.infrastructure.dialects import Migration
from registry_server.queries.sql import Row

HISTORY_TABLE = (
    "CREATE TABLE IF NOT EXISTS migrations (number BIGINT PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL)"
)


class SchemaMismatch(RuntimeError):
    """The error for a database that a newer or different version of this software wrote."""


def step_name(step: Migration | Row) -> str:
    """Return the name of a migration or of a row of the history: the file name without its suffix.

    >>> step_name(Migration(1, "registry", "CREATE TABLE …"))
    '0001_registry'
    """
    return f"{step[0]:04d}_{step[1]}"


def history_row(step: Migration) -> tuple[int, str, str]:
    """Return the row that the history gets when a migration is applied: its number, name and the digest of its text."""
    return step.number, step.name, hashlib.sha256(step.text.encode()).hexdigest()


def check_history(steps: list[Migration], history: Sequence[Row]) -> list[Migration]:
    """Check that the applied migrations are known and unchanged, and return the pending ones.

    Rows of `history` are (number, name, sha256).

    Raises:
        SchemaMismatch: an applied migration is unknown, or its text has changed.
    """
    for applied, known in zip(history, [*steps, *[None] * len(history)], strict=False):
        if known is None or tuple(applied) != history_row(known):
            raise SchemaMismatch(
                f"the database has the migration {step_name(applied)}, which this version does not know: "
                "start the version that wrote it, or a newer one"
            )
    return steps[len(history) :]


def new_log_source() -> str:
    """Create a name for a new event log; each event of the log has this name as its `source`."""
    return f"urn:uuid:{uuid.uuid4()}"
