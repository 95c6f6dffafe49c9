"""The life of a client: restart, fork, threads, close, and the end of the interpreter, over real sockets."""

import asyncio
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from common_lib import AsyncHttpRegistry, HttpRegistry, RegistryConfig
from common_lib.config import ResolveRules
from common_lib.deadline import deadline
from common_lib.errors import RegistryClosed, RegistryUnavailable
from common_lib.faults import Faults
from common_lib.operations import versions
from registry_server.serving import running
from registry_server.settings import Settings
from tests.conftest import Server
from tests.support.interpreters import run_with_children
from tests.support.steps import promoted

PRODUCTION = "models:/{}/production"


@pytest.fixture
def config(sqlite_server: Server, name: str) -> RegistryConfig:
    """Provide a configuration with defaults for a registry with a version in production."""
    config = RegistryConfig(url=sqlite_server.url, token=sqlite_server.token)
    with HttpRegistry(replace(config, resolve=None)) as registry:
        registry.models.create(name, "forecasting")
        promoted(registry, name)
    return config


def python(code: str, config: RegistryConfig, name: str) -> subprocess.CompletedProcess[str]:
    """Run code in another interpreter, whose warnings are errors, with the configuration in its environment."""
    environment = {"REGISTRY_URL": config.url, "REGISTRY_TOKEN": config.token, "NAME": name}
    written = run_with_children(f"import os; name = os.environ['NAME']\n{code}", **environment)
    return subprocess.CompletedProcess([], 0, *written)


RESOLVES = """
from common_lib import HttpRegistry
found = HttpRegistry().versions.resolution(f"models:/{name}/production")
print(found.version.version, found.source)
"""


def test_a_new_process_resolves_in_an_outage_without_configuration(tmp_path: Path, cache: Path) -> None:
    """With defaults and without `close`, the next process starts with the answers of the last one."""
    with running(Settings(data=tmp_path, port=0, access_log=False)) as url:
        config = RegistryConfig(url=url, token=(tmp_path / "admin-token").read_text().strip())
        with HttpRegistry(replace(config, resolve=None)) as registry:
            registry.models.create("eurusd", "forecasting")
            promoted(registry, "eurusd")
        done = python(RESOLVES, config, "eurusd")
        assert (done.stdout, done.stderr) == ("1 registry\n", "")
    done = python(RESOLVES, config, "eurusd")
    assert (done.stdout, done.stderr) == ("1 disk-cache\n", "")
    (file,) = (cache / "resolves").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert config.token not in file.read_text()
    stranger = python(RESOLVES, replace(config, token="mrg_other", resolve=None), "eurusd")
    assert "ConnectionFailed" in stranger.stderr


@contextmanager
def silent(port: int = 0) -> Iterator[int]:
    """Open a port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        yield listening.getsockname()[1]


HANGS = """
import logging
from common_lib import HttpRegistry
from common_lib.config import RegistryConfig, ResolveRules
from common_lib.client.cache_file import CacheFile, StoredAnswer
import time, dataclasses
config = dataclasses.replace(RegistryConfig.from_environment(), resolve=ResolveRules())
warm = CacheFile.default(config.url, config.token)
warm.save({f"/v1/models/{name}/resolve/production": StoredAnswer(BODY, 10.0)}, {})
registry = HttpRegistry(config)
began = time.monotonic()
print(registry.versions.resolution(f"models:/{name}/production").source, time.monotonic() - began < 1)
"""


def test_an_interpreter_ends_while_a_refresh_hangs(config: RegistryConfig, name: str) -> None:
    """At once and without output, also if the client was closed."""
    with HttpRegistry(config) as registry:
        operation = replace(versions.resolve(PRODUCTION.format(name)), read=lambda answer: answer.body)
        body: bytes = registry.call(operation)  # type: ignore[assignment]
    with silent() as port:
        hung = replace(config, url=f"http://127.0.0.1:{port}")
        for ending in ("", "registry.close()\nregistry.close()"):
            began = time.monotonic()
            done = python(HANGS.replace("BODY", repr(body)) + ending, hung, name)
            assert (done.stdout, done.stderr) == ("disk-cache True\n", "")
            assert time.monotonic() - began < 5 + 5  # the interpreter and its imports, on a busy machine


def test_a_forked_process_has_connections_and_locks_of_its_own(config: RegistryConfig, name: str) -> None:
    """Parent and children resolve, read and close while threads make calls, and each receives its own answers."""
    done = python(
        """
import threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # the test needs a fork while there are threads
from common_lib import HttpRegistry
from common_lib.config import RegistryConfig
registry = HttpRegistry(RegistryConfig.from_environment())
registry.resolve(f"models:/{name}/production")
stop = threading.Event()

def busy():
    while not stop.is_set():
        registry.models.get(name)

threads = [threading.Thread(target=busy) for _ in range(4)]
for thread in threads:
    thread.start()
children = []
for number in range(8):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert registry.versions.resolution(f"models:/{name}/production").source == "cache"
            for _ in range(5):
                assert registry.versions.get(name, 1).version == 1
                assert registry.models.get(name).name == name
            registry.close()
            status = 0
        finally:
            os._exit(status)
    children.append(child)
ended = [os.waitpid(child, 0)[1] for child in children]
stop.set()
for thread in threads:
    thread.join()
assert registry.models.get(name).name == name
registry.close()
print(ended)
""",
        config,
        name,
    )
    assert (done.stdout, done.stderr) == (f"{[0] * 8}\n", "")


def test_many_threads_share_one_attempt(config: RegistryConfig, name: str) -> None:
    """64 threads resolve at the same time on a new client."""
    faults = Faults()
    with HttpRegistry(replace(config, resolve=ResolveRules(persist=False))) as registry:
        faults.inject_into(registry)
        faults.slow(0.2)
        found: list[int] = []
        together = threading.Barrier(64)

        def resolve() -> None:
            together.wait()
            found.append(registry.resolve(PRODUCTION.format(name)).version)

        threads = [threading.Thread(target=resolve) for _ in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [1] * 64
    assert faults.attempts == 1


def test_many_tasks_share_one_attempt(config: RegistryConfig, name: str) -> None:
    """Half of 200 tasks are cancelled, the first caller among them, and the others receive the answer."""

    async def work() -> tuple[list[int], int]:
        faults = Faults()
        async with AsyncHttpRegistry(replace(config, resolve=ResolveRules(persist=False))) as registry:
            faults.inject_into(registry)
            faults.slow(0.2)
            tasks = [asyncio.ensure_future(registry.resolve(PRODUCTION.format(name))) for _ in range(200)]
            await asyncio.sleep(0.05)
            for task in tasks[::2]:
                task.cancel()
            found = await asyncio.gather(*tasks[1::2])
        return [version.version for version in found], faults.attempts

    found, attempts = asyncio.run(work())
    assert found == [1] * 100
    assert attempts == 2


def test_a_refresh_does_not_inherit_a_deadline(config: RegistryConfig, name: str) -> None:
    """A caller with little time left starts it, and it has a deadline of its own."""

    async def work() -> bool:
        faults = Faults()
        rules = ResolveRules(fresh_s=0.05, revalidate_s=60.0, persist=False)
        async with AsyncHttpRegistry(replace(config, resolve=rules)) as registry:
            faults.inject_into(registry)
            await registry.resolve(PRODUCTION.format(name))
            await asyncio.sleep(0.06)
            faults.slow(0.3)
            with deadline(0.1):
                assert (await registry.versions.resolution(PRODUCTION.format(name))).stale
            await asyncio.gather(*registry._background)
            faults.recover()
            found = await registry.versions.resolution(PRODUCTION.format(name))
            return "deadline" not in found.reason

    assert asyncio.run(work())


def test_a_closed_client_raises_registry_closed(config: RegistryConfig, name: str) -> None:
    """Closing twice has no effect; later calls raise it, also for stored answers."""
    registry = HttpRegistry(config)
    registry.resolve(PRODUCTION.format(name))
    for _ in range(2):
        registry.close()
    for call in (lambda: registry.resolve(PRODUCTION.format(name)), lambda: registry.models.get(name)):
        with pytest.raises(RegistryClosed, match="create a new client") as closed:
            call()
        assert not closed.value.retryable

    async def work() -> None:
        other = AsyncHttpRegistry(config)
        await other.resolve(PRODUCTION.format(name))
        for _ in range(2):
            await other.close()
        with pytest.raises(RegistryClosed):
            await other.resolve(PRODUCTION.format(name))

    asyncio.run(work())


def test_a_client_may_be_closed_during_its_calls(config: RegistryConfig, name: str) -> None:
    """Each call of the other threads is answered or raises an error of the library."""
    registry = HttpRegistry(config)
    errors: list[Exception] = []
    started = threading.Barrier(9)

    def busy() -> None:
        started.wait()
        try:
            while True:
                registry.models.get(name)
        except Exception as error:  # noqa: BLE001 - its type is checked below
            errors.append(error)

    threads = [threading.Thread(target=busy) for _ in range(8)]
    for thread in threads:
        thread.start()
    started.wait()
    registry.close()
    for thread in threads:
        thread.join()
    assert [error for error in errors if not isinstance(error, RegistryClosed | RegistryUnavailable)] == []
    assert len(errors) == 8


def test_calls_continue_at_a_replica(config: RegistryConfig, name: str, tmp_path: Path) -> None:
    """The first endpoint is down, the second one answers."""
    with silent() as port:
        dead = f"http://127.0.0.1:{port}"
    replicated = replace(config, url=dead, replicas=(config.url,), resolve=None)
    with HttpRegistry(replicated) as registry:
        for _ in range(10):
            assert registry.resolve(PRODUCTION.format(name)).version == 1
        assert registry.origin == dead
        assert registry.circuits()[f"{config.url} resolve"].state == "closed"

    async def work() -> int:
        async with AsyncHttpRegistry(replicated) as asynchronous:
            return (await asynchronous.resolve(PRODUCTION.format(name))).version

    assert asyncio.run(work()) == 1
