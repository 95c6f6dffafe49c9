"""Files of our own are opened only if nobody else controls them."""

import os
from pathlib import Path

import pytest

from common_lib.own_files import UnsafeFile, check_folder, check_own, create_own, open_own, read_own, replace_own


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """A replaced file has the new bytes and mode 0600, and leaves no other name behind."""
    replace_own(tmp_path / "f", b"one")
    replace_own(tmp_path / "f", b"two")
    assert read_own(tmp_path / "f", most_bytes=3, secret=True) == b"two"
    assert [(p.name, p.stat().st_mode & 0o777) for p in tmp_path.iterdir()] == [("f", 0o600)]


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666])
def test_a_file_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    """The error names the file, its mode and the command that mends it."""
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "f").chmod(mode)
    for read in (lambda p: read_own(p, most_bytes=9), open_own, check_own):
        with pytest.raises(UnsafeFile, match=rf"f has mode {mode:04o}, so others can change it: chmod 600 .*f"):
            read(tmp_path / "f")


@pytest.mark.parametrize("mode", [0o604, 0o640])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Only where the file is a secret."""
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "f").chmod(mode)
    assert read_own(tmp_path / "f", most_bytes=9) == b"x"
    with pytest.raises(UnsafeFile, match="others can read it"):
        read_own(tmp_path / "f", most_bytes=9, secret=True)
    check_own(tmp_path / "f")
    with pytest.raises(UnsafeFile, match="others can read it"):
        check_own(tmp_path / "f", secret=True)


@pytest.mark.timeout(20)
def test_what_is_not_a_file_is_refused_at_once(tmp_path: Path) -> None:
    """Links, pipes, folders and devices do not block the reader and are not followed."""
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "dangling", "pipe", "folder"):
        for read in (lambda p: read_own(p, most_bytes=9), open_own, check_own):
            with pytest.raises(UnsafeFile, match=name):
                read(tmp_path / name)
    with pytest.raises(UnsafeFile):
        read_own(Path("/dev/null"), most_bytes=9)
    with pytest.raises(FileExistsError):
        create_own(tmp_path / "dangling", b"x")
    assert not (tmp_path / "nowhere").exists()


def test_a_file_too_large_is_refused(tmp_path: Path) -> None:
    """No more than the bound is read."""
    create_own(tmp_path / "f", b"1234")
    assert read_own(tmp_path / "f", most_bytes=4) == b"1234"
    with pytest.raises(UnsafeFile, match="more than 3 bytes"):
        read_own(tmp_path / "f", most_bytes=3)


def test_files_of_another_user_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner of files and folders is compared with the user of the process."""
    create_own(tmp_path / "f", b"1234")
    here = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: here + 1)
    with pytest.raises(UnsafeFile, match=f"belongs to user {here}"):
        read_own(tmp_path / "f", most_bytes=4)
    with pytest.raises(UnsafeFile, match=f"belongs to user {here}"):
        check_folder(tmp_path)


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """A link to a folder is refused too."""
    (tmp_path / "d").mkdir(mode=0o700)
    check_folder(tmp_path / "d")
    (tmp_path / "d").chmod(0o755)
    check_folder(tmp_path / "d")
    (tmp_path / "l").symlink_to("d")
    with pytest.raises(UnsafeFile, match="is not a folder"):
        check_folder(tmp_path / "l")
    (tmp_path / "d").chmod(0o777)
    with pytest.raises(UnsafeFile, match="chmod 700"):
        check_folder(tmp_path / "d")
    with pytest.raises(FileNotFoundError):
        check_folder(tmp_path / "none")
