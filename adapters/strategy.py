"""Strategy execution loads trading models."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from common_lib.errors import InvalidConfiguration
from common_lib.operations.base import Operation
from common_lib.registry import ModelRegistry
from common_lib.values import ModelVersion

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TradingModel:
    """A version whose verified files stand in a local folder, ready to be loaded."""

    version: ModelVersion
    folder: Path


class Strategy(ModelRegistry):
    """The registry in the words of strategy execution, for threads."""

    def __init__(self, registry: ModelRegistry, folder: str | os.PathLike[str]) -> None:
        """`folder` holds the files of the versions in use, each version under its own digest."""
        if not isinstance(registry, ModelRegistry):
            raise InvalidConfiguration(
                f"Strategy is blocking: give it a registry such as HttpRegistry(), not {type(registry).__name__}"
            )
        self._registry = registry
        self.origin = registry.origin
        self._folder = Path(folder)

    def call(self, operation: Operation[T]) -> T:
        """Answer by the registry that was given."""
        return self._registry.call(operation)

    def trading_model(self, name: str) -> TradingModel:
        """The production version of a model, its files here and verified.

        Raises:
            VersionNotFound: none is in production.
            DigestMismatch: bytes are not what the manifest says.
        """
        version = self.resolve(f"models:/{name}/production")
        folder = self._folder / version.digest.removeprefix("sha256:")
        self.download(version.reference, folder)
        return TradingModel(version, folder)
