"""ML integration deploys and serves: it decides what is in production."""

from typing import TypeVar

from common_lib.errors import InvalidConfiguration
from common_lib.operations.base import Operation
from common_lib.registry import AsyncModelRegistry
from common_lib.rules.lifecycle import ModelStage, Replaced
from common_lib.types.aliases import Alias
from common_lib.types.approvals import Approval
from common_lib.types.production import Check
from common_lib.types.versions import ModelVersion

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

    async def check(self, version: ModelVersion) -> Check:
        """What a promotion of the version would come to now, rule by rule, and what it would replace."""
        return await self.production.check(version.model, version.version)

    async def approve(self, version: ModelVersion, *, reason: str) -> Approval:
        """The approval of a version by a human other than its author.

        Raises:
            DecisionNotAllowed: the caller is a service, or registered the version.
        """
        return await self.approvals.approve(version.model, version.version, reason=reason)

    async def refuse(self, version: ModelVersion, *, reason: str) -> Approval:
        """The refusal of a version, which stands in the way until whoever refused approves.

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
        """The version, in production; the one it replaces is archived in the same instant.

        `replacing` is the number of the one that the decision was made against, None for none, as `check` tells it;
        without it, whatever is there just before.

        Raises:
            RevisionMismatch: somebody changed the version since it was read.
            ProductionChanged: something else is in production than `replacing` says; `winner` says who decided so.
            PolicyNotMet: the policy of the model asks for more.
            IllegalTransition: it is not in staging.
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
        """The version that was in production before the given one, there again.

        Raises:
            ProductionChanged: the given one is not in production any more; `winner` says who decided so.
            NothingToReturnTo: none was there before that could be again.
        """
        return await self.production.rollback(version.model, reason=reason, replacing=version.version)

    async def recall(self, version: ModelVersion, *, reason: str) -> ModelVersion:
        """The version, blocked for everyone at once.

        Raises:
            RevisionMismatch: somebody changed it since it was read.
            VersionRecalled: it is blocked already.
        """
        return await self.versions.recall(version.model, version.version, reason=reason, revision=version.revision)

    async def reinstate(self, version: ModelVersion, *, reason: str) -> ModelVersion:
        """The version, blocked no more.

        Raises:
            RevisionMismatch: somebody changed it since it was read.
            IllegalTransition: it is not blocked.
        """
        return await self.versions.reinstate(version.model, version.version, reason=reason, revision=version.revision)

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
