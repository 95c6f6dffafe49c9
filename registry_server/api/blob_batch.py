"""The format of a batch of small blobs in one body: the digest, the length and the bytes of each blob in turn.

The media type is `application/vnd.model-registry.blobs`. A digest has 32 bytes, a length 8 bytes in big-endian order.
The body ends after the last blob, without an end mark.
"""

import struct
from typing import Final

from common_lib.rules.artifacts import MAX_BLOBS_PER_REQUEST
from registry_server.domain import errors

_HEAD: Final = struct.Struct(">32sQ")


def parse(body: bytes) -> dict[str, bytes]:
    """Parse a body and return its blobs by digest. The caller must still verify that the bytes match the digests.

    Raises:
        BatchMalformed: the body is empty or cut off, or contains too many blobs or the same digest twice.

    >>> parse(bytes(32) + (2).to_bytes(8) + b"hi") == {"00" * 32: b"hi"}
    True
    """
    found: dict[str, bytes] = {}
    position = 0
    while position < len(body):
        start = position + _HEAD.size
        if start > len(body):
            raise errors.BatchMalformed(position, f"the body ends within the head of blob {len(found)}")
        digest, length = _HEAD.unpack_from(body, position)
        position = start + length
        if position > len(body):
            raise errors.BatchMalformed(length, f"blob {len(found)} has {len(body) - start} of {length} bytes")
        if digest.hex() in found:
            raise errors.BatchMalformed(position, f"blob {len(found)} repeats an earlier digest")
        found[digest.hex()] = body[start:position]
        if len(found) > MAX_BLOBS_PER_REQUEST:
            raise errors.BatchMalformed(len(found), f"the body has more than {MAX_BLOBS_PER_REQUEST} blobs")
    if not found:
        raise errors.BatchMalformed(0, "the body is empty")
    return found
