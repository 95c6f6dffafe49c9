"""Knowing the digest of bytes gives no access to them, and does not reveal whether they are stored."""

import hashlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from common_lib import FileEntry, Grant, HttpRegistry, RegistryConfig, Role
from common_lib.errors import BlobNotFound, BytesMissing
from common_lib.operations.base import Source
from tests.conftest import Server


class World(NamedTuple):
    """Two workbenches with different models, and bytes that the first workbench has registered."""

    owner: HttpRegistry
    stranger: HttpRegistry
    model: str
    entry: FileEntry
    file: Path


def workbench(server: Server, models: str) -> HttpRegistry:
    """Return the registry of a new workbench principal with a grant on some models."""
    with server.registry() as admin:
        name = f"bench-{uuid.uuid4().hex[:8]}"
        admin.principals.create(name, "service", [Grant(role=Role.WORKBENCH, models=models)])
        token = admin.principals.issue_token(name).secret or ""
    return HttpRegistry(RegistryConfig(url=server.url, token=token))


@pytest.fixture
def world(server: Server, name: str, tmp_path: Path) -> Iterator[World]:
    """Provide the registered bytes of one principal, and another principal that knows their digest."""
    file = tmp_path / "model.bin"
    file.write_bytes(b"the secret weights of " + name.encode())
    entry = FileEntry(path="m", size=file.stat().st_size, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    with workbench(server, f"{name}-a*") as owner, workbench(server, f"{name}-b") as stranger:
        owner.models.create(f"{name}-a", "regression")
        owner.register(f"{name}-a", file, framework="test")
        stranger.models.create(f"{name}-b", "regression")
        yield World(owner, stranger, f"{name}-b", entry, file)


def test_a_digest_alone_gives_no_access_to_bytes(world: World) -> None:
    """A digest gives neither the bytes, nor a version that names them, nor the information that they are stored."""
    sha256 = world.entry.sha256
    with pytest.raises(BytesMissing):
        world.stranger.versions.create(world.model, [world.entry], framework="test")
    assert world.stranger.artifacts.check_presence([sha256]).missing == [sha256]
    assert not world.stranger.artifacts.begin_upload(sha256, world.entry.size).complete
    for ask in (world.stranger.artifacts.get_blob, world.stranger.artifacts.verify_blob):
        with pytest.raises(BlobNotFound):
            ask(sha256)
    with pytest.raises(BytesMissing):
        world.stranger.versions.create(world.model, [world.entry], framework="test")


def test_sending_the_bytes_proves_possession(world: World) -> None:
    """A principal that sends the bytes can register them, and the registry stores them once."""
    world.stranger.artifacts.put_blob(world.entry.sha256, Source(world.file))
    assert world.stranger.artifacts.check_presence([world.entry.sha256]).missing == []
    assert world.stranger.versions.create(world.model, [world.entry], framework="test").version == 1


def test_register_sends_bytes_that_another_principal_has_stored(world: World) -> None:
    """The registry reports the bytes as missing, so the client sends them."""
    assert world.stranger.register(world.model, world.file, framework="test").version == 1


def test_readers_of_a_version_need_not_send_its_bytes(world: World, name: str) -> None:
    """The bytes count as present for a principal with rights on a model that has them."""
    sha256 = world.entry.sha256
    assert world.owner.artifacts.check_presence([sha256]).missing == []
    assert world.owner.artifacts.begin_upload(sha256, world.entry.size).complete
    assert world.owner.artifacts.get_blob(sha256).sha256 == sha256
    world.owner.models.create(f"{name}-a2", "regression")
    assert world.owner.versions.create(f"{name}-a2", [world.entry], framework="test").version == 1


def test_responses_reveal_nothing_about_other_senders(server: Server, world: World, name: str, tmp_path: Path) -> None:
    """Status and headers do not depend on other principals, and name and time are those of the caller."""
    sha256 = world.entry.sha256
    alone = tmp_path / "alone.bin"
    alone.write_bytes(b"nobody else holds these weights of " + name.encode())
    fresh = hashlib.sha256(alone.read_bytes()).hexdigest()
    stranger = world.stranger.principals.whoami().name
    with server.registry() as admin:
        headers = {"authorization": f"Bearer {admin.principals.issue_token(stranger).secret}"}
    with httpx.Client(base_url=server.url, headers=headers) as http:
        seen = {}
        for digest, file in ((sha256, world.file), (fresh, alone)):
            content, began = file.read_bytes(), datetime.now(UTC)
            answers = [
                http.put(f"/v1/blobs/{digest}", content=content),
                http.put(f"/v1/blobs/{digest}", content=content),
                http.get(f"/v1/blobs/{digest}"),
                http.post(f"/v1/blobs/{digest}/verify"),
                http.put(f"/v1/uploads/{digest}", json={"size": len(content)}),
                http.post("/v1/presence", json={"sha256": [digest]}),
            ]
            bodies = [answer.json() for answer in answers]
            blobs = [*bodies[:3], bodies[3]["blob"]]
            assert {blob["created_by"] for blob in blobs} == {stranger}
            assert all(datetime.fromisoformat(blob["created_at"]) >= began for blob in blobs)
            seen[digest] = [(answer.status_code, sorted(answer.headers)) for answer in answers]
            assert [status for status, _ in seen[digest]] == [201, 200, 200, 200, 200, 200]
            owner = world.owner.principals.whoami().name
            assert all(owner not in answer.text for answer in answers)
        assert seen[sha256] == seen[fresh]


def test_the_first_sender_of_bytes_is_not_revealed(server: Server, world: World, name: str) -> None:
    """The response has the facts of a version that the reader can see, not those of the first sender."""
    world.stranger.artifacts.put_blob(world.entry.sha256, Source(world.file))
    world.stranger.versions.create(world.model, [world.entry], framework="test")
    with workbench(server, f"{name}-b*") as reader:
        registered = reader.versions.get(world.model, 1)
        for blob in (
            reader.artifacts.get_blob(world.entry.sha256),
            reader.artifacts.verify_blob(world.entry.sha256).blob,
        ):
            assert (blob.created_by, blob.created_at) == (registered.created_by, registered.created_at)
    with server.registry() as admin:
        assert admin.artifacts.get_blob(world.entry.sha256).created_by == world.owner.principals.whoami().name
