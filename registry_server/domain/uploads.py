"""The request to begin an upload in parts, and the stored progress of an upload."""

from msgspec import Struct

from registry_server.domain.base import Count, Request, Sha256, Time


class UploadRequest(Request, frozen=True):
    """The request to begin or to continue an upload in parts."""

    size: Count


class Progress(Struct, frozen=True):
    """The stored progress of an upload; `prefix_sha256` is the SHA-256 of the bytes received until now."""

    sha256: Sha256
    principal: str
    size: Count
    received: Count
    prefix_sha256: str
    expires_at: Time
