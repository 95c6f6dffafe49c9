"""Uploads: blobs that arrive in parts."""

from common_lib.types.base import Count, Moment, RequestModel, Sha256, Value


class UploadRequest(RequestModel):
    """The request to begin or to continue an upload in parts."""

    size: Count


class Upload(Value):
    """Progress of an upload: how many bytes the registry has received; complete if the blob is stored."""

    sha256: Sha256
    size: Count
    received: Count
    complete: bool
    expires_at: Moment
