"""The flows that fetch: what a reference means, what the cache lacks of it; nothing is named before it is verified."""

import math
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from common_lib.artifacts.cache import Cache, PartialDownload
from common_lib.artifacts.folder import missing_in, place, reject_foreign_files
from common_lib.artifacts.hashing import parse_local_path
from common_lib.artifacts.local_version import LocalVersion
from common_lib.artifacts.progress import ProgressListener, ignore_progress
from common_lib.errors import DigestMismatch, InvalidRequest, NotCached, RegistryUnavailable, VersionRecalled
from common_lib.operations import artifacts, versions
from common_lib.operations.base import Blocking, Flow, Together, checked
from common_lib.rules.manifest import File, check_files, digest
from common_lib.rules.references import parse
from common_lib.types.artifacts import FileEntry, Manifest
from common_lib.types.versions import ModelVersion

_NOT_ASKED = "local_files_only: the registry was not asked"


def fetch(
    origin: str,
    /,
    reference: str,
    *,
    cache: Cache | None = None,
    local_files_only: bool = False,
    progress: ProgressListener = ignore_progress,
) -> Flow[LocalVersion]:
    """The version that a reference means and a folder with its verified files, which is read-only and shared.

    Files that the cache has are hashed and not fetched again; what has changed there is. With `local_files_only` the
    registry is not asked: the reference means what it meant when it was last fetched. `progress` is told the path of a
    file, how many bytes of it are fetched or verified, and how many it has.

    Raises:
        VersionNotFound: the reference means none.
        VersionRecalled: it means one that is blocked, or was when the registry was last asked.
        DigestMismatch: bytes are not what the manifest says, also when fetched again; they were not kept.
        BlobDamaged: the registry itself has lost them.
        NotCached: with `local_files_only`, something was never fetched.
    """
    store = _checked_cache(cache)
    found, manifest = yield from _resolved(origin, reference, store, local_files_only=local_files_only)
    version = found.version
    yield from _cached(version, manifest.files, store, progress, local_files_only=local_files_only)
    local_version: LocalVersion = yield Blocking(lambda: store.local_version(version, manifest, found))
    if not local_files_only:
        yield Blocking(lambda: _remember(store, origin, reference, found, manifest))
    return local_version


def download(
    origin: str,
    /,
    reference: str,
    folder: str | os.PathLike[str],
    *,
    cache: Cache | None = None,
    local_files_only: bool = False,
    progress: ProgressListener = ignore_progress,
) -> Flow[ModelVersion]:
    """The version that a reference means, with copies of all its files in `folder`, each verified before it was named.

    When it returns, `folder` holds the files of the version and no others. A file that is there already with the right
    bytes is kept; any other file is refused before a byte arrives, and never replaced or removed. The rest is as for
    `fetch`.

    Raises:
        DigestMismatch: bytes are not what the manifest says; nothing of that file is kept.
        InvalidRequest: `folder` holds a file that is not of this version, such as one of another version.
    """
    target, store = parse_local_path("folder", folder), _checked_cache(cache)
    found, manifest = yield from _resolved(origin, reference, store, local_files_only=local_files_only)
    version = found.version
    missing: list[FileEntry] = yield Blocking(lambda: missing_in(target, manifest))
    yield from _cached(version, missing, store, progress, local_files_only=local_files_only)
    for entry in missing:
        yield Blocking(partial(place, store.blob(entry.sha256), target, entry))
    # Somebody else may have filled the folder meanwhile.
    yield Blocking(lambda: reject_foreign_files(target, manifest))
    if not local_files_only:
        yield Blocking(lambda: _remember(store, origin, reference, found, manifest))
    return version


def _checked_cache(cache: Cache | None) -> Cache:
    if cache is not None and not isinstance(cache, Cache):
        raise InvalidRequest(
            f"cache is {cache!r:.200}",
            code="invalid_request",
            remedy="pass Cache(Path(…)), or leave it out for the folder in REGISTRY_CACHE",
            field="cache",
            value=cache,
        )
    return Cache.default() if cache is None else cache


def _remember(store: Cache, origin: str, reference: str, found: versions.Resolution, manifest: Manifest) -> None:
    store.remember(manifest)
    store.references(origin).remember(reference, found.version, time.time() - found.age_s)


def _resolved(
    origin: str, reference: str, store: Cache, *, local_files_only: bool
) -> Flow[tuple[versions.Resolution, Manifest]]:
    """The version that the reference means and the manifest of its files, which is that of its digest."""
    found: versions.Resolution
    manifest: Manifest | None
    yield Blocking(store.check)
    references = store.references(origin)
    if local_files_only:
        version = yield Blocking(lambda: references.get_version(reference))
        manifest = yield Blocking(lambda: store.manifest(version.digest))
        if manifest is None:
            raise NotCached(reference, str(store.root))
        found = versions.Resolution(version, stale=True, age_s=math.inf, source="files", reason=_NOT_ASKED)
    else:
        found = yield from _asked(origin, reference, store)
        version = found.version
        if found.stale:
            yield Blocking(lambda: references.check_not_recalled(version, time.time() - found.age_s))
        manifest = yield Blocking(lambda: store.manifest(version.digest))
        if manifest is None or not _is_of(version, manifest):
            manifest = yield versions.manifest(version.model, version.version)
    _check_identity(version, manifest)
    return found, manifest


def _asked(origin: str, reference: str, store: Cache) -> Flow[versions.Resolution]:
    """The version that the registry says a reference means; that it is recalled is remembered."""
    try:
        # What is loaded decides: of a recall or a rollback it must hear at once.
        found: versions.Resolution = yield replace(versions.resolution(reference), eager=True)
    except VersionRecalled as error:
        recalled = f"models:/{parse(reference).name}/{error.value}", error.detail
        yield Blocking(lambda: store.references(origin).record_recall(*recalled, time.time()))
        raise
    return found


def _cached(
    version: ModelVersion,
    entries: Sequence[FileEntry],
    store: Cache,
    progress: ProgressListener,
    *,
    local_files_only: bool,
) -> Flow[None]:
    """Nothing: the bytes of these files are in the cache, verified just now."""
    distinct = list({entry.sha256: entry for entry in entries}.values())
    missing: list[FileEntry] = yield Blocking(lambda: store.missing(distinct, progress))
    if missing and local_files_only:
        raise NotCached(f"{missing[0].path} of {version.reference}", str(store.root))
    # The largest first: at the end none of them is waited for alone.
    missing.sort(key=lambda entry: -entry.size)
    yield Together([_fetched(version, entry, store, progress) for entry in missing])


def _fetched(version: ModelVersion, entry: FileEntry, store: Cache, progress: ProgressListener) -> Flow[None]:
    partial_download: PartialDownload = yield Blocking(lambda: store.start_download(entry, progress))
    try:
        yield from _arrived(version, entry, partial_download)
        try:
            yield Blocking(partial_download.publish)
        except DigestMismatch:
            # Changed on its way, or by the disk that kept what came before: all of it once more.
            yield from _arrived(version, entry, partial_download)
            yield from _published(entry, partial_download)
    finally:
        partial_download.close()


def _arrived(version: ModelVersion, entry: FileEntry, partial_download: PartialDownload) -> Flow[None]:
    """Nothing: the bytes are here; cuts cost only what was not here yet."""
    while partial_download.held < entry.size or entry.size == 0:
        before = partial_download.held
        try:
            yield artifacts.get_file(version.model, version.version, entry.path, partial_download)
        except RegistryUnavailable:
            if partial_download.held == before:
                raise
        else:
            return


def _published(entry: FileEntry, partial_download: PartialDownload) -> Flow[None]:
    try:
        yield Blocking(partial_download.publish)
    except DigestMismatch:
        # Twice the same: perhaps the registry's own disk. It looks, and keeps damaged bytes from everybody else.
        yield artifacts.verify_blob(entry.sha256)
        raise


def _check_identity(version: ModelVersion, manifest: Manifest) -> None:
    # The server is not trusted: neither to name paths on this machine nor to say which files a version has.
    checked(check_files, _files(manifest))
    if not _is_of(version, manifest):
        what = f"the manifest of {version.reference}"
        raise DigestMismatch(what, expected=version.digest, actual=digest(_files(manifest)))


def _is_of(version: ModelVersion, manifest: Manifest) -> bool:
    # What it says of itself names a folder of the cache, so that is no less checked than what it says of files.
    return digest(_files(manifest)) == manifest.digest == version.digest


def _files(manifest: Manifest) -> list[File]:
    return [File(entry.path, entry.size, entry.sha256, entry.media_type) for entry in manifest.files]
