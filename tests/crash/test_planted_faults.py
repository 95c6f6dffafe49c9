"""The checks detect planted faults: each fault makes each check fail that it names."""

import errno
import itertools
import random
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from registry_server.testing import TestBackend
from tests.crash import checks, clients, flips
from tests.crash.faults import FAULTS, planted
from tests.crash.nursery import Nursery

# The first check of a fault always runs, the others only in the long form.
CASES = [
    pytest.param(fault.says, *found, marks=[pytest.mark.long] if number else [], id=" - ".join((fault.says, *found)))
    for fault in FAULTS.values()
    for number, found in enumerate(fault.found_by)
]


class Finder(NamedTuple):
    """The checks; each can run at every call."""

    folder: Path
    children: list[Nursery]
    world: TestBackend

    def find(self, fault: str, check: str, what: str) -> None:
        """Run a check on a planted fault."""
        simple: dict[str, Any] = {
            "order": checks.order,
            "refusal": checks.refusal,
            "race": checks.race,
            "client-order": checks.client_order,
        }
        at_calls: dict[str, Any] = {"kill": self._ended, "cut": self._ended, "client-kill": self._client_killed}
        with planted(fault):
            if check in simple:
                simple[check](self.folder / "data", what)
            elif check in at_calls:
                at_calls[check](fault, what, check)
            elif check == "error":
                self._failing(what)
            else:
                self._flipped(what)

    def _ended(self, fault: str, scenario: str, how: str) -> None:
        data = self.folder / "data"
        # The last calls first: most data are acknowledged there.
        for number in reversed(checks.points(checks.calls_of(data, scenario), every=False)):
            checks.kill_at(self.children[0], data, scenario, number=number, how=how, fault=fault)

    def _client_killed(self, fault: str, way: str, _: str) -> None:
        numbers = itertools.count(1)
        while checks.client_kill_at(self.children[0], self.folder / str(number := next(numbers)), way, number, fault):
            pass

    def _failing(self, scenario: str) -> None:
        data = self.folder / "data"
        numbers = checks.points(checks.calls_of(data, scenario), every=False)
        for number, code in itertools.product(numbers, (errno.EIO, errno.ENOSPC)):
            checks.fail_at(data, scenario, number, code)

    def _flipped(self, kind: str) -> None:
        with clients.client(self.world) as registry:
            clients.register(registry)
            bits = flips.Bits(self.world, registry, self.folder / "cache", random.Random(kind))
            for _ in range(100):
                flips.KINDS[kind](bits)


@pytest.fixture
def finder(tmp_path: Path, children: list[Nursery], model_registry_backend: TestBackend) -> Finder:
    """Provide the checks in a folder of this test."""
    return Finder(tmp_path, children, model_registry_backend)


@pytest.mark.damages
@pytest.mark.parametrize(("fault", "check", "what"), CASES)
def test_a_planted_fault_is_found(finder: Finder, fault: str, check: str, what: str) -> None:
    """The check that the fault names fails."""
    with pytest.raises(AssertionError):
        finder.find(fault, check, what)


def test_every_kind_of_fault_is_planted() -> None:
    """The list has every fault that the documentation of durability names."""
    named = {"no fsync of the file", "no fsync of any folder", "row before bytes", "verification skipped"}
    assert named | {"EIO of fsync swallowed", "response before the commit"} <= set(FAULTS)
