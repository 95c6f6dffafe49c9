"""Errors of the disk and the database."""

from common_lib.rules.codes import Code
from registry_server.domain.errors.base import RegistryError


class StorageUnavailable(RegistryError, code=Code.STORAGE_UNAVAILABLE):
    """The group of errors of a disk or a database that failed; nothing of the request was stored."""

    retry_after_s: float | None = 1.0


class DatabaseFailed(StorageUnavailable):
    """The database failed before the commit."""

    remedy = "nothing was changed; the operator finds the disk or file in the server's log; then try again"

    def __init__(self, error: BaseException) -> None:
        super().__init__(detail=f"the database failed: {type(error).__name__}")


class DatabaseUnreachable(StorageUnavailable):
    """The connection to the database failed, perhaps during the commit."""

    remedy = "nothing was changed unless it failed during the commit; try again with the same Idempotency-Key"

    def __init__(self, error: BaseException) -> None:
        super().__init__(detail=f"the database failed: {type(error).__name__}")


class DatabaseClosed(StorageUnavailable):
    """The database was closed, because the server is stopping."""

    detail = "the database is closed"
    remedy = "start the server again"


class WriterEnded(StorageUnavailable):
    """The thread that writes to the database has ended."""

    detail = "the database writer has ended"
    remedy = "look for the reason in the server's log, then start the server again"


class DiskFailed(StorageUnavailable):
    """The disk with the blobs failed."""

    remedy = "nothing was stored; try again"

    def __init__(self, error_name: str) -> None:
        super().__init__(detail=f"the disk failed: {error_name}")


class BytesCollected(StorageUnavailable):
    """The collector removed the bytes while the request published them."""

    detail = "the garbage collector removed the bytes while they arrived"
    remedy = "send them again"


class FolderIsLink(StorageUnavailable):
    """A folder of the blob store is a symbolic link."""

    remedy = "replace it by a real folder: the server deletes files in it"

    def __init__(self, folder: object) -> None:
        super().__init__(detail=f"{folder} is a symbolic link")


class BlobStoreMissing(StorageUnavailable, code=Code.BLOB_STORE_MISSING):
    """The blob folder is missing, or belongs to another registry; the path is only in the log."""

    retry_after_s = 60.0  # an operator has to mount a disk
    detail = "the blob folder is missing, or belongs to another registry"
    remedy = "nothing was changed; the operator finds the reason in the server's log"


class StorageFull(StorageUnavailable, code=Code.STORAGE_FULL):
    """The disk of the blobs or of the database is full."""

    retry_after_s = None
    detail = "the disk is full"
    remedy = "nothing was stored; free space on the server, then send it again"
