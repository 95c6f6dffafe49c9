"""Errors of the server's disk and database."""

from common_lib.rules.codes import Code
from registry_server.domain.errors.base import RegistryError


class StorageUnavailable(RegistryError, code=Code.STORAGE_UNAVAILABLE):
    """Base class of failures of the disk or the database."""

    retry_after_s: float | None = 1.0


class DatabaseFailed(StorageUnavailable):
    """The database failed before the commit."""

    remedy = "nothing was changed; ask the operator to look at the server's log, then try again"

    def __init__(self, error: BaseException) -> None:
        super().__init__(detail=f"the database failed: {type(error).__name__}")


class DatabaseUnreachable(StorageUnavailable):
    """The connection to the database failed, perhaps during the commit."""

    remedy = "try again with the same Idempotency-Key; nothing was changed, unless the failure was during the commit"

    def __init__(self, error: BaseException) -> None:
        super().__init__(detail=f"the database failed: {type(error).__name__}")


class DatabaseClosed(StorageUnavailable):
    """The database was closed, because the server is stopping."""

    detail = "the database is closed"
    remedy = "start the server again"


class WriterEnded(StorageUnavailable):
    """The thread that writes to the database has stopped after an error."""

    detail = "the thread that writes to the database has stopped"
    remedy = "read the reason in the server's log, then start the server again"


class DiskFailed(StorageUnavailable):
    """The disk that stores the blobs failed."""

    remedy = "nothing was stored; try again"

    def __init__(self, error_name: str) -> None:
        super().__init__(detail=f"the disk failed: {error_name}")


class BytesCollected(StorageUnavailable):
    """The garbage collection removed the bytes of a blob while the request was storing them."""

    detail = "the garbage collection removed the bytes of the blob while they arrived"
    remedy = "send the bytes again"


class FolderIsLink(StorageUnavailable):
    """A folder of the blob store is a symbolic link."""

    remedy = "replace the link by a real folder, because the server deletes files in it"

    def __init__(self, folder: object) -> None:
        super().__init__(detail=f"{folder} is a symbolic link")


class BlobStoreMissing(StorageUnavailable, code=Code.BLOB_STORE_MISSING):
    """The blob folder is missing, or belongs to another registry. Only the log contains its path."""

    retry_after_s = 60.0  # an operator has to mount a disk
    detail = "the blob folder is missing, or belongs to another registry"
    remedy = "nothing was changed; ask the operator to look at the server's log"


class StorageFull(StorageUnavailable, code=Code.STORAGE_FULL):
    """The disk of the blobs or of the database is full."""

    retry_after_s = None
    detail = "the disk is full"
    remedy = "nothing was stored; free space on the server, then repeat the request"
