"""Cases that only PostgreSQL has: concurrent migrations, deadlocks between writes, collations."""

import asyncio
import uuid
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import asyncpg
import pytest

from common_lib import HttpRegistry, ModelRegistry
from registry_server.domain.errors import StorageUnavailable
from registry_server.infrastructure import dialects
from registry_server.infrastructure.postgres import PostgresDatabase
from registry_server.infrastructure.schema_history import step_name
from registry_server.queries import Records
from tests.conftest import Server
from tests.support.steps import version_of

pytestmark = pytest.mark.anyio
GATE = 7_305_820_482


@pytest.fixture
def anyio_backend() -> str:
    """Run the server on asyncio."""
    return "asyncio"


async def _rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    raw = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await raw.fetch(statement)]
    finally:
        await raw.close()


async def test_many_servers_migrate_an_empty_database_at_once(postgres_url_factory: Callable[[str], str]) -> None:
    """One server applies every step; all use the same log."""
    url = postgres_url_factory("at_once")
    databases = [PostgresDatabase(url, connections=1) for _ in range(6)]
    taken = await asyncio.gather(*(database.migrate() for database in databases))
    steps = [step_name(step) for step in dialects.load_migrations("postgres")]
    assert sorted(taken) == [*[[]] * 5, steps]
    assert await _rows(url, "SELECT count(*) FROM migrations") == [(len(steps),)]
    assert len({database.source for database in databases}) == 1


async def test_a_deadlock_between_two_writes_is_retried(postgres_url: str) -> None:
    """PostgreSQL ends one of the two transactions, and the server runs it again."""
    await _rows(
        postgres_url,
        "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = ''20ms''', current_database()); END$$",
    )
    database = PostgresDatabase(postgres_url, connections=2)
    await database.open()
    gate: Any = await asyncpg.connect(postgres_url)
    await gate.execute(f"SELECT pg_advisory_lock({GATE})")
    tries: list[str] = []

    async def write(first: str, second: str) -> str:
        async def use_case(records: Records) -> str:
            tries.append(first)
            await records.artifacts.insert_document(first, b"{}")
            if tries.count(first) == 1:
                # A use case waits for its records only, so that both have their first row before either goes on.
                await records.artifacts._sql.fetch_one(f"SELECT pg_advisory_xact_lock_shared({GATE})")
            await records.artifacts.insert_document(second, b"{}")
            return first

        return await database.write(use_case)

    try:
        async with asyncio.timeout(30):
            both = asyncio.gather(write("one", "two"), write("two", "one"))
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while await gate.fetchval(waiting) < 2:  # noqa: ASYNC110 - a condition of the database
                await asyncio.sleep(0)
            await gate.execute(f"SELECT pg_advisory_unlock({GATE})")
            assert await both == ["one", "two"]
        assert len(tries) > 2
        assert [await database.read.artifacts.find_document(each) for each in ("one", "two")] == [b"{}", b"{}"]
    finally:
        await gate.close()
        await database.close()


@pytest.mark.parametrize("lost", [asyncpg.DeadlockDetectedError, asyncpg.SerializationError])
async def test_a_write_that_always_deadlocks_is_refused(postgres_url: str, lost: type[asyncpg.PostgresError]) -> None:
    """After some attempts, with a remedy; it changes nothing."""
    database = PostgresDatabase(postgres_url, connections=1)
    await database.open()
    tries: list[str] = []

    async def use_case(records: Records) -> None:
        tries.append(uuid.uuid4().hex)
        await records.artifacts.insert_document(tries[-1], b"{}")
        raise lost("it lost")

    try:
        with pytest.raises(StorageUnavailable, match=lost.__name__) as refused:
            await database.write(use_case)
        assert "Idempotency-Key" in refused.value.remedy
        assert len(tries) == 5
        assert [await database.read.artifacts.find_document(each) for each in tries] == [None] * 5
    finally:
        await database.close()


async def test_every_text_column_has_the_collation_c(postgres_url: str) -> None:
    """In a database of any language."""
    columns = await _rows(
        postgres_url,
        "SELECT c.relname, a.attname, l.collname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " JOIN pg_collation l ON l.oid = a.attcollation"
        " WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped",
    )
    ours = {(table, column): collation for table, column, collation in columns if table != "migrations"}
    assert ("models", "name") in ours
    assert {place: collation for place, collation in ours.items() if collation != "C"} == {}


@pytest.fixture
def foreign(postgres_server_of_session: Server) -> Server:
    """Provide a server on a database with a collation that does not sort by bytes."""
    if asyncio.run(_rows(postgres_server_of_session.database_url, "SELECT 'a' < 'B'")) != [(True,)]:
        pytest.skip("this machine has no localedef, so the database sorts by bytes")
    return postgres_server_of_session


def test_names_are_sorted_by_bytes_under_any_collation(foreign: Server) -> None:
    """In lists, on pages and after a prefix, as on SQLite."""
    mark = uuid.uuid4().hex[:8]
    names = sorted(f"{mark}{end}" for end in ("a-c", "aB1", "ab2", "B", "C-1", "c.0", "c_0", "Z9", "0"))
    tags = {"mark": mark}
    with foreign.registry() as registry:
        for name in reversed(names):
            registry.models.create(name, "regression", tags=tags)
        _assert_sorted(registry, names, tags)
        _assert_details_sorted(registry, names[0])


def _assert_sorted(registry: HttpRegistry, names: list[str], tags: dict[str, str]) -> None:
    for order, expected in (("name", names), ("-name", names[::-1])):
        found = [model.name for model in registry.models.search(tags=tags, order=order, page_size=2)]
        assert found == expected
    for prefix in {name[:9] for name in names}:
        found = [model.name for model in registry.models.search(prefix=prefix, page_size=1)]
        assert found == [name for name in names if name.startswith(prefix)]


def _assert_details_sorted(registry: ModelRegistry, name: str) -> None:
    version_of(registry, name)
    aliases = sorted(["a-b", "ab", "a_b", "aa"])
    for alias in reversed(aliases):
        registry.aliases.create(name, alias, 1)
    assert [alias.alias for alias in registry.aliases.list_of_model(name)] == aliases
    principals = sorted(f"{name[:8]}{end}" for end in ("a-c", "ab", "a.b", "a_c"))
    for principal in reversed(principals):
        registry.principals.create(principal, "service", [])
    found = [each.name for each in registry.principals.search(page_size=1)]
    assert all(earlier < later for earlier, later in pairwise(found))
    assert set(principals) <= set(found)
