"""`registry-server token`: through the server that owns the folder, or in the folder itself."""

import contextlib
import fcntl
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common_lib import HttpRegistry, RegistryConfig
from common_lib.errors import Unauthenticated
from registry_server.serving import Announcement, running
from registry_server.settings import Settings
from tests.support.cli import Serving, operate

Operate = Callable[..., Any]


@pytest.fixture(params=["with a server", "without a server", "with a server on postgresql", "without one on it"])
def token(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Operate]:
    """Provide `registry-server token`, with and without a server, on both engines."""
    database_url = request.getfixturevalue("postgres_url") if "on" in request.param.split() else ""

    def operate_on(*arguments: str, status: int = 0) -> Any:
        return operate("token", *arguments, "--data", tmp_path, status=status, REGISTRY_DATABASE_URL=database_url)

    with contextlib.ExitStack() as stack:
        if request.param.startswith("with a server"):
            stack.enter_context(running(Settings(data=tmp_path, port=0, access_log=False, database_url=database_url)))
        else:
            operate("migrate", "--data", tmp_path, REGISTRY_DATABASE_URL=database_url)
        yield operate_on


def test_a_token_is_created_listed_and_revoked(token: Operate) -> None:
    """Standard output has only the secret; the list has ids, times and principals."""
    created = token("create", "--name", "bench", "--role", "workbench", "--grant", "analysis:eurusd-*")
    secret = created.stdout.strip()
    assert secret.startswith("mrg_")
    assert secret not in created.stderr
    ours = next(row for row in json.loads(token("list", "--json").stdout) if row["principal"] == "bench")
    assert ours["id"] in created.stderr
    output = token("list").stdout
    assert secret not in output
    assert any(line.split()[:2] == ["bench", ours["id"]] for line in output.splitlines())
    assert f"token {ours['id']} of bench is revoked" in token("revoke", ours["id"]).stdout
    rows = {row["id"]: row for row in json.loads(token("list", "--json").stdout)}
    assert rows[ours["id"]]["revoked_at"] is not None


def test_a_secret_is_written_to_a_new_file(token: Operate, tmp_path: Path) -> None:
    """Only its owner can read the file, whatever the umask, and the secret is not printed."""
    out = tmp_path / "bench.token"
    before = os.umask(0)
    try:
        created = token("create", "--name", "bench", "--role", "workbench", "--out", str(out))
    finally:
        os.umask(before)
    secret = out.read_text()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert secret.startswith("mrg_")
    assert secret.strip() not in created.output
    assert created.stdout == ""
    assert f"the secret is in {out}" in created.stderr


def test_a_file_is_not_overwritten_by_a_secret(token: Operate, tmp_path: Path) -> None:
    """Links are not followed; no token is created, and no empty file is left behind."""
    (tmp_path / "existing").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("existing", "link"):
        refused = token("create", "--name", "new", "--role", "analysis", "--out", str(tmp_path / name), status=1)
        assert f"{tmp_path / name} already exists" in refused.stderr
    assert (tmp_path / "existing").read_text() == "mine"
    token("create", "--name", "new", "--out", str(tmp_path / "never"), status=2)
    token("create", "--name", "new", "--role", "analysis", "--out", str(tmp_path / "no" / "folder"), status=1)
    assert not any((tmp_path / name).exists() for name in ("elsewhere", "never", "no"))
    assert [row["principal"] for row in json.loads(token("list", "--json").stdout)] == ["admin"]


def test_a_principal_gets_further_tokens_but_not_other_grants(token: Operate) -> None:
    """Grants are set when the principal is created; later only the same grants can be given."""
    token("create", "--name", "desk", "--kind", "human", "--role", "analysis")
    token("create", "--name", "desk")
    token("create", "--name", "desk", "--kind", "human", "--grant", "analysis:*")
    assert "analysis:*" in token("create", "--name", "desk", "--role", "admin", status=1).stderr
    token("create", "--name", "desk", "--kind", "service", status=1)
    assert len(json.loads(token("list", "--json").stdout)) == 4


def test_a_token_that_expires_soon_is_reported(token: Operate) -> None:
    """The warning is on standard error, two weeks before; revoked tokens are not reported."""
    token("create", "--name", "late", "--role", "analysis", "--valid-days", "13")
    token("create", "--name", "good", "--role", "analysis", "--valid-days", "15")
    listed = token("list")
    ours = next(row for row in json.loads(token("list", "--json").stdout) if row["principal"] == "late")
    assert f"! token {ours['id']} of late expires on" in listed.stderr
    assert "good" not in listed.stderr
    token("revoke", ours["id"])
    assert token("list").stderr == ""


def test_an_unknown_token_and_a_usage_error_have_different_statuses(token: Operate) -> None:
    """The exit status is 3 for an unknown token, 2 for a usage error."""
    token("revoke", "0123456789abcdef", status=3)
    for wrong in (["--role", "king"], ["--grant", "analysis"], ["--grant", "king:*"], ["--grant", "analysis:a*b"], []):
        token("create", "--name", "new", *wrong, status=2)


def use_until_refused(registry: HttpRegistry) -> None:
    """Send requests until one fails."""
    while True:
        registry.principals.whoami()


def test_a_revoked_token_is_refused_within_five_seconds(tmp_path: Path) -> None:
    """This holds for a server that has just accepted the token."""
    with Serving(tmp_path) as server:
        assert server.started()
        secret = operate("token", "create", "--data", tmp_path, "--name", "s", "--role", "strategy").stdout.strip()
        with HttpRegistry(RegistryConfig(url=server.url, token=secret)) as registry:
            assert registry.principals.whoami().name == "s"
            listed = json.loads(operate("token", "list", "--data", tmp_path, "--json").stdout)
            operate("token", "revoke", "--data", tmp_path, next(t["id"] for t in listed if t["principal"] == "s"))
            revoked = time.monotonic()
            with pytest.raises(Unauthenticated):
                use_until_refused(registry)
        assert time.monotonic() - revoked < 5
        assert server.end() == 0


def test_a_lost_admin_token_is_replaced_while_no_server_runs(tmp_path: Path) -> None:
    """A user who can open the database needs no token; while a server runs, a token is required."""
    operate("migrate", "--data", tmp_path)
    first = (tmp_path / "admin-token").read_text()
    (tmp_path / "admin-token").unlink()
    new_token = tmp_path / "token"
    new_token.write_text(operate("token", "create", "--data", tmp_path, "--name", "admin").stdout)
    assert new_token.read_text() != first
    with running(Settings(data=tmp_path, port=0, access_log=False)) as url:
        assert "--token-file" in operate("token", "list", "--data", tmp_path, status=2).stderr
        operate("token", "list", "--data", tmp_path, "--token-file", new_token)
        operate("token", "list", "--url", url, "--token-file", new_token)
        operate("token", "list", "--url", url, REGISTRY_TOKEN=new_token.read_text())


def test_the_token_of_a_folder_is_not_sent_to_another_address(tmp_path: Path) -> None:
    """The address may belong to anybody."""
    operate("migrate", "--data", tmp_path)
    done = operate("token", "list", "--data", tmp_path, "--url", "http://127.0.0.1:9", status=2)
    assert "give the token of an admin of that registry" in done.stderr


def test_a_mistyped_folder_does_not_become_a_registry(tmp_path: Path) -> None:
    """Only `serve` and `migrate` create registries."""
    operate("token", "list", "--data", tmp_path / "typo", status=2)
    assert not (tmp_path / "typo").exists()
    (tmp_path / "registry.sqlite3").write_text("not a database " * 100)
    assert "file is not a database" in operate("token", "list", "--data", tmp_path, status=1).stderr


def test_a_killed_server_does_not_block_the_folder(tmp_path: Path) -> None:
    """Its `server.json` stays, but its lock is released."""
    with Serving(tmp_path) as server:
        assert server.started()
        server.process.kill()
        server.process.wait()
    assert (tmp_path / "server.json").exists()
    assert "admin" in operate("token", "list", "--data", tmp_path).stdout


@pytest.mark.parametrize("pid", [2**22 + 1, None])
def test_a_folder_owned_by_another_process_is_refused(tmp_path: Path, pid: int | None) -> None:
    """The `server.json` of an earlier server is not used: its address may belong to another process now."""
    operate("migrate", "--data", tmp_path)
    if pid:
        Announcement("http://127.0.0.1:9", pid).write(tmp_path)
    descriptor = os.open(tmp_path / "lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        done = operate("token", "list", "--data", tmp_path, status=1)
    finally:
        os.close(descriptor)
    assert "another process owns" in done.stderr
    assert "--url" in done.stderr
