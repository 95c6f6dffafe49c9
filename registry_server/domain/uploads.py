"""Uploads in parts."""

from msgspec import Struct

from registry_server.domain.base import Count, Request, Sha256, Time


class UploadRequest(Request, frozen=True):
    """The request to begin or to continue an upload in parts."""

    size: Count


class Progress(Struct, frozen=True):
    """The stored progress of a principal's upload; `prefix_sha256` is the digest of the bytes received so far."""

    sha256: Sha256
    principal: str
    size: Count
    received: Count
    prefix_sha256: str
    expires_at: Time
