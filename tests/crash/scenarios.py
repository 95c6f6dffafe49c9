"""Every write path of the server, each with its preparation and its requests."""

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import NamedTuple
from unittest import mock

from common_lib.rules.artifacts import BLOBS_MEDIA_TYPE
from registry_server.core import artifacts, collection
from tests.crash.worlds import Refused, Session, digest

Step = Callable[[Session], Awaitable[None]]
CONTENT = bytes(range(200))
OTHER = CONTENT[::-1]
SHA256 = digest(CONTENT)


class Scenario(NamedTuple):
    """The preparation, the requests, and the digests whose bytes were damaged before."""

    prepare: Step
    act: Step
    damaged: frozenset[str] = frozenset()


async def _other(session: Session) -> None:
    await session.put(OTHER)


async def _put(session: Session) -> None:
    await session.put(CONTENT)


async def _parts(session: Session) -> None:
    await session.put_in_parts(CONTENT, 70)


async def _both(session: Session) -> None:
    await session.put(OTHER)
    await session.put(CONTENT)


async def _damaged(session: Session) -> None:
    await _both(session)
    file = session.data / "blobs" / "sha256" / SHA256[:2] / SHA256
    file.write_bytes(OTHER)


async def _wrong(session: Session) -> None:
    try:
        await session.put(OTHER + b"not announced", SHA256)
    except Refused as refused:
        if refused.code != "digest_mismatch":
            raise
    else:
        raise AssertionError("bytes of another digest were taken")


async def _verify(session: Session) -> None:
    await session.send("POST", f"/blobs/{SHA256}/verify")


async def _unnamed(session: Session) -> None:
    await session.put(OTHER)
    await _version_of(session, OTHER, "acknowledged")
    # A lease that has expired.
    with mock.patch.object(artifacts, "LEASE", timedelta(seconds=-1)):
        await session.send("PUT", f"/blobs/{SHA256}", CONTENT)


async def _collect(session: Session) -> None:
    await _in_few_folders(session, grace_s=0, trash_s=86_400)


async def _in_few_folders(session: Session, **order: int) -> None:
    # All 256 folders are listed in the same way.
    with mock.patch.object(collection, "_PREFIXES", sorted({SHA256[:2], digest(OTHER)[:2]})):
        await session.send("POST", "/collection", json.dumps(order).encode(), **{"content-type": "application/json"})


async def _trashed(session: Session) -> None:
    await _unnamed(session)
    await _collect(session)
    for file in (session.data / "blobs" / "trash").iterdir():
        os.utime(file, (0, 0))


async def _purge(session: Session) -> None:
    await _in_few_folders(session, grace_s=86_400, trash_s=0)


async def _version_of(session: Session, content: bytes, name: str) -> None:
    await session.post("/models", name=name, type="regression")
    entry = {"path": "model.bin", "size": len(content), "sha256": digest(content)}
    made = await session.post(f"/models/{name}/versions", framework="test", files=[entry])
    session.acknowledged(f"{name}/{made['version']}")


async def _version(session: Session) -> None:
    await _version_of(session, CONTENT, "volatility")


SCENARIOS = {
    "put": Scenario(_other, _put),
    "wrong": Scenario(_other, _wrong),
    "parts": Scenario(_other, _parts),
    "again": Scenario(_both, _put),
    "heal": Scenario(_damaged, _put, frozenset({SHA256})),
    "quarantine": Scenario(_damaged, _verify, frozenset({SHA256})),
    "collect": Scenario(_unnamed, _collect),
    "purge": Scenario(_trashed, _purge),
    "version": Scenario(_both, _version),
}


async def _together(session: Session) -> None:
    body = b"".join(bytes.fromhex(digest(one)) + len(one).to_bytes(8) + one for one in (CONTENT, b"small"))
    await session.send("POST", "/blobs", body, **{"content-type": BLOBS_MEDIA_TYPE})


async def _undo(session: Session) -> None:
    session.env.blobs.move_to_trash(SHA256)
    assert await collection.reconcile(session.env) == 1
    await session.send("GET", f"/blobs/{SHA256}")


async def _quarantined(session: Session) -> None:
    await _damaged(session)
    await _verify(session)
    (session.data / "blobs" / "sha256" / SHA256[:2] / SHA256).write_bytes(CONTENT)


async def _stray(session: Session) -> None:
    await session.env.blobs.put(SHA256, _once(CONTENT), 1_000)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _abandoned(session: Session) -> None:
    begin = json.dumps({"size": len(CONTENT)}).encode()
    await session.send("PUT", f"/uploads/{SHA256}", begin, **{"content-type": "application/json"})
    prefix = {"x-prefix-sha256": digest(CONTENT[:70])}
    await session.send("PUT", f"/uploads/{SHA256}/parts/0", CONTENT[:70], **prefix)


async def _abandon(session: Session) -> None:
    await session.send("DELETE", f"/uploads/{SHA256}")


# The other paths of the blob store; their calls fail in the same way as those of a path above.
ALL = SCENARIOS | {
    "together": Scenario(_other, _together),
    "undo": Scenario(_both, _undo),
    "restore": Scenario(_quarantined, _verify),
    "stray": Scenario(_stray, _collect),
    "abandon": Scenario(_abandoned, _abandon),
}
