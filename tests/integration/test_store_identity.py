"""The identity of a registry: its data folder, its bytes and its database belong together."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw
import asyncpg
import pytest

from common_lib import HttpRegistry, RegistryConfig
from registry_server.serving import StartFailed, running
from registry_server.settings import Settings
from tests.support.cli import operate
from tests.support.steps import version_of

if TYPE_CHECKING:
    from tests.support.postgres import Postgres


class Place(NamedTuple):
    """A data folder and, on PostgreSQL, its database."""

    data: Path
    database_url: str = ""

    @property
    def settings(self) -> Settings:
        """Return the settings of a server."""
        return Settings(data=self.data, port=0, database_url=self.database_url, access_log=False, scrub_bytes_per_s=0)

    @property
    def options(self) -> list[str]:
        """Return the options of a command."""
        return ["--data", str(self.data), *(["--database-url", self.database_url] if self.database_url else [])]

    def registry(self, url: str) -> HttpRegistry:
        """Return a registry client of the first admin."""
        token = (self.data / "admin-token").read_text().strip()
        return HttpRegistry(RegistryConfig(url=url, token=token, resolve=None))

    def fill(self) -> "Place":
        """Serve for a moment, and register versions."""
        with running(self.settings) as url, self.registry(url) as registry:
            registry.models.create("m1", "regression")
            for number in range(3):
                version_of(registry, "m1", b"weights %d" % number)
        return self

    def quarantined(self) -> int:
        """Start a server, and count the blobs in quarantine."""
        with running(self.settings) as url, self.registry(url) as registry:
            return sum(event.type == "registry.blob.quarantined" for event in registry.events.after(0, limit=1_000))

    def refusal(self) -> str:
        """Return why a server does not start, which must be the sentence of one of `doctor`'s findings."""
        with pytest.raises(StartFailed) as refused, running(self.settings):
            pass
        done = operate("doctor", *self.options, "--json", status=1)
        wrong = [finding["found"] for finding in json.loads(done.stdout) if finding["well"] is False]
        assert str(refused.value) in wrong
        return str(refused.value)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a registry with data in SQLite, to be copied."""
    return Place(tmp_path_factory.mktemp("template") / "data").fill().data


@pytest.fixture
def on_sqlite(template: Path, tmp_path: Path) -> Place:
    """Provide a registry with data in SQLite."""
    return Place(Path(shutil.copytree(template, tmp_path / "sqlite")))


@pytest.fixture
def on_postgres(postgres_url: str, tmp_path: Path) -> Place:
    """Provide a registry with data in PostgreSQL."""
    return Place(tmp_path / "p1", postgres_url).fill()


@pytest.fixture(params=["on_sqlite", "on_postgres"])
def place(request: pytest.FixtureRequest) -> Place:
    """Provide a registry with data on each engine."""
    found: Place = request.getfixturevalue(request.param)
    return found


def away(blobs: Path) -> None:
    """Move the folder away."""
    blobs.rename(blobs.parent / "away")


def unmounted(blobs: Path) -> None:
    """Leave an empty folder, like an empty mount point."""
    away(blobs)
    blobs.mkdir(0o700)


def emptied(blobs: Path) -> None:
    """Leave the folder and its marker, without bytes."""
    shutil.copytree(blobs / "sha256", blobs.parent / "away" / "sha256")
    shutil.rmtree(blobs / "sha256")


def half_made(blobs: Path) -> None:
    """Leave the folders that an empty store has."""
    unmounted(blobs)
    for name in ("sha256", "staging", "uploads", "quarantine", "trash"):
        (blobs / name).mkdir(0o700)


def unmarked(data: Path) -> None:
    """Make the folder as an older version of this software left it."""
    for folder in (data, data / "blobs"):
        (folder / "store.json").unlink()


def forget(data: Path) -> None:
    """Make the database in SQLite as an older version left it."""
    with apsw.Connection(str(data / "registry.sqlite3")) as raw:
        raw.execute("DELETE FROM meta WHERE key = 'store'")


async def executed(url: str, statement: str) -> None:
    """Change rows without the registry."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("loss", [away, unmounted, emptied, half_made])
def test_a_server_without_its_blob_folder_does_not_start(place: Place, loss: Callable[[Path], None]) -> None:
    """No blob is put into quarantine, and the server starts when the folder is back."""
    blobs = place.data / "blobs"
    loss(blobs)
    assert str(blobs) in place.refusal()
    shutil.rmtree(blobs, ignore_errors=True)
    (place.data / "away").rename(blobs)
    assert place.quarantined() == 0
    operate("doctor", *place.options, status=None)


@pytest.mark.parametrize("loss", [away, unmounted])
def test_an_upgrade_without_the_bytes_is_refused(on_sqlite: Place, loss: Callable[[Path], None]) -> None:
    """A registry without an identity gets none while its bytes are missing."""
    unmarked(on_sqlite.data)
    forget(on_sqlite.data)
    loss(on_sqlite.data / "blobs")
    assert "are missing" in on_sqlite.refusal()
    assert not (on_sqlite.data / "store.json").exists()


def test_one_lost_file_does_not_stop_the_server(on_sqlite: Place) -> None:
    """The server starts, so that a client can upload the bytes again."""
    first = next((on_sqlite.data / "blobs" / "sha256").glob("*/*"))
    first.unlink()
    with running(on_sqlite.settings) as url, on_sqlite.registry(url) as registry:
        assert not registry.artifacts.verify_blob(first.name).sound


def test_a_second_folder_on_one_database_is_refused_with_both_names(on_postgres: Place, tmp_path: Path) -> None:
    """During and after the run of the first server, which still serves its bytes."""
    other = Place(tmp_path / "p2", on_postgres.database_url)
    with running(on_postgres.settings) as url, on_postgres.registry(url) as registry:
        refusal = other.refusal()
        assert str(on_postgres.data) in refusal
        assert str(other.data) in refusal
        assert f"`registry-server store adopt --data {other.data} --database-url …`" in refusal
        registry.download("models:/m1/1", tmp_path / "files")
    assert on_postgres.quarantined() == 0


def test_a_copied_folder_on_one_database_is_refused(on_postgres: Place, tmp_path: Path) -> None:
    """The copy carries the same identity."""
    copy = Place(Path(shutil.copytree(on_postgres.data, tmp_path / "copy")), on_postgres.database_url)
    assert str(on_postgres.data) in copy.refusal()


def test_the_first_server_claims_an_empty_database(postgres_url: str, tmp_path: Path) -> None:
    """The second server is refused although the database is still empty."""
    one, two = (Place(tmp_path / name, postgres_url) for name in ("one", "two"))
    with running(one.settings):
        assert str(one.data) in two.refusal()
    assert not (two.data / "store.json").exists()
    assert not (two.data / "admin-token").exists()


def test_the_folder_of_a_postgresql_registry_is_not_served_from_sqlite(on_postgres: Place) -> None:
    """The folder records its engine: no empty registry is created in it, and no byte becomes garbage."""
    files = {file: file.read_bytes() for file in on_postgres.data.rglob("*") if file.is_file()}
    forgotten = Place(on_postgres.data)
    assert "--database-url" in forgotten.refusal()
    for command in (["gc", "--dry-run"], ["token", "list"], ["principal", "list"], ["migrate"], ["store", "adopt"]):
        done = operate(*command, "--data", on_postgres.data, status=1)
        assert "belongs to the registry" in done.stderr, command
    assert {file: file.read_bytes() for file in on_postgres.data.rglob("*") if file.is_file()} == files
    assert "postgres@" not in forgotten.refusal()


def test_the_folder_of_a_sqlite_registry_is_not_served_from_postgresql(on_sqlite: Place, postgres_url: str) -> None:
    """With or without a marker."""
    mixed = Place(on_sqlite.data, postgres_url)
    assert "leave out --database-url" in mixed.refusal()
    unmarked(on_sqlite.data)
    shutil.rmtree(on_sqlite.data / "blobs" / "sha256")
    assert "leave out --database-url" in mixed.refusal()


def test_a_folder_of_an_older_version_does_not_become_an_empty_registry(on_sqlite: Place) -> None:
    """The folder has bytes and the database is new, so the rows must be in another database."""
    unmarked(on_sqlite.data)
    for file in on_sqlite.data.glob("registry.sqlite3*"):
        file.unlink()
    with pytest.raises(StartFailed, match="belongs to another registry"), running(on_sqlite.settings):
        pass
    assert not (on_sqlite.data / "registry.sqlite3").exists()


def test_a_lost_database_is_not_replaced_by_an_empty_one(on_sqlite: Place) -> None:
    """The marker shows that the registry had a database."""
    for file in on_sqlite.data.glob("registry.sqlite3*"):
        file.unlink()
    with pytest.raises(StartFailed, match="restore the database from a backup"), running(on_sqlite.settings):
        pass
    assert not (on_sqlite.data / "registry.sqlite3").exists()


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: content[: len(content) // 2 // 4_096 * 4_096],
        lambda content: content[:4_096] + bytes(4_096) + content[8_192:],
    ],
    ids=["half of it", "a page of zeros"],
)
def test_a_damaged_database_is_reported_with_a_remedy(on_sqlite: Place, harm: Callable[[bytes], bytes]) -> None:
    """By the server and by `doctor`; the file stays as it is."""
    file = on_sqlite.data / "registry.sqlite3"
    harmed = harm(file.read_bytes())
    file.write_bytes(harmed)
    with (
        pytest.raises(StartFailed, match=r"registry\.sqlite3 is damaged \(.+\): keep a copy") as refused,
        running(on_sqlite.settings),
    ):
        pass
    assert str(refused.value) in operate("doctor", *on_sqlite.options, "--json", status=1).stdout
    assert file.read_bytes() == harmed


def test_bytes_of_another_registry_are_refused(on_sqlite: Place, template: Path, tmp_path: Path) -> None:
    """Two registries with exchanged blob folders, and a database under the folder of another."""
    other = Place(tmp_path / "other").fill()
    shutil.rmtree(on_sqlite.data / "blobs")
    shutil.copytree(other.data / "blobs", on_sqlite.data / "blobs")
    assert "move each blob folder back" in on_sqlite.refusal()
    shutil.rmtree(on_sqlite.data / "blobs")
    shutil.copytree(template / "blobs", on_sqlite.data / "blobs")
    for file in other.data.glob("registry.sqlite3*"):
        shutil.copy(file, on_sqlite.data)
    assert "give the folder and the database of the same registry" in on_sqlite.refusal()


def test_a_registry_of_an_older_version_gets_its_identity(place: Place) -> None:
    """Once, without a command, and it does not change later."""
    unmarked(place.data)
    if place.database_url:
        asyncio.run(executed(place.database_url, "DELETE FROM meta WHERE key = 'store'"))
    else:
        forget(place.data)
    with running(place.settings):
        first = (place.data / "store.json").read_text()
    with running(place.settings):
        assert (place.data / "store.json").read_text() == first
    assert (place.data / "blobs" / "store.json").read_text() == first
    assert (place.data / "store.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("left", ["store.json", "blobs/store.json", ""])
def test_an_interrupted_start_is_completed(on_sqlite: Place, left: str) -> None:
    """After a crash between database and markers the registry starts."""
    for name in {"store.json", "blobs/store.json"} - {left}:
        (on_sqlite.data / name).unlink()
    assert on_sqlite.quarantined() == 0
    assert (on_sqlite.data / "store.json").read_text() == (on_sqlite.data / "blobs" / "store.json").read_text()


def test_a_moved_sqlite_registry_starts_without_a_command(on_sqlite: Place, tmp_path: Path) -> None:
    """Its rows move with the folder."""
    moved = Place(on_sqlite.data.rename(tmp_path / "moved"))
    assert moved.quarantined() == 0


def test_a_moved_folder_is_adopted_by_a_command(on_postgres: Place, tmp_path: Path) -> None:
    """Afterwards the old copy is refused, and the new one is served."""
    moved = Place(Path(shutil.copytree(on_postgres.data, tmp_path / "moved")), on_postgres.database_url)
    moved.refusal()
    done = operate("store", "adopt", *moved.options)
    assert str(moved.data) in done.stdout
    assert moved.quarantined() == 0
    assert str(moved.data) in on_postgres.refusal()
    # Also if the old copy takes the place of the new one, as on another machine with the same paths.
    moved.data.rename(tmp_path / "away")
    on_postgres.data.rename(moved.data)
    assert "after a restore from a backup" in moved.refusal()


def test_adoption_accepts_losses_only_with_its_option(on_sqlite: Place) -> None:
    """With `--lost`, missing bytes go into quarantine, and uploading them again restores them."""
    emptied(on_sqlite.data / "blobs")
    assert "--lost" in on_sqlite.refusal()
    assert "are missing" in operate("store", "adopt", *on_sqlite.options, status=1).stderr
    assert "3 blobs put into quarantine" in operate("store", "adopt", *on_sqlite.options, "--lost").stdout
    assert on_sqlite.quarantined() == 3
    with running(on_sqlite.settings) as url, on_sqlite.registry(url) as registry:
        version_of(registry, "m1", b"weights 1")
        registry.download("models:/m1/2", on_sqlite.data.parent / "files")


def test_a_malformed_marker_is_refused(on_sqlite: Place) -> None:
    """The error names it, and the command that makes another one."""
    (on_sqlite.data / "store.json").write_text("{}")
    assert "store.json is not a marker" in on_sqlite.refusal()
    operate("store", "adopt", *on_sqlite.options)
    assert on_sqlite.quarantined() == 0


def test_a_store_in_use_is_not_adopted(on_sqlite: Place) -> None:
    """The error names the running server."""
    with running(on_sqlite.settings):
        assert "another process owns" in operate("store", "adopt", *on_sqlite.options, status=1).stderr


def test_a_database_whose_server_runs_is_not_adopted_by_another_folder(on_postgres: Place, tmp_path: Path) -> None:
    """Otherwise two folders would each hold a part of the bytes."""
    shutil.copytree(on_postgres.data, tmp_path / "copy")
    options = ["--data", tmp_path / "copy", "--database-url", on_postgres.database_url]
    with running(on_postgres.settings) as url, on_postgres.registry(url) as registry:
        assert "a server is connected to this database" in operate("store", "adopt", *options, status=1).stderr
        assert registry.principals.whoami().name == "admin"
    operate("store", "adopt", *options)


def test_one_command_restores_all_blobs_from_quarantine(on_sqlite: Place) -> None:
    """An older version put every blob into quarantine when a folder was missing."""
    emptied(on_sqlite.data / "blobs")
    operate("store", "adopt", *on_sqlite.options, "--lost")
    shutil.rmtree(on_sqlite.data / "blobs" / "sha256")
    (on_sqlite.data / "away" / "sha256").rename(on_sqlite.data / "blobs" / "sha256")
    with running(on_sqlite.settings) as url, on_sqlite.registry(url) as registry:
        found = registry.artifacts.verify_blob(next((on_sqlite.data / "blobs" / "sha256").glob("*/*")).name)
        assert found.sound


def test_a_migration_checks_the_identity_of_the_folder(
    on_postgres: Place, postgres: "Postgres", tmp_path: Path
) -> None:
    """With the folder of one registry and the database of another, no step is applied."""
    other = postgres.create_database("another")
    done = operate("migrate", "--data", on_postgres.data, "--database-url", other, status=1)
    assert str(on_postgres.data) in done.stderr
    assert asyncio.run(fetched(other, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")) == 0
    operate("migrate", "--data", on_postgres.data, "--database-url", on_postgres.database_url)
    operate("migrate", "--data", tmp_path / "none", "--database-url", other)
    assert not (tmp_path / "none").exists()


async def fetched(url: str, statement: str) -> Any:
    """Return one value."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()
