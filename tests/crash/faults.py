"""Planted faults: each is one plausible mistake that the checks must detect."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any, Final, NamedTuple
from unittest import mock

import registry_server.app as composition
from common_lib.artifacts import cache, download, offline_references, target_folder
from registry_server.core import artifacts, versions
from registry_server.domain.errors import DiskFailed
from registry_server.infrastructure import durable_blobs, filesystem_blobs, stream_to_file
from registry_server.infrastructure.filesystem_blobs import FilesystemBlobs
from registry_server.infrastructure.group_commit import GroupCommit
from registry_server.infrastructure.sqlite import SqliteDatabase
from tests.crash import mistakes


class Fault(NamedTuple):
    """A planted fault: the target, its replacement, and the checks that must fail."""

    says: str
    target: Any
    name: str
    instead: Any
    found_by: tuple[tuple[str, ...], ...]
    also: tuple[Any, str, Any] | None = None


FAULTS: Final = {
    fault.says: fault
    for fault in (
        Fault(
            "no fsync of the file",
            durable_blobs,
            "os",
            mistakes.Os(fsync=mistakes.sync_no_file),
            (("order", "put"), ("order", "parts"), ("cut", "put")),
            (filesystem_blobs, "os", mistakes.Os(fsync=mistakes.sync_no_file)),
        ),
        Fault(
            "no fsync of any folder",
            durable_blobs,
            "sync_folder",
            mistakes.unless(lambda path: True),
            (("order", "put"), ("order", "collect"), ("cut", "put"), ("cut", "parts")),
        ),
        Fault(
            "no fsync of the folder of a blob",
            durable_blobs,
            "sync_folder",
            mistakes.unless(lambda path: len(path.name) == 2),
            (("order", "put"), ("order", "quarantine"), ("cut", "put")),
        ),
        Fault(
            "no fsync of the folder of those folders",
            durable_blobs,
            "sync_folder",
            mistakes.unless(lambda path: path.name == "sha256"),
            (("order", "put"), ("cut", "put")),
        ),
        Fault(
            "no fsync of the folder of uploads",
            durable_blobs,
            "sync_folder",
            mistakes.unless(lambda path: path.name == "uploads"),
            (("order", "parts"),),
        ),
        Fault(
            "no fsync of the trash",
            durable_blobs,
            "sync_folder",
            mistakes.unless(lambda path: path.name == "trash"),
            (("order", "collect"),),
        ),
        Fault(
            "no fsync of the quarantine",
            durable_blobs,
            "sync_folder",
            mistakes.unless(lambda path: path.name == "quarantine"),
            (("order", "quarantine"),),
        ),
        Fault(
            "EIO of fsync swallowed",
            durable_blobs,
            "os",
            mistakes.Os(fsync=mistakes.sync_and_hope),
            (("error", "put"), ("error", "parts"), ("error", "collect")),
            (filesystem_blobs, "os", mistakes.Os(fsync=mistakes.sync_and_hope)),
        ),
        Fault("row before bytes", artifacts, "put_blob", mistakes.row_first, (("order", "put"), ("kill", "put"))),
        Fault("verification skipped", filesystem_blobs, "_check_digest", lambda *_: None, (("refusal", "wrong"),)),
        Fault(
            "an unverified file renamed over the final name",
            FilesystemBlobs,
            "put",
            mistakes.put_then_look,
            (("kill", "wrong"),),
        ),
        Fault(
            "written under the final name",
            FilesystemBlobs,
            "put",
            mistakes.put_under_the_name,
            (("kill", "put"), ("order", "put")),
        ),
        Fault(
            "response before the commit",
            GroupCommit,
            "_run_in_savepoint",
            mistakes.answer_early,
            (("order", "put"), ("order", "version"), ("cut", "version")),
            (GroupCommit, "_commit", mistakes.commit_late),
        ),
        Fault(
            "the database does not sync",
            SqliteDatabase,
            "migrate",
            mistakes.unsynced,
            (("order", "put"), ("order", "version"), ("cut", "version")),
        ),
        Fault("staging not cleaned", FilesystemBlobs, "open_store", mistakes.keep_staging, (("kill", "put"),)),
        Fault(
            "bytes left in the trash although they have a row",
            composition,
            "reconcile",
            mistakes.leave_trash,
            (("kill", "collect"),),
        ),
        Fault(
            "bytes not moved back when their removal fails",
            FilesystemBlobs,
            "restore_from_trash",
            lambda *_: False,
            (("error", "collect"),),
        ),
        Fault(
            "undoing a removal is not synced",
            FilesystemBlobs,
            "restore_from_trash",
            mistakes.undo_unsynced,
            (("order", "undo"),),
        ),
        Fault(
            "bytes restored by hand are not synced",
            FilesystemBlobs,
            "sync_restored_blob",
            mistakes.settle_nothing,
            (("order", "restore"),),
        ),
        Fault(
            "the trash is not synced when bytes leave it",
            durable_blobs,
            "sync_folder",
            mistakes.unless(lambda path: path.name == "trash"),
            (("order", "purge"), ("order", "undo"), ("order", "stray")),
        ),
        Fault(
            "an upload continues in the published file",
            filesystem_blobs,
            "os",
            mistakes.Os(fstat=mistakes.one_name),
            (("kill", "parts"),),
        ),
        Fault(
            "a full disk reported as a broken one",
            stream_to_file,
            "disk_failure",
            lambda error: DiskFailed("EIO"),
            (("error", "put"),),
        ),
        Fault(
            "quarantine takes bytes that were uploaded again",
            FilesystemBlobs,
            "quarantine",
            mistakes.take_whatever_stands_there,
            (("race", "quarantine"),),
        ),
        Fault("the client does not sync", cache, "os", mistakes.Os(fsync=lambda _: None), (("client-order", "fetch"),)),
        Fault(
            "the client writes under the final name",
            cache.PartialDownload,
            "__init__",
            mistakes.under_the_name,
            (("client-kill", "fetch"), ("client-kill", "place")),
        ),
        Fault(
            "the client skips the verification",
            cache.PartialDownload,
            "publish",
            mistakes.name_unseen,
            (("flip", "stored blob"),),
        ),
        Fault(
            "the client trusts its cache", cache.Cache, "find_missing", mistakes.only_absent, (("flip", "cached blob"),)
        ),
        Fault(
            "the client trusts its references",
            offline_references,
            "read_sealed",
            mistakes.read_unsealed,
            (("flip", "cached reference"),),
        ),
        Fault(
            "the client trusts its manifests",
            cache.Cache,
            "find_manifest",
            mistakes.any_manifest,
            (("flip", "cached manifest"),),
        ),
        Fault(
            "neither side verifies a manifest",
            download,
            "_belongs_to",
            lambda *_: True,
            (("flip", "stored manifest"),),
            (versions, "manifest", SimpleNamespace(digest_of=lambda _: mock.ANY)),
        ),
        Fault("the client trusts a copy", target_folder, "is_intact", lambda *_: True, (("client-order", "place"),)),
    )
}


@contextmanager
def planted(says: str) -> Iterator[None]:
    """Plant that fault inside the block; plant nothing if the name is empty."""
    with ExitStack() as stack:
        if says:
            fault = FAULTS[says]
            stack.enter_context(mock.patch.object(fault.target, fault.name, fault.instead))
            if fault.also:
                stack.enter_context(mock.patch.object(*fault.also))
        yield
