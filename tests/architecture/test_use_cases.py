"""A use case awaits only its records: checked in the sources, and enforced at run time on both engines."""

import ast
import asyncio
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from registry_server.infrastructure.postgres import PostgresDatabase
from registry_server.infrastructure.sqlite import SqliteDatabase
from registry_server.queries import Records

CORE = Path(__file__).parents[2] / "registry_server" / "core"
Function = ast.AsyncFunctionDef | ast.FunctionDef


def foreign_waits(source: str) -> list[str]:
    """Name each place where a function with a parameter `records` awaits something other than its records."""
    found = []
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, Function) and "records" in _parameters(function):
            found += [f"{function.name}: {ast.unparse(node)}" for node in _own(function) if _is_foreign(node)]
    return found


def _parameters(function: Function) -> set[str]:
    every = function.args
    return {one.arg for one in (*every.posonlyargs, *every.args, *every.kwonlyargs)}


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function without those of nested functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Function):
            yield child
            yield from _own(child)


def _is_foreign(node: ast.AST) -> bool:
    if isinstance(node, ast.AsyncFor | ast.AsyncWith) or (isinstance(node, ast.comprehension) and node.is_async):
        return True
    if not isinstance(node, ast.Await):
        return False
    call = node.value
    if not isinstance(call, ast.Call):
        return True
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    passed = any(isinstance(one, ast.Name) and one.id == "records" for one in given)
    return not (passed or _root(call.func) == "records") or _root(call.func) in {"asyncio", "env"}


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("file", sorted(CORE.glob("*.py")), ids=lambda file: file.stem)
def test_use_cases_await_their_records_only(file: Path) -> None:
    """A function with a parameter `records` runs within a transaction, and other writers wait for it."""
    assert foreign_waits(file.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "await asyncio.to_thread(judge, records)",
        "await asyncio.sleep(0)",
        "await env.blobs.verify(sha256)",
        "await env.database.read.models.find(name)",
        "await done",
        "[row async for row in rows]",
        "async with lock: pass",
        "async for row in rows: pass",
        "x = (await elsewhere(), await records.models.find(name))",
    ],
)
def test_the_check_finds_each_forbidden_wait(line: str) -> None:
    """Also within a nested function with a parameter `records`."""
    source = f"async def use_case(records, act):\n    {line}"
    assert foreign_waits(source)
    assert foreign_waits("def outer():\n" + textwrap.indent(source, "    "))
    assert not foreign_waits("async def use_case(records):\n    return await records.models.find(name)")


UseCase = Callable[[Records], Awaitable[Any]]


@pytest.fixture(params=["memory", "file", "postgres"])
def closed(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Provide a database of each kind that is not open yet, created outside of an event loop."""
    if request.param == "postgres":
        return PostgresDatabase(request.getfixturevalue("postgres_url"))
    return SqliteDatabase(None if request.param == "memory" else tmp_path / "registry.sqlite3")


@pytest.fixture
async def database(closed: Any) -> AsyncIterator[Any]:
    """Provide an empty database of each kind."""
    await closed.open()
    yield closed
    await closed.close()


async def stores_document(records: Records) -> bytes | None:
    """Store a document and read it."""
    await records.artifacts.insert_document("sha256:x", b"kept")
    return await records.artifacts.find_document("sha256:x")


async def _sleeps_deep_inside(records: Records) -> None:
    await records.artifacts.insert_document("sha256:y", b"lost")
    await asyncio.sleep(0)


async def _asks_a_thread(records: Records) -> None:
    await records.artifacts.insert_document("sha256:y", b"lost")
    await asyncio.to_thread(len, "")


@pytest.mark.anyio
@pytest.mark.parametrize("wait", [_sleeps_deep_inside, _asks_a_thread])
async def test_a_use_case_that_awaits_another_thing_is_rolled_back(database: Any, wait: UseCase) -> None:
    """The error names the functions, the use case changes nothing, and the next one runs."""

    async def use_case(records: Records) -> None:
        await wait(records)

    with pytest.raises(RuntimeError, match=rf"other than its records: .*use_case > {wait.__name__}"):
        await database.write(use_case)
    assert await database.read.artifacts.find_document("sha256:y") is None
    assert await database.write(stores_document) == b"kept"


@pytest.mark.anyio
async def test_a_use_case_that_is_cancelled_is_rolled_back(database: Any) -> None:
    """The check of awaited objects does not swallow a cancellation."""
    entered = asyncio.Event()

    async def use_case(records: Records) -> None:
        await records.artifacts.insert_document("sha256:y", b"lost")
        entered.set()
        while True:
            await records.artifacts.find_document("sha256:y")

    if isinstance(database, SqliteDatabase):
        return  # its records never suspend, so a use case cannot be cancelled while it runs
    task = asyncio.ensure_future(database.write(use_case))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await database.read.artifacts.find_document("sha256:y") is None
    assert await database.write(stores_document) == b"kept"
