"""On every write path a dependent step comes after the sync of its data."""

from pathlib import Path

import pytest

from tests.crash import checks
from tests.crash.calls import Call
from tests.crash.clients import WAYS
from tests.crash.order import SERVER, broken
from tests.crash.scenarios import ALL


@pytest.mark.parametrize("scenario", ALL)
def test_the_server_calls_the_disk_in_the_right_order(tmp_path: Path, scenario: str) -> None:
    """The order is bytes, name, row, response; each is synced before the next begins, and no step is missing."""
    checks.order(tmp_path / "data", scenario)


@pytest.mark.parametrize("way", WAYS)
def test_the_client_calls_the_disk_in_the_right_order(tmp_path: Path, way: str) -> None:
    """The client verifies and syncs bytes before it gives them a name."""
    checks.client_order(tmp_path, way)


def test_the_first_start_makes_its_folders_durable(tmp_path: Path) -> None:
    """The parent of each folder is synced before the first response."""
    checks.first_start(tmp_path)


def test_the_rules_notice_each_missing_sync() -> None:
    """A correct list of calls passes; it fails without any one of its syncs."""
    right = [
        Call("create", "staging/x", 1),
        Call("write", "staging/x", 1),
        Call("fsync", "staging/x", 1),
        Call("link", "staging/x", 1, "sha256/ab/abcd"),
        Call("fsync", "sha256/ab", 2),
        Call("unlink", "staging/x", 1),
        Call("db-write", "registry.sqlite3-wal"),
        Call("db-sync", "registry.sqlite3-wal"),
        Call("answer", "201"),
    ]
    assert not broken(SERVER, right)
    for call in right:
        if call.name in {"fsync", "db-sync"}:
            assert broken(SERVER, [one for one in right if one is not call]), f"without {call}"
