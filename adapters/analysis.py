"""The analysis engine reads production models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from common_lib.errors import InvalidConfiguration
from common_lib.operations.base import Operation
from common_lib.registry import AsyncModelRegistry
from common_lib.rules.lifecycle import ModelStage, ModelType
from common_lib.values import ModelVersion, RegisteredModel

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ProductionModel:
    """A model and the version of it that is in production."""

    model: RegisteredModel
    version: ModelVersion


class Analysis(AsyncModelRegistry):
    """The registry in the words of the analysis engine, an asynchronous service that only reads."""

    def __init__(self, registry: AsyncModelRegistry) -> None:
        if not isinstance(registry, AsyncModelRegistry):
            raise InvalidConfiguration(
                "Analysis is asynchronous: give it a registry such as AsyncHttpRegistry(), "
                f"not {type(registry).__name__}"
            )
        self._registry = registry
        self.origin = registry.origin

    async def call(self, operation: Operation[T]) -> T:
        """Answer by the registry that was given."""
        return await self._registry.call(operation)

    async def production_model(self, name: str) -> ModelVersion:
        """The version of a model that is in production.

        Raises:
            VersionNotFound: none is.
        """
        return await self.resolve(f"models:/{name}/production")

    async def production_models(
        self,
        *,
        type: ModelType | str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> list[ProductionModel]:
        """All models that have a version in production, by name, with that version."""
        found = []
        async for model in self.models.search(stage=ModelStage.PRODUCTION, type=type, tags=tags):
            if model.production_version is not None:
                version = await self.versions.get(model.name, model.production_version)
                found.append(ProductionModel(model, version))
        return found
