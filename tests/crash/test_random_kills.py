"""Real servers and clients, killed at random moments, many times on one data folder and one cache."""

import asyncio
import contextlib
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import apsw
import httpx
import pytest

from common_lib import HttpRegistry, RegistryConfig
from common_lib.errors import AlreadyExists
from registry_server.infrastructure.sqlite import Connection
from registry_server.serving import Announcement
from tests.crash.nursery import Nursery
from tests.crash.worlds import digest
from tests.support.state import assert_events_match_the_state

_LATEST_S = 60
_LONGEST_S = 0.15
_MANY = 1_000


class Server(NamedTuple):
    """A server in its own process, and the time from its start to its first response."""

    process: subprocess.Popen[bytes]
    url: str
    token: str
    start_s: float


@contextlib.contextmanager
def serving(data: Path) -> Iterator[Server]:
    """Run a server, and end it by SIGKILL."""
    program = "from registry_server.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--data", str(data), "--port", "0"]
    began = time.monotonic()
    with (data.parent / "log").open("ab") as log, subprocess.Popen(command, stderr=log, stdout=log) as process:
        try:
            while (found := Announcement.read(data)) is None or found.pid != process.pid:
                assert process.poll() is None, (data.parent / "log").read_text()[-4_000:]
                assert time.monotonic() < began + _LATEST_S, "the server did not start"
                os.sched_yield()
            assert httpx.get(f"{found.url}/health/ready").is_success
            yield Server(process, found.url, (data / "admin-token").read_text().strip(), time.monotonic() - began)
        finally:
            process.kill()


class Watch:
    """The acknowledged data, and the files that were checked before."""

    def __init__(self, data: Path, cache: Path) -> None:
        self.data = data
        self.cache = cache
        self.acknowledged: dict[int, str] = {}
        self._whole: set[tuple[int, int]] = set()

    def take(self, acknowledged: list[str]) -> None:
        """Record the acknowledged data."""
        for one in acknowledged:
            version, _, sha256 = one.partition(":")
            self.acknowledged[int(version)] = sha256

    def assert_whole(self, *, again: bool = False) -> None:
        """Fail if a file with a final name has other bytes; unchanged files are checked only once."""
        for root in (self.data / "blobs" / "sha256", self.cache / "blobs" / "sha256"):
            for file in root.glob("??/*"):
                about = file.stat()
                known = (about.st_ino, about.st_mtime_ns)
                if again or known not in self._whole:
                    assert digest(file.read_bytes()) == file.name, f"a partial file: {file}"
                    self._whole.add(known)

    def assert_stored(self, versions: list[int]) -> None:
        """Fail unless these versions exist with their bytes."""
        with contextlib.closing(apsw.Connection(str(self.data / "registry.sqlite3"))) as raw:
            for version in versions:
                rows = raw.execute("SELECT sha256 FROM version_files WHERE version = ?", (version,)).fetchall()
                assert rows == [(self.acknowledged[version],)], f"version {version} was lost"
                sha256 = self.acknowledged[version]
                assert (self.data / "blobs" / "sha256" / sha256[:2] / sha256).exists()


@pytest.mark.parametrize("trials", [6, pytest.param(_MANY, marks=[pytest.mark.long, pytest.mark.timeout(3_600)])])
def test_random_kills_lose_nothing_that_was_acknowledged(tmp_path: Path, children: list[Nursery], trials: int) -> None:
    """Half of the kills hit the server and half the clients; every file stays whole, and the log matches the state."""
    seed = 20_261_124
    print(f"seed {seed}")
    chance = random.Random(seed)
    watch = Watch(tmp_path / "data", tmp_path / "cache")
    watch.data.mkdir()
    hit = [chance.choice(("server", "client")) for _ in range(trials)]
    starts: list[float] = []
    while hit:
        with serving(watch.data) as server:
            starts.append(server.start_s)
            assert not list((watch.data / "blobs" / "staging").iterdir()), "staging was not cleaned"
            watch.assert_stored(chance.sample(sorted(watch.acknowledged), min(20, len(watch.acknowledged))))
            with contextlib.suppress(AlreadyExists), registry_at(server) as registry:
                registry.models.create("killed", "regression")
            while hit and hit.pop() == "client":
                act(server, children, watch, chance, kill_server=False)
            act(server, children, watch, chance, kill_server=True)
        watch.assert_whole()
    with serving(watch.data) as server:
        starts.append(server.start_s)
        watch.assert_stored(sorted(watch.acknowledged))
        watch.assert_whole(again=True)
    with contextlib.closing(apsw.Connection(str(watch.data / "registry.sqlite3"))) as raw:
        asyncio.run(assert_events_match_the_state(Connection(raw)))
        (found,) = raw.execute("SELECT count(*), max(version) FROM versions").fetchall()
    assert found[0] == (found[1] or 0), "the numbers have a gap"
    assert watch.acknowledged, "nothing was acknowledged"
    print(f"{trials} kills, {len(watch.acknowledged)} versions acknowledged, {found[0]} there")
    print(f"starts: median {statistics.median(starts):.2f} s, longest {max(starts):.2f} s")
    # In the short form other tests use the machine too, so time is not checked.
    assert trials < _MANY or statistics.median(starts) < 2


def registry_at(server: Server) -> HttpRegistry:
    """Yield the first admin's registry."""
    return HttpRegistry(RegistryConfig(url=server.url, token=server.token))


def act(server: Server, children: list[Nursery], watch: Watch, chance: random.Random, *, kill_server: bool) -> None:
    """Run two clients on one cache, and kill the server or both clients, each at its own moment."""
    facts = {"url": server.url, "token": server.token, "cache": str(watch.cache)}
    born = [one.start(job="busy", seed=chance.getrandbits(60), **facts) for one in children]
    for one in children:
        one.ready()
    for process in [server.process.pid] if kill_server else born:
        # A random moment: no event marks it.
        time.sleep(chance.uniform(0.0, _LONGEST_S))
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    for one in children:
        end = one.wait()
        assert end.status == (0 if kill_server else -signal.SIGKILL), "a client failed; its traceback stands above"
        watch.take(end.acknowledged)
