"""The time of a resolve in an outage, with real clocks, processes and sockets.

Twenty processes resolve ten names ten times a second each, as `tests/simulation` does on a virtual clock for ten
minutes. They resolve each name once; then the server ends, and each refresh in the background fails to connect.

Between its turns a process sleeps. After that any code takes several times as long, because its memory has left the
caches of the processor. So two resolves are timed at each turn: the first one after the sleep, and the next one.
"""

import json
import os
import random
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import harness
from benchmarks.harness import SEED, Figure
from common_lib import HttpRegistry, RegistryConfig
from common_lib.config import ResolveRules
from tests.support.steps import promoted

PROCESSES, NAMES, PER_S, OUTAGE_S = 20, 10, 10, 30
MAX_MS = 1.0


def measure() -> list[Figure]:
    """Measure the slowest of a hundred resolves over all processes, after a sleep and awake."""
    harness.log(f"outage: {PROCESSES} processes × {PER_S} resolves/s for {OUTAGE_S} s")
    with ExitStack() as stack:
        callers = _in_an_outage(stack)
        for caller in callers:
            assert caller.stdin is not None
            caller.stdin.write("gone\n")
            caller.stdin.flush()
        reports = [json.loads(caller.communicate()[0]) for caller in callers]
    what = f"slowest of 100 resolves in an outage, {PROCESSES} processes × {PER_S}/s, ms"
    return [
        _figure(f"{what}, after a sleep", [took for took, _, _ in reports], sum(stale for *_, stale in reports)),
        _figure(f"{what}, awake", [took for _, took, _ in reports], 0),
    ]


def _figure(what: str, of_each: list[list[float]], stale: int) -> Figure:
    taken = sorted(ms for took in of_each for ms in took)
    note = f", {stale:,} of them stale" if stale else ""
    absolute = f"all {len(taken):,} answered{note}; median {taken[len(taken) // 2]:.3f} ms"
    slow = [_slow(sorted(took)) for took in of_each]
    return harness.at_most(MAX_MS, "outage", what, slow, absolute)._replace(ratio=_slow(taken))


def _in_an_outage(stack: ExitStack) -> list[subprocess.Popen[str]]:
    """Start processes that have resolved every name, and stop their server."""
    folder = stack.enter_context(harness.temporary_folder("outage"))
    with harness.registry(folder) as (server, token):
        config = RegistryConfig(url=f"http://127.0.0.1:{server.port}", token=token)
        with HttpRegistry(config) as registry:
            for number in range(NAMES):
                registry.models.create(f"model-{number}", "regression")
                promoted(registry, f"model-{number}")
        # Not on the command line, where others could read it.
        environment = os.environ | {"REGISTRY_URL": config.url, "REGISTRY_TOKEN": token}
        callers = [stack.enter_context(_caller(number, environment)) for number in range(PROCESSES)]
        for caller in callers:
            assert caller.stdout is not None
            assert caller.stdout.readline() == "ready\n"
    return callers


def _caller(number: int, environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.outage", str(SEED + number)]
    root = Path(__file__).parent.parent
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=root, env=environment, stdin=pipe, stdout=pipe, text=True)  # noqa: S603 - ours


def _slow(taken: list[float]) -> float:
    return taken[int(len(taken) * 0.99)]


def resolve(seed: int) -> None:
    """Resolve each name once, wait for the outage, and print the times of the resolves in it."""
    names = [f"models:/model-{number}/production" for number in range(NAMES)]
    config = RegistryConfig.from_environment()
    rules = ResolveRules(persist=False)
    with HttpRegistry(RegistryConfig(url=config.url, token=config.token, resolve=rules)) as registry:
        for name in names:
            registry.versions.resolution(name)
        print("ready", flush=True)
        sys.stdin.readline()
        begin = time.perf_counter() + random.Random(seed).random() / PER_S  # noqa: S311 - reproducible on purpose
        first: list[float] = []
        second: list[float] = []
        stale = 0
        for number in range(OUTAGE_S * PER_S):
            time.sleep(max(0.0, begin + number / PER_S - time.perf_counter()))
            for taken, name in ((first, names[number % NAMES]), (second, names[(number + 5) % NAMES])):
                began = time.perf_counter()
                found = registry.versions.resolution(name)
                taken.append(1000 * (time.perf_counter() - began))
            stale += found.stale
    print(json.dumps([first, second, stale]))


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1].isdigit():
        resolve(int(sys.argv[1]))
    else:
        harness.main(measure)
