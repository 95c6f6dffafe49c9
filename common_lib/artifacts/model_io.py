"""Flows that fetch a version and load its model, or convert the model to a safe format and register the result."""

import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from common_lib.artifacts import loading
from common_lib.artifacts.cache import Cache
from common_lib.artifacts.download import fetch
from common_lib.artifacts.loading import DEFAULT_ALLOWED
from common_lib.artifacts.local_version import LocalVersion
from common_lib.artifacts.progress import ProgressListener, ignore_progress
from common_lib.artifacts.trust import Trust
from common_lib.artifacts.upload import register
from common_lib.loaders.saving import SavedModel
from common_lib.operations.base import Flow, RunInThread
from common_lib.types.versions import Lineage, ModelVersion


def load(
    origin: str,
    /,
    reference: str,
    *,
    file: str | None = None,
    trust: Trust | None = None,
    loaders: Collection[str] = DEFAULT_ALLOWED,
    memory: int | None = None,
    cache: Cache | None = None,
    local_files_only: bool = False,
    progress: ProgressListener = ignore_progress,
    **options: Any,
) -> Flow[Any]:
    """Fetch the version of a reference, and load its model from verified bytes.

    `file` is the path of the model file; it is required if the version has several model files. `loaders` are the names
    of the loaders that may be imported. A pickle, joblib or torch file runs code when it is loaded, so it is loaded
    only if `trust` contains the digest of the version or of the file. `memory` limits the memory of the load, in bytes;
    the default is `REGISTRY_LOAD_MEMORY`, or 512 MiB plus 16 times the size of the file, at most 8 GiB. Other options
    are passed to the loader, such as `trusted_types` to skops and `providers` to ONNX. The rest is as for `fetch`.

    Raises:
        LoadRefused: a check refused the file before it was deserialised, or the loader failed.
        LibraryMissing: the library of the format is not installed.
    """
    local_version: LocalVersion = yield from fetch(
        origin, reference, cache=cache, local_files_only=local_files_only, progress=progress
    )
    return (
        yield RunInThread(
            lambda: loading.load(local_version, file=file, trust=trust, loaders=loaders, memory=memory, **options)
        )
    )


def convert(
    origin: str,
    /,
    reference: str,
    *,
    trust: Trust,
    file: str | None = None,
    cache: Cache | None = None,
    progress: ProgressListener = ignore_progress,
) -> Flow[ModelVersion]:
    """Load a trusted pickle, joblib or torch file, and register it in a safe format as the next version of the model.

    The new version has the metadata of the old version. Its lineage contains the old version as its parent.

    Raises:
        LoadRefused: the file is not trusted, or is already in a safe format.
        NoSafeFormat: the object cannot be saved without pickle.
    """
    local_version: LocalVersion = yield from fetch(origin, reference, cache=cache, progress=progress)
    old = local_version.version
    lineage = (old.lineage or Lineage()).model_copy(update={"parent": old.reference})
    with tempfile.TemporaryDirectory(prefix="registry-convert-") as folder:
        saved: SavedModel = yield RunInThread(
            lambda: loading.convert(local_version, Path(folder), trust=trust, file=file)
        )
        version: ModelVersion = yield from register(
            origin,
            old.model,
            saved.path,
            framework=saved.framework,
            description=old.description,
            parameters=old.parameters,
            metrics=old.metrics,
            signature=old.signature,
            lineage=lineage,
            tags=old.tags,
            progress=progress,
        )
    return version
