"""Operations to upload large blobs in parts."""

from collections.abc import Callable

from common_lib.operations.answers import about, wrong
from common_lib.operations.base import Answer, Operation, Source, ignore_body, json_reader, path, request_body, validate
from common_lib.rules.names import check_sha256
from common_lib.rules.uploads import Upload
from common_lib.types.uploads import UploadRequest

_upload = json_reader(Upload)


def begin_upload(sha256: str, size: int) -> Operation[Upload]:
    """Begin or continue an upload. The answer says how many bytes the registry has; the next part must follow them.

    Raises:
        TooLarge: the registry does not accept blobs of this size.
    """
    body = request_body(UploadRequest, size=size)
    return Operation("PUT", _path(sha256), _check_progress(sha256, size=size), body=body)


def put_part(sha256: str, part: Source, prefix_sha256: str) -> Operation[Upload]:
    """Send the next part of an upload. After the last part, the registry stores all parts as one blob.

    `prefix_sha256` is the SHA-256 of all bytes from the beginning of the file to the end of this part.

    Raises:
        UploadOutOfStep: the part does not begin where the previous one ended.
        UploadNotFound: the upload was not begun, or its bytes are lost.
        InvalidRequest: `digest_mismatch`: the received bytes do not have the digest `prefix_sha256`.
    """
    return Operation(
        "PUT",
        _path(sha256, "parts", part.start),
        _check_progress(sha256, least=part.start + (part.length or 0)),
        "blob",
        headers=(("x-prefix-sha256", validate(check_sha256, prefix_sha256)),),
        upload=part,
    )


def get_upload(sha256: str) -> Operation[Upload]:
    """Get the progress of an upload that the caller has begun, by the digest of its blob.

    Raises:
        UploadNotFound: the caller has no such upload.
    """
    return Operation("GET", _path(sha256), _check_progress(sha256))


def delete_upload(sha256: str) -> Operation[None]:
    """Delete an upload that the caller has begun, together with the received bytes.

    Raises:
        UploadNotFound: the caller has no such upload.
    """
    return Operation("DELETE", _path(sha256), ignore_body)


def _check_progress(sha256: str, *, size: int | None = None, least: int = 0) -> Callable[[Answer], Upload]:
    """Return a reader of the progress of an upload; it refuses an answer with which the upload would never end."""

    def read(answer: Answer) -> Upload:
        found: Upload = about(_upload, sha256=sha256)(answer)
        if size is not None and found.size != size:
            raise wrong("size", found.size, f"{size} bytes were announced")
        if found.received > found.size or (found.received == found.size) != found.complete:
            raise wrong("received", found.received, f"of {found.size} bytes, complete: {found.complete}")
        if found.received < least:
            raise wrong("received", found.received, f"{least} bytes were sent")
        return found

    return read


def _path(sha256: str, *rest: str | int) -> str:
    return path("uploads", validate(check_sha256, sha256), *rest)
