"""Servers and clients that are killed at each disk call in turn."""

import itertools
import os
from pathlib import Path

import pytest

from registry_server.testing import TestBackend
from tests.crash import checks, clients
from tests.crash.nursery import Nursery
from tests.crash.scenarios import SCENARIOS

each = pytest.mark.parametrize(
    "calls", ["some", pytest.param("every", marks=[pytest.mark.long, pytest.mark.timeout(3_600)])]
)


@each
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_server_that_ends_at_any_call_loses_nothing(
    tmp_path: Path, children: list[Nursery], scenario: str, calls: str
) -> None:
    """After a kill or a power cut acknowledged data exist, every file is whole, and the same request succeeds."""
    every = calls == "every"
    numbers = checks.points(checks.calls_of(tmp_path / "data", scenario), every=every, step=3)
    # The short form alternates between both.
    both = ("kill", "cut")
    trials = list(itertools.product(numbers, both) if every else zip(numbers, itertools.cycle(both), strict=False))
    for number, how in trials:
        checks.kill_at(children[0], tmp_path / "data", scenario, number=number, how=how)
    print(f"{scenario}: {len(trials)} ends")


@each
@pytest.mark.parametrize("way", clients.WAYS)
def test_a_client_that_is_killed_at_any_call_leaves_nothing_partial(
    tmp_path: Path, children: list[Nursery], model_registry_backend: TestBackend, way: str, calls: str
) -> None:
    """This holds for cache and folder, also if another process shares them; the next process continues the download."""
    with clients.client(model_registry_backend) as registry:
        clients.register(registry)
        trials = 0
        for number in itertools.count(1, 1 if calls == "every" else 9):
            root = tmp_path / str(number)
            shared = children[1]
            root.mkdir()
            shared.start(job="fetch", way=way, root=str(root), number=0)
            killed = checks.client_kill_at(children[0], root, way, number)
            assert shared.wait().status == 0, "the other process failed; its traceback stands above"
            trials += killed
            clients.assert_fetched(clients.WAYS[way](registry, root))
            clients.assert_whole(root)
            if not killed:
                break
        print(f"{way}: {trials} clients killed")


def test_what_a_killed_client_brought_is_taken_over(
    tmp_path: Path, children: list[Nursery], model_registry_backend: TestBackend
) -> None:
    """The file is removed when it is too old to belong to a running download."""
    with clients.client(model_registry_backend) as registry:
        clients.register(registry)
        for number in itertools.count(6, 9):
            root = tmp_path / str(number)
            root.mkdir()
            if not checks.client_kill_at(children[0], root, "fetch", number):
                break
            for left in (root / "partial").glob("*"):
                os.utime(left, (0, 0))
            clients.assert_fetched(clients.WAYS["fetch"](registry, root))
            whole = {file.name for file in root.rglob("blobs/sha256/*/*")}
            left_over = [file for file in (root / "partial").glob("*") if file.name.partition(".")[0] not in whole]
            assert not left_over
