"""The analysis engine reads production models."""

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
    """A model and the version of it that is in production; and how that is known."""

    model: RegisteredModel
    version: ModelVersion


class Analysis(AsyncModelRegistry):
    """The registry in the words of the analysis engine, an asynchronous service that only reads.

    While the registry gives no answer it reads what it was told last, up to a day old, and each result says so.
    """

    def __init__(self, registry: AsyncModelRegistry, *, staleness: Staleness = _SERVE) -> None:
        if not isinstance(registry, AsyncModelRegistry):
            raise InvalidConfiguration(
                "Analysis is asynchronous: give it a registry such as AsyncHttpRegistry(), "
                f"not {type(registry).__name__}"
            )
        self._registry = registry
        self.origin = registry.origin
        self._staleness = staleness
        self._last_good = last_good_for(staleness, "Analysis")
        self._lists: dict[str, tuple[list[ProductionModel], float]] = {}

    async def call(self, operation: Operation[T]) -> T:
        """Answer by the registry that was given, or by what it said last."""
        return await arun(self._last_good.fetch(operation), self._registry.call)

    async def production_model(self, name: str) -> Resolution:
        """The version of a model that is in production, and how that is known.

        Raises:
            VersionNotFound: none is.
        """
        return await self.versions.resolution(f"models:/{name}/production")

    async def production_models(
        self,
        *,
        type: ModelType | str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> list[ProductionModel]:
        """All models that have a version in production, by name, with that version.

        While the registry gives no answer, it is the list that this instance was given last for the same question.
        """
        question = repr((type, sorted((tags or {}).items())))
        requested_at = time.monotonic()
        try:
            found = await self._production_models(type, tags)
        except RegistryUnavailable as error:
            listed, listed_at = self._lists.get(question, ([], -math.inf))
            age_s = requested_at - listed_at
            if age_s > self._staleness.max_age_s:
                raise
            return [replace(each, stale=True, age_s=age_s, source="cache", reason=str(error)) for each in listed]
        self._lists.pop(question, None)
        self._lists[question] = (found, requested_at)
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
