"""The history of the schema: which migrations are applied, and which are pending."""

import hashlib
import uuid
from collections.abc import Sequence

from registry_server.infrastructure.dialects import Migration
from registry_server.queries.sql import Row

HISTORY_TABLE = (
    "CREATE TABLE IF NOT EXISTS migrations (number BIGINT PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL)"
)


class SchemaMismatch(RuntimeError):
    """A database that a newer or different version of this software wrote."""


def step_name(step: Migration | Row) -> str:
    """Return the name of a migration or of a row of the history: the file name without its suffix.

    >>> step_name(Migration(1, "registry", "CREATE TABLE …"))
    '0001_registry'
    """
    return f"{step[0]:04d}_{step[1]}"


def history_row(step: Migration) -> tuple[int, str, str]:
    """Return the row of the history for an applied migration; it contains the digest of the migration's text."""
    return step.number, step.name, hashlib.sha256(step.text.encode()).hexdigest()


def check_history(steps: list[Migration], history: Sequence[Row]) -> list[Migration]:
    """Return the pending migrations; check that the applied ones (number, name, sha256) are known and unchanged.

    Raises:
        SchemaMismatch: an applied migration is unknown, or its text has changed since.
    """
    for applied, known in zip(history, [*steps, *[None] * len(history)], strict=False):
        if known is None or tuple(applied) != history_row(known):
            raise SchemaMismatch(
                f"the database has the migration {step_name(applied)}, which this version does not know: "
                "start the version that wrote it, or a newer one"
            )
    return steps[len(history) :]


def new_log_source() -> str:
    """Return the name of a new event log; each of its events has it as `source`."""
    return f"urn:uuid:{uuid.uuid4()}"
