"""Queries of versions, their files, and the stage facets of their models."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from common_lib.rules.lifecycle import ModelStage
from registry_server.domain.artifacts import FileEntry
from registry_server.domain.pages import Order, Window
from registry_server.domain.policies import Policy
from registry_server.domain.versions import ModelVersion, VersionFilter
from registry_server.queries.policies import POLICIES
from registry_server.queries.rows import Table
from registry_server.queries.sql import Queries

VERSIONS = Table("versions", ModelVersion)
# The same few rows are resolved again and again, and equal rows are the same version in the same state.
_read = lru_cache(maxsize=1_024)(VERSIONS.read)


class VersionRecords(Queries):
    """Queries of versions, their files, and the stage facets of their models."""

    async def find(self, model: str, version: int) -> ModelVersion | None:
        """Return the version with that number, even if it is tombstoned, or None."""
        return await self._one("model = ?1 AND version = ?2", model, version)

    async def find_in_production(self, model: str) -> ModelVersion | None:
        """Return the version in production, or None."""
        return await self._one("model = ?1 AND stage = 'production'", model)

    async def find_for_promotion(
        self, model: str, version: int
    ) -> tuple[ModelVersion | None, ModelVersion | None, Policy | None]:
        """Return the version with that number, the version in production (perhaps the same), and the model's policy."""
        both = (
            f"{VERSIONS.select}, {POLICIES.select} FROM versions LEFT JOIN policies ON policies.model = versions.model"
        )
        rows = await self._sql.fetch_inline(
            f"SELECT {both} WHERE versions.model = ?1 AND version = ?2"
            f" UNION ALL SELECT {both} WHERE versions.model = ?1 AND stage = 'production' AND version <> ?2",
            model,
            version,
        )
        width = len(VERSIONS.stored)
        there = [_read(row[:width]) for row in rows]
        found = next((one for one in there if one.version == version), None)
        incumbent = next((one for one in there if one.stage is ModelStage.PRODUCTION), None)
        policy = rows[0][width:] if rows else ()
        return found, incumbent, POLICIES.read(policy) if policy and policy[0] is not None else None

    async def find_newest(self, model: str, stage: ModelStage | None, *, recalled: bool = True) -> ModelVersion | None:
        """Return the version with the highest number in that stage (None: in any stage), or None.

        Tombstoned versions are left out.

        With `recalled=False`, recalled versions are left out too.
        """
        usable = "" if recalled else " AND recall IS NULL"
        newest = f"tombstone IS NULL{usable} ORDER BY version DESC LIMIT 1"
        if stage is None:
            return await self._one(f"model = ?1 AND {newest}", model)
        return await self._one(f"model = ?1 AND stage = ?2 AND {newest}", model, str(stage))

    async def find_by_alias(self, model: str, alias: str) -> ModelVersion | None:
        """Return the version to which an alias points, or None."""
        pointed = "(SELECT a.version FROM aliases a WHERE a.model = ?1 AND a.alias = ?2)"
        return await self._one(f"model = ?1 AND version = {pointed}", model, alias)

    async def insert(self, version: ModelVersion, files: Sequence[FileEntry]) -> None:
        """Insert a version and its file rows. The caller has already stored its manifest as a document."""
        await self._sql.execute(VERSIONS.insert, *VERSIONS.values(version))
        await self._sql.execute_many(
            "INSERT INTO version_files (model, version, path, sha256, size, media_type)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            [(version.model, version.version, f.path, f.sha256, f.size, f.media_type) for f in files],
        )
        await self._enter_stage(version.model, version.stage)

    async def update(self, before: ModelVersion, version: ModelVersion) -> bool:
        """Store `version` if the stored version has the revision of `before`; return False otherwise."""
        row = dict(zip(VERSIONS.stored, VERSIONS.values(version), strict=True))
        columns = ("stage", "description", "tags", "revision", "updated_at", "tombstone", "recall")
        changed = await self._sql.execute(
            "UPDATE versions SET stage = ?4, description = ?5, tags = ?6, revision = ?7, updated_at = ?8,"
            " tombstone = ?9, recall = ?10 WHERE model = ?1 AND version = ?2 AND revision = ?3",
            version.model,
            version.version,
            before.revision,
            *(row[column] for column in columns),
        )
        if changed and version.tombstone is None:
            await self._enter_stage(version.model, version.stage)
        if changed and (before.stage is not version.stage or version.tombstone is not None):
            await self._leave_stage(version.model, before.stage)
        return changed == 1

    async def list_page(
        self, model: str, conditions: VersionFilter, order: Order, window: Window
    ) -> list[ModelVersion]:
        """Return the versions of one window, sorted by version number, and one more version if there is a next page."""
        values: list[Any] = [model, window.limit + 1]
        where = "model = ?1"
        if conditions.stage is not None:
            values.append(str(conditions.stage))
            where += f" AND stage = ?{len(values)}"
        if not conditions.tombstoned:
            where += " AND tombstone IS NULL"
        if window.after:
            values.append(window.after[0])
            where += f" AND version {'<' if order.down else '>'} ?{len(values)}"
        rows = await self._sql.fetch(
            f"SELECT {VERSIONS.select} FROM versions WHERE {where}"
            f" ORDER BY version{' DESC' if order.down else ''} LIMIT ?2",
            *values,
        )
        return [VERSIONS.read(row) for row in rows]

    async def find_file(self, model: str, version: int, path: str) -> FileEntry | None:
        """Return one file of a version, or None."""
        row = await self._sql.fetch_one(
            "SELECT path, size, sha256, media_type FROM version_files WHERE model = ?1 AND version = ?2 AND path = ?3",
            model,
            version,
            path,
        )
        return None if row is None else FileEntry(*row)

    async def list_paths(self, model: str, version: int) -> list[str]:
        """Return the sorted paths of the files of a version."""
        rows = await self._sql.fetch(
            "SELECT path FROM version_files WHERE model = ?1 AND version = ?2 ORDER BY path", model, version
        )
        return [row[0] for row in rows]

    async def list_metrics(self, model: str) -> frozenset[str] | None:
        """Return the names of all metrics of versions that are not tombstoned; None if all versions are tombstoned."""
        rows = await self._sql.fetch("SELECT metrics FROM versions WHERE model = ?1 AND tombstone IS NULL", model)
        return frozenset(name for row in rows for name in msgspec.json.decode(row[0])) if rows else None

    async def _one(self, where: str, *values: Any) -> ModelVersion | None:
        row = await self._sql.fetch_one(f"SELECT {VERSIONS.select} FROM versions WHERE {where}", *values)
        return None if row is None else _read(row)

    async def _enter_stage(self, model: str, stage: ModelStage) -> None:
        await self._sql.execute(
            "INSERT INTO model_facets (facet, value, name, created_at)"
            " SELECT 'stage', ?2, name, created_at FROM models WHERE name = ?1 ON CONFLICT DO NOTHING",
            model,
            str(stage),
        )

    async def _leave_stage(self, model: str, stage: ModelStage) -> None:
        await self._sql.execute(
            "DELETE FROM model_facets WHERE facet = 'stage' AND value = ?2 AND name = ?1 AND NOT EXISTS"
            " (SELECT 1 FROM versions WHERE model = ?1 AND stage = ?2 AND tombstone IS NULL)",
            model,
            str(stage),
        )
