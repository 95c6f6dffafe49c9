"""Errors of `registry`: each has a fixed exit status, a message and a remedy."""

import stat
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from common_lib import HttpRegistry, RegistryConfig
from common_lib.rules.access import Role
from common_lib.types.principals import Grant
from tests.support.cli import Cli

REFUSALS: list[tuple[int, str, list[str]]] = [
    (1, "illegal_transition", ["promote", "{model}", "1", "--reason", "too early"]),
    (1, "reason_required", ["stages", "set", "{model}", "1", "archived"]),
    (1, "model_exists", ["models", "create", "{model}", "--type", "regression"]),
    (2, "invalid_name", ["models", "show", "../escape"]),
    (2, "invalid_reference", ["download", "{model}", "--to", "{folder}"]),
    (2, "invalid_path", ["download", "models:/{model}/1", "--to", "{occupied}"]),
    (2, "invalid_path", ["download", "models:/{model}/1", "--to", "{foreign}"]),
    (3, "model_not_found", ["models", "show", "{model}-not"]),
    (3, "version_not_found", ["versions", "show", "{model}", "production"]),
    (3, "version_not_found", ["diff", "{model}", "1", "99"]),
    (4, "unauthenticated", ["whoami", "--token", "mrg_wrong"]),
    (5, "connection_failed", ["whoami", "--url", "http://127.0.0.1:9"]),
    (2, "invalid_configuration", ["whoami", "--url", "ftp://127.0.0.1"]),
    (2, "invalid_configuration", ["whoami", "--token", "mrg_ü"]),
    (1, "file_error", ["download", "models:/{model}/1", "--to", "{occupied}/weights.json/below"]),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: f"{refusal[0]}-{refusal[1]}")
def test_a_refusal_has_its_exit_status_and_is_a_problem_as_json(
    cli: Cli, version: str, tmp_path: Path, refusal: tuple[int, str, list[str]]
) -> None:
    """Without --json the output is message, remedy and code, never a traceback."""
    status, code, arguments = refusal
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "weights.json").write_text("something else")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "of another version.bin").touch()
    places = {"folder": tmp_path / "new", "occupied": occupied, "foreign": foreign}
    words = [word.format(model=version, **places) for word in arguments]
    problem = cli.problem(*words, status=status)
    assert problem["code"] == code
    output = cli(*words, status=status)
    assert output.stdout == ""
    assert output.stderr.startswith("✗ ")
    assert problem["detail"].split("attempt")[0][:40] in output.stderr
    assert code in output.stderr
    assert problem.get("remedy", "") in output.stderr


def test_a_remedy_names_commands_and_options(cli: Cli, version: str) -> None:
    """The registry's own remedies, which name headers and functions, are replaced."""
    cli("stages", "set", version, "1", "staging")
    cli("promote", version, "1", "--reason", "better")
    cli("aliases", "set", version, "champion", "1")
    wrong: list[tuple[int, str, list[str]]] = [
        (4, "--token-file or REGISTRY_TOKEN", ["whoami", "--token", "mrg_wrong"]),
        (1, "--force", ["models", "update", version, "--owner", "me", "--revision", "99"]),
        (1, "--reason", ["stages", "set", version, "1", "archived"]),
        (3, "`registry versions list NAME --tombstoned`", ["versions", "show", version, "2"]),
        (3, "`registry aliases list NAME`", ["versions", "show", version, "@none"]),
        (3, "`registry aliases list NAME`", ["aliases", "delete", version, "none"]),
        (1, "`registry stages set NAME VERSION archived`", ["models", "tombstone", version, "--reason", "old"]),
    ]
    for status, output, arguments in wrong:
        problem = cli.problem(*arguments, status=status)
        assert output in problem["remedy"], problem
        assert not any(word in problem["remedy"] for word in ("ETag", "If-Match", "Authorization", "force="))
    cli("stages", "set", version, "1", "archived", "--reason", "old")
    aliased = cli.problem("versions", "tombstone", version, "1", "--reason", "old", status=1)
    assert "`registry aliases delete`" in aliased["remedy"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["models", "create", "x"],
        ["models", "create", "x", "--type", "guess"],
        ["models", "list", "--tag", "team"],
        ["models", "list", "--created-from", "yesterday"],
        ["versions", "register", "x", "/nowhere", "--framework", "f"],
        ["versions", "register", "x", ".", "--framework", "f", "--metric", "rmse=nan"],
        ["versions", "register", "x", ".", "--framework", "f", "--metric", "rmse=low"],
        ["versions", "register", "x", ".", "--framework", "f", "--signature", __file__],
        ["stages", "set", "x", "0", "staging"],
        ["stages", "set", "x", "1", "production", "--reason", "by the back door"],
        ["whoami", "--token-file", "/nowhere"],
        ["completion", "tcsh"],
        ["dance"],
    ],
)
def test_a_wrong_command_line_ends_with_status_2(cli: Cli, arguments: list[str]) -> None:
    """No request is sent."""
    assert "Usage" in cli(*arguments, status=2, REGISTRY_URL="http://127.0.0.1:9").stderr


def test_a_caller_without_the_right_ends_with_status_4(cli: Cli, version: str) -> None:
    """Forbidden and unauthenticated have the same status and different codes."""
    with HttpRegistry(RegistryConfig(url=cli.url, token=cli.token)) as admin:
        admin.principals.create(f"reader-{version}", "service", [Grant(role=Role.ANALYSIS, models="*")])
        token = admin.principals.issue_token(f"reader-{version}").secret or ""
    reader = cli._replace(token=token)
    assert reader.problem("stages", "set", version, "1", "staging", status=4)["code"] == "forbidden"
    assert reader.problem("events", status=4)["code"] == "forbidden"
    assert "analysis on *" in reader("whoami").stdout
    done = cli._replace(token="")("whoami", status=4)
    assert "pass a token with --token-file or REGISTRY_TOKEN" in done.stderr


def test_an_address_of_another_server_ends_with_status_5(cli: Cli) -> None:
    """An HTTP server that is not a registry is a protocol error."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Page) as other:
        thread = Thread(target=other.serve_forever)
        thread.start()
        try:
            port = other.server_address[1]
            assert cli.problem("whoami", "--url", f"http://127.0.0.1:{port}", status=5)["code"] == "protocol_error"
        finally:
            other.shutdown()
            thread.join()


def test_changed_bytes_end_with_status_6(cli: Cli, version: str, tmp_path: Path) -> None:
    """A file that does not match its digest is not stored."""
    files = cli.json("versions", "show", version, "1")["files"]
    sha256 = next(entry["sha256"] for entry in files if entry["path"] == "weights.json")
    blob = cli.data / "blobs" / "sha256" / sha256[:2] / sha256
    whole = blob.read_bytes()
    blob.chmod(stat.S_IRUSR | stat.S_IWUSR)
    blob.write_bytes(whole.replace(b"0.25", b"9.99"))
    try:
        problem = cli.problem("download", f"models:/{version}/1", "--to", tmp_path / "out", status=6)
    finally:
        blob.write_bytes(whole)
    assert problem["code"] == "digest_mismatch"
    assert not (tmp_path / "out" / "weights.json").exists()


def test_a_token_is_read_from_a_file_and_never_printed(cli: Cli, tmp_path: Path) -> None:
    """A file takes precedence over the environment; an empty file, and two tokens, are refused."""
    file, empty = tmp_path / "token", tmp_path / "empty"
    file.write_text(cli.token + "\n")
    empty.write_text("\n")
    assert "admin" in cli("whoami", "--token-file", file, REGISTRY_TOKEN="mrg_other").stdout
    both = cli("whoami", "--token-file", file, "--token", cli.token, status=2)
    assert "use only one of them" in both.stderr
    assert "empty" in cli("whoami", "--token-file", empty, status=2).stderr
    wrong = cli("whoami", "--token", f"{cli.token}\x07x", status=2)
    results = [both, wrong, cli("whoami", "--help"), cli("models", "--help")]
    assert not any(cli.token in done.output for done in results)
