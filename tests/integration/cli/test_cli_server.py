"""`registry-server serve`, `migrate` and `demo`: real processes, real signals, exit statuses to rely on."""

import json
import signal
import socket
import stat
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from common_lib import HttpRegistry, RegistryConfig
from registry_server.cli.program import program
from registry_server.serving import Announcement
from tests.support.cli import SERVER, Serving, operate, run_python


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_server_says_where_it_is_and_ends_with_status_0(tmp_path: Path, by: int) -> None:
    """Until Ctrl-C or SIGTERM `server.json` tells tools of the same user where it is."""
    with Serving(tmp_path / "data") as server:
        assert server.started()
        file = server.data / "server.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert Announcement.read(server.data) == Announcement(server.url, server.process.pid)
        with HttpRegistry(RegistryConfig(url=server.url, token=server.token)) as registry:
            assert registry.principals.whoami().name == "admin"
        assert server.end(by) == 0
        assert not file.exists()
        said = [json.loads(line) for line in server.said.splitlines()]
    assert (said[-1]["level"], said[-1]["message"]) == ("info", "stopped cleanly")
    assert [line["url"] for line in said if line["message"].startswith("serving")] == [said[0]["url"]]
    assert said[0]["admin_token_file"] == str(server.data / "admin-token")


def test_people_at_a_terminal_are_told_in_sentences(tmp_path: Path) -> None:
    """The address, the folder, where the token is, and how to end it; the token itself is not shown."""
    with Serving(tmp_path / "data", FORCE_COLOR="1", NO_COLOR="1") as server:
        assert server.started()
        assert server.end(signal.SIGINT) == 0
    assert "The model registry has stopped cleanly." in server.said.splitlines()[-1]
    assert f"serves at http://127.0.0.1:{server.said.split(':')[2].split(',')[0]}," in server.said
    assert str(tmp_path / "data" / "admin-token") in server.said
    assert (tmp_path / "data" / "admin-token").read_text().strip() not in server.said


def test_a_server_that_is_told_twice_to_stop_says_that_it_did_not_wait(tmp_path: Path) -> None:
    """A second Ctrl-C cuts off the request at work; that is no clean end, so the status is 1."""
    with Serving(tmp_path) as server:
        assert server.started()
        host, port = server.url.removeprefix("http://").split(":")
        head = f"PUT /v1/blobs/{'0' * 64} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {server.token}\r\n"
        with socket.create_connection((host, int(port))) as upload:
            upload.sendall(f"{head}content-length: 9\r\nexpect: 100-continue\r\n\r\n".encode())
            # It is asked for by the request that has begun.
            assert upload.recv(1024).startswith(b"HTTP/1.1 100 ")
            server.process.send_signal(signal.SIGINT)
            while (tmp_path / "server.json").exists():
                assert server.process.poll() is None
            assert server.end(signal.SIGINT) == 1
    assert server.said.splitlines()[-1].startswith("✗ The model registry received a second stop signal")
    assert "cleanly" not in server.said


def test_a_folder_in_use_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """The first server goes on, and what it announced stays."""
    with Serving(tmp_path) as first:
        assert first.started()
        with Serving(tmp_path) as second:
            assert not second.started()
        assert second.process.returncode == 1
        assert second.said.startswith(f"✗ another process owns {tmp_path}: stop it")
        assert second.said.count("\n") == 1
        assert Announcement.read(tmp_path) == Announcement(first.url, first.process.pid)
        assert first.end() == 0


def test_of_two_servers_started_at_once_one_serves(tmp_path: Path) -> None:
    """The other ends with status 1, whichever it is."""
    with Serving(tmp_path / "data") as one, Serving(tmp_path / "data") as other:
        states = {one.started(): one, other.started(): other}
        assert states.keys() == {True, False}
        assert states[False].process.returncode == 1
        assert states[True].end() == 0


def test_a_port_that_is_taken_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """The sentence names the option that helps."""
    with Serving(tmp_path / "one") as first:
        assert first.started()
        port = first.url.rpartition(":")[2]
        with Serving(tmp_path / "two", "--port", port) as second:
            assert not second.started()
        assert second.process.returncode == 1
        assert f"cannot listen on 127.0.0.1:{port}" in second.said
        assert "--port" in second.said


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--host", "0.0.0.0"], "not a loopback address"),  # noqa: S104 - that is what is refused
        (["--database-url", "postgresql://u:secret@127.0.0.1:1/x"], "cannot connect to PostgreSQL at 127.0.0.1: "),
    ],
)
def test_a_server_that_cannot_start_ends_with_status_1(tmp_path: Path, options: list[str], sentence: str) -> None:
    """The reason is said in a sentence, without a traceback and without a password."""
    with Serving(tmp_path / "data", *options) as server:
        assert not server.started()
    assert server.process.returncode == 1
    assert sentence in server.said
    assert server.said.startswith("✗ ")
    assert server.said.count("\n") == 1
    assert "secret" not in server.said


def test_a_damaged_database_keeps_the_server_from_starting(tmp_path: Path) -> None:
    """What is no database is left as it is."""
    (tmp_path / "registry.sqlite3").write_text("not a database " * 100)
    with Serving(tmp_path) as server:
        assert not server.started()
    assert server.process.returncode == 1
    assert server.said.splitlines()[-1] == (
        f"✗ {tmp_path / 'registry.sqlite3'} is damaged (file is not a database): "
        "keep a copy of it and of its -wal file, and restore the data folder from a backup"
    )
    assert "Application startup failed" not in server.said
    assert (tmp_path / "registry.sqlite3").read_text() == "not a database " * 100


def test_a_wrong_database_url_is_a_wrong_command_line_that_shows_no_password() -> None:
    """Status 2, like every wrong command line."""
    done = operate("serve", "--database-url", "mysql://u:secret@h/x", status=2)
    assert "postgresql://" in done.stderr
    assert "secret" not in done.output


def test_help_does_not_wait_for_the_server() -> None:
    """Neither the framework nor the engines are loaded for help."""
    code = (
        "import sys; from registry_server.cli import main\n"
        "try: main()\n"
        "except SystemExit: sys.exit(','.join({'litestar', 'apsw', 'pydantic', 'uvicorn'} & sys.modules.keys()) or 0)"
    )
    assert run_python(code, "--help").returncode == 0


def test_without_its_extra_the_program_says_what_to_install() -> None:
    """One sentence, no traceback."""
    done = run_python("import sys; sys.modules['msgspec'] = None\n" + SERVER, "serve")
    assert done.returncode == 1
    assert done.stderr.decode() == "registry-server needs msgspec: pip install 'model-registry-service[server]'\n"


def test_migrate_makes_a_database_once(tmp_path: Path) -> None:
    """It says which steps it took, and that there was nothing to do."""
    assert operate("migrate", "--data", tmp_path).stdout.startswith("applied: 0001_")
    assert operate("migrate", "--data", tmp_path).stdout == "the schema is up to date\n"


def test_migrate_leaves_the_folder_of_a_running_server_alone(tmp_path: Path) -> None:
    """The server migrated it when it started."""
    with Serving(tmp_path) as server:
        assert server.started()
        assert "another process owns" in operate("migrate", "--data", tmp_path, status=1).stderr


def test_migrate_brings_postgresql_up_to_date_beside_a_server(tmp_path: Path, postgres_url_factory: Any) -> None:
    """The rows are shared, so nobody has to stop; the bytes' folder is not even needed."""
    url = postgres_url_factory("migrate")
    done = operate("migrate", "--data", tmp_path / "none", REGISTRY_DATABASE_URL=url)
    assert done.stdout.startswith("applied: 0001_")
    with Serving(tmp_path / "data", REGISTRY_DATABASE_URL=url) as server:
        assert server.started()
        again = operate("migrate", "--data", tmp_path / "data", REGISTRY_DATABASE_URL=url)
        assert again.stdout == "the schema is up to date\n"
        assert server.end() == 0
    assert not (tmp_path / "none").exists()


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A demo whose story is told by the test."""
    module = ModuleType("registry_server.demo.command")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_the_demo_gets_its_options_and_gives_its_status(story: ModuleType, tmp_path: Path) -> None:
    """The program adds nothing of its own."""
    asked: list[Any] = []

    def main(*given: Any) -> int:
        asked.append(given)
        return 7

    story.main = main  # type: ignore[attr-defined]
    options = ["--exit", "--data", str(tmp_path), "--port", "0"]
    assert CliRunner().invoke(program, ["demo", *options]).exit_code == 7
    assert asked == [(True, tmp_path, 0)]


def test_without_its_extra_the_demo_says_what_to_install(story: ModuleType) -> None:
    """A missing module of our own is a bug and not told as an extra."""

    def miss(name: str) -> Any:
        raise ModuleNotFoundError(name=name)

    story.main = lambda *_: miss("sklearn")  # type: ignore[attr-defined]
    assert "the demo needs sklearn: pip install 'model-registry-service[demo]'" in operate("demo", status=1).stderr
    story.main = lambda *_: miss("registry_server.gone")  # type: ignore[attr-defined]
    with pytest.raises(ModuleNotFoundError):
        CliRunner().invoke(program, ["demo"], catch_exceptions=False)


def test_the_data_folder_is_the_users_own_without_configuration(tmp_path: Path) -> None:
    """REGISTRY_DATA names another one."""
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": "", "REGISTRY_DATA": ""}
    operate("migrate", **home)
    assert (tmp_path / ".local" / "share" / "model-registry" / "registry.sqlite3").exists()
    operate("migrate", **home | {"REGISTRY_DATA": str(tmp_path / "named")})
    assert (tmp_path / "named" / "registry.sqlite3").exists()
    assert stat.S_IMODE((tmp_path / "named").stat().st_mode) == 0o700
