"""`registry-server doctor` replays the log, and reports damaged or edited events and rows."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest

from common_lib import Grant, HttpRegistry, RegistryConfig, Role
from common_lib.rules import canonical
from registry_server.serving import running
from registry_server.settings import Settings
from tests.support.cli import operate
from tests.support.steps import promoted, version_of

pytestmark = pytest.mark.damages


# Larger than an event may be, so that parts of it are stored outside the log.
LONG = {f"layer-{number}": "x" * 100 for number in range(200)}


def fill(settings: Settings) -> None:
    """Fill a registry with one object of each kind."""
    with running(settings) as url:
        token = (settings.data / "admin-token").read_text().strip()
        with HttpRegistry(RegistryConfig(url=url, token=token, resolve=None)) as registry:
            registry.principals.create("mallory", "service", [Grant(role=Role.ANALYSIS, models="*")])
            registry.principals.issue_token("mallory")
            registry.models.create("eurusd", "forecasting", tags={"team": "fx"}, metadata={"auc": 0.75})
            for number in range(3):
                promoted(registry, "eurusd", b"weights %d" % number)
            registry.aliases.create("eurusd", "champion", 3)
            registry.aliases.create("eurusd", "old", 1)
            registry.aliases.delete("eurusd", "old", force=True, reason="not used")
            seen = version_of(registry, "eurusd", b"another", parameters=LONG)
            registry.versions.recall("eurusd", seen.version, reason="it is wrong", revision=seen.revision)
            registry.production.rollback("eurusd", reason="back")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create the folder of such a registry in SQLite."""
    data = tmp_path_factory.mktemp("template") / "data"
    fill(Settings(data=data, port=0, access_log=False))
    return data


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Path:
    """Copy the folder, to damage the copy."""
    return Path(shutil.copytree(template, tmp_path / "data"))


def execute(data: Path, *statements: str) -> None:
    """Run statements without the triggers, as a user with access to the database file can."""
    with apsw.Connection(str(data / "registry.sqlite3")) as raw:
        triggers = raw.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            raw.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            raw.execute(statement)
        for _, definition in triggers:
            raw.execute(str(definition))


def edit_event(data: Path, sequence: int, edit: Callable[[dict[str, Any]], None]) -> None:
    """Edit an event, and store it in the right form."""
    with apsw.Connection(str(data / "registry.sqlite3")) as raw:
        body = raw.execute("SELECT body FROM events WHERE sequence = ?1", (sequence,)).fetchall()[0][0]
    event = json.loads(bytes(body))  # type: ignore[arg-type]
    edit(event)
    body = canonical.encode(event).hex()
    execute(data, f"UPDATE events SET body = x'{body}' WHERE sequence = {sequence}")  # noqa: S608 - a test's own


def sequence_of(data: Path, kind: str) -> int:
    """Return the number of the last event of a type."""
    with apsw.Connection(str(data / "registry.sqlite3"), flags=apsw.SQLITE_OPEN_READONLY) as raw:
        rows = raw.execute("SELECT sequence, body FROM events").fetchall()
    return max(int(str(row[0])) for row in rows if json.loads(bytes(row[1]))["type"] == f"registry.{kind}")  # type: ignore[arg-type]


def found(data: Path, status: int, **environment: str) -> dict[str, str]:
    """Return the findings that are not well."""
    done = operate("doctor", "--data", data, "--json", status=status, **environment)
    return {one["what"]: one["found"] for one in json.loads(done.stdout) if one["well"] is False}


def test_an_unchanged_registry_passes(data: Path) -> None:
    """The registry has objects and events of every kind."""
    assert found(data, 0) == {}


ROWS = [
    ("UPDATE models SET owner = 'mallory'", "models row 'eurusd' differs from the log in owner"),
    ("UPDATE models SET metadata = '{\"auc\":0.99}'", "differs from the log in metadata"),
    ("UPDATE models SET latest_version = 9", "differs from the log in latest_version"),
    ("UPDATE versions SET stage = 'archived' WHERE stage = 'production'", "versions row 'eurusd/2' differs from"),
    ("UPDATE versions SET metrics = '{\"auc\":1.0}' WHERE version = 1", "versions row 'eurusd/1' differs from"),
    ("UPDATE versions SET recall = NULL", "differs from the log in recall"),
    ("UPDATE versions SET created_at = 'yesterday' WHERE version = 1", "versions row 'eurusd/1' cannot be read"),
    ("UPDATE versions SET tags = '{' WHERE version = 1", "versions row 'eurusd/1' cannot be read"),
    ("UPDATE aliases SET version = 1", "aliases row 'eurusd/champion' differs from the log in version"),
    ("DELETE FROM aliases", "models/eurusd/aliases/champion of event"),
    ('UPDATE principals SET grants = \'[{"role":"admin","models":"*"}]\' WHERE name = \'mallory\'', "in grants"),
    ("UPDATE principals SET kind = 'human' WHERE name = 'mallory'", "principals row 'mallory' differs from the log"),
    ("UPDATE tokens SET expires_at = expires_at + 1", "differs from the log in expires_at"),
    (
        "UPDATE tokens SET secret_sha256 = substr(secret_sha256, 2) || 'a' WHERE principal = 'mallory'",
        "secret of another",
    ),
    ("UPDATE blobs SET size = 8 WHERE sha256 = (SELECT max(sha256) FROM blobs)", "differs from the log in size"),
    (
        "INSERT INTO aliases VALUES ('eurusd', 'extra', 1, 1, 'mallory', 1)",
        "row 'eurusd/extra' appears in no event",
    ),
    ("UPDATE tenures SET version = 1 WHERE version = 2", "tenures row"),
    ("DELETE FROM decisions WHERE sequence = (SELECT max(sequence) FROM decisions)", "the decision of event"),
    ("UPDATE documents SET body = x'7b7d'", "does not match its digest"),
    ("UPDATE version_files SET path = 'other.bin' WHERE version = 1", "the file rows of version 1 of 'eurusd' differ"),
    ("DELETE FROM version_files WHERE version = 1", "the file rows of version 1 of 'eurusd' differ"),
]


@pytest.mark.parametrize(("statement", "sentence"), ROWS)
def test_an_edited_row_is_reported(data: Path, statement: str, sentence: str) -> None:
    """The finding has the field and a remedy."""
    execute(data, statement)
    wrong = found(data, 1)
    assert sentence in wrong["rows"]
    assert "restore the database from an older backup" in wrong["rows"]


def other_actor(event: dict[str, Any]) -> None:
    """Replace the actor by another principal."""
    event["actor"] = "mallory"


def unknown_actor(event: dict[str, Any]) -> None:
    """Replace the actor by an unknown principal."""
    event["actor"] = "nobody"


def other_before(event: dict[str, Any]) -> None:
    """Change the values before the event."""
    (fields,) = event["data"]["before"].values()
    fields["revision"] = 17


def other_after(event: dict[str, Any]) -> None:
    """Change the values after the event."""
    event["data"]["after"][event["subject"]]["revision"] = 17


def other_time(event: dict[str, Any]) -> None:
    """Set an earlier time."""
    event["time"] = "2020-01-01T00:00:00.000000Z"


def other_number(event: dict[str, Any]) -> None:
    """Set another sequence number."""
    event["sequence"] = f"{1:020d}"


def other_log(event: dict[str, Any]) -> None:
    """Set the source of another registry."""
    event["source"] = "urn:uuid:00000000-0000-0000-0000-000000000000"


def one_more(event: dict[str, Any]) -> None:
    """Add an unknown field."""
    event["comment"] = "all is well"


EDITS = [
    ("model.created", other_actor, "has the actor 'mallory', but models/eurusd has 'admin'"),
    ("version.created", other_actor, "has the actor 'mallory', but models/eurusd/versions/4 has"),
    ("principal.created", other_actor, "has the actor 'mallory', but principals/mallory has"),
    ("token.issued", other_actor, "has the actor 'mallory', but tokens/"),
    ("blobs.published", unknown_actor, "has the actor 'nobody', which was not a principal then"),
    ("alias.deleted", unknown_actor, "has the actor 'nobody', which was not a principal then"),
    ("version.recalled", other_actor, "has the actor 'mallory', but models/eurusd/versions/4 has"),
    ("version.recalled", other_before, "an earlier value of revision that differs from the previous events"),
    ("version.recalled", other_time, "is not later than the event before it"),
    ("version.recalled", other_number, "has the sequence number '1' in its body"),
    ("version.recalled", other_log, "belongs to another log"),
    ("version.recalled", one_more, "is not in the form in which events are stored"),
]


@pytest.mark.parametrize(("kind", "edit", "sentence"), EDITS)
def test_an_edited_event_is_reported(
    data: Path, kind: str, edit: Callable[[dict[str, Any]], None], sentence: str
) -> None:
    """The finding has the sequence number of the event."""
    sequence = sequence_of(data, kind if kind != "blobs.published" else published(data))
    edit_event(data, sequence, edit)
    wrong = found(data, 1)
    assert f"event {sequence} " in wrong["log"]
    assert sentence in wrong["log"]


def published(data: Path) -> str:
    """Return the type of the event that records published bytes."""
    with apsw.Connection(str(data / "registry.sqlite3"), flags=apsw.SQLITE_OPEN_READONLY) as raw:
        types = {json.loads(bytes(row[0]))["type"] for row in raw.execute("SELECT body FROM events")}  # type: ignore[arg-type]
    return next(kind for kind in ("blobs.published", "blob.published") if f"registry.{kind}" in types)


def test_an_event_with_another_change_contradicts_the_rows(data: Path) -> None:
    """The event is in the right form, but its values differ from the row."""
    edit_event(data, sequence_of(data, "version.recalled"), other_after)
    assert "versions row 'eurusd/4' differs from the log in revision" in found(data, 1)["rows"]


MISSING = [
    ("DELETE FROM events WHERE sequence = 5", "event 5 is missing"),
    ("DELETE FROM events WHERE sequence IN (5, 6, 7)", "event 5 is missing, and all others before event 8"),
    (
        "DELETE FROM events WHERE sequence = (SELECT max(sequence) FROM events)",
        "last assigned sequence number is",
    ),
    ("DELETE FROM events", "the log ends with event 0"),
    ("UPDATE events SET sequence = sequence + 1 WHERE sequence = (SELECT max(sequence) FROM events)", "is missing"),
    ("UPDATE events SET body = x'ff' WHERE sequence = 3", "event 3 cannot be read"),
    (
        "UPDATE events SET body = CAST(body AS TEXT) || ' ' WHERE sequence = 3",
        "event 3 cannot be read (it is not stored as bytes)",
    ),
    (
        "UPDATE events SET body = CAST(CAST(body AS TEXT) || ' ' AS BLOB) WHERE sequence = 3",
        "event 3 is not in the form",
    ),
    ("UPDATE events SET body = 7 WHERE sequence = 3", "event 3 cannot be read"),
    ("UPDATE counters SET at = 0", "the time of the log is before"),
    ("DELETE FROM documents", "has parts that are missing"),
]


@pytest.mark.parametrize(("statement", "sentence"), MISSING)
def test_a_missing_or_damaged_event_is_reported(data: Path, statement: str, sentence: str) -> None:
    """This holds for any position in the log."""
    execute(data, statement)
    assert sentence in found(data, 1)["log"]


WEAKENED = (
    "DROP TRIGGER events_are_not_changed;"
    "CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events BEGIN SELECT 1; END"
)


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("DROP TRIGGER events_are_not_changed", "lacks trigger events_are_not_changed"),
        ("DROP TRIGGER events_are_not_removed", "lacks trigger events_are_not_removed"),
        ("DROP INDEX one_production_version", "lacks index one_production_version"),
        (
            WEAKENED,
            "lacks trigger events_are_not_changed with its original definition",
        ),
    ],
)
def test_a_missing_trigger_or_index_is_reported(data: Path, statement: str, sentence: str) -> None:
    """This holds although no row was changed."""
    with apsw.Connection(str(data / "registry.sqlite3")) as raw:
        raw.execute(statement)
    assert sentence in found(data, 1)["shape"]


def test_of_many_faults_the_first_are_listed_and_all_are_counted(data: Path) -> None:
    """The finding stays short."""
    execute(data, "UPDATE events SET body = x'ff'")
    sentence = found(data, 1)["log"]
    assert "event 5 cannot be read (DecodeError) and " in sentence
    assert " more: restore the database" in sentence
    assert "event 6" not in sentence


def test_damage_is_found_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    """Edited rows and events, and dropped triggers and indexes, are found."""
    data = tmp_path / "data"
    fill(Settings(data=data, port=0, access_log=False, database_url=postgres_url))
    also = {"REGISTRY_DATABASE_URL": postgres_url}

    async def change(*statements: str) -> None:
        connection = await asyncpg.connect(postgres_url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    known = set(operate_all(data, also))
    assert known <= {"PostgreSQL"}
    asyncio.run(change("ALTER TABLE events DISABLE TRIGGER USER"))
    assert "trigger events_are_append_only" in operate_all(data, also)["shape"]
    asyncio.run(
        change(
            "UPDATE events SET body = convert_to(replace(convert_from(body, 'UTF8'), '\"actor\":\"admin\"',"
            " '\"actor\":\"nobody\"'), 'UTF8') WHERE sequence = 7",
            "UPDATE models SET owner = 'mallory'",
            "DROP INDEX one_production_version",
        )
    )
    wrong = operate_all(data, also)
    assert "event 7 has the actor 'nobody'" in wrong["log"]
    assert "models row 'eurusd' differs from the log in owner" in wrong["rows"]
    assert "index one_production_version" in wrong["shape"]


def operate_all(data: Path, environment: dict[str, str]) -> dict[str, str]:
    """Return the findings that are not well, with any exit status."""
    done = operate("doctor", "--data", data, "--json", status=None, **environment)
    return {one["what"]: one["found"] for one in json.loads(done.stdout) if one["well"] is False}
