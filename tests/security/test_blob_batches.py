"""Batches of small blobs: a malformed batch is refused and nothing is stored."""

import hashlib
import struct
from collections.abc import Iterator

import pytest

from tests.security.worlds import CONTENT, SHA256, World, assert_unchanged, open_world, problem

HEADERS = {"content-type": "application/vnd.model-registry.blobs"}


@pytest.fixture(scope="module", params=["memory"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Provide one world for all tests of this file; none of them changes it."""
    with open_world(request) as found:
        yield found


def frame(content: bytes, *, length: int | None = None) -> bytes:
    """Encode one blob as a frame of a batch."""
    return struct.pack(">32sQ", hashlib.sha256(content).digest(), len(content) if length is None else length) + content


BAD = {
    "an empty batch": b"",
    "a cut head": frame(b"new")[:39],
    "a cut blob": frame(b"new")[:-1],
    "a length beyond the body": frame(b"new", length=4),
    "a length beyond any memory": frame(b"new", length=2**64 - 1),
    "a second blob that is cut": frame(b"new") + frame(b"newer")[:-1],
    "another digest": frame(b"new") + bytes.fromhex(SHA256) + (3).to_bytes(8) + b"new",
    "two blobs with one digest": bytes.fromhex(SHA256) + (3).to_bytes(8) + b"new" + frame(CONTENT),
    "too many blobs": b"".join(frame(b"%d" % number) for number in range(41)),
}


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_batch_is_refused(world: World, name: str) -> None:
    """The server sends a typed problem and does not store the good blobs before the bad one either."""
    with assert_unchanged(world):
        answer = world.send("POST", "/v1/blobs", BAD[name], HEADERS)
        assert answer.status_code == 422
        assert problem(answer)["code"] in {"content_refused", "digest_mismatch"}


@pytest.mark.parametrize("media_type", ["application/json", "application/octet-stream", None])
def test_another_media_type_is_refused(world: World, media_type: str | None) -> None:
    """A batch with another or a missing media type gets 415."""
    with assert_unchanged(world):
        answer = world.send("POST", "/v1/blobs", frame(CONTENT), {"content-type": media_type})
        assert (answer.status_code, problem(answer)["code"]) == (415, "unsupported_media_type")


def test_an_encoded_body_is_refused(world: World) -> None:
    """A batch with a content encoding gets 415, because digests are those of the bytes as sent."""
    with assert_unchanged(world):
        answer = world.send("POST", "/v1/blobs", frame(CONTENT), HEADERS | {"content-encoding": "gzip"})
        assert (answer.status_code, problem(answer)["code"]) == (415, "unsupported_media_type")
