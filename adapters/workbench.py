"""The ML workbench trains: it names models, registers versions, and asks for their promotion."""

import os
import tempfile
from collections.abc import Mapping
from typing import Any, TypeVar

from common_lib.errors import AlreadyExists, InvalidConfiguration, ModelNotFound, RegistryUnavailable
from common_lib.loaders.saving import save_model
from common_lib.operations.base import Operation
from common_lib.registry import ModelRegistry
from common_lib.repetition import chain_repeats
from common_lib.rules.lifecycle import ModelStage, ModelType
from common_lib.types.base import Scalar
from common_lib.types.models import RegisteredModel
from common_lib.types.versions import Lineage, ModelVersion, Signature

T = TypeVar("T")


class Workbench(ModelRegistry):
    """The registry in the words of the workbench, for training scripts and notebooks."""

    def __init__(self, registry: ModelRegistry) -> None:
        if not isinstance(registry, ModelRegistry):
            raise InvalidConfiguration(
                f"Workbench is blocking: give it a registry such as HttpRegistry(), not {type(registry).__name__}"
            )
        self._registry = registry
        self.origin = registry.origin

    def call(self, operation: Operation[T]) -> T:
        """Answer by the registry that was given."""
        return self._registry.call(operation)

    def ensure_model(
        self,
        name: str,
        type: ModelType | str,
        *,
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> RegisteredModel:
        """The model of that name, created if it was not there; one that was is left as it is."""
        try:
            return self.models.create(name, type, description=description, tags=tags)
        except AlreadyExists as exists:
            try:
                return self.models.get(name)
            except ModelNotFound:
                # The name that is taken differs in capitals, and the first error says which it is.
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
        """A new version out of what a run trained, with its final metrics and where it comes from."""
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
        """A new version out of a trained object, in the safe format for it; `facts` are those of `log_version`.

        scikit-learn becomes skops, XGBoost UBJSON, LightGBM its text, ONNX its protobuf, a dict of arrays safetensors.

        Raises:
            NoSafeFormat: there is none for it; save it yourself, and pass the file to `log_version`.
        """
        with tempfile.TemporaryDirectory(prefix="registry-model-") as folder:
            file = save_model(estimator, folder)
            try:
                return self.log_version(name, file.path, **({"framework": file.framework} | facts))
            except RegistryUnavailable as error:
                if error.idempotency_key is None:
                    # Its bytes were still on their way, and the file is gone: to repeat it, it is saved again.
                    error.repeat = chain_repeats(lambda other: Workbench(other).log_model(name, estimator, **facts))
                raise

    def request_promotion(self, version: ModelVersion, *, reason: str = "") -> ModelVersion:
        """The version, moved to staging, where integration finds it; `reason` says why it should be promoted."""
        return self.versions.transition(
            version.model, version.version, ModelStage.STAGING, reason=reason, revision=version.revision
        )
