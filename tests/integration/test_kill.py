"""A server that is killed at any moment loses no acknowledged write."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from common_lib import HttpRegistry, RegistryConfig
from common_lib.errors import RegistryUnavailable
from registry_server.infrastructure.sqlite import Connection
from registry_server.serving import Announcement
from tests.support.state import assert_events_match_the_state
from tests.support.steps import version_of

_START_S = 30


@contextlib.contextmanager
def serving(data: Path) -> Iterator[tuple[subprocess.Popen[bytes], HttpRegistry]]:
    """Run a server in its own process, and end it by SIGKILL."""
    program = "from registry_server.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--data", str(data), "--port", "0"]
    with (data.parent / "log").open("ab") as log, subprocess.Popen(command, stderr=log, stdout=log) as process:
        try:
            end = time.monotonic() + _START_S
            while (found := Announcement.read(data)) is None or found.pid != process.pid:
                assert process.poll() is None, (data.parent / "log").read_text()
                assert time.monotonic() < end, "the server did not start"
                os.sched_yield()
            config = RegistryConfig(url=found.url, token=(data / "admin-token").read_text().strip(), attempts=1)
            with HttpRegistry(config) as registry:
                yield process, registry
        finally:
            process.kill()


@pytest.mark.parametrize("trials", [2, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_acknowledged_writes_survive_a_kill(tmp_path: Path, trials: int) -> None:
    """After each kill all acknowledged versions and bytes exist, without a gap, and the log has them."""
    seed = 20_261_124
    print(f"seed {seed}")
    chance = random.Random(seed)
    data = tmp_path / "data"
    acknowledged: dict[int, bytes] = {}
    with serving(data) as (_, registry):
        registry.models.create("killed", "regression")
    for trial in range(trials):
        with serving(data) as (process, registry):
            killer = threading.Timer(chance.uniform(0.0, 0.4), os.kill, (process.pid, signal.SIGKILL))
            killer.start()
            with contextlib.suppress(RegistryUnavailable):
                for count in range(10_000):
                    content = f"{trial}-{count}".encode()
                    acknowledged[version_of(registry, "killed", content).version] = content
            killer.join()
    with serving(data) as (_, registry):
        stored = [version.version for version in registry.versions.search("killed", order="version")]
        assert stored == list(range(1, len(stored) + 1))
        assert set(acknowledged) <= set(stored)
        # At most the one write that was on its way when each kill came is there unacknowledged.
        assert len(stored) - len(acknowledged) <= trials
        for version, content in chance.sample(sorted(acknowledged.items()), min(20, len(acknowledged))):
            registry.download(f"models:/killed/{version}", tmp_path / str(version))
            assert (tmp_path / str(version) / "model.bin").read_bytes() == content
    with contextlib.closing(apsw.Connection(str(data / "registry.sqlite3"))) as raw:
        asyncio.run(assert_events_match_the_state(Connection(raw)))
