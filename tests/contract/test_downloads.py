"""After a download, a folder holds one version and no other file; other files are refused and left alone."""

from pathlib import Path

import pytest

from common_lib import Cache, ModelRegistry
from common_lib.errors import InvalidRequest
from common_lib.operations.base import Operation


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file of a folder, by path."""
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def versions(registry: ModelRegistry, name: str, tmp_path: Path) -> list[dict[str, bytes]]:
    """Create two versions: both have a `shared.bin`, and each has a file that the other lacks."""
    registry.models.create(name, "regression")
    made = [{"old/a.bin": b"one", "shared.bin": b"same"}, {"new.bin": b"two", "shared.bin": b"same"}]
    for number, files in enumerate(made):
        trained = tmp_path / f"trained-{number}"
        for path, content in files.items():
            (trained / path).parent.mkdir(parents=True, exist_ok=True)
            (trained / path).write_bytes(content)
        registry.register(name, trained, framework="test")
    return made


@pytest.mark.parametrize(("first", "surplus"), [(1, "old/a.bin"), (2, "new.bin")])
def test_a_folder_never_holds_a_mix_of_versions(
    registry: ModelRegistry,
    name: str,
    tmp_path: Path,
    versions: list[dict[str, bytes]],
    *,
    first: int,
    surplus: str,
) -> None:
    """The error names the file of the other version, and no byte of the new version arrives."""
    folder = tmp_path / "folder"
    registry.download(f"models:/{name}/{first}", folder)
    with pytest.raises(InvalidRequest, match="does not belong to this version") as refused:
        registry.download(f"models:/{name}/{3 - first}", folder)
    assert (refused.value.field, refused.value.value) == ("folder", str(folder / surplus))
    assert "empty folder" in refused.value.remedy
    assert contents(folder) == versions[first - 1]


def test_a_repeated_download_changes_nothing(
    registry: ModelRegistry, name: str, tmp_path: Path, versions: list[dict[str, bytes]]
) -> None:
    """Correct files stay as they are; missing files are fetched."""
    registry.download(f"models:/{name}/1", tmp_path / "folder")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "folder").rglob("*")}
    registry.download(f"models:/{name}/1", tmp_path / "folder")
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "folder").rglob("*")} == before
    (tmp_path / "folder" / "shared.bin").unlink()
    registry.download(f"models:/{name}/1", tmp_path / "folder")
    assert contents(tmp_path / "folder") == versions[0]


@pytest.mark.parametrize("stranger", ["notes.txt", "deep/er/notes.txt", ".hidden", "link"])
def test_a_foreign_file_is_refused_before_a_byte_arrives(
    registry: ModelRegistry, name: str, tmp_path: Path, versions: list[dict[str, bytes]], stranger: str
) -> None:
    """The file may be at any depth, hidden or a link; it stays as it was."""
    folder = tmp_path / "folder"
    (folder / stranger).parent.mkdir(parents=True)
    if stranger == "link":
        (folder / stranger).symlink_to(tmp_path / "trained-0")
    else:
        (folder / stranger).write_bytes(b"mine")
    with pytest.raises(InvalidRequest, match=stranger):
        registry.download(f"models:/{name}/1", folder)
    assert [file for file in folder.rglob("*") if not file.is_dir() or file.is_symlink()] == [folder / stranger]


def test_files_that_appear_during_a_download_are_reported(
    registry: ModelRegistry, name: str, tmp_path: Path, versions: list[dict[str, bytes]]
) -> None:
    """A second download into the same folder gets an error; a partial file counts as our own."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / f".{'0' * 32}.partial").write_bytes(b"on its way")
    registry.download(f"models:/{name}/1", tmp_path / "folder")

    class Crowded(ModelRegistry):
        def call(self, operation: Operation[object]) -> object:  # type: ignore[override]
            if operation.sink is not None:
                (tmp_path / "other").mkdir(exist_ok=True)
                (tmp_path / "other" / "late.bin").write_bytes(b"late")
            return registry.call(operation)

    with pytest.raises(InvalidRequest, match=r"late\.bin"):
        Crowded().download(f"models:/{name}/1", tmp_path / "other", cache=Cache(tmp_path / "cache"))


@pytest.mark.parametrize("folder", [None, 7])
def test_an_invalid_path_is_refused_before_any_request(registry: ModelRegistry, name: str, folder: object) -> None:
    """The library refuses it with a typed error."""
    with pytest.raises(InvalidRequest, match="is not a path"):
        registry.download(f"models:/{name}/1", folder)  # type: ignore[arg-type]


def test_a_file_in_place_of_the_folder_is_refused(
    registry: ModelRegistry, name: str, tmp_path: Path, versions: list[dict[str, bytes]]
) -> None:
    """The file stays as it was."""
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(InvalidRequest, match="different bytes, or is not a regular file"):
        registry.download(f"models:/{name}/1", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"mine"
