"""A long history of promotions for the models of `filling`, written directly into the tables.

Each promotion is one event, one decision and one tenure, as the server would have written them. The state of the
versions stays as it is, because no benchmark replays the log.
"""

import asyncio
import contextlib
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import asyncpg
import msgspec

from benchmarks.filling import BEGAN, VERSIONS_EACH
from common_lib.rules.lifecycle import ModelStage
from registry_server.core import versions
from registry_server.domain.base import to_micros
from registry_server.domain.events import Change, encode

EVERY = timedelta(seconds=30)
_NAME, _SEQUENCE, _CHUNK = "model-??????", 0, 20_000
_COLUMNS = {
    "events": ("sequence", "body"),
    "decisions": ("model", "sequence"),
    "tenures": ("model", "since", "sequence", "version", "rollback_target", "facts"),
}
Rows = dict[str, list[tuple[Any, ...]]]


class Past(NamedTuple):
    """A number of promotions of all models in turn; they start at `since`, after the existing events."""

    models: int
    events: int
    since: datetime

    @property
    def until(self) -> datetime:
        """Time of the last promotion."""
        return self.since + self.events * EVERY

    def moments(self, chance: random.Random, count: int) -> list[datetime]:
        """Return random times after the first promotion of every model."""
        first = self.since + self.models * EVERY
        return [first + (self.until - first) * chance.random() for _ in range(count)]


def past(models: int, events: int) -> Past:
    """Return a history that starts after the creation of all models."""
    return Past(models, events, BEGAN + timedelta(days=60))


def add_sqlite(file: Path, past: Past) -> None:
    """Write a history into a database that no server has open."""
    with contextlib.closing(apsw.Connection(str(file))) as raw:
        raw.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF").fetchall()
        with raw:
            ((first,),) = raw.execute("SELECT value FROM counters WHERE name = 'events'").fetchall()
            for rows in _chunks(past, first):
                for table, columns in _COLUMNS.items():
                    marks = ", ".join("?" * len(columns))
                    raw.executemany(f"INSERT INTO {table} VALUES ({marks})", rows[table])  # noqa: S608 - fixed names
            values = (first + past.events, to_micros(past.until))
            raw.execute("UPDATE counters SET value = ?, at = ? WHERE name = 'events'", values)
        raw.execute("PRAGMA journal_mode = WAL").fetchall()


def add_postgres(url: str, past: Past) -> None:
    """Write a history into PostgreSQL, and update the planner's statistics."""

    async def add() -> None:
        raw = await asyncpg.connect(url)
        try:
            await raw.execute("SET session_replication_role = replica")
            first = await raw.fetchval("SELECT value FROM counters WHERE name = 'events'")
            for rows in _chunks(past, first):
                for table, columns in _COLUMNS.items():
                    await raw.copy_records_to_table(table, columns=columns, records=rows[table])
            values = (first + past.events, to_micros(past.until))
            await raw.execute("UPDATE counters SET value = $1, at = $2 WHERE name = 'events'", *values)
            await raw.execute("ANALYZE")
        finally:
            await raw.close()

    asyncio.run(add())


def _chunks(past: Past, first: int) -> Iterator[Rows]:
    templates = [_template(version, past.since) for version in range(1, VERSIONS_EACH + 1)]
    sequence, written = f"{_SEQUENCE:020d}".encode(), _written(past.since)
    facts = msgspec.json.encode({"description": "", "tags": {}, "revision": 5, "updated_at": past.since}).decode()
    numbered = iter(range(past.events))
    while chunk := list(islice(numbered, _CHUNK)):
        rows: Rows = {table: [] for table in _COLUMNS}
        for number in chunk:
            turn, model = divmod(number, past.models)
            name, at, place = f"model-{model:06d}", past.since + (number + 1) * EVERY, first + number + 1
            body = templates[turn % VERSIONS_EACH].replace(_NAME.encode(), name.encode())
            body = body.replace(sequence, b"%020d" % place, 1).replace(written, _written(at), 1)
            rows["events"].append((place, body))
            rows["decisions"].append((name, place))
            rollback_target = place - past.models if turn else None
            rows["tenures"].append((name, to_micros(at), place, turn % VERSIONS_EACH + 1, rollback_target, facts))
        yield rows


def _template(version: int, at: datetime) -> bytes:
    """Return the event of a promotion under a policy of three rules, with placeholders for name, sequence and time."""
    before = (version - 2) % VERSIONS_EACH + 1
    entered, left = versions.key(_NAME, version), versions.key(_NAME, before)
    stages = (ModelStage.STAGING, ModelStage.PRODUCTION, ModelStage.ARCHIVED)
    finding = {"rule": "metric", "subject": "rmse", "met": True, "wanted": "≤ 0.5", "found": "0.47", "value": 0.47}
    change = Change(
        type="version.promoted",
        subject=entered,
        before={entered: {"stage": stages[0], "revision": 2}, left: {"stage": stages[1], "revision": 3}},
        after={entered: {"stage": stages[1], "revision": 3}, left: {"stage": stages[2], "revision": 4}},
        reason="the error is smaller on the holdout of this month",
        basis={"judged": {"policy": 2, "findings": [finding] * 3, "overridden": []}},
    )
    body, _ = encode(
        change, sequence=_SEQUENCE, event_id="0" * 32, time=at, actor="admin", request_id="0" * 32, source="urn:past"
    )
    return body


def _written(at: datetime) -> bytes:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z").encode()
