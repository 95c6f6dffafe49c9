"""Adapter for strategy execution, which loads trading models."""

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
    """A production version, the local folder with its verified files, and where the answer came from."""

    version: ModelVersion
    folder: Path


class Strategy(ModelRegistry):
    """The registry for strategy execution, a service with threads."""

    def __init__(
        self,
        registry: ModelRegistry,
        folder: str | os.PathLike[str] | None = None,
        *,
        staleness: Staleness = _KEEP,
    ) -> None:
        """Use the read-only files of the cache, or copies in `folder`, in a subfolder named by the version's digest.

        `staleness` decides which version is used during an outage. `KeepLastGood(max_age_s=…)`, by default of a day,
        uses the last known production version, even when the token has expired; `FailClosed()` raises.
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
        """Execute an operation with the registry; answer a resolve from its last answer during an outage."""
        return run(self._last_good.fetch(operation), self._registry.call)

    def trading_model(self, name: str, *, local_files_only: bool = False) -> TradingModel:
        """Fetch the production version of a model, with verified files in a local folder.

        With `local_files_only` no request is sent, and the version is the production version of the last fetch.

        Raises:
            VersionNotFound: the model has no version in production.
            DigestMismatch: a file is not what the manifest says.
            NotCached: with `local_files_only`, the model's production version was never fetched.
        """
        local_version = self.fetch(f"models:/{name}/production", local_files_only=local_files_only)
        if self._folder is None:
            return TradingModel(local_version.version, local_version.folder, **local_version.as_fields())
        folder = self._folder / local_version.version.digest.removeprefix("sha256:")
        self.download(local_version.version.reference, folder, local_files_only=True)
        return TradingModel(local_version.version, folder, **local_version.as_fields())
