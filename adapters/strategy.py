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
    """A production version, the local folder of its verified files, and the source and age of the registry's answer."""

    version: ModelVersion
    folder: Path


class Strategy(ModelRegistry):
    """The registry for strategy execution, a service with threads."""

    def __init__(
        self, registry: ModelRegistry, folder: str | os.PathLike[str] | None = None, *, staleness: Staleness = _KEEP
    ) -> None:
        """Serve models from the read-only cache, or copy each version to a subfolder of `folder` if it is given.

        `staleness` decides what happens during an outage. `KeepLastGood(max_age_s=…)`, by default for a day, uses the
        last known production version, even if the token has expired. `FailClosed()` raises an error.
        """
        if not isinstance(registry, ModelRegistry):
            raise InvalidConfiguration(
                f"Strategy is blocking: pass a registry such as HttpRegistry(), not {type(registry).__name__}"
            )
        self._registry = registry
        self.origin = registry.origin
        self._last_good = last_good_for(staleness, "Strategy")
        self._folder = None if folder is None else parse_local_path("folder", folder)

    def call(self, operation: Operation[T]) -> T:
        """Execute an operation with the registry; during an outage, return the last answer to the same resolve."""
        return run(self._last_good.fetch(operation), self._registry.call)

    def trading_model(self, name: str, *, local_files_only: bool = False) -> TradingModel:
        """Fetch the production version of a model, with verified files in a local folder.

        With `local_files_only` no request is sent, and the result is the production version that was fetched last.

        Raises:
            VersionNotFound: the model has no version in production.
            DigestMismatch: a file does not have the digest in the manifest.
            NotCached: with `local_files_only`, a production version of this model was never fetched.
        """
        local_version = self.fetch(f"models:/{name}/production", local_files_only=local_files_only)
        if self._folder is None:
            return TradingModel(local_version.version, local_version.folder, **local_version.as_fields())
        folder = self._folder / local_version.version.digest.removeprefix("sha256:")
        self.download(local_version.version.reference, folder, local_files_only=True)
        return TradingModel(local_version.version, folder, **local_version.as_fields())
