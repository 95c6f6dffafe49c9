"""Uploads in parts, through every client on every engine."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common_lib import Cache, ModelRegistry
from common_lib.artifacts import hashing, upload
from common_lib.errors import (
    BlobNotFound,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    TooLarge,
    UploadNotFound,
    UploadOutOfStep,
)
from common_lib.operations.base import Operation, Source

PART = 1_000


class Through(ModelRegistry):
    """A registry that lets a test intercept each operation."""

    def __init__(self, registry: ModelRegistry, meddle: Callable[[Operation[Any]], Any]) -> None:
        self._registry = registry
        self._meddle = meddle
        self.seen: list[Operation[Any]] = []

    def call(self, operation: Operation[Any]) -> Any:
        """Let the test answer, or call the real registry."""
        self.seen.append(operation)
        found = self._meddle(operation)
        return self._registry.call(operation) if found is None else found

    def parts(self) -> list[int]:
        """Offsets of the parts that were sent."""
        return [op.upload.start for op in self.seen if "/parts/" in op.path and op.upload is not None]


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send files of a few kB in parts."""
    for module in (hashing, upload):
        monkeypatch.setattr(module, "PART_BYTES", PART)
    # Hashed in pieces that end where parts end.
    monkeypatch.setattr(hashing, "_CHUNK", PART // 2)


@pytest.fixture
def file(tmp_path: Path, name: str) -> Path:
    """Provide a file of three whole parts and a remainder, with bytes that no other test has."""
    path = tmp_path / "large.bin"
    path.write_bytes((name.encode() * 1_000)[: 3 * PART + 7])
    return path


def sha256_of(path: Path, end: int | None = None) -> str:
    """Return the digest of the beginning of a file."""
    return hashlib.sha256(path.read_bytes()[:end]).hexdigest()


def test_a_large_file_is_sent_in_parts(registry: ModelRegistry, name: str, file: Path, tmp_path: Path) -> None:
    """Each part once, in order; a second registration sends nothing."""
    registry.models.create(name, "regression")
    through = Through(registry, lambda _: None)
    for _ in range(2):
        through.register(name, file, framework="test")
    assert through.parts() == [0, PART, 2 * PART, 3 * PART]
    registry.download(f"models:/{name}/2", tmp_path / "got")
    assert (tmp_path / "got" / "large.bin").read_bytes() == file.read_bytes()


def test_an_interrupted_upload_continues_after_the_last_part(registry: ModelRegistry, name: str, file: Path) -> None:
    """Parts that arrived are not sent again, in the same call or in a later one."""
    registry.models.create(name, "regression")

    def cut(operation: Operation[Any]) -> None:
        if operation.path.endswith(f"/parts/{2 * PART}"):
            raise ConnectionFailed("cut")

    cutting = Through(registry, cut)
    with pytest.raises(ConnectionFailed):
        cutting.register(name, file, framework="test")
    assert cutting.parts() == [0, PART, *[2 * PART] * 4]
    assert registry.artifacts.get_upload(sha256_of(file)).received == 2 * PART
    with pytest.raises(BlobNotFound):
        registry.artifacts.get_blob(sha256_of(file))
    whole = Through(registry, lambda _: None)
    whole.register(name, file, framework="test")
    assert whole.parts() == [2 * PART, 3 * PART]


@pytest.mark.parametrize("lost", [PART, 3 * PART])
def test_a_part_whose_answer_was_lost_is_not_sent_again(
    registry: ModelRegistry, name: str, file: Path, lost: int
) -> None:
    """The client asks the registry what arrived, and continues; the last part is not special."""
    registry.models.create(name, "regression")
    answers: list[int] = []

    def lose(operation: Operation[Any]) -> None:
        if operation.path.endswith(f"/parts/{lost}") and not answers:
            answers.append(lost)
            registry.call(operation)
            raise ConnectionFailed("the answer was lost")

    through = Through(registry, lose)
    assert through.register(name, file, framework="test").size == 3 * PART + 7
    assert through.parts() == [0, PART, 2 * PART, 3 * PART]


def test_each_part_is_verified_on_arrival(registry: ModelRegistry, file: Path) -> None:
    """A wrong part is refused, and earlier parts stay."""
    whole = sha256_of(file)
    registry.artifacts.begin_upload(whole, file.stat().st_size)
    registry.artifacts.put_part(whole, Source(file, 0, PART), sha256_of(file, PART))
    wrong = Source(file, PART, PART)
    for prefix in (sha256_of(file, PART), whole):
        with pytest.raises(InvalidRequest) as refused:
            registry.artifacts.put_part(whole, wrong, prefix)
        assert refused.value.code == "digest_mismatch"
        assert registry.artifacts.get_upload(whole).received == PART
    assert registry.artifacts.put_part(whole, wrong, sha256_of(file, 2 * PART)).received == 2 * PART


def test_parts_must_arrive_in_order(registry: ModelRegistry, file: Path) -> None:
    """A gap and a repetition are refused."""
    whole = sha256_of(file)
    registry.artifacts.begin_upload(whole, file.stat().st_size)
    with pytest.raises(UploadOutOfStep, match="0 of 3007"):
        registry.artifacts.put_part(whole, Source(file, PART, PART), sha256_of(file, 2 * PART))
    registry.artifacts.put_part(whole, Source(file, 0, PART), sha256_of(file, PART))
    with pytest.raises(UploadOutOfStep, match="1000 of 3007"):
        registry.artifacts.put_part(whole, Source(file, 0, PART), sha256_of(file, PART))


def test_an_upload_that_differs_from_its_announcement_is_discarded(
    registry: ModelRegistry, file: Path, name: str
) -> None:
    """Another digest, more bytes than announced, or another size."""
    announced, size = hashlib.sha256(name[:-1].encode()).hexdigest(), file.stat().st_size
    registry.artifacts.begin_upload(announced, size)
    with pytest.raises(InvalidRequest, match="start the upload again"):
        registry.artifacts.put_part(announced, Source(file), sha256_of(file))
    with pytest.raises(UploadNotFound):
        registry.artifacts.get_upload(announced)
    registry.artifacts.begin_upload(announced, PART)
    with pytest.raises(Conflict, match="1000 bytes, not 2000"):
        registry.artifacts.begin_upload(announced, 2 * PART)
    with pytest.raises(TooLarge, match="1000 bytes"):
        registry.artifacts.put_part(announced, Source(file, 0, PART + 1), sha256_of(file, PART + 1))
    assert registry.artifacts.get_upload(announced).received == 0


def test_an_upload_can_be_abandoned(registry: ModelRegistry, file: Path) -> None:
    """The server removes its parts."""
    whole = sha256_of(file)
    registry.artifacts.begin_upload(whole, file.stat().st_size)
    registry.artifacts.put_part(whole, Source(file, 0, PART), sha256_of(file, PART))
    registry.artifacts.delete_upload(whole)
    for ask in (registry.artifacts.get_upload, registry.artifacts.delete_upload):
        with pytest.raises(UploadNotFound):
            ask(whole)
    assert registry.artifacts.begin_upload(whole, file.stat().st_size).received == 0


def test_an_upload_of_stored_bytes_is_complete_at_once(registry: ModelRegistry, file: Path) -> None:
    """No part has to be sent."""
    whole = sha256_of(file)
    registry.artifacts.put_blob(whole, file)
    upload = registry.artifacts.begin_upload(whole, file.stat().st_size)
    assert (upload.complete, upload.received) == (True, file.stat().st_size)


def test_presence_is_checked_for_many_digests_at_once(registry: ModelRegistry, file: Path, name: str) -> None:
    """The answer has the order of the request; too many digests are refused."""
    here = sha256_of(file)
    # In an order that is that of no sorting.
    missing = sorted(hashlib.sha256(f"{name} {number}".encode()).hexdigest() for number in range(5))
    missing = [missing[place] for place in (3, 0, 4, 1, 2)]
    registry.artifacts.put_blob(here, file)
    assert registry.artifacts.check_presence([*missing[:2], here, *missing[2:]]).missing == missing
    assert registry.artifacts.check_presence([*missing[::-1], here]).missing == missing[::-1]
    assert registry.artifacts.check_presence([here]).missing == []
    with pytest.raises(InvalidRequest, match="sha256"):
        registry.artifacts.check_presence([here] * 1_001)


def test_an_interrupted_download_continues_where_it_ended(
    registry: ModelRegistry, name: str, file: Path, cache: Path
) -> None:
    """Within one call, and in a process that finds the partial file of another."""
    registry.models.create(name, "regression")
    registry.register(name, file, framework="test")
    offsets: list[int] = []

    class Cutting(ModelRegistry):
        whole = False

        def call(self, operation: Operation[Any]) -> Any:
            if operation.sink is None:
                return registry.call(operation)
            offsets.append(operation.sink.held)
            if self.whole or len(offsets) not in {1, 2, 3}:
                return registry.call(operation)
            if len(offsets) == 1:
                operation.sink.begin(0)
                operation.sink.write(file.read_bytes()[:PART])
            raise ConnectionFailed("cut")

    cutting = Cutting()
    with pytest.raises(ConnectionFailed):
        cutting.fetch(f"models:/{name}/1")
    assert offsets == [0, PART]
    cutting.whole = True
    snapshot = cutting.fetch(f"models:/{name}/1")
    assert offsets == [0, PART, PART]
    assert (snapshot.folder / "large.bin").read_bytes() == file.read_bytes()
    assert list((cache / "partial").iterdir()) == []


def test_cached_files_are_not_fetched_again(registry: ModelRegistry, name: str, file: Path, cache: Path) -> None:
    """A changed file is fetched again and never returned."""
    registry.models.create(name, "regression")
    registry.register(name, file, framework="test")
    through = Through(registry, lambda _: None)
    for _ in range(2):
        through.fetch(f"models:/{name}/latest")
    assert len([op for op in through.seen if op.sink is not None]) == 1
    blob = Cache(cache).blob(sha256_of(file))
    blob.chmod(0o600)
    blob.write_bytes(b"changed" + file.read_bytes()[7:])
    snapshot = through.fetch(f"models:/{name}/latest")
    assert (snapshot.folder / "large.bin").read_bytes() == file.read_bytes()
    assert len([op for op in through.seen if op.sink is not None]) == 2


def test_small_files_are_sent_in_one_request(registry: ModelRegistry, name: str, tmp_path: Path) -> None:
    """Forty files are one request and one event; a second time nothing is sent."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(45):
        (folder / f"{number}.txt").write_bytes(f"{name} {number}".encode())
    registry.models.create(name, "regression")
    through = Through(registry, lambda _: None)
    for _ in range(2):
        version = through.register(name, folder, framework="test")
    assert [op.path for op in through.seen if op.route_class == "blob"] == ["/v1/blobs"] * 2
    snapshot = registry.fetch(version.reference)
    assert {file.name: file.read_bytes() for file in snapshot.folder.iterdir()} == {
        f"{number}.txt": f"{name} {number}".encode() for number in range(45)
    }


def test_a_batch_of_blobs_is_stored_whole_or_not_at_all(registry: ModelRegistry, name: str) -> None:
    """One wrong digest refuses the batch; the corrected batch stores each blob once."""
    right = {hashlib.sha256(content).hexdigest(): content for content in (name.encode(), b"")}
    wrong = {hashlib.sha256(name[::-1].encode()).hexdigest(): b"something else"}
    with pytest.raises(InvalidRequest) as refused:
        registry.artifacts.put_blobs(right | wrong)
    assert refused.value.code == "digest_mismatch"
    (mine, empty) = right
    assert mine in registry.artifacts.check_presence(list(right)).missing
    for _ in range(2):
        assert registry.artifacts.put_blobs(right).missing == []
    assert [registry.artifacts.get_blob(sha256).size for sha256 in (mine, empty)] == [len(name), 0]
    assert registry.artifacts.check_presence([*right, *wrong]).missing == list(wrong)
