"""Adapter for ML integration, which deploys and serves models and decides which versions are in production."""

from typing import TypeVar

from common_lib.errors import InvalidConfiguration
from common_lib.operations.base import Operation
from common_lib.registry import AsyncModelRegistry
from common_lib.rules.lifecycle import ModelStage, Replaced
from common_lib.rules.promotion import Check
from common_lib.types.aliases import Alias
from common_lib.types.approvals import Approval
from common_lib.types.versions import ModelVersion

T = TypeVar("T")


class Integration(AsyncModelRegistry):
    """The registry for ML integration, an asynchronous service."""

    def __init__(self, registry: AsyncModelRegistry) -> None:
        if not isinstance(registry, AsyncModelRegistry):
            raise InvalidConfiguration(
                "Integration is asynchronous: pass a registry such as AsyncHttpRegistry(), "
                f"not {type(registry).__name__}"
            )
        self._registry = registry
        self.origin = registry.origin

    async def call(self, operation: Operation[T]) -> T:
        """Execute an operation with the registry."""
        return await self._registry.call(operation)

    async def candidates(self, name: str) -> list[ModelVersion]:
        """List the versions of a model that are in staging, the newest first."""
        return [version async for version in self.versions.search(name, stage=ModelStage.STAGING)]

    async def check(self, version: ModelVersion) -> Check:
        """Check the rules of promotion for a version; return each result and the version that it would replace."""
        return await self.production.check(version.model, version.version)

    async def approve(self, version: ModelVersion, *, reason: str) -> Approval:
        """Approve a version for production. Only a human who did not register the version can approve it.

        Raises:
            DecisionNotAllowed: the caller is a service, or registered the version.
        """
        return await self.approvals.approve(version.model, version.version, reason=reason)

    async def refuse(self, version: ModelVersion, *, reason: str) -> Approval:
        """Refuse a version: it cannot be promoted until the same caller approves it.

        Raises:
            DecisionNotAllowed: the caller is a service, or registered the version.
        """
        return await self.approvals.refuse(version.model, version.version, reason=reason)

    async def promote(
        self,
        version: ModelVersion,
        *,
        reason: str,
        replacing: int | Replaced | None = Replaced.INCUMBENT,
        override: bool = False,
    ) -> ModelVersion:
        """Promote a version to production, and archive the version that it replaces in the same transaction.

        `replacing` is the number of the version that the caller expects in production, as `check` returned it, or None
        if no version is expected there. By default, any version that is in production is replaced.

        Raises:
            RevisionMismatch: the version was changed since the caller read it.
            ProductionChanged: the version in production is not `replacing`; `winner` contains who changed production.
            PolicyNotMet: the version does not meet the policy of the model.
            IllegalTransition: the version is not in staging.
        """
        return await self.production.promote(
            version.model,
            version.version,
            reason=reason,
            replacing=replacing,
            revision=version.revision,
            override=override,
        )

    async def rollback(self, version: ModelVersion, *, reason: str) -> ModelVersion:
        """Roll back from the given version, and return the earlier version that is in production again.

        Raises:
            ProductionChanged: the given version is not in production; `winner` contains who changed production.
            NothingToReturnTo: no earlier production version is available.
        """
        return await self.production.rollback(version.model, reason=reason, replacing=version.version)

    async def recall(self, version: ModelVersion, *, reason: str) -> ModelVersion:
        """Recall a version: nobody can resolve, fetch or load it until it is reinstated.

        Raises:
            RevisionMismatch: the version was changed since the caller read it.
            VersionRecalled: the version is already recalled.
        """
        return await self.versions.recall(version.model, version.version, reason=reason, revision=version.revision)

    async def reinstate(self, version: ModelVersion, *, reason: str) -> ModelVersion:
        """Reinstate a recalled version, so that it can be resolved, fetched and loaded again.

        Raises:
            RevisionMismatch: the version was changed since the caller read it.
            IllegalTransition: the version is not recalled.
        """
        return await self.versions.reinstate(version.model, version.version, reason=reason, revision=version.revision)

    async def archive(self, version: ModelVersion, *, reason: str) -> ModelVersion:
        """Move a version to the stage `archived`."""
        return await self.versions.transition(
            version.model, version.version, ModelStage.ARCHIVED, reason=reason, revision=version.revision
        )

    async def point(self, alias: str, version: ModelVersion, *, reason: str = "") -> Alias:
        """Move an alias to the version; create the alias if it does not exist.

        Raises:
            RevisionMismatch, AlreadyExists: another caller moved or created the alias at the same time.
        """
        return await self.set_alias(version.model, alias, version.version, reason=reason)
