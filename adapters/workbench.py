"""Adapter for the ML workbench, which trains models, registers versions, and requests their promotion."""

import os
import tempfile
from collections.abc import Mapping
from typing import Any, TypeVar

from common_lib.errors import AlreadyExists, InvalidConfiguration, ModelNotFound, RegistryUnavailable
from common_lib.loaders.saving import save_model
from common_lib.operations.base import Operation
from common_lib.registry import ModelRegistry
from common_lib.repetition import chain_repeats
from common_lib.rules.fields import Scalar
from common_lib.rules.lifecycle import ModelStage, ModelType
from common_lib.types.models import RegisteredModel
from common_lib.types.versions import Lineage, ModelVersion, Signature

T = TypeVar("T")


class Workbench(ModelRegistry):
    """The registry for the workbench, for training scripts and notebooks."""

    def __init__(self, registry: ModelRegistry) -> None:
        if not isinstance(registry, ModelRegistry):
            raise InvalidConfiguration(
                f"Workbench is blocking: pass a registry such as HttpRegistry(), not {type(registry).__name__}"
            )
        self._registry = registry
        self.origin = registry.origin

    def call(self, operation: Operation[T]) -> T:
        """Execute an operation with the registry."""
        return self._registry.call(operation)

    def ensure_model(
        self, name: str, type: ModelType | str, *, description: str = "", tags: Mapping[str, str] | None = None
    ) -> RegisteredModel:
        """Return the model with this name; create it if it does not exist. An existing model is not changed."""
        try:
            return self.models.create(name, type, description=description, tags=tags)
        except AlreadyExists as exists:
            try:
                return self.models.get(name)
            except ModelNotFound:
                # A model whose name differs only in case exists. The first error names it.
                raise exists from None

    def log_version(
        self,
        name: str,
        path: str | os.PathLike[str],
        *,
        framework: str,
        metrics: Mapping[str, float],
        parameters: Mapping[str, Scalar] | None = None,
        signature: Signature | None = None,
        run: str | None = None,
        code_commit: str | None = None,
        data_digest: str | None = None,
        parent: str | None = None,
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> ModelVersion:
        """Register the files of a training run as a new version, with the run's final metrics and its lineage."""
        lineage = Lineage(run=run, code_commit=code_commit, data_digest=data_digest, parent=parent)
        return self.register(
            name,
            path,
            framework=framework,
            description=description,
            parameters=parameters,
            metrics=metrics,
            signature=signature,
            lineage=lineage,
            tags=tags,
        )

    def log_model(self, name: str, estimator: Any, **facts: Any) -> ModelVersion:
        """Save a trained object in a safe format, and register it as a new version.

        `facts` are the other arguments of `log_version`; the default of `framework` is the library of the object. The
        formats are skops for scikit-learn, UBJSON for XGBoost, text for LightGBM, protobuf for ONNX, and safetensors
        for a dict of arrays.

        Raises:
            NoSafeFormat: no safe format can hold the object; save it yourself, and pass the file to `log_version`.
        """
        with tempfile.TemporaryDirectory(prefix="registry-model-") as folder:
            file = save_model(estimator, folder)
            try:
                return self.log_version(name, file.path, **({"framework": file.framework} | facts))
            except RegistryUnavailable as error:
                if error.idempotency_key is None:
                    # The upload was not complete, and the file is removed here: a repetition saves the object again.
                    error.repeat = chain_repeats(lambda other: Workbench(other).log_model(name, estimator, **facts))
                raise

    def request_promotion(self, version: ModelVersion, *, reason: str = "") -> ModelVersion:
        """Move a version to staging, where ML integration looks for candidates; `reason` says why to promote it."""
        return self.versions.transition(
            version.model, version.version, ModelStage.STAGING, reason=reason, revision=version.revision
        )
