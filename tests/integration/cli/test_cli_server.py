"""`registry-server serve`, `migrate` and `demo`, with real processes and signals."""

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
def test_a_server_logs_its_address_and_stops_with_status_0(tmp_path: Path, by: int) -> None:
    """While it runs, `server.json` has its address, for tools of the same user."""
    with Serving(tmp_path / "data") as server:
        assert server.started()
        file = server.data / "server.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert Announcement.read(server.data) == Announcement(server.url, server.process.pid)
        with HttpRegistry(RegistryConfig(url=server.url, token=server.token)) as registry:
            assert registry.principals.whoami().name == "admin"
        assert server.end(by) == 0
        assert not file.exists()
        lines = [json.loads(line) for line in server.stderr_text.splitlines()]
    assert (lines[-1]["level"], lines[-1]["message"]) == ("info", "stopped cleanly")
    assert [line["url"] for line in lines if line["message"].startswith("serving")] == [lines[0]["url"]]
    assert lines[0]["admin_token_file"] == str(server.data / "admin-token")


def test_a_server_on_a_terminal_prints_sentences(tmp_path: Path) -> None:
    """They have the address, the folder and the file of the token, but not the token."""
    with Serving(tmp_path / "data", FORCE_COLOR="1", NO_COLOR="1") as server:
        assert server.started()
        assert server.end(signal.SIGINT) == 0
    assert "The model registry has stopped cleanly." in server.stderr_text.splitlines()[-1]
    assert f"serves at http://127.0.0.1:{server.stderr_text.split(':')[2].split(',')[0]}," in server.stderr_text
    assert str(tmp_path / "data" / "admin-token") in server.stderr_text
    assert (tmp_path / "data" / "admin-token").read_text().strip() not in server.stderr_text


def test_a_second_stop_signal_aborts_requests_in_progress(tmp_path: Path) -> None:
    """The server reports this, and its exit status is 1."""
    with Serving(tmp_path) as server:
        assert server.started()
        host, port = server.url.removeprefix("http://").split(":")
        head = f"PUT /v1/blobs/{'0' * 64} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {server.token}\r\n"
        with socket.create_connection((host, int(port))) as upload:
            upload.sendall(f"{head}content-length: 9\r\nexpect: 100-continue\r\n\r\n".encode())
            # The response 100 shows that the server handles the request.
            assert upload.recv(1024).startswith(b"HTTP/1.1 100 ")
            server.process.send_signal(signal.SIGINT)
            while (tmp_path / "server.json").exists():
                assert server.process.poll() is None
            assert server.end(signal.SIGINT) == 1
    assert server.stderr_text.splitlines()[-1].startswith("✗ The model registry received a second stop signal")
    assert "cleanly" not in server.stderr_text


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """The first server and its `server.json` stay; the second one prints one sentence."""
    with Serving(tmp_path) as first:
        assert first.started()
        with Serving(tmp_path) as second:
            assert not second.started()
        assert second.process.returncode == 1
        assert second.stderr_text.startswith(f"✗ another process owns {tmp_path}: stop that process")
        assert second.stderr_text.count("\n") == 1
        assert Announcement.read(tmp_path) == Announcement(first.url, first.process.pid)
        assert first.end() == 0


def test_only_one_of_two_servers_started_together_serves(tmp_path: Path) -> None:
    """The other one ends with status 1."""
    with Serving(tmp_path / "data") as one, Serving(tmp_path / "data") as other:
        states = {one.started(): one, other.started(): other}
        assert states.keys() == {True, False}
        assert states[False].process.returncode == 1
        assert states[True].end() == 0


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    """The message names the address and the option `--port`."""
    with Serving(tmp_path / "one") as first:
        assert first.started()
        port = first.url.rpartition(":")[2]
        with Serving(tmp_path / "two", "--port", port) as second:
            assert not second.started()
        assert second.process.returncode == 1
        assert f"cannot listen on 127.0.0.1:{port}" in second.stderr_text
        assert "--port" in second.stderr_text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--host", "0.0.0.0"], "not a loopback address"),  # noqa: S104 - the server refuses it
        (["--database-url", "postgresql://u:secret@127.0.0.1:1/x"], "cannot connect to PostgreSQL at 127.0.0.1: "),
    ],
)
def test_a_server_that_cannot_start_ends_with_status_1(tmp_path: Path, options: list[str], sentence: str) -> None:
    """The message is one sentence, without a traceback and without the password."""
    with Serving(tmp_path / "data", *options) as server:
        assert not server.started()
    assert server.process.returncode == 1
    assert sentence in server.stderr_text
    assert server.stderr_text.startswith("✗ ")
    assert server.stderr_text.count("\n") == 1
    assert "secret" not in server.stderr_text


def test_a_server_does_not_start_on_a_damaged_database(tmp_path: Path) -> None:
    """The damaged file is not changed."""
    (tmp_path / "registry.sqlite3").write_text("not a database " * 100)
    with Serving(tmp_path) as server:
        assert not server.started()
    assert server.process.returncode == 1
    assert server.stderr_text.splitlines()[-1] == (
        f"✗ {tmp_path / 'registry.sqlite3'} is damaged (file is not a database): "
        "keep a copy of it and of its -wal file, and restore the data folder from a backup"
    )
    assert "Application startup failed" not in server.stderr_text
    assert (tmp_path / "registry.sqlite3").read_text() == "not a database " * 100


def test_a_wrong_database_url_is_a_usage_error_without_the_password() -> None:
    """The exit status is 2, as for every usage error."""
    done = operate("serve", "--database-url", "mysql://u:secret@h/x", status=2)
    assert "postgresql://" in done.stderr
    assert "secret" not in done.output


def test_help_does_not_import_the_server() -> None:
    """Neither the framework nor the database engines are imported."""
    code = (
        "import sys; from registry_server.cli import main\n"
        "try: main()\n"
        "except SystemExit: sys.exit(','.join({'litestar', 'apsw', 'pydantic', 'uvicorn'} & sys.modules.keys()) or 0)"
    )
    assert run_python(code, "--help").returncode == 0


def test_without_its_extra_the_program_names_the_package_to_install() -> None:
    """The output is one sentence without a traceback."""
    done = run_python("import sys; sys.modules['msgspec'] = None\n" + SERVER, "serve")
    assert done.returncode == 1
    assert done.stderr.decode() == "registry-server needs msgspec: pip install 'model-registry-service[server]'\n"


def test_migrate_creates_a_database_once(tmp_path: Path) -> None:
    """The first run prints the applied steps, the second one that the schema is up to date."""
    assert operate("migrate", "--data", tmp_path).stdout.startswith("applied: 0001_")
    assert operate("migrate", "--data", tmp_path).stdout == "the schema is up to date\n"


def test_migrate_refuses_the_folder_of_a_running_server(tmp_path: Path) -> None:
    """The server has migrated it at its start."""
    with Serving(tmp_path) as server:
        assert server.started()
        assert "another process owns" in operate("migrate", "--data", tmp_path, status=1).stderr


def test_migrate_updates_postgresql_while_a_server_runs(tmp_path: Path, postgres_url_factory: Any) -> None:
    """The command does not need the folder of bytes."""
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
def command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Replace the module of the demo by an empty one."""
    module = ModuleType("registry_server.demo.command")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_the_demo_receives_its_options_and_returns_its_status(command: ModuleType, tmp_path: Path) -> None:
    """The command passes its options unchanged."""
    calls: list[Any] = []

    def main(*arguments: Any) -> int:
        calls.append(arguments)
        return 7

    command.main = main  # type: ignore[attr-defined]
    options = ["--exit", "--data", str(tmp_path), "--port", "0"]
    assert CliRunner().invoke(program, ["demo", *options]).exit_code == 7
    assert calls == [(True, tmp_path, 0)]


def test_without_its_extra_the_demo_names_the_package_to_install(command: ModuleType) -> None:
    """A missing module of this project is a bug and is not reported as a missing extra."""

    def miss(name: str) -> Any:
        raise ModuleNotFoundError(name=name)

    command.main = lambda *_: miss("sklearn")  # type: ignore[attr-defined]
    assert "the demo needs sklearn: pip install 'model-registry-service[demo]'" in operate("demo", status=1).stderr
    command.main = lambda *_: miss("registry_server.gone")  # type: ignore[attr-defined]
    with pytest.raises(ModuleNotFoundError):
        CliRunner().invoke(program, ["demo"], catch_exceptions=False)


def test_the_default_data_folder_is_in_the_users_home(tmp_path: Path) -> None:
    """REGISTRY_DATA replaces the default."""
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": "", "REGISTRY_DATA": ""}
    operate("migrate", **home)
    assert (tmp_path / ".local" / "share" / "model-registry" / "registry.sqlite3").exists()
    operate("migrate", **home | {"REGISTRY_DATA": str(tmp_path / "named")})
    assert (tmp_path / "named" / "registry.sqlite3").exists()
    assert stat.S_IMODE((tmp_path / "named").stat().st_mode) == 0o700
