"""A process that is forked while threads make calls ends at once, whatever it does with the client."""

import json
import os
from pathlib import Path

import pytest

from common_lib import HttpRegistry, RegistryConfig
from tests.conftest import Server
from tests.support.interpreters import run_with_children
from tests.support.steps import promoted

FORKS = int(os.environ.get("FORKS", "10"))

# Threads hold the locks of client, pool and file in turn; children are forked at any of these moments.
PARENT = """
import gc, json, os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # that it forks while there are threads is the point
from dataclasses import replace
from common_lib import HttpRegistry
from common_lib.config import RegistryConfig, ResolveRules
config = replace(RegistryConfig.from_environment(), resolve=ResolveRules(fresh_s=0.0, revalidate_s=0.0))
name, forks = os.environ["NAME"], int(os.environ["FORKS"])
registry = HttpRegistry(config)
registry.resolve(f"models:/{name}/production")
stop = threading.Event()

def busy():
    while not stop.is_set():
        registry.models.get(name)
        registry.resolve(f"models:/{name}/production")
        registry._cache._has_unsaved = True
        registry._cache.save()

actions = [compile(action, action, "exec") for action in json.loads(os.environ["ACTIONS"])]

threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads:
    thread.start()
ended, living = [], set()

def wait(seconds):
    end = time.monotonic() + seconds
    while living and time.monotonic() < end:
        for pid in list(living):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                living.discard(pid)
                ended.append(status)
        time.sleep(0.005)

parent = os.getpid()
try:
    for number in range(forks):
        pid = os.fork()
        if pid == 0:
            exec(actions[number % len(actions)])
            sys.exit(0)
        living.add(pid)
        wait(0.003)
    stop.set()
    wait(20.0)
finally:
    if os.getpid() == parent:
        hung = len(living)
        for pid in living:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        stop.set()
        for thread in threads:
            thread.join()
assert registry.models.get(name).name == name
registry.close()
print(f"{hung} hung, {len(ended)} ended, {sum(map(bool, ended))} failed")
"""

CHILDREN = {
    "never uses it": "pass",
    "forgets it": "del registry; gc.collect()",
    "closes it": "registry.close(); registry.close()",
    "leaves its block": "registry.__exit__(None, None, None)",
    "asks for its circuits": "registry.circuits()",
    "calls it": (
        "assert registry.models.get(name).name == name; "
        "assert registry.versions.resolution(f'models:/{name}/production').version.version == 1"
    ),
    "calls and closes it": "registry.resolve(f'models:/{name}/production'); registry.close()",
    "ends at once": "os._exit(0)",
    "becomes another program": "os.execv(sys.executable, [sys.executable, '-c', 'pass'])",
    "makes another one": "HttpRegistry(config).models.get(name)",
}


@pytest.fixture
def environment(sqlite_server: Server, name: str, cache: Path) -> dict[str, str]:
    """Provide the variables for a client with defaults, of a registry with a version in production."""
    with HttpRegistry(RegistryConfig(url=sqlite_server.url, token=sqlite_server.token, resolve=None)) as registry:
        registry.models.create(name, "forecasting")
        promoted(registry, name)
    return {
        "REGISTRY_URL": sqlite_server.url,
        "REGISTRY_TOKEN": sqlite_server.token,
        "REGISTRY_CACHE": str(cache),
        "NAME": name,
        "FORKS": str(FORKS),
    }


def test_a_forked_process_ends(environment: dict[str, str]) -> None:
    """It ends through `sys.exit`, as an interpreter does; `FORKS` sets the number of processes."""
    out, err = run_with_children(PARENT, ACTIONS=json.dumps(list(CHILDREN.values())), **environment)
    assert (out, err) == (f"0 hung, {FORKS} ended, 0 failed\n", "")


POOL = """
if True:
    import multiprocessing, os, threading, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    from common_lib import HttpRegistry
    registry, name = HttpRegistry(), os.environ["NAME"]
    registry.models.get(name)
    stop = threading.Event()
    thread = threading.Thread(target=lambda: [registry.models.get(name) for _ in iter(stop.is_set, True)])
    thread.start()
    def ask(number):
        return registry.versions.get(name, 1).version if number % 2 else 1
    try:
        with multiprocessing.get_context("fork").Pool(3) as pool:
            print(sum(pool.map_async(ask, range(12)).get(20)))
            pool.close()
            pool.join()
    finally:
        stop.set()
        thread.join()
    registry.close()
"""


def test_a_pool_of_forked_processes_uses_a_client(environment: dict[str, str]) -> None:
    """The pool is made while a thread makes calls."""
    assert run_with_children(POOL, **environment) == ("12\n", "")


ASYNC = """
import asyncio, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from common_lib import AsyncHttpRegistry, HttpRegistry
name = os.environ["NAME"]

async def work():
    registry = AsyncHttpRegistry()
    await registry.resolve(f"models:/{name}/production")
    calls = [asyncio.ensure_future(registry.models.get(name)) for _ in range(20)]
    await asyncio.sleep(0)
    children = []
    for number in range(6):
        pid = os.fork()
        if pid == 0:
            warnings.simplefilter("ignore", ResourceWarning)  # the parent's loop, of which the child has a copy
            registry._finalizer()
            del registry
            os._exit(0) if number % 2 else os.execv(sys.executable, [sys.executable, "-c", "pass"])
        children.append(pid)
    ended = [os.waitpid(pid, 0)[1] for pid in children]
    assert {found.name for found in await asyncio.gather(*calls)} == {name}
    await registry.close()
    return ended

print(asyncio.run(work()))
"""


def test_a_forked_process_leaves_the_asynchronous_client_to_its_parent(environment: dict[str, str]) -> None:
    """Its finalizer belongs to the parent, whose loop continues."""
    assert run_with_children(ASYNC, **environment) == (f"{[0] * 6}\n", "")
