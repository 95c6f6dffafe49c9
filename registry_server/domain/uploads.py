"""Uploads in parts."""

from msgspec import Struct

from registry_server.domain.base import Count, Request, Sha256, Time


class UploadRequest(Request, frozen=True):
    """The announcement of bytes that will come in parts."""

    size: Count


class Progress(Struct, frozen=True):
    """How far the upload of a principal is, as it is kept; `prefix_sha256` is the digest of what has come."""

    sha256: Sha256
    principal: str
    size: Count
    received: Count
    prefix_sha256: str
    expires_at: Time


class Upload(Struct, frozen=True):
    """Bytes on their way in: how many of them are here; all of them, if the blob is."""

    sha256: Sha256
    size: Count
    received: Count
    complete: bool
    expires_at: Time
