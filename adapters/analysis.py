"""Adapter for the analysis engine, which reads production models."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from common_lib.binding import arun
from common_lib.errors import InvalidConfiguration, RegistryUnavailable
from common_lib.last_good import last_good_for
from common_lib.operations.base import Operation
from common_lib.operations.versions import Resolution
from common_lib.registry import AsyncModelRegistry
from common_lib.rules.lifecycle import ModelStage, ModelType
from common_lib.staleness import Provenance, ServeStale, Staleness
from common_lib.types.models import RegisteredModel
from common_lib.types.versions import ModelVersion

T = TypeVar("T")
_SERVE = ServeStale()
_MOST_LISTS = 100


@dataclass(frozen=True, slots=True)
class ProductionModel(Provenance):
    """A model, its version in production, and the source and age of the registry's answer."""

    model: RegisteredModel
    version: ModelVersion


class Analysis(AsyncModelRegistry):
    """The registry for the analysis engine, an asynchronous service that only reads.

    During an outage it returns the last answers of the registry, up to a day old, and marks each answer as stale.
    """

    def __init__(self, registry: AsyncModelRegistry, *, staleness: Staleness = _SERVE) -> None:
        if not isinstance(registry, AsyncModelRegistry):
            raise InvalidConfiguration(
                f"Analysis is asynchronous: pass a registry such as AsyncHttpRegistry(), not {type(registry).__name__}"
            )
        self._registry = registry
        self.origin = registry.origin
        self._staleness = staleness
        self._last_good = last_good_for(staleness, "Analysis")
        self._lists: dict[str, tuple[list[ProductionModel], float]] = {}

    async def call(self, operation: Operation[T]) -> T:
        """Execute an operation with the registry; during an outage, return the last answer to the same resolve."""
        return await arun(self._last_good.fetch(operation), self._registry.call)

    async def production_model(self, name: str) -> Resolution:
        """Get the production version of a model, with the age and the source of the answer.

        Raises:
            VersionNotFound: the model has no version in production.
        """
        return await self.versions.resolution(f"models:/{name}/production")

    async def production_models(
        self, *, type: ModelType | str | None = None, tags: Mapping[str, str] | None = None
    ) -> list[ProductionModel]:
        """List the models that have a version in production, sorted by name, each with its production version.

        During an outage, return the last list that this instance received for the same arguments.
        """
        filters = repr((type, sorted((tags or {}).items())))
        requested_at = time.monotonic()
        try:
            found = await self._production_models(type, tags)
        except RegistryUnavailable as error:
            listed, listed_at = self._lists.get(filters, ([], -math.inf))
            age_s = requested_at - listed_at
            if age_s > self._staleness.max_age_s:
                raise
            return [replace(each, stale=True, age_s=age_s, source="cache", reason=str(error)) for each in listed]
        self._lists.pop(filters, None)
        self._lists[filters] = (found, requested_at)
        if len(self._lists) > _MOST_LISTS:
            self._lists.pop(next(iter(self._lists)))
        return list(found)

    async def _production_models(
        self, type: ModelType | str | None, tags: Mapping[str, str] | None
    ) -> list[ProductionModel]:
        found = []
        async for model in self.models.search(stage=ModelStage.PRODUCTION, type=type, tags=tags):
            if model.production_version is not None:
                version = await self.versions.get(model.name, model.production_version)
                found.append(ProductionModel(model, version))
        return found
