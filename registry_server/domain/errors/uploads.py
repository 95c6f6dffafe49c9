"""Errors of uploads that are sent in parts."""

from common_lib.rules.codes import Code
from registry_server.domain.errors.base import RegistryError
from registry_server.domain.uploads import Progress


class UploadNotFound(RegistryError, code=Code.UPLOAD_NOT_FOUND, field="sha256"):
    """The caller has no open upload with this digest."""

    detail = "you have no open upload of {value}"
    remedy = "begin the upload: PUT /v1/uploads/{value} with its size"


class UploadLost(RegistryError, code=Code.UPLOAD_NOT_FOUND, field="received"):
    """The server has lost the bytes of earlier parts of the upload."""

    detail = "the bytes that were received before this part are lost"
    remedy = "start the upload again"


class UploadSizeChanged(RegistryError, code=Code.CONFLICT, field="size"):
    """The caller has already begun an upload of the same digest with another size."""

    remedy = "send the real size, or delete the upload first"

    def __init__(self, found: Progress, size: int) -> None:
        super().__init__(size, f"the upload of {found.sha256} was announced with {found.size} bytes, not {size}")


class UploadOutOfStep(RegistryError, code=Code.UPLOAD_OUT_OF_STEP, field="start"):
    """The part does not start where the previous part ended."""

    def __init__(self, own: Progress, start: int) -> None:
        detail = f"the part starts at byte {start}, but {own.received} of {own.size} bytes were received"
        super().__init__(start, detail, f"send the part that starts at byte {own.received}")


class UploadPartInFlight(RegistryError, code=Code.REQUEST_IN_FLIGHT, field="sha256"):
    """Another part of the same upload is being received."""

    retry_after_s = 1.0
    detail = "another part of this upload is being received"
    remedy = "send one part after the other"


class UploadDigestMismatch(RegistryError, code=Code.DIGEST_MISMATCH, field="sha256"):
    """The upload is complete, but its bytes do not have the announced digest."""

    remedy = "start the upload again with the digest of these bytes"

    def __init__(self, own: Progress, actual: str) -> None:
        super().__init__(own.sha256, f"all {own.size} bytes were received, but their digest is {actual}")


class QuotaExceeded(RegistryError, code=Code.QUOTA_EXCEEDED, field="size"):
    """Base class of errors when the open uploads of a principal exceed a quota."""

    remedy = (
        "finish or delete open uploads; an upload without new parts expires after a day; an operator can raise "
        "REGISTRY_SERVER_MAX_OPEN_UPLOADS and REGISTRY_SERVER_MAX_ANNOUNCED_BYTES"
    )
    retry_after_s = 60.0


class TooManyUploads(QuotaExceeded):
    """The principal already has the maximum number of open uploads."""

    def __init__(self, size: int, principal: str, limit: int) -> None:
        super().__init__(size, f"{principal} already has {limit} open uploads")


class TooManyAnnouncedBytes(QuotaExceeded):
    """The total size of the principal's open uploads would exceed its quota."""

    def __init__(self, size: int, principal: str, limit: int) -> None:
        super().__init__(size, f"the open uploads of {principal} would have more than {limit} bytes in total")
