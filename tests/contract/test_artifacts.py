"""Upload and download of bytes, through every client on every engine."""

import hashlib
from pathlib import Path

import pytest

from common_lib import ModelRegistry
from common_lib.errors import BlobNotFound, DigestMismatch, FileNotFound, InvalidRequest
from common_lib.operations.base import Operation
from tests.support.steps import version_of


def test_a_downloaded_folder_equals_the_registered_one(registry: ModelRegistry, name: str, tmp_path: Path) -> None:
    """Paths, bytes, empty files and files larger than one chunk are preserved."""
    trained = tmp_path / "trained"
    (trained / "layers" / "deep").mkdir(parents=True)
    contents = {"config.json": b"{}", "empty.txt": b"", "layers/deep/w (1).bin": bytes(range(256)) * 10_000}
    for path, content in contents.items():
        (trained / path).write_bytes(content)
    registry.models.create(name, "regression")
    version = registry.register(name, trained, framework="test")
    assert (version.file_count, version.size) == (3, 2_560_002)
    got = tmp_path / "got"
    assert registry.download(f"models:/{name}/latest", got) == version
    assert {p.relative_to(got).as_posix(): p.read_bytes() for p in got.rglob("*") if p.is_file()} == contents


def test_stored_bytes_are_not_sent_again(registry: ModelRegistry, name: str, tmp_path: Path) -> None:
    """The second registration of the same file uploads nothing."""
    registry.models.create(name, "regression")
    sent: list[str] = []

    class Counting(ModelRegistry):
        def call(self, operation: Operation[object]) -> object:  # type: ignore[override]
            sent.append(operation.method)
            return registry.call(operation)

    for _ in range(2):
        version_of(Counting(), name, name.encode())
    assert sent.count("PUT") == 1


def test_a_download_verifies_bytes_before_the_file_gets_its_name(
    registry: ModelRegistry, name: str, tmp_path: Path
) -> None:
    """A flipped bit on the way is an error, and no file appears, not even a partial one."""
    registry.models.create(name, "regression")
    version_of(registry, name, b"precious")

    class Flipping(ModelRegistry):
        def call(self, operation: Operation[object]) -> object:  # type: ignore[override]
            answer = registry.call(operation)
            if operation.sink is not None:
                operation.sink.begin(0)
                operation.sink.write(b"qrecious")
            return answer

    with pytest.raises(DigestMismatch, match=r"model\.bin"):
        Flipping().download(f"models:/{name}/1", tmp_path / "got")
    assert [file for file in (tmp_path / "got").rglob("*") if file.is_file()] == []
    registry.download(f"models:/{name}/1", tmp_path / "got")
    assert (tmp_path / "got" / "model.bin").read_bytes() == b"precious"


def test_a_download_does_not_overwrite_other_files(registry: ModelRegistry, name: str, tmp_path: Path) -> None:
    """A download leaves correct files in place and refuses to replace others."""
    registry.models.create(name, "regression")
    version_of(registry, name, b"precious")
    registry.download(f"models:/{name}/1", tmp_path)
    registry.download(f"models:/{name}/1", tmp_path)
    (tmp_path / "model.bin").write_bytes(b"mine")
    with pytest.raises(InvalidRequest, match="different bytes"):
        registry.download(f"models:/{name}/1", tmp_path)
    assert (tmp_path / "model.bin").read_bytes() == b"mine"


def test_bytes_with_another_digest_are_refused(registry: ModelRegistry, tmp_path: Path, name: str) -> None:
    """The bytes must match the announced digest; otherwise the server stores nothing."""
    file = tmp_path / "model.bin"
    file.write_bytes(b"other")
    announced = hashlib.sha256(name.encode()).hexdigest()
    with pytest.raises(InvalidRequest) as refused:
        registry.artifacts.put_blob(announced, file)
    assert refused.value.code == "digest_mismatch"
    with pytest.raises(BlobNotFound):
        registry.artifacts.get_blob(announced)


def test_a_file_outside_the_manifest_is_not_served(registry: ModelRegistry, name: str) -> None:
    """Bytes are reached only through a version that names them."""
    registry.models.create(name, "regression")
    version_of(registry, name)

    class Nowhere:
        held = 0

        def begin(self, start: int) -> None: ...

        def write(self, chunk: bytes) -> None: ...

    with pytest.raises(FileNotFound):
        registry.artifacts.get_file(name, 1, "other.bin", Nowhere())


def test_a_symbolic_link_is_not_registered(registry: ModelRegistry, name: str, tmp_path: Path) -> None:
    """The target of a link may lie outside the folder."""
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "secrets").symlink_to("/etc/hostname")
    registry.models.create(name, "regression")
    with pytest.raises(InvalidRequest, match="symbolic link"):
        registry.register(name, tmp_path / "trained", framework="test")


@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_a_missing_path_and_an_empty_folder_are_not_registered(
    registry: ModelRegistry, name: str, tmp_path: Path, kind: str
) -> None:
    """A version has at least one file."""
    registry.models.create(name, "regression")
    path = tmp_path / "trained"
    if kind == "empty":
        path.mkdir()
    with pytest.raises(InvalidRequest):
        registry.register(name, path, framework="test")


def test_a_download_does_not_follow_links(registry: ModelRegistry, name: str, tmp_path: Path) -> None:
    """A link in the destination folder must not choose where a file is written."""
    trained, target, outside = tmp_path / "trained", tmp_path / "target", tmp_path / "outside"
    for folder in (trained / "sub", target, outside):
        folder.mkdir(parents=True)
    (trained / "sub" / "model.bin").write_bytes(b"weights")
    (target / "sub").symlink_to(outside)
    registry.models.create(name, "regression")
    registry.register(name, trained, framework="test")
    with pytest.raises(InvalidRequest, match="is not a regular file or folder"):
        registry.download(f"models:/{name}/1", target)
    assert list(outside.iterdir()) == []


def test_a_download_ends_at_the_size_in_the_manifest(registry: ModelRegistry, name: str, tmp_path: Path) -> None:
    """The client reads no further when a server sends more bytes than the manifest announces."""
    registry.models.create(name, "regression")
    version_of(registry, name, b"precious")

    class Endless(ModelRegistry):
        def call(self, operation: Operation[object]) -> object:  # type: ignore[override]
            answer = registry.call(operation)
            # Long enough to seem endless, and bounded for the day when nothing refuses it.
            for _ in range(1_000 if operation.sink is not None else 0):
                operation.sink.write(b"x" * 1024)
            return answer

    with pytest.raises(DigestMismatch, match="more than 8 bytes"):
        Endless().download(f"models:/{name}/1", tmp_path / "got")


def test_a_manifest_with_another_digest_is_refused(registry: ModelRegistry, name: str, tmp_path: Path) -> None:
    """The digest of a version identifies its files, so the client detects a wrong manifest."""
    registry.models.create(name, "regression")
    version_of(registry, name, b"one")
    version_of(registry, name, b"two")

    class Mixing(ModelRegistry):
        def call(self, operation: Operation[object]) -> object:  # type: ignore[override]
            if operation.path.endswith("/1/manifest"):
                return registry.versions.manifest(name, 2)
            return registry.call(operation)

    with pytest.raises(DigestMismatch, match="manifest"):
        Mixing().download(f"models:/{name}/1", tmp_path / "got")
    assert not (tmp_path / "got").exists()
