"""ML integration deploys and serves: it decides what is in production."""

from typing import TypeVar

from common_lib.errors import InvalidConfiguration
from common_lib.operations.base import Operation
from common_lib.registry import AsyncModelRegistry
from common_lib.rules.lifecycle import ModelStage
from common_lib.values import Alias, ModelVersion

T = TypeVar("T")


class Integration(AsyncModelRegistry):
    """The registry in the words of integration, an asynchronous service."""

    def __init__(self, registry: AsyncModelRegistry) -> None:
        if not isinstance(registry, AsyncModelRegistry):
            raise InvalidConfiguration(
                "Integration is asynchronous: give it a registry such as AsyncHttpRegistry(), "
                f"not {type(registry).__name__}"
            )
        self._registry = registry
        self.origin = registry.origin

    async def call(self, operation: Operation[T]) -> T:
        """Answer by the registry that was given."""
        return await self._registry.call(operation)

    async def candidates(self, name: str) -> list[ModelVersion]:
        """The versions of a model that wait in staging, the newest first."""
        return [version async for version in self.versions.search(name, stage=ModelStage.STAGING)]

    async def promote(self, version: ModelVersion, *, reason: str) -> ModelVersion:
        """The version, in production; the one it replaces is archived in the same instant.

        Raises:
            RevisionMismatch: somebody changed the version since it was read.
            IllegalTransition: it is not in staging.
        """
        return await self.versions.transition(
            version.model, version.version, ModelStage.PRODUCTION, reason=reason, revision=version.revision
        )

    async def archive(self, version: ModelVersion, *, reason: str) -> ModelVersion:
        """The version, out of the way."""
        return await self.versions.transition(
            version.model, version.version, ModelStage.ARCHIVED, reason=reason, revision=version.revision
        )

    async def point(self, alias: str, version: ModelVersion, *, reason: str = "") -> Alias:
        """The alias, pointing at the version, created if it was not there.

        Raises:
            RevisionMismatch, AlreadyExists: somebody moved or created it at the same time.
        """
        return await self.set_alias(version.model, alias, version.version, reason=reason)
