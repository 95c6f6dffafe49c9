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
                "Integration is asynchronous: give it a registry such as AsyncHttpRegistry(), "
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
        """Check whether the version can be promoted now: the result of each rule, and the version it would replace."""
        return await self.production.check(version.model, version.version)

    async def approve(self, version: ModelVersion, *, reason: str) -> Approval:
        """Approve a version. Only a human who did not register it can do that.

        Raises:
            DecisionNotAllowed: the caller is a service, or registered the version.
        """
        return await self.approvals.approve(version.model, version.version, reason=reason)

    async def refuse(self, version: ModelVersion, *, reason: str) -> Approval:
        """Refuse a version. It cannot be promoted until the same caller approves it.

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

        `replacing` is the number of the version that `check` reported as replaced, or None if there was none. Without
        it, the version in production just before the promotion is replaced, whichever it is.

        Raises:
            RevisionMismatch: the version was changed since the caller read it.
            ProductionChanged: another version than `replacing` is in production; `winner` names who promoted it.
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
            ProductionChanged: the given version is not in production any more; `winner` names who changed that.
            NothingToReturnTo: no earlier production version can be used again.
        """
        return await self.production.rollback(version.model, reason=reason, replacing=version.version)

    async def recall(self, version: ModelVersion, *, reason: str) -> ModelVersion:
        """Recall a version: from now on nobody can resolve, fetch or load it.

        Raises:
            RevisionMismatch: the version was changed since the caller read it.
            VersionRecalled: the version is already recalled.
        """
        return await self.versions.recall(version.model, version.version, reason=reason, revision=version.revision)

    async def reinstate(self, version: ModelVersion, *, reason: str) -> ModelVersion:
        """Reinstate a recalled version.

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
        """Point an alias at the version; create the alias if it does not exist.

        Raises:
            RevisionMismatch, AlreadyExists: another caller moved or created the alias at the same time.
        """
        return await self.set_alias(version.model, alias, version.version, reason=reason)
