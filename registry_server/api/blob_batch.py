"""A batch of small blobs in one body, `application/vnd.model-registry.blobs`: digest, length and bytes of each.

A digest has 32 bytes, a length 8 bytes in big-endian order. The body ends after the last blob, without an end mark.
"""

import struct
from typing import Final

from common_lib.rules.artifacts import MAX_BLOBS_PER_REQUEST
from registry_server.domain.errors import ContentRefused

_HEAD: Final = struct.Struct(">32sQ")


def parse(body: bytes) -> dict[str, bytes]:
    """Parse a body into its blobs by their digests, which are still to be verified.

    Raises:
        ContentRefused: the body is cut off or empty, or holds too many blobs or one digest twice.

    >>> parse(bytes(32) + (2).to_bytes(8) + b"hi") == {"00" * 32: b"hi"}
    True
    """
    found: dict[str, bytes] = {}
    position = 0
    while position < len(body):
        start = position + _HEAD.size
        if start > len(body):
            raise _refused(f"the body ends within the head of blob {len(found)}", position)
        digest, length = _HEAD.unpack_from(body, position)
        position = start + length
        if position > len(body):
            raise _refused(f"blob {len(found)} would have {length} bytes, and {len(body) - start} came", length)
        if digest.hex() in found:
            raise _refused(f"blob {len(found)} has the digest of one before it", position)
        found[digest.hex()] = body[start:position]
        if len(found) > MAX_BLOBS_PER_REQUEST:
            raise _refused(f"the body holds more than {MAX_BLOBS_PER_REQUEST} blobs", len(found))
    if not found:
        raise _refused("the body is empty", 0)
    return found


def _refused(detail: str, value: int) -> ContentRefused:
    return ContentRefused(
        detail, remedy="for each blob send 32 bytes of digest, 8 of length, and its bytes", field="body", value=value
    )
