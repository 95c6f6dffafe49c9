"""Who knows the digest of bytes does not have them: neither are they given out for it, nor told to be here."""

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from common_lib import FileEntry, Grant, HttpRegistry, RegistryConfig, Role
from common_lib.errors import BlobNotFound, BytesMissing
from common_lib.operations.base import Source
from tests.conftest import Server


class World(NamedTuple):
    """Two workbenches with models of their own, and bytes that the first of them has registered."""

    owner: HttpRegistry
    stranger: HttpRegistry
    model: str
    entry: FileEntry
    file: Path


def workbench(server: Server, models: str) -> HttpRegistry:
    """The registry of a workbench with a grant on some models."""
    with server.registry() as admin:
        name = f"bench-{uuid.uuid4().hex[:8]}"
        admin.principals.create(name, "service", [Grant(role=Role.WORKBENCH, models=models)])
        token = admin.principals.issue_token(name).secret or ""
    return HttpRegistry(RegistryConfig(url=server.url, token=token))


@pytest.fixture
def world(server: Server, name: str, tmp_path: Path) -> Iterator[World]:
    """Bytes of one, and another who has heard of their digest."""
    file = tmp_path / "model.bin"
    file.write_bytes(b"the secret weights of " + name.encode())
    entry = FileEntry(path="m", size=file.stat().st_size, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    with workbench(server, f"{name}-a*") as owner, workbench(server, f"{name}-b") as stranger:
        owner.models.create(f"{name}-a", "regression")
        owner.register(f"{name}-a", file, framework="test")
        stranger.models.create(f"{name}-b", "regression")
        yield World(owner, stranger, f"{name}-b", entry, file)


def test_a_digest_alone_gives_nothing(world: World) -> None:
    """Not the bytes, through a version that names them, and not the news that they are here."""
    sha256 = world.entry.sha256
    with pytest.raises(BytesMissing):
        world.stranger.versions.create(world.model, [world.entry], framework="test")
    assert world.stranger.artifacts.presence([sha256]).missing == [sha256]
    assert not world.stranger.artifacts.begin_upload(sha256, world.entry.size).complete
    for ask in (world.stranger.artifacts.find_blob, world.stranger.artifacts.verify_blob):
        with pytest.raises(BlobNotFound):
            ask(sha256)
    with pytest.raises(BytesMissing):
        world.stranger.versions.create(world.model, [world.entry], framework="test")


def test_who_sends_the_bytes_has_them(world: World) -> None:
    """They are stored once all the same."""
    world.stranger.artifacts.put_blob(world.entry.sha256, Source(world.file))
    assert world.stranger.artifacts.presence([world.entry.sha256]).missing == []
    assert world.stranger.versions.create(world.model, [world.entry], framework="test").version == 1


def test_who_registers_does_not_notice(world: World) -> None:
    """What the registry does not tell of is sent, and the version is there."""
    assert world.stranger.register(world.model, world.file, framework="test").version == 1


def test_who_may_read_a_version_need_not_send_its_bytes(world: World, name: str) -> None:
    """To a principal that covers the model they are here."""
    sha256 = world.entry.sha256
    assert world.owner.artifacts.presence([sha256]).missing == []
    assert world.owner.artifacts.begin_upload(sha256, world.entry.size).complete
    assert world.owner.artifacts.find_blob(sha256).sha256 == sha256
    world.owner.models.create(f"{name}-a2", "regression")
    assert world.owner.versions.create(f"{name}-a2", [world.entry], framework="test").version == 1
