"""The server uses its data folder and files only if they belong to its user and nobody else can change them."""

import json
import os
import shutil
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from registry_server.serving import Announcement, StartFailed, running
from registry_server.settings import Settings
from tests.support.cli import Cli, operate

FILES = ["admin-token", "lock", "server.json", "store.json", "registry.sqlite3", "blobs/store.json"]
FOLDERS = ["blobs", "blobs/sha256", "blobs/staging", "blobs/trash", "blobs/quarantine", "blobs/uploads"]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide the data folder of a registry whose server has stopped."""
    data = tmp_path_factory.mktemp("template") / "data"
    with running(Settings(data=data, port=0, access_log=False)):
        pass
    (data / "server.json").write_text('{"url": "http://127.0.0.1:9", "pid": 1}')
    return data


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Path:
    """Provide a copy of the data folder."""
    return Path(shutil.copytree(template, tmp_path / "data"))


def settings(data: Path) -> Settings:
    """Return the settings of a server on a data folder."""
    return Settings(data=data, port=0, access_log=False)


def refusal(data: Path) -> str:
    """Return the reason why a server does not start, and check that `doctor` reports the same reason."""
    with pytest.raises(StartFailed) as refused, running(settings(data)):
        pass
    done = operate("doctor", "--data", data, "--json", status=1)
    wrong = " ".join(finding["found"] for finding in json.loads(done.stdout) if finding["well"] is False)
    assert str(refused.value).partition(" ")[0] in wrong
    return str(refused.value)


def link(place: Path) -> None:
    """Replace a file or folder by a symbolic link to it."""
    place.rename(place.with_name("elsewhere"))
    place.symlink_to(place.with_name("elsewhere"))


def dangling(place: Path) -> None:
    """Replace a file by a symbolic link without a target."""
    place.unlink()
    place.symlink_to(place.with_name("nothing"))


def pipe(place: Path) -> None:
    """Replace a file by a named pipe, which blocks a process that opens it."""
    place.unlink()
    os.mkfifo(place)


def folder(place: Path) -> None:
    """Replace a file by a folder."""
    place.unlink()
    place.mkdir()


def writable(place: Path) -> None:
    """Let all users change a file or folder."""
    place.chmod(0o777 if place.is_dir() else 0o666)


def writable_by_group(place: Path) -> None:
    """Let the group change a file or folder."""
    place.chmod(0o770 if place.is_dir() else 0o660)


HARMS = [(name, harm) for name in FILES for harm in (link, pipe, writable)]
HARMS += [("admin-token", harm) for harm in (dangling, folder, writable_by_group)]


@pytest.mark.parametrize(("name", "harm"), HARMS)
def test_a_file_that_others_can_change_prevents_the_start(data: Path, name: str, harm: Callable[[Path], None]) -> None:
    """The message names the file and a remedy, and the server neither reads nor writes the file."""
    harm(data / name)
    sentence = refusal(data)
    assert sentence.startswith(str(data / name))
    assert any(word in sentence for word in ("chmod 600", "move it away", "replace the link")), sentence
    assert not (data / "nothing").exists()


@pytest.mark.parametrize(("name", "harm"), [("blobs", link), *((name, writable) for name in FOLDERS)])
def test_a_folder_that_others_can_change_prevents_the_start(
    data: Path, name: str, harm: Callable[[Path], None]
) -> None:
    """The message names the folder of blobs that other users can change."""
    harm(data / name)
    assert refusal(data).startswith(str(data / name))


@pytest.mark.parametrize("harm", [writable, writable_by_group, link])
def test_a_data_folder_that_others_can_change_is_not_served(data: Path, harm: Callable[[Path], None]) -> None:
    """No command that opens the data folder uses it either."""
    harm(data)
    sentence = refusal(data)
    for command in (["token", "list"], ["gc"], ["migrate"], ["store", "adopt"]):
        assert sentence in operate(*command, "--data", data, status=1).stderr.replace("\n", " ")


def test_a_token_that_others_can_read_is_not_used(data: Path) -> None:
    """The message of the server and of `doctor` requires its revocation."""
    (data / "admin-token").chmod(0o644)
    assert "revoke the token" in refusal(data)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("name", ["admin-token", "registry.sqlite3", "blobs", "."])
def test_files_of_another_user_are_refused(data: Path, name: str) -> None:
    """The message names both users."""
    os.chown(data / name, 65_534, 65_534)
    assert "belongs to user 65534, and this process runs as user 0" in refusal(data)


@pytest.mark.parametrize("harm", ["link", "pipe"])
def test_the_first_token_is_not_written_through_a_link(tmp_path: Path, harm: str) -> None:
    """The first start fails in a folder where another user has put a link or a pipe in place of the token file."""
    data = tmp_path / "data"
    data.mkdir(0o700)
    if harm == "link":
        (data / "admin-token").symlink_to(tmp_path / "target")
    else:
        os.mkfifo(data / "admin-token")
    with pytest.raises(StartFailed, match="admin-token"), running(settings(data)):
        pass
    assert not (tmp_path / "target").exists()


class Thief(BaseHTTPRequestHandler):
    """A server that records the headers of each request."""

    def do_GET(self) -> None:
        """Record the headers."""
        self.server.seen.append(self.headers.as_string())  # type: ignore[attr-defined]
        self.send_error(500)

    def log_message(self, *_: object) -> None:
        """Write no log."""


@pytest.mark.parametrize(
    "url",
    [
        "http://198.51.100.7:80",
        "http://127.0.0.1.example.com:80",
        "http://127.0.0.1@198.51.100.7:80",
        "http://localhost@198.51.100.7:80/",
        "https://127.0.0.1:443",
        "file:///etc/passwd",
        "http://[::ffff:198.51.100.7]:80",
        "http://127.0.0.1:x",
        "",
    ],
)
def test_the_admin_token_is_sent_only_to_this_machine(data: Path, url: str) -> None:
    """A command refuses an address of another machine in `server.json`."""
    with running(settings(data)):
        Announcement(url, os.getpid()).write(data)
        done = operate("token", "list", "--data", data, status=1)
        assert "server.json contains an address that is not on this machine" in done.stderr.replace("\n", " ")
        found = json.loads(operate("doctor", "--data", data, "--json", status=1).stdout)
        assert "not on this machine" in next(one["found"] for one in found if one["what"] == "lock")


def test_an_announcement_that_others_can_change_is_not_used(data: Path) -> None:
    """A command refuses such a `server.json` even if its address is on this machine."""
    with HTTPServer(("127.0.0.1", 0), Thief) as thief, running(settings(data)):
        thief.seen = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=thief.serve_forever)
        thread.start()
        try:
            Announcement(f"http://127.0.0.1:{thief.server_port}", os.getpid()).write(data)
            (data / "server.json").chmod(0o666)
            done = operate("token", "list", "--data", data, status=1)
            assert "chmod 600" in done.stderr
        finally:
            thief.shutdown()
            thread.join()
        assert thief.seen == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("harm", [link, pipe, writable])
def test_a_token_file_that_others_can_change_is_not_read(
    sqlite_server: Cli, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """The message names the file, and a named pipe does not block the command."""
    file = tmp_path / "token"
    file.write_text(sqlite_server.token)
    file.chmod(0o600)
    cli = Cli(sqlite_server.url, "", sqlite_server.data)
    cli("whoami", "--token-file", file)
    harm(file)
    assert str(file) in cli("whoami", "--token-file", file, status=2).stderr.replace("\n", "")
    operate("token", "list", "--url", sqlite_server.url, "--token-file", file, status=2)


def test_a_secret_is_written_only_to_a_new_file(data: Path, tmp_path: Path) -> None:
    """A command writes a secret neither through a link nor into a pipe nor over an existing file."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "file").write_text("mine")
    for name in ("pipe", "link", "file"):
        operate("token", "create", "--data", data, "--name", "admin", "--out", tmp_path / name, status=1)
    assert not (tmp_path / "target").exists()
    assert (tmp_path / "file").read_text() == "mine"
