"""`registry-server token`: through the server that owns the folder, or on the folder itself."""

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

Reach = Callable[..., Any]


@pytest.fixture(params=["with a server", "without a server", "with a server on postgresql", "without one on it"])
def token(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reach]:
    """`registry-server token` on a registry, whoever owns its folder and whatever keeps its rows."""
    database_url = request.getfixturevalue("postgres_url") if "on" in request.param.split() else ""

    def reach(*arguments: str, status: int = 0) -> Any:
        return operate("token", *arguments, "--data", tmp_path, status=status, REGISTRY_DATABASE_URL=database_url)

    with contextlib.ExitStack() as stack:
        if request.param.startswith("with a server"):
            stack.enter_context(running(Settings(data=tmp_path, port=0, access_log=False, database_url=database_url)))
        else:
            operate("migrate", "--data", tmp_path, REGISTRY_DATABASE_URL=database_url)
        yield reach


def test_a_token_is_created_listed_and_revoked(token: Reach) -> None:
    """The secret is all that is written to standard output, once; the list has ids, times and whose it is."""
    created = token("create", "--name", "bench", "--role", "workbench", "--grant", "analysis:eurusd-*")
    secret = created.stdout.strip()
    assert secret.startswith("mrg_")
    assert secret not in created.stderr
    ours = next(row for row in json.loads(token("list", "--json").stdout) if row["principal"] == "bench")
    assert ours["id"] in created.stderr
    shown = token("list").stdout
    assert secret not in shown
    assert any(line.split()[:2] == ["bench", ours["id"]] for line in shown.splitlines())
    assert f"token {ours['id']} of bench is revoked" in token("revoke", ours["id"]).stdout
    rows = {row["id"]: row for row in json.loads(token("list", "--json").stdout)}
    assert rows[ours["id"]]["revoked_at"] is not None


def test_a_secret_goes_to_a_file_of_its_own(token: Reach, tmp_path: Path) -> None:
    """Readable by its owner only, whatever the umask, and shown nowhere; the file is what a client takes."""
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
    assert f"its secret is in {out}" in created.stderr


def test_a_file_is_not_overwritten_by_a_secret(token: Reach, tmp_path: Path) -> None:
    """Nor is a link followed; no token is made, and what is refused leaves no empty file behind."""
    (tmp_path / "kept").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("kept", "link"):
        refused = token("create", "--name", "new", "--role", "analysis", "--out", str(tmp_path / name), status=1)
        assert f"{tmp_path / name} already exists" in refused.stderr
    assert (tmp_path / "kept").read_text() == "mine"
    token("create", "--name", "new", "--out", str(tmp_path / "never"), status=2)
    token("create", "--name", "new", "--role", "analysis", "--out", str(tmp_path / "no" / "folder"), status=1)
    assert not any((tmp_path / name).exists() for name in ("elsewhere", "never", "no"))
    assert [row["principal"] for row in json.loads(token("list", "--json").stdout)] == ["admin"]


def test_a_principal_gets_further_tokens_but_not_other_grants(token: Reach) -> None:
    """What it may do is said when it is created; later only the same may be repeated."""
    token("create", "--name", "desk", "--kind", "human", "--role", "analysis")
    token("create", "--name", "desk")
    token("create", "--name", "desk", "--kind", "human", "--grant", "analysis:*")
    assert "analysis:*" in token("create", "--name", "desk", "--role", "admin", status=1).stderr
    token("create", "--name", "desk", "--kind", "service", status=1)
    assert len(json.loads(token("list", "--json").stdout)) == 4


def test_a_token_that_expires_soon_is_named(token: Reach) -> None:
    """Two weeks ahead, on standard error; a revoked one needs no successor."""
    token("create", "--name", "late", "--role", "analysis", "--valid-days", "13")
    token("create", "--name", "good", "--role", "analysis", "--valid-days", "15")
    listed = token("list")
    ours = next(row for row in json.loads(token("list", "--json").stdout) if row["principal"] == "late")
    assert f"! token {ours['id']} of late expires on" in listed.stderr
    assert "good" not in listed.stderr
    token("revoke", ours["id"])
    assert token("list").stderr == ""


def test_what_is_not_there_has_the_exit_status_of_the_client(token: Reach) -> None:
    """3 for an unknown token, 2 for a command line that is wrong."""
    token("revoke", "0123456789abcdef", status=3)
    for wrong in (["--role", "king"], ["--grant", "analysis"], ["--grant", "king:*"], ["--grant", "analysis:a*b"], []):
        token("create", "--name", "new", *wrong, status=2)


def use(registry: HttpRegistry) -> None:
    """Returns never, as long as the registry answers."""
    while True:
        registry.principals.whoami()


def test_a_revoked_token_is_refused_within_five_seconds(tmp_path: Path) -> None:
    """Also by a server that knew it a moment ago."""
    with Serving(tmp_path) as server:
        assert server.started()
        secret = operate("token", "create", "--data", tmp_path, "--name", "s", "--role", "strategy").stdout.strip()
        with HttpRegistry(RegistryConfig(url=server.url, token=secret)) as registry:
            assert registry.principals.whoami().name == "s"
            listed = json.loads(operate("token", "list", "--data", tmp_path, "--json").stdout)
            operate("token", "revoke", "--data", tmp_path, next(t["id"] for t in listed if t["principal"] == "s"))
            revoked = time.monotonic()
            with pytest.raises(Unauthenticated):
                use(registry)
        assert time.monotonic() - revoked < 5
        assert server.end() == 0


def test_a_lost_admin_token_is_replaced_while_no_server_runs(tmp_path: Path) -> None:
    """Whoever can open the database needs no token; with a server running, one must be given."""
    operate("migrate", "--data", tmp_path)
    first = (tmp_path / "admin-token").read_text()
    (tmp_path / "admin-token").unlink()
    kept = tmp_path / "kept"
    kept.write_text(operate("token", "create", "--data", tmp_path, "--name", "admin").stdout)
    assert kept.read_text() != first
    with running(Settings(data=tmp_path, port=0, access_log=False)) as url:
        assert "--token-file" in operate("token", "list", "--data", tmp_path, status=2).stderr
        operate("token", "list", "--data", tmp_path, "--token-file", kept)
        operate("token", "list", "--url", url, "--token-file", kept)
        operate("token", "list", "--url", url, REGISTRY_TOKEN=kept.read_text())


def test_the_token_of_a_folder_is_not_sent_to_another_address(tmp_path: Path) -> None:
    """An address that was typed may be anybody's."""
    operate("migrate", "--data", tmp_path)
    done = operate("token", "list", "--data", tmp_path, "--url", "http://127.0.0.1:9", status=2)
    assert "give the token of an admin of that registry" in done.stderr


def test_a_folder_named_by_mistake_does_not_become_a_registry(tmp_path: Path) -> None:
    """`serve` and `migrate` make registries, nothing else does."""
    operate("token", "list", "--data", tmp_path / "typo", status=2)
    assert not (tmp_path / "typo").exists()
    (tmp_path / "registry.sqlite3").write_text("not a database " * 100)
    assert "file is not a database" in operate("token", "list", "--data", tmp_path, status=1).stderr


def test_a_killed_server_is_in_nobodys_way(tmp_path: Path) -> None:
    """It leaves `server.json` behind, but not the lock."""
    with Serving(tmp_path) as server:
        assert server.started()
        server.process.kill()
        server.process.wait()
    assert (tmp_path / "server.json").exists()
    assert "admin" in operate("token", "list", "--data", tmp_path).stdout


@pytest.mark.parametrize("pid", [2**22 + 1, None])
def test_a_folder_whose_owner_does_not_serve_is_left_alone(tmp_path: Path, pid: int | None) -> None:
    """What an earlier server announced is not believed: its address may be somebody else's by now."""
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
