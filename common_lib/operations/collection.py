"""The operation that runs a garbage collection of blobs."""

from common_lib.operations.base import Operation, json_reader, path, request_body
from common_lib.rules.collection import Collection
from common_lib.types.collection import CollectionRequest

_collection = json_reader(Collection)


def collect_garbage(
    *, dry_run: bool = False, grace_s: int | None = None, retention_s: int | None = None, trash_s: int | None = None
) -> Operation[Collection]:
    """Remove bytes that no version uses; a dry run only counts them. All times are in seconds.

    The registry moves bytes to the trash if no version has used them for `grace_s` (default: a day). It moves the bytes
    of a tombstoned version to the trash after `retention_s` (30 days). It deletes them from the trash after `trash_s`
    (7 days). Manifests and digests are never removed.
    """
    body = request_body(CollectionRequest, dry_run=dry_run, grace_s=grace_s, retention_s=retention_s, trash_s=trash_s)
    return Operation("POST", path("collection"), _collection, "blob", body=body)
