"""`registry-server doctor` finds damage, and passes a healthy registry."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest

from common_lib import HttpRegistry, RegistryConfig
from registry_server.serving import running
from registry_server.settings import Settings
from tests.support.cli import SERVER, operate
from tests.support.steps import version_of


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create the folder of a registry with one version; its server has stopped."""
    folder = tmp_path_factory.mktemp("made")
    with administrator(folder) as registry:
        registry.models.create("eurusd", "forecasting")
        version_of(registry, "eurusd", b"weights")
    return folder


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Path:
    """Copy that folder, to damage the copy."""
    return Path(shutil.copytree(template, tmp_path / "data"))


def found(data: Path, *options: str, status: int | None, **environment: str) -> dict[str, dict[str, Any]]:
    """Run doctor and return its findings by name of the check."""
    done = operate("doctor", "--data", data, "--json", *options, status=status, **environment)
    return {finding["what"]: finding for finding in json.loads(done.stdout)}


@contextlib.contextmanager
def administrator(data: Path) -> Iterator[HttpRegistry]:
    """Run a server on the folder during the block, and open it as the first admin."""
    with running(Settings(data=data, port=0, access_log=False)) as url:
        config = RegistryConfig(url=url, token=(data / "admin-token").read_text().strip())
        with HttpRegistry(config) as registry:
            yield registry


def blob_of(data: Path) -> Path:
    """Return the file of the only blob, made writable."""
    (blob,) = (data / "blobs" / "sha256").glob("*/*")
    blob.chmod(0o600)
    return blob


def test_a_healthy_registry_passes_all_checks(data: Path) -> None:
    """Every line has a mark, and no file is changed."""
    before = {file: file.read_bytes() for file in data.rglob("*") if file.is_file()}
    findings = found(data, "--verify", status=0)
    assert all(finding["well"] for finding in findings.values())
    assert findings["blobs"]["found"] == "1 of the right size and digest"
    output = operate("doctor", "--data", data).stdout
    assert output.count("✓") == len(findings)
    assert "journal mode wal" in output
    after = {file: file.read_bytes() for file in data.rglob("*") if file.is_file() and file in before}
    assert after == before


def test_doctor_works_while_a_server_runs(data: Path) -> None:
    """The finding about the lock has the address of the server."""
    with running(Settings(data=data, port=0, access_log=False)) as url:
        assert url in found(data, "--verify", status=0)["lock"]["found"]


def truncate(data: Path) -> None:
    """Cut off the end of a blob."""
    blob_of(data).write_bytes(b"weigh")


def alter(data: Path) -> None:
    """Change a byte of a blob."""
    blob_of(data).write_bytes(b"weightz")


def unlink(data: Path) -> None:
    """Remove a blob."""
    blob_of(data).unlink()


def open_token(data: Path) -> None:
    """Let all users read the admin token."""
    (data / "admin-token").chmod(0o644)


def share_token(data: Path) -> None:
    """Let a group read the admin token."""
    (data / "admin-token").chmod(0o640)


def open_folder(data: Path) -> None:
    """Let all users enter the data folder."""
    data.chmod(0o755)


def forget_steps(data: Path) -> None:
    """Make the schema look like that of an older version."""
    with apsw.Connection(str(data / "registry.sqlite3")) as database:
        database.execute("DELETE FROM migrations")


def foreign_steps(data: Path) -> None:
    """Make the schema look like that of a newer version."""
    with apsw.Connection(str(data / "registry.sqlite3")) as database:
        database.execute("INSERT INTO migrations VALUES (9999, 'later', 'x')")


def dangle(data: Path) -> None:
    """Break a reference between rows."""
    with apsw.Connection(str(data / "registry.sqlite3")) as database:
        database.execute("UPDATE versions SET model = 'gone'")


def corrupt(data: Path) -> None:
    """Overwrite a page of the database."""
    file = data / "registry.sqlite3"
    whole = bytearray(file.read_bytes())
    whole[8192:12288] = b"\xff" * 4096
    file.write_bytes(whole)


def junk(data: Path) -> None:
    """Replace the database by junk."""
    (data / "registry.sqlite3").write_bytes(b"junk" * 4096)


@pytest.mark.parametrize(
    ("damage", "what", "sentence", "options"),
    [
        (truncate, "blobs", "has 5 bytes instead of 7", []),
        (alter, "blobs", "do not match that digest", ["--verify"]),
        (unlink, "blobs", "cannot be read (No such file or directory)", []),
        (open_token, "admin token file", "has mode 0644: chmod 600", []),
        (share_token, "admin token file", "has mode 0640: chmod 600", []),
        (open_folder, "data folder", "has mode 0755; other users can enter it: chmod 700", []),
        (forget_steps, "schema", "not yet applied: 0001_", []),
        (foreign_steps, "schema", "migration 9999_later, which this version does not know", []),
        (dangle, "integrity, rows", "references a missing row", []),
        (junk, "database", "registry.sqlite3 is damaged (file is not a database): keep a copy", []),
    ],
)
def test_damage_is_found_and_a_remedy_is_printed(
    data: Path, damage: Callable[[Path], None], what: str, sentence: str, options: list[str]
) -> None:
    """The exit status is 1, and the failed check is marked."""
    damage(data)
    findings = found(data, *options, status=1)
    assert [name for name, finding in findings.items() if finding["well"] is False] == what.split(", ")
    assert sentence in findings[what.partition(",")[0]]["found"]
    assert "✗" in operate("doctor", "--data", data, *options, status=1).stdout


def test_quarantined_bytes_are_listed_with_a_version_that_needs_them(data: Path) -> None:
    """After a new upload they are no longer listed; the damaged file stays in quarantine."""
    blob = blob_of(data)
    alter(data)
    with administrator(data) as registry:
        assert not registry.artifacts.verify_blob(blob.name).sound
    findings = found(data, status=1)
    assert [what for what, finding in findings.items() if finding["well"] is False] == ["quarantine"]
    assert f"{blob.name} of models:/eurusd/1: PUT the same bytes" in findings["quarantine"]["found"]
    with administrator(data) as registry:
        version_of(registry, "eurusd", b"weights")
    assert found(data, status=0)["quarantine"]["found"] == "1 file, 7 bytes retained for inspection"


def test_uploads_orphans_and_trash_are_counted(data: Path) -> None:
    """They are not failures: uploads continue or expire, and garbage collection removes the rest."""
    with administrator(data) as registry:
        registry.artifacts.begin_upload("ab" * 32, 1000)
    for place in ("sha256/ab", "trash"):
        folder = data / "blobs" / place
        folder.mkdir(exist_ok=True)
        (folder / ("ab" * 32)).write_bytes(b"bytes")
    findings = found(data, status=0)
    assert findings["uploads"]["found"] == "1 open, 0 of 1,000 bytes received"
    expected = "1 file, 5 bytes without a row; `registry-server gc` moves it to the trash when old enough"
    assert findings["orphan files"]["found"] == expected
    assert findings["trash"]["found"] == "1 file, 5 bytes; `registry-server gc` deletes it when old enough"


def test_overwritten_pages_are_found(data: Path) -> None:
    """Either opening the database or its integrity check fails."""
    corrupt(data)
    assert not all(finding["well"] for finding in found(data, status=1).values())


def test_changed_bytes_of_the_same_size_are_found_by_verify_only(data: Path) -> None:
    """Without `--verify` the bytes are not read."""
    alter(data)
    assert "--verify" in found(data, status=0)["blobs"]["found"]


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    """The folder is not created."""
    assert found(tmp_path / "none", status=1)["data folder"]["well"] is False
    assert not (tmp_path / "none").exists()


def test_a_removed_admin_token_is_accepted(data: Path) -> None:
    """It is safest to store the token elsewhere."""
    (data / "admin-token").unlink()
    assert found(data, status=0)["admin token file"]["well"] is True


@pytest.mark.parametrize("name", ["adapters", "common_lib"])
def test_a_package_of_the_same_name_is_found(data: Path, tmp_path: Path, name: str) -> None:
    """PyPI has a package named `adapters`; the first one on the path is imported."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    command = [sys.executable, "-P", "-c", SERVER, "doctor", "--data", str(data), "--json"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True)
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 1
    assert str(tmp_path / name) in findings[f"import {name}"]["found"]


def test_another_adapters_on_the_path_is_found(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The finding has its path."""
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "adapters", raising=False)
    assert f"{tmp_path}/adapters/__init__.py is imported instead" in found(data, status=1)["import adapters"]["found"]


def test_the_package_of_pypi_is_found_although_ours_is_imported(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was installed into the same folder and has overwritten files."""
    about = tmp_path / "adapters-1.3.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: adapters\nVersion: 1.3.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "pip uninstall adapters" in found(data, status=1)["import adapters"]["found"]


async def read_setting(url: str, setting: str) -> Any:
    """Read a setting of the PostgreSQL server."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(f"SHOW {setting}")
    finally:
        await connection.close()


def test_a_registry_on_postgresql_is_checked(tmp_path: Path, postgres_url: str) -> None:
    """Rows are read from PostgreSQL and bytes from the folder; a server without fsync, as in tests, fails a check."""
    data = tmp_path / "data"
    with running(Settings(data=data, port=0, access_log=False, database_url=postgres_url)):
        pass
    findings = found(data, status=None, REGISTRY_DATABASE_URL=postgres_url)
    assert [what for what, finding in findings.items() if finding["well"] is False] in (["PostgreSQL"], [])
    assert findings["PostgreSQL"]["well"] is (asyncio.run(read_setting(postgres_url, "fsync")) == "on")
    assert findings["schema"]["found"] == "the schema is up to date"
    assert findings["blobs"]["found"].startswith("0 of the right size")
    assert findings["rows"]["found"] == "the rows are equal to the state in the log"
    nowhere = found(data, status=1, REGISTRY_DATABASE_URL="postgresql://u:secret@127.0.0.1:1/x")
    assert "secret" not in str(nowhere)
    assert nowhere["database"]["well"] is False


def test_a_file_that_others_can_change_has_a_chmod_remedy(data: Path) -> None:
    """The remedy is only the command that corrects the mode."""
    (data / "store.json").chmod(0o666)
    finding = found(data, status=1)["engine"]["found"]
    assert finding.endswith(f"chmod 600 {data / 'store.json'}")
