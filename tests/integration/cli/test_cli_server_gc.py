"""`registry-server gc`: through the server that owns the folder, or in the folder itself."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from common_lib import Grant, HttpRegistry, RegistryConfig, Role
from registry_server.serving import running
from registry_server.settings import Settings
from tests.support.cli import operate
from tests.support.steps import version_of

AT_ONCE = ["--grace", "0s", "--retention", "0s", "--trash", "0s"]


@pytest.fixture(params=["with a server", "without a server"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Provide a registry with a version, a tombstoned version, and unreferenced bytes without a lease."""
    folder = tmp_path / "data"
    (tmp_path / "unnamed").write_bytes(b"unnamed")
    with running(Settings(data=folder, port=0, access_log=False)) as url, at(folder, url) as registry:
        registry.models.create("eurusd", "forecasting")
        version_of(registry, "eurusd", b"weights")
        bad = version_of(registry, "eurusd", b"bad weights")
        registry.versions.tombstone("eurusd", 2, reason="trained on the future", revision=bad.revision)
        registry.artifacts.put_blob(hashlib.sha256(b"unnamed").hexdigest(), tmp_path / "unnamed")
    with contextlib.closing(apsw.Connection(str(folder / "registry.sqlite3"))) as rows:
        rows.execute("DELETE FROM leases")
    with contextlib.ExitStack() as stack:
        if request.param == "with a server":
            stack.enter_context(running(Settings(data=folder, port=0, access_log=False)))
        yield folder


def at(data: Path, url: str) -> HttpRegistry:
    """Open the registry as the first admin."""
    return HttpRegistry(RegistryConfig(url=url, token=(data / "admin-token").read_text().strip()))


def collect(data: Path, *options: str) -> dict[str, Any]:
    """Run a collection and return its report."""
    report: dict[str, Any] = json.loads(operate("gc", "--data", data, "--json", *options).stdout)
    return report


def present(data: Path) -> int:
    """Return the number of blobs stored under their digests."""
    return len(list((data / "blobs" / "sha256").glob("*/*")))


def test_unreferenced_bytes_go_to_the_trash_and_are_deleted_later(data: Path) -> None:
    """The bytes of a version in use stay."""
    first = collect(data)
    assert (first["unreferenced_blobs"], first["removed_blobs"], present(data)) == (1, 0, 3)
    second = collect(data, "--grace", "0s", "--retention", "0s")
    assert (second["released_versions"], second["unreferenced_blobs"], second["removed_blobs"]) == (1, 2, 2)
    assert (second["removed_bytes"], second["purged_files"], present(data)) == (18, 0, 1)
    assert len(list((data / "blobs" / "trash").iterdir())) == 2
    third = collect(data, "--trash", "0s")
    assert (third["purged_files"], third["purged_bytes"], third["unreferenced_blobs"]) == (2, 18, 0)
    assert list((data / "blobs" / "trash").iterdir()) == []


def test_a_dry_run_changes_nothing(data: Path) -> None:
    """The output lists what would be removed."""
    done = operate("gc", "--data", data, "--dry-run", *AT_ONCE)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["tombstoned", "versions", "whose", "bytes", "were", "released", "1"] in lines
    assert ["blobs", "found", "unreferenced", "1"] in lines
    assert done.stderr == "Dry run: nothing was changed.\n"
    assert present(data) == 3
    assert collect(data, *AT_ONCE, "--dry-run")["dry_run"] is True
    assert collect(data, *AT_ONCE)["released_versions"] == 1


def test_the_result_is_a_table(data: Path) -> None:
    """It has columns for counts and bytes."""
    lines = operate("gc", "--data", data, *AT_ONCE).stdout.splitlines()
    rows = [line.split()[-2:] for line in lines if "moved to the trash" in line or "deleted from" in line]
    assert rows == [["2", "18"], ["trash", "0"], ["2", "18"]]


@pytest.mark.parametrize("time", ["1", "d", "1w", "-1d", "1.5h", "", "4000d", "1d\n", "¹d"])
def test_a_time_without_a_unit_is_refused(tmp_path: Path, time: str) -> None:
    """The data folder is not opened."""
    done = operate("gc", "--data", tmp_path / "none", f"--grace={time}", status=2)
    assert "write 90s, 30m, 36h or 7d" in " ".join(done.stderr.replace("│", " ").split())
    assert not (tmp_path / "none").exists()


def test_only_an_admin_can_collect(tmp_path: Path) -> None:
    """Another principal ends with status 4; a folder without a registry with status 2."""
    assert operate("gc", "--data", tmp_path / "none", "--json", status=2).stdout == ""
    with running(Settings(data=tmp_path, port=0, access_log=False)) as url, at(tmp_path, url) as registry:
        registry.principals.create("reader", "service", [Grant(role=Role.ANALYSIS, models="*")])
        (tmp_path / "token").write_text(registry.principals.issue_token("reader").secret or "")
        done = operate("gc", "--url", url, "--token-file", tmp_path / "token", "--json", status=4)
    assert json.loads(done.stderr)["code"] == "forbidden"
