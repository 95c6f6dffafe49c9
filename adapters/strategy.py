"""Strategy execution loads trading models."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from common_lib.artifacts.hashing import parse_local_path
from common_lib.binding import run
from common_lib.errors import InvalidConfiguration
from common_lib.last_good import last_good_for
from common_lib.operations.base import Operation
from common_lib.registry import ModelRegistry
from common_lib.staleness import KeepLastGood, Provenance, Staleness
from common_lib.types.versions import ModelVersion

T = TypeVar("T")
_KEEP = KeepLastGood(max_age_s=86_400)


@dataclass(frozen=True, slots=True)
class TradingModel(Provenance):
    """A version whose verified files stand in a local folder, ready to be loaded; and how it is known to be the one."""

    version: ModelVersion
    folder: Path


class Strategy(ModelRegistry):
    """The registry in the words of strategy execution, for threads."""

    def __init__(
        self,
        registry: ModelRegistry,
        folder: str | os.PathLike[str] | None = None,
        *,
        staleness: Staleness = _KEEP,
    ) -> None:
        """Files stand read-only in the cache of this machine, or as copies in `folder`, under the version's digest.

        While the registry gives no answer, `staleness` decides what is traded with: `KeepLastGood(max_age_s=…)`, by
        default of a day, goes on with what was in production, also when the token has expired; `FailClosed()` raises.
        """
        if not isinstance(registry, ModelRegistry):
            raise InvalidConfiguration(
                f"Strategy is blocking: give it a registry such as HttpRegistry(), not {type(registry).__name__}"
            )
        self._registry = registry
        self.origin = registry.origin
        self._last_good = last_good_for(staleness, "Strategy")
        self._folder = None if folder is None else parse_local_path("folder", folder)

    def call(self, operation: Operation[T]) -> T:
        """Answer by the registry that was given, or by what it said last."""
        return run(self._last_good.fetch(operation), self._registry.call)

    def trading_model(self, name: str, *, local_files_only: bool = False) -> TradingModel:
        """The production version of a model, its files here and verified.

        With `local_files_only` the registry is not asked: it is the version that was in production when this was last
        asked for.

        Raises:
            VersionNotFound: none is in production.
            DigestMismatch: bytes are not what the manifest says.
            NotCached: with `local_files_only`, it was never fetched.
        """
        local_version = self.fetch(f"models:/{name}/production", local_files_only=local_files_only)
        if self._folder is None:
            return TradingModel(local_version.version, local_version.folder, **local_version.as_fields())
        folder = self._folder / local_version.version.digest.removeprefix("sha256:")
        self.download(local_version.version.reference, folder, local_files_only=True)
        return TradingModel(local_version.version, folder, **local_version.as_fields())
