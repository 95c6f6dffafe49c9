"""Disks that are full or broken at each call in turn."""

import errno
import itertools
from pathlib import Path

import pytest

from registry_server.testing import TestBackend
from tests.crash import checks, clients
from tests.crash.scenarios import SCENARIOS

CODES = (errno.EIO, errno.ENOSPC)


@pytest.mark.parametrize("calls", ["some", pytest.param("every", marks=[pytest.mark.long, pytest.mark.timeout(3_600)])])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_failing_disk_is_reported_and_leaves_nothing_incomplete(tmp_path: Path, scenario: str, calls: str) -> None:
    """The response is 507 storage_full or 503 storage_unavailable, no partial file stays, and a retry succeeds."""
    every = calls == "every"
    numbers = checks.points(checks.calls_of(tmp_path / "data", scenario), every=every, step=2)
    trials = list(itertools.product(numbers, CODES) if every else zip(numbers, itertools.cycle(CODES), strict=False))
    for number, code in trials:
        checks.fail_at(tmp_path / "data", scenario, number, code)
    print(f"{scenario}: {len(trials)} errors")


@pytest.mark.parametrize("way", clients.WAYS)
def test_a_client_whose_disk_fails_names_nothing_partial(
    tmp_path: Path, model_registry_backend: TestBackend, way: str
) -> None:
    """The client raises the error of its disk or requests the file again; a retry succeeds."""
    with clients.client(model_registry_backend) as registry:
        clients.register(registry)
        for number, code in zip(itertools.count(1), itertools.cycle(CODES), strict=False):
            if not checks.client_fail_at(registry, tmp_path / str(number), way, number, code):
                break


def test_bytes_that_were_sent_again_are_not_put_into_quarantine(tmp_path: Path) -> None:
    """The damage was found before the client sent the bytes."""
    checks.race(tmp_path / "data", "quarantine")


def test_a_file_that_cannot_be_read_is_replaced(tmp_path: Path) -> None:
    """The server stores the bytes that the client sends again."""
    checks.unreadable(tmp_path / "data")
