"""Disks that are full or broken at a call that was chosen before, at each in turn."""

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
def test_a_disk_that_fails_is_told_and_leaves_nothing_half_done(tmp_path: Path, scenario: str, calls: str) -> None:
    """507 storage_full or 503 storage_unavailable, nothing partial, staging clean, and the next try succeeds."""
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
    """It raises the error of its own disk, or asks the registry again; the next try succeeds."""
    with clients.client(model_registry_backend) as registry:
        clients.register(registry)
        for number, code in zip(itertools.count(1), itertools.cycle(CODES), strict=False):
            if not checks.client_fail_at(registry, tmp_path / str(number), way, number, code):
                break


def test_bytes_that_were_sent_again_are_not_put_into_quarantine(tmp_path: Path) -> None:
    """Although damage was found before they came."""
    checks.race(tmp_path / "data", "quarantine")


def test_a_file_that_cannot_be_read_is_replaced(tmp_path: Path) -> None:
    """Bytes that the disk does not give back are replaced by those that are sent again."""
    checks.unreadable(tmp_path / "data")
