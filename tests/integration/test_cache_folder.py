"""A cache that other users control is refused, its records are sealed, and files of killed processes are removed."""

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common_lib import Cache, HttpRegistry, ModelRegistry, RegistryConfig
from common_lib.config import ResolveRules
from common_lib.errors import (
    InvalidConfiguration,
    InvalidRequest,
    LocalDiskFailed,
    NotCached,
    RegistryError,
    VersionRecalled,
)
from common_lib.faults import Faults
from common_lib.operations.base import Operation
from common_lib.origin import Origin
from registry_server.inprocess import PortalTransport
from registry_server.testing import TestBackend, backend
from tests.support.steps import promoted

A, B = "models:/a/production", "models:/b/production"


@pytest.fixture(scope="module")
def served() -> Iterator[TestBackend]:
    """Provide the application with two models, each with versions 1 and 2, and version 2 in production."""
    with backend() as application:
        application.reset()
        with application.registry() as registry:
            for name in ("a", "b"):
                registry.models.create(name, "regression")
                for number in (1, 2):
                    promoted(registry, name, f"{name} {number}".encode())
        yield application


@pytest.fixture(scope="module")
def registry(served: TestBackend) -> Iterator[HttpRegistry]:
    """Provide an admin's registry."""
    with served.registry() as found:
        yield found


@pytest.fixture
def filled(registry: HttpRegistry, tmp_path: Path) -> Cache:
    """Provide a cache with both versions of both models."""
    found = Cache(tmp_path / "parent" / "cache")
    for name in ("a", "b"):
        registry.fetch(f"models:/{name}/1", cache=found)
        registry.fetch(f"models:/{name}/production", cache=found)
    return found


def offline(registry: ModelRegistry, reference: str, cache: Cache) -> bytes:
    """Return the bytes of a version without a request to the registry."""
    return (registry.fetch(reference, cache=cache, local_files_only=True).folder / "model.bin").read_bytes()


class Silent(ModelRegistry):
    """A registry that never answers, for a principal with another token."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

    def call(self, operation: Operation[Any]) -> Any:
        """Fail, because no request may be sent."""
        raise AssertionError(operation.path)


def folders(root: Path) -> list[Path]:
    """Return every folder of a cache, itself among them."""
    return [root, *(path for path in sorted(root.rglob("*")) if path.is_dir() and not path.is_symlink())]


def test_all_folders_and_records_are_private_to_their_owner(registry: HttpRegistry, tmp_path: Path) -> None:
    """The modes do not depend on the umask of the process."""
    before = os.umask(0)
    try:
        cache = Cache(tmp_path / "new" / "cache")
        registry.fetch(A, cache=cache)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders(cache.root)} == {0o700}
    for name in ("references", "manifests"):
        assert {stat.S_IMODE(path.stat().st_mode) for path in (cache.root / name).iterdir()} == {0o600}


def test_a_folder_that_others_may_write_is_refused(registry: HttpRegistry, filled: Cache) -> None:
    """The error names the folder and the command that repairs it, whether the group or all users can write."""
    blob = filled.blob(registry.fetch(A, cache=filled).manifest.files[0].sha256)
    (snapshot,) = [
        path for path in (filled.root / "snapshots").iterdir() if path == registry.fetch(A, cache=filled).folder
    ]
    used = [
        filled.root,
        *(filled.root / name for name in ("blobs", "blobs/sha256", "snapshots", "manifests", "references")),
    ]
    for folder in [*used, filled.root / "partial", blob.parent, snapshot]:
        for mode in (0o777, 0o770, 0o702):
            folder.chmod(mode)
            for local_files_only in (False, True):
                with pytest.raises(LocalDiskFailed) as refused:
                    registry.fetch(A, cache=filled, local_files_only=local_files_only)
                assert refused.value.path == str(folder)
                assert f"chmod 700 {folder}" in str(refused.value)
                with pytest.raises(LocalDiskFailed, match="chmod"):
                    registry.load(A, cache=filled, local_files_only=local_files_only)
        folder.chmod(0o700)
    assert offline(registry, A, filled) == b"a 2"


def test_a_link_in_place_of_a_folder_is_refused(registry: HttpRegistry, filled: Cache, tmp_path: Path) -> None:
    """The cache itself and the folder of a version are checked too."""
    snapshot = registry.fetch(A, cache=filled).folder
    names = ("blobs", "blobs/sha256", "snapshots", "manifests", "references", "partial")
    for number, folder in enumerate([filled.root, *(filled.root / name for name in names), snapshot]):
        elsewhere = folder.rename(tmp_path / str(number))
        folder.symlink_to(elsewhere)
        with pytest.raises(LocalDiskFailed, match="not a folder") as refused:
            registry.fetch(A, cache=filled, local_files_only=True)
        assert refused.value.path == str(folder)
        folder.unlink()
        elsewhere.rename(folder)
    assert offline(registry, A, filled) == b"a 2"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(registry: HttpRegistry, filled: Cache) -> None:
    """It is refused even if only its owner can write to it."""
    for folder in (filled.root, filled.root / "references", filled.root / "snapshots"):
        os.chown(folder, 4_711, -1)
        with pytest.raises(LocalDiskFailed, match="belongs to user 4711"):
            registry.fetch(A, cache=filled)
        os.chown(folder, 0, -1)
    assert offline(registry, A, filled) == b"a 2"


def test_bytes_that_others_may_exchange_are_fetched_again(registry: HttpRegistry, filled: Cache) -> None:
    """The bytes are right now, but another user could replace them before they are read."""
    place = filled.blob(registry.fetch(A, cache=filled).manifest.files[0].sha256)
    place.chmod(0o666)
    with pytest.raises(NotCached):
        registry.fetch(A, cache=filled, local_files_only=True)
    registry.fetch(A, cache=filled)
    assert stat.S_IMODE(place.stat().st_mode) == 0o444
    elsewhere = place.rename(filled.root / "elsewhere")
    place.symlink_to(elsewhere)
    registry.fetch(A, cache=filled)
    assert not place.is_symlink()


def entries(cache: Cache) -> dict[str, Path]:
    """Return the recorded files by reference."""
    found = {}
    for path in (cache.root / "references").iterdir():
        text = path.read_text().partition("\n")[2]
        found[path.name] = path
        assert '"version"' in text
    return found


def test_records_of_references_cannot_be_exchanged(registry: HttpRegistry, filled: Cache) -> None:
    """A file that was moved to the path of another reference is not used."""
    right = {reference: offline(registry, reference, filled) for reference in (A, B, "models:/a/1", "models:/b/1")}
    content = {path: path.read_bytes() for path in entries(filled).values()}
    assert len(content) == 12
    for place, own in content.items():
        for other in content.values():
            place.write_bytes(other)
            for reference, wanted in right.items():
                with contextlib.suppress(NotCached):
                    assert offline(registry, reference, filled) == wanted
        place.write_bytes(own)
    assert {reference: offline(registry, reference, filled) for reference in right} == right


@pytest.mark.parametrize("change", ["forge", "truncate", "empty", "fifo", "link", "writable"])
def test_a_record_written_by_another_user_is_not_used(registry: HttpRegistry, filled: Cache, change: str) -> None:
    """The client ignores such a file or raises an error that names it, and never blocks."""
    for path in entries(filled).values():
        content = path.read_bytes()
        path.unlink()
        if change == "forge":
            path.write_bytes(content.replace(b'"a"', b'"b"').replace(b'"version":2', b'"version":1'))
        elif change == "truncate":
            path.write_bytes(content[:-1])
        elif change == "empty":
            path.touch()
        elif change == "fifo":
            os.mkfifo(path, 0o600)
        elif change == "link":
            elsewhere = filled.root.parent / path.name
            elsewhere.write_bytes(content)
            path.symlink_to(elsewhere)
        else:
            path.write_bytes(content)
            path.chmod(0o666)
    with pytest.raises((NotCached, LocalDiskFailed)):
        registry.fetch(A, cache=filled, local_files_only=True)
    registry.fetch(A, cache=filled)
    assert offline(registry, A, filled) == b"a 2"


def test_only_the_same_token_can_read_a_record(registry: HttpRegistry, filled: Cache) -> None:
    """Another token must fetch once; an expired token still works; offline, a process without a token works too."""
    url, token = registry.config.url, registry.config.token
    for origin in (Origin(url, token), url, Origin(url, "")):
        assert offline(Silent(origin), A, filled) == b"a 2"
    for origin in (Origin(url, "mrg_other"), Origin("http://other", token)):
        with pytest.raises(NotCached, match="fetch it once"):
            offline(Silent(origin), A, filled)
    with HttpRegistry(RegistryConfig(url=url, token="mrg_other", resolve=None)) as other, pytest.raises(NotCached):
        offline(other, A, filled)


def recalled_then(registry: HttpRegistry, filled: Cache, act: Callable[[], None]) -> None:
    """Let a client receive a recall of version 2, change its files, and check that version 2 stays refused offline."""
    registry.versions.recall("a", 2, reason="it leaks", force=True)
    try:
        for reference in (A, "models:/a/2"):
            with pytest.raises(VersionRecalled, match="it leaks"):
                registry.fetch(reference, cache=filled)
        act()
        for reference in (A, "models:/a/2"):
            with pytest.raises((VersionRecalled, NotCached)):
                registry.fetch(reference, cache=filled, local_files_only=True)
            with pytest.raises((VersionRecalled, NotCached)):
                registry.load(reference, cache=filled, local_files_only=True)
        if act is nothing:
            assert offline(registry, "models:/a/1", filled) == b"a 1"
    finally:
        registry.versions.reinstate("a", 2, reason="it does not", force=True)
    registry.fetch(A, cache=filled)
    assert offline(registry, A, filled) == b"a 2"


def nothing() -> None:
    """Do nothing."""


def test_a_recall_is_recorded_for_offline_use(registry: HttpRegistry, filled: Cache) -> None:
    """The recall applies to every reference to the version, until a fetch after the version was reinstated."""
    recalled_then(registry, filled, nothing)


def test_a_recall_cannot_be_removed(registry: HttpRegistry, filled: Cache) -> None:
    """Removing any file, or the folder that earlier releases used for recalls, does not make the version usable."""
    for path in list(entries(filled).values()):

        def remove(path: Path = path) -> None:
            path.unlink(missing_ok=True)
            shutil.rmtree(filled.root / "recalled", ignore_errors=True)

        recalled_then(registry, filled, remove)


def test_an_answer_from_before_a_recall_does_not_lift_it(served: TestBackend, tmp_path: Path) -> None:
    """In an outage, a client with an older answer obeys the recall that another client recorded."""
    cache = Cache(tmp_path / "cache")
    token = served.token("admin", "a")
    rules = ResolveRules(fresh_s=0.0, revalidate_s=0.0, persist=False)
    with served.registry() as admin:

        def client() -> HttpRegistry:
            config = RegistryConfig(url=admin.config.url, token=token, resolve=rules, attempts=1)
            return HttpRegistry(config, transport=PortalTransport(served._app, served._portal))

        with client() as one, client() as other:
            one.fetch("models:/a/1", cache=cache)
            admin.versions.recall("a", 1, reason="it leaks", force=True)
            with pytest.raises(VersionRecalled):
                other.fetch("models:/a/1", cache=cache)
            faults = Faults()
            faults.inject_into(one)
            faults.outage()
            assert one.resolve("models:/a/1").version == 1
            for _ in range(2):
                with pytest.raises(VersionRecalled, match="it leaks"):
                    one.fetch("models:/a/1", cache=cache)
        admin.versions.reinstate("a", 1, reason="it does not", force=True)


def aged(path: Path, seconds: float) -> Path:
    """Set the age of a file, and return its path."""
    then = time.time() - seconds
    os.utime(path, (then, then), follow_symlinks=False)
    return path


def test_only_files_left_by_killed_processes_are_removed(registry: HttpRegistry, filled: Cache) -> None:
    """Age decides: recent files and files with other names stay."""
    root, random, digest = filled.root, "0123456789abcdef" * 2, "ab" * 32
    folder = registry.fetch(A, cache=filled).folder
    (root / "resolves").mkdir(mode=0o700)
    gone, retained = [], []
    for number, name in enumerate(("references", "manifests", "resolves")):
        for form in (f".{random}", f".{digest}.{random}"):
            (root / name / form).write_text("")
            gone.append(aged(root / name / form, 400))
            young = root / name / form.replace("0", str(number + 1))
            young.write_text("")
            retained.append(aged(young, 60))
        (root / name / ".theirs").write_text("")
        retained.append(aged(root / name / ".theirs", 10**9))
    for path, age in ((root / "partial" / f"{digest}.{random}", 90_000), (root / "resolves" / digest, 8 * 86_400)):
        path.write_text("")
        gone.append(aged(path, age))
        young = path.with_name(path.name.replace("ab", "cd"))
        young.write_text("")
        retained.append(aged(young, age / 2))
    (folder / f".{random}").symlink_to("nowhere")
    gone.append(aged(folder / f".{random}", 400))
    retained += [aged(path, 10**9) for path in (root / "references").iterdir() if len(path.name) == 64]
    registry.fetch(A, cache=filled)
    assert [path for path in gone if path.is_symlink() or path.exists()] == []
    assert [path for path in retained if not path.exists()] == []
    assert offline(registry, B, filled) == b"b 2"


def test_a_copy_that_was_never_finished_is_removed_from_the_folder(registry: HttpRegistry, filled: Cache) -> None:
    """A recent copy stays, because another process may be writing it."""
    folder = filled.root.parent / "folder"
    registry.download(A, folder, cache=filled)
    old, new = (folder / f".{digit * 32}.partial" for digit in "ab")
    for path in (old, new):
        path.write_text("")
    aged(old, 90_000)
    registry.download(A, folder, cache=filled)
    assert sorted(path.name for path in folder.iterdir()) == [new.name, "model.bin"]


def test_an_interrupted_download_is_retained_for_a_day(registry: HttpRegistry, filled: Cache) -> None:
    """Fetches of other versions do not remove it, and the next fetch of the same bytes continues it."""
    entry = registry.fetch(A, cache=filled).manifest.files[0]
    filled.blob(entry.sha256).unlink()
    partial = filled.start_download(entry)
    partial.write(b"a")
    partial.close()
    registry.fetch(B, cache=filled)
    assert [path.read_bytes() for path in filled.abandoned_partials(entry.sha256)] == [b"a"]
    assert offline(registry, B, filled) == b"b 2"
    registry.fetch(A, cache=filled)
    assert filled.abandoned_partials(entry.sha256) == []


@pytest.mark.parametrize("root", ["", " ", Path(" "), None, 3, b"x", "a\0b"])
def test_a_cache_needs_a_folder_name(root: Any) -> None:
    """An empty string does not mean the current folder."""
    with pytest.raises(InvalidConfiguration, match="pass the path of a folder"):
        Cache(root)


@pytest.mark.parametrize("cache", ["", "x", Path("x"), 0, False])
def test_an_argument_that_is_not_a_cache_is_refused(registry: HttpRegistry, cache: Any) -> None:
    """It is not replaced by the default cache."""
    for fetch in (registry.fetch, registry.load):
        with pytest.raises(InvalidRequest, match="cache is"):
            fetch(A, cache=cache)
    with pytest.raises(InvalidRequest, match="cache is"):
        registry.download(A, "folder", cache=cache)


def test_the_variable_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`~` means the home folder; an empty or blank variable counts as unset; without a home folder it is an error."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("REGISTRY_CACHE", "~/models")
    assert Cache.default().root == tmp_path / "models"
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for blank in ("", "  "):
        monkeypatch.setenv("REGISTRY_CACHE", blank)
        assert Cache.default().root == tmp_path / ".cache" / "model-registry"

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(RegistryError, match="REGISTRY_CACHE"):
        Cache.default()
    with HttpRegistry(RegistryConfig(url="http://127.0.0.1:9")):
        pass
