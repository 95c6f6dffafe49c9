"""Flows that fetch the files of a version: resolve the reference, download missing files, and verify each file."""

import math
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from common_lib.artifacts.cache import Cache, PartialDownload
from common_lib.artifacts.hashing import parse_local_path
from common_lib.artifacts.local_version import LocalVersion
from common_lib.artifacts.progress import ProgressListener, ignore_progress
from common_lib.artifacts.target_folder import copy_blob, find_missing, reject_foreign_files
from common_lib.errors import DigestMismatch, InvalidRequest, NotCached, RegistryUnavailable, VersionRecalled
from common_lib.operations import artifacts, versions
from common_lib.operations.base import Flow, Parallel, RunInThread, validate
from common_lib.rules.references import parse
from common_lib.types.artifacts import FileEntry, Manifest
from common_lib.types.versions import ModelVersion

_OFFLINE = "local_files_only: the registry was not asked"


def fetch(
    origin: str,
    /,
    reference: str,
    *,
    cache: Cache | None = None,
    local_files_only: bool = False,
    progress: ProgressListener = ignore_progress,
) -> Flow[LocalVersion]:
    """Fetch the version of a reference into the cache, and return it with the folder of its verified files.

    The files are read-only, and all processes of the user share them. Files in the cache are verified again; only
    missing or damaged files are downloaded. With `local_files_only` no request is sent, and the result is the version
    that was fetched last for this reference. `progress` is called with the path of a file, the number of its bytes
    that are fetched or verified so far, and its size.

    Raises:
        VersionNotFound: no version matches the reference.
        VersionRecalled: the version is recalled according to the last answer of the registry.
        DigestMismatch: a file does not have the digest in the manifest, even after a second download; it was discarded.
        BlobDamaged: the registry's own copy of a file is damaged.
        NotCached: with `local_files_only`, the reference or a file was never fetched.
    """
    store = _check_cache(cache)
    found, manifest = yield from _resolve(origin, reference, store, local_files_only=local_files_only)
    version = found.version
    yield from _fill_cache(version, manifest.files, store, progress, local_files_only=local_files_only)
    local_version: LocalVersion = yield RunInThread(lambda: store.link_files(version, manifest, found))
    if not local_files_only:
        yield RunInThread(lambda: _record(store, origin, reference, found, manifest))
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
    """Copy all files of the version of a reference into `folder`, and return the version.

    Each copy is verified before it gets its final name. Afterwards `folder` contains exactly the files of the version.
    Files that are already there with the right bytes are not copied again. If `folder` contains any other file, the
    download does not begin; existing files are never replaced or removed. Everything else is as for `fetch`.

    Raises:
        DigestMismatch: a file does not have the digest in the manifest; it was discarded.
        InvalidRequest: `folder` contains a file that does not belong to this version.
    """
    target, store = parse_local_path("folder", folder), _check_cache(cache)
    found, manifest = yield from _resolve(origin, reference, store, local_files_only=local_files_only)
    version = found.version
    missing: list[FileEntry] = yield RunInThread(lambda: find_missing(target, manifest))
    yield from _fill_cache(version, missing, store, progress, local_files_only=local_files_only)
    for entry in missing:
        yield RunInThread(partial(copy_blob, store.blob(entry.sha256), target, entry))
    # Another process may have put files into the folder meanwhile.
    yield RunInThread(lambda: reject_foreign_files(target, manifest))
    if not local_files_only:
        yield RunInThread(lambda: _record(store, origin, reference, found, manifest))
    return version


def _check_cache(cache: Cache | None) -> Cache:
    if cache is not None and not isinstance(cache, Cache):
        raise InvalidRequest(
            f"cache is {cache!r:.200}, which is not a Cache",
            code="invalid_request",
            remedy="pass cache=Cache(Path(…)), or omit the argument to use the folder in REGISTRY_CACHE",
            field="cache",
            value=cache,
        )
    return Cache.default() if cache is None else cache


def _record(store: Cache, origin: str, reference: str, found: versions.Resolution, manifest: Manifest) -> None:
    store.record_manifest(manifest)
    store.references(origin).record(reference, found.version, time.time() - found.age_s)


def _resolve(
    origin: str, reference: str, store: Cache, *, local_files_only: bool
) -> Flow[tuple[versions.Resolution, Manifest]]:
    """Return the version of a reference and its manifest, after checking that their digests are equal."""
    found: versions.Resolution
    manifest: Manifest | None
    yield RunInThread(store.check_folders)
    references = store.references(origin)
    if local_files_only:
        version = yield RunInThread(lambda: references.get_version(reference))
        manifest = yield RunInThread(lambda: store.find_manifest(version.digest))
        if manifest is None:
            raise NotCached(reference, str(store.root))
        found = versions.Resolution(version, stale=True, age_s=math.inf, source="files", reason=_OFFLINE)
    else:
        found = yield from _resolve_at_registry(origin, reference, store)
        version = found.version
        if found.stale:
            yield RunInThread(lambda: references.check_not_recalled(version, time.time() - found.age_s))
        manifest = yield RunInThread(lambda: store.find_manifest(version.digest))
        if manifest is None or not _belongs_to(version, manifest):
            manifest = yield versions.manifest(version.model, version.version)
    _check_manifest(version, manifest)
    return found, manifest


def _resolve_at_registry(origin: str, reference: str, store: Cache) -> Flow[versions.Resolution]:
    """Resolve a reference at the registry. If the version is recalled, record that for offline use and raise."""
    try:
        # Eager: files are about to be used, so a recall or a rollback must take effect at once.
        found: versions.Resolution = yield replace(versions.resolution(reference), eager=True)
    except VersionRecalled as error:
        recalled = f"models:/{parse(reference).name}/{error.value}", error.detail
        yield RunInThread(lambda: store.references(origin).record_recall(*recalled, time.time()))
        raise
    return found


def _fill_cache(
    version: ModelVersion,
    entries: Sequence[FileEntry],
    store: Cache,
    progress: ProgressListener,
    *,
    local_files_only: bool,
) -> Flow[None]:
    """Verify the cached blobs of these files, and download those that are missing or damaged."""
    distinct = list({entry.sha256: entry for entry in entries}.values())
    missing: list[FileEntry] = yield RunInThread(lambda: store.find_missing(distinct, progress))
    if missing and local_files_only:
        raise NotCached(f"{missing[0].path} of {version.reference}", str(store.root))
    # The largest first, so that the last transfer to end is a short one.
    missing.sort(key=lambda entry: -entry.size)
    yield Parallel([_download_file(version, entry, store, progress) for entry in missing])


def _download_file(version: ModelVersion, entry: FileEntry, store: Cache, progress: ProgressListener) -> Flow[None]:
    partial_download: PartialDownload = yield RunInThread(lambda: store.start_download(entry, progress))
    try:
        yield from _receive(version, entry, partial_download)
        try:
            yield RunInThread(partial_download.publish)
        except DigestMismatch:
            # The network, or the disk that held the first part, changed the bytes: download the whole file again.
            yield from _receive(version, entry, partial_download)
            yield from _publish_or_report(entry, partial_download)
    finally:
        partial_download.close()


def _receive(version: ModelVersion, entry: FileEntry, partial_download: PartialDownload) -> Flow[None]:
    """Download the bytes of a file; after a lost connection, request only the bytes that are still missing."""
    while partial_download.held < entry.size or entry.size == 0:
        before = partial_download.held
        try:
            yield artifacts.get_file(version.model, version.version, entry.path, partial_download)
        except RegistryUnavailable:
            if partial_download.held == before:
                raise
        else:
            return


def _publish_or_report(entry: FileEntry, partial_download: PartialDownload) -> Flow[None]:
    try:
        yield RunInThread(partial_download.publish)
    except DigestMismatch:
        # Wrong twice: the registry's own disk may be damaged. It verifies the blob, and quarantines it if needed.
        yield artifacts.verify_blob(entry.sha256)
        raise


def _check_manifest(version: ModelVersion, manifest: Manifest) -> None:
    # The server is not trusted, neither with paths on this machine nor with the list of a version's files.
    validate(Manifest.check_rules, manifest)
    if not _belongs_to(version, manifest):
        what = f"the manifest of {version.reference}"
        raise DigestMismatch(what, expected=version.digest, actual=manifest.compute_digest())


def _belongs_to(version: ModelVersion, manifest: Manifest) -> bool:
    # The manifest's own digest is checked too, because it names a folder of the cache.
    return manifest.compute_digest() == manifest.digest == version.digest
