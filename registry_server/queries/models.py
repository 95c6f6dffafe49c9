"""Queries of registered models and of the facets by which they are searched."""

from registry_server.domain.base import to_micros
from registry_server.domain.models import ModelFilter, RegisteredModel
from registry_server.domain.pages import Order, Window
from registry_server.queries.rows import Table
from registry_server.queries.search import Facet, search
from registry_server.queries.sql import Queries

_PRODUCTION = "(SELECT v.version FROM versions v WHERE v.model = models.name AND v.stage = 'production')"
MODELS = Table("models", RegisteredModel, derived={"production_version": _PRODUCTION})


class ModelRecords(Queries):
    """Queries of registered models and of the facets by which they are searched."""

    async def find(self, name: str) -> RegisteredModel | None:
        """Return the model with that name, even if it is tombstoned, or None."""
        row = await self._sql.fetch_one(f"SELECT {MODELS.select} FROM models WHERE name = ?1", name)
        return None if row is None else MODELS.read(row)

    async def lock(self, name: str) -> RegisteredModel | None:
        """Return the model like `find`, and lock it: no other transaction can change it until this transaction ends."""
        row = await self._sql.fetch_one(f"SELECT {MODELS.select} FROM models WHERE name = ?1 FOR UPDATE", name)
        return None if row is None else MODELS.read(row)

    async def find_ignoring_case(self, name: str) -> str | None:
        """Return the name of a model that equals `name` except for upper and lower case, or None."""
        row = await self._sql.fetch_one("SELECT name FROM models WHERE folded = ?1", name.lower())
        return None if row is None else row[0]

    async def insert(self, model: RegisteredModel) -> bool:
        """Insert the model; return False if a model with its name exists."""
        columns, folded = MODELS.stored, len(MODELS.stored) + 1
        marks = ", ".join(f"?{n}" for n in range(1, folded + 1))
        inserted = await self._sql.execute(
            f"INSERT INTO models ({', '.join(columns)}, folded) VALUES ({marks}) ON CONFLICT DO NOTHING",
            *MODELS.values(model),
            model.name.lower(),
        )
        if inserted:
            await self._add_facets(model, _facets(model))
        return inserted == 1

    async def update(self, before: RegisteredModel, model: RegisteredModel) -> bool:
        """Store `model` if the stored model has the revision of `before`; return False otherwise."""
        row = dict(zip(MODELS.stored, MODELS.values(model), strict=True))
        changed = await self._sql.execute(
            "UPDATE models SET owner = ?3, description = ?4, tags = ?5, metadata = ?6, revision = ?7,"
            " updated_at = ?8, tombstone = ?9 WHERE name = ?1 AND revision = ?2",
            model.name,
            before.revision,
            *(row[column] for column in ("owner", "description", "tags", "metadata")),
            *(row[column] for column in ("revision", "updated_at", "tombstone")),
        )
        if changed:
            old, new = _facets(before), _facets(model)
            for facet in sorted(old - new):
                await self._sql.execute(
                    "DELETE FROM model_facets WHERE facet = ?1 AND value = ?2 AND name = ?3", *facet, model.name
                )
            await self._add_facets(model, new - old)
        return changed == 1

    async def take_next_version_number(self, name: str) -> int:
        """Return the next version number; the row of the model is locked until this transaction ends."""
        (row,) = await self._sql.fetch(
            "UPDATE models SET latest_version = latest_version + 1 WHERE name = ?1 RETURNING latest_version", name
        )
        return int(row[0])

    async def search(self, conditions: ModelFilter, order: Order, window: Window) -> list[RegisteredModel]:
        """Return the matching models of one window in that order, and one more model if there is a next page."""
        return [MODELS.read(row) for row in await search(self._sql, MODELS.select, conditions, order, window)]

    async def _add_facets(self, model: RegisteredModel, facets: set[Facet]) -> None:
        created = to_micros(model.created_at)
        await self._sql.execute_many(
            "INSERT INTO model_facets (facet, value, name, created_at) VALUES (?1, ?2, ?3, ?4)",
            [(*facet, model.name, created) for facet in sorted(facets)],
        )


def _facets(model: RegisteredModel) -> set[Facet]:
    return {
        Facet("type", str(model.type)),
        Facet("owner", model.owner),
        *(Facet(f"tag:{key}", value) for key, value in model.tags.items()),
    }
