"""A registry of any size, written directly into the tables, with random names in the order of creation.

Types, teams and stages are distributed unevenly, as in practice: six types, twenty teams by Zipf's law, and ten
versions of each model, of which a recent one may be in production. Versions have no files: no list reads them.
"""

import asyncio
import contextlib
import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import asyncpg

from common_lib.rules.lifecycle import ModelStage, ModelType
from registry_server.domain.base import to_micros
from registry_server.domain.models import RegisteredModel
from registry_server.domain.versions import ModelVersion
from registry_server.queries.models import MODELS
from registry_server.queries.versions import VERSIONS

VERSIONS_EACH = 10
TYPE_SHARES = {
    ModelType.FORECASTING: 40,
    ModelType.CLASSIFICATION: 20,
    ModelType.REGRESSION: 15,
    ModelType.TIME_SERIES: 10,
    ModelType.ANOMALY_DETECTION: 10,
    ModelType.REINFORCEMENT: 5,
}
TEAMS = [f"team-{number:02d}" for number in range(1, 21)]
FORECASTERS = TEAMS[0]  # the largest team; most of its models are forecasts
IN_PRODUCTION = 0.85
BEGAN = datetime(2024, 1, 1, tzinfo=UTC)
_EVERY = timedelta(minutes=7)
_CHUNK = 5_000
_DIGEST = "sha256:" + "0" * 64
_FACETS = ("facet", "value", "name", "created_at")


class Rows(NamedTuple):
    """The rows of a few models, by table."""

    models: list[tuple[Any, ...]]
    versions: list[tuple[Any, ...]]
    facets: list[tuple[Any, ...]]


def fill_sqlite(file: Path, models: int, seed: int) -> None:
    """Fill the tables of a database that no server has open."""
    with contextlib.closing(apsw.Connection(str(file))) as raw:
        # A crash during the filling does no harm, so nothing is synced; the server sets its own pragmas later.
        raw.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF").fetchall()
        with raw:
            raw.execute("INSERT INTO documents VALUES (?, ?)", (_DIGEST, b"{}"))
            for rows in _chunks(models, seed):
                for table, columns, values in _tables(rows):
                    marks = ", ".join("?" * len(columns))
                    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - fixed names
                    raw.executemany(statement, values)
        raw.execute("PRAGMA journal_mode = WAL").fetchall()


def fill_postgres(url: str, models: int, seed: int) -> None:
    """Fill the tables of PostgreSQL, and update the planner's statistics."""

    async def fill() -> None:
        raw = await asyncpg.connect(url)
        try:
            # This turns off the check of foreign keys.
            await raw.execute("SET session_replication_role = replica")
            await raw.execute("INSERT INTO documents VALUES ($1, $2)", _DIGEST, b"{}")
            for rows in _chunks(models, seed):
                for table, columns, values in _tables(rows):
                    await raw.copy_records_to_table(table, columns=columns, records=values)
            await raw.execute("ANALYZE")
        finally:
            await raw.close()

    asyncio.run(fill())


def _tables(rows: Rows) -> Iterable[tuple[str, list[str], list[tuple[Any, ...]]]]:
    return (
        ("models", [*MODELS.stored, "folded"], rows.models),
        ("versions", VERSIONS.stored, rows.versions),
        ("model_facets", list(_FACETS), rows.facets),
    )


def _chunks(models: int, seed: int) -> Iterator[Rows]:
    chance = random.Random(seed)  # noqa: S311 - reproducible on purpose
    # Shuffled, so that a page sorted by name reads rows from all over the table.
    names = [f"model-{number:06d}" for number in range(models)]
    chance.shuffle(names)
    numbered = enumerate(names)
    while chunk := list(islice(numbered, _CHUNK)):
        rows = Rows([], [], [])
        for number, name in chunk:
            _add(rows, name, BEGAN + number * _EVERY, chance)
        yield rows


def _add(rows: Rows, name: str, at: datetime, chance: random.Random) -> None:
    team = chance.choices(TEAMS, [1 / rank for rank in range(1, len(TEAMS) + 1)])[0]
    forecast = team == FORECASTERS and chance.random() < 0.5
    kind = ModelType.FORECASTING if forecast else chance.choices([*TYPE_SHARES], [*TYPE_SHARES.values()])[0]
    tags = {"team": team, "asset": f"asset-{chance.randrange(200)}"}
    owner = f"{team}-{chance.randrange(5)}"
    model = RegisteredModel(
        name=name,
        type=kind,
        owner=owner,
        description="Filled in by a benchmark",
        tags=tags,
        metadata={"horizon": "1d", "retrain_days": chance.randrange(1, 30)},
        latest_version=VERSIONS_EACH,
        production_version=None,
        revision=1,
        created_by=owner,
        created_at=at,
        updated_at=at,
        tombstone=None,
    )
    if chance.random() < IN_PRODUCTION:
        stages = [*[ModelStage.ARCHIVED] * 6, ModelStage.STAGING, ModelStage.DEVELOPMENT, ModelStage.DEVELOPMENT]
        stages.insert(chance.randrange(6, 10), ModelStage.PRODUCTION)
    else:
        stages = [*[ModelStage.DEVELOPMENT] * 9, chance.choice([ModelStage.DEVELOPMENT, ModelStage.STAGING])]
    facets = {("type", str(kind)), ("owner", owner), *((f"tag:{key}", value) for key, value in tags.items())}
    facets |= {("stage", str(stage)) for stage in stages}
    stored = MODELS.values(model)
    created = to_micros(at)
    rows.models.append((*stored, name))
    rows.versions.extend(_version(name, number, str(stage), created) for number, stage in enumerate(stages, 1))
    rows.facets.extend((facet, value, name, created) for facet, value in sorted(facets))


_TEMPLATE = dict(
    zip(
        VERSIONS.stored,
        VERSIONS.values(
            ModelVersion(
                model="",
                version=1,
                stage=ModelStage.DEVELOPMENT,
                digest=_DIGEST,
                size=960,
                file_count=1,
                framework="scikit-learn",
                description="",
                parameters={"alpha": 0.5, "window_days": 500},
                metrics={"rmse": 0.47, "mae": 0.33},
                signature=None,
                lineage=None,
                tags={},
                revision=1,
                created_by="trainer",
                created_at=BEGAN,
                updated_at=BEGAN,
                tombstone=None,
            )
        ),
        strict=True,
    )
)


def _version(model: str, number: int, stage: str, created: int) -> tuple[Any, ...]:
    # There are a million versions: copying a template is faster than building each one.
    own = {"model": model, "version": number, "stage": stage, "created_at": created, "updated_at": created}
    return tuple((_TEMPLATE | own).values())
