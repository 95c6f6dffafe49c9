"""On every write path, what relies on something comes after that is synced."""

from pathlib import Path

import pytest

from tests.crash import checks
from tests.crash.calls import Call
from tests.crash.clients import WAYS
from tests.crash.order import SERVER, broken
from tests.crash.scenarios import ALL


@pytest.mark.parametrize("scenario", ALL)
def test_the_server_calls_the_disk_in_the_right_order(tmp_path: Path, scenario: str) -> None:
    """Bytes, then their name, then the row, then the answer, each synced before the next begins; no step is missing."""
    checks.order(tmp_path / "data", scenario)


@pytest.mark.parametrize("way", WAYS)
def test_the_client_calls_the_disk_in_the_right_order(tmp_path: Path, way: str) -> None:
    """Bytes are verified and synced before they get a name."""
    checks.client_order(tmp_path, way)


def test_the_first_start_makes_its_folders_durable(tmp_path: Path) -> None:
    """Before anybody is answered, each folder stands in a folder that was synced."""
    checks.first_start(tmp_path)


def test_the_rules_notice_each_missing_sync() -> None:
    """A list of calls that is right is passed; without any one of its syncs it is not."""
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
