"""The flows that use a model: fetch it and load it, or load it and save it in a safe format as the next version."""

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
from common_lib.operations.base import Blocking, Flow
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
    """The model that a reference means, of which every byte was verified before its loader got it.

    `file` is its path in the version, needed if several could be meant. `loaders` are the names of those that may be
    imported. Pickle, joblib and torch run code, and are read only if `trust` holds the digest of the version or of the
    file. `memory` is how many bytes the load may take, instead of 512 MiB and 16 times the size of the file, at most 8
    GiB. Further options are the loader's own: `trusted_types` of skops, `providers` of ONNX. The rest is as for
    `fetch`.

    Raises:
        LoadRefused: why, and what to do; no deserialiser has seen the file, unless it is its own complaint.
        LibraryMissing: the library of the format is not installed.
    """
    local_version: LocalVersion = yield from fetch(
        origin, reference, cache=cache, local_files_only=local_files_only, progress=progress
    )
    return (
        yield Blocking(
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
    """The next version of the same model, in a safe format, out of a pickle or the like that the caller trusts.

    It has the facts of the version that it is made of, which it names as its parent.

    Raises:
        LoadRefused: the file is not trusted, or is in a safe format already.
        NoSafeFormat: what the file holds cannot be saved without pickle.
    """
    local_version: LocalVersion = yield from fetch(origin, reference, cache=cache, progress=progress)
    old = local_version.version
    lineage = (old.lineage or Lineage()).model_copy(update={"parent": old.reference})
    with tempfile.TemporaryDirectory(prefix="registry-convert-") as folder:
        saved: SavedModel = yield Blocking(lambda: loading.convert(local_version, Path(folder), trust=trust, file=file))
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
