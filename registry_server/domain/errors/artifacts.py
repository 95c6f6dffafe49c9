"""Errors of blobs, which contain the bytes of files."""

from common_lib.rules.codes import Code
from registry_server.domain.artifacts import FileEntry
from registry_server.domain.errors.base import RegistryError


class BlobNotFound(RegistryError, code=Code.BLOB_NOT_FOUND, field="sha256"):
    """The registry does not have the blob, or the caller has not proved that it has the bytes too."""

    detail = "blob {value} does not exist"
    remedy = "send the bytes: PUT /v1/blobs/{value}"


class BlobDamaged(RegistryError, code=Code.BLOB_DAMAGED, field="sha256"):
    """The bytes of a file are lost or changed."""

    def __init__(self, file: FileEntry) -> None:
        remedy = f"PUT the same bytes to /v1/blobs/{file.sha256} again from a copy"
        super().__init__(file.sha256, f"the bytes of {file.path!r} are damaged or lost", remedy)


class BlobTooLarge(RegistryError, code=Code.TOO_LARGE):
    """The blob has more bytes than the client announced, or more than the server allows."""

    remedy = "send only the announced bytes; split the file, or raise REGISTRY_SERVER_MAX_BLOB_BYTES on the server"

    def __init__(self, field: str, size: int | None, limit: int) -> None:
        self.field = field
        super().__init__(size, f"the blob has more than {limit} bytes")


class DigestMismatch(RegistryError, code=Code.DIGEST_MISMATCH, field="sha256"):
    """The received bytes do not have the digest in the address of the request."""

    remedy = "send the bytes that belong to this digest; nothing of this request was stored"

    def __init__(self, expected: str, actual: str, size: int) -> None:
        super().__init__(expected, f"the {size} received bytes have the digest {actual}, not {expected}")


class BatchMalformed(RegistryError, code=Code.CONTENT_REFUSED, field="body"):
    """The body of a request with several blobs is not in the required format."""

    remedy = "send for each blob: 32 bytes with the digest, 8 bytes with the length, and the content"

    def __init__(self, value: int, fault: str) -> None:
        super().__init__(value, f"the batch of blobs is malformed: {fault}")
