"""A write whose answer is lost: the error says that nobody knows, carries the key, and repeats the same request."""

import asyncio
import contextlib
import json
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from adapters.integration import Integration
from adapters.workbench import Workbench
from common_lib import AsyncHttpRegistry, HttpRegistry, ModelRegistry, RegistryConfig
from common_lib.errors import (
    AnswerTimedOut,
    ConnectionFailed,
    InvalidRequest,
    ModelNotFound,
    ProtocolError,
    RegistryError,
    RegistryUnavailable,
    ServerFailed,
)
from tests.conftest import Server
from tests.support.cli import Cli
from tests.support.fault_proxy import CutRequest, FaultProxy, LostAnswer, faulty
from tests.support.steps import promoted, version_of

REASON = "because"
# The ways to write that a second request would repeat, and what would show it.
WRITES: dict[str, tuple[Callable[[Any, str, Path], Any], bytes]] = {
    "create": (lambda r, name, _: r.models.create(f"{name}-b", "forecasting"), b"POST /v1/models "),
    "register": (lambda r, name, file: r.register(name, file, framework="onnx"), b"/versions HTTP"),
    "log_version": (
        lambda r, name, file: Workbench(r).log_version(name, file, framework="onnx", metrics={}),
        b"/versions HTTP",
    ),
    "log_model": (
        lambda r, name, _: Workbench(r).log_model(name, {"a": 1.0}, metrics={}),
        b"/versions HTTP",
    ),
    "approve": (lambda r, name, _: r.versions.recall(name, 1, reason=REASON, revision=1), b"/recall"),
    "set_alias": (lambda r, name, _: r.set_alias(name, "champion", 1), b"PUT /v1/models/"),
    "issue_token": (lambda r, *_: r.principals.issue_token("admin"), b"/tokens"),
}


@pytest.fixture
def proxy(sqlite_server: Server) -> Iterator[FaultProxy]:
    """A proxy before the server of the session."""
    with faulty(sqlite_server.url) as proxy:
        yield proxy


@pytest.fixture
def sure(sqlite_server: Server, name: str) -> Iterator[HttpRegistry]:
    """A registry that reaches the server directly, and a model with one version there."""
    with sqlite_server.registry() as registry:
        registry.models.create(name, "forecasting")
        version_of(registry, name, b"first")
        yield registry


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file that is registered."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights")
    return path


def through(proxy: FaultProxy, server: Server, **given: Any) -> HttpRegistry:
    """Make a registry that sends its requests through the proxy, and tries once."""
    return HttpRegistry(RegistryConfig(url=proxy.url, token=server.token, attempts=1, resolve=None, **given))


def events(registry: ModelRegistry) -> int:
    """Count the changes in the log, without those of bytes: a write that is done twice has two."""
    count, found = 0, registry.events.after(0, limit=1000)
    while found:
        count += sum("blob" not in event.type for event in found)
        found = registry.events.after(int(found[-1].sequence), limit=1000)
    return count


@pytest.mark.parametrize("write", WRITES)
def test_a_lost_answer_is_asked_for_again(  # noqa: PLR0917 - fixtures
    write: str, proxy: FaultProxy, sqlite_server: Server, sure: HttpRegistry, name: str, file: Path
) -> None:
    """Whatever the write is, `retry` brings its first answer, and the log has one event more."""
    call, head = WRITES[write]
    before = events(sure)
    proxy.plan(LostAnswer(), of=head)
    with through(proxy, sqlite_server) as registry:
        with pytest.raises(ConnectionFailed) as lost:
            call(registry, name, file)
        error = lost.value
        assert not proxy.planned
        assert error.outcome_unknown
        assert error.idempotency_key
        assert "registry.retry(error)" in str(error)
        assert error.idempotency_key in str(error)
        found = registry.retry(error)
        again = registry.retry(error)
    assert found == again or write == "issue_token"
    assert events(sure) == before + 1


@pytest.mark.parametrize("adapter", [lambda registry: registry, Integration])
def test_the_asynchronous_registry_repeats_as_well(  # noqa: PLR0917 - fixtures
    adapter: Callable[[AsyncHttpRegistry], Any],
    proxy: FaultProxy,
    sqlite_server: Server,
    sure: HttpRegistry,
    name: str,
    file: Path,
) -> None:
    """A flow, twice lost, and a single operation; also by an adapter."""

    async def run() -> list[Any]:
        config = RegistryConfig(url=proxy.url, token=sqlite_server.token, attempts=1, resolve=None)
        async with AsyncHttpRegistry(config) as inner:
            registry = adapter(inner)
            proxy.plan(LostAnswer(), LostAnswer(), of=b"/versions HTTP")
            with pytest.raises(ConnectionFailed) as first:
                await registry.register(name, file, framework="onnx")
            with pytest.raises(ConnectionFailed) as second:
                await registry.retry(first.value)
            assert second.value.idempotency_key == first.value.idempotency_key
            version = await registry.retry(second.value)
            proxy.plan(LostAnswer(), of=b"/recall")
            with pytest.raises(ConnectionFailed) as lost:
                await registry.versions.recall(name, version.version, reason=REASON, revision=version.revision)
            recalled = await registry.retry(lost.value)
            return [version, recalled]

    version, recalled = asyncio.run(run())
    assert [each.version for each in sure.versions.search(name)] == [2, 1]
    assert (version.version, recalled.recall.reason) == (2, REASON)


def test_a_promotion_is_repeated_as_it_was_decided(
    proxy: FaultProxy, sqlite_server: Server, sure: HttpRegistry, name: str
) -> None:
    """Not on what is in production by now, which is the version itself: read again, it would be another request."""
    version = sure.versions.transition(name, 1, "staging", revision=1)
    proxy.plan(LostAnswer(), of=b"/transition")
    with through(proxy, sqlite_server) as registry:
        with pytest.raises(ConnectionFailed) as lost:
            registry.production.promote(name, version.version, reason=REASON)
        assert registry.retry(lost.value).stage == "production"
    assert len([each for each in sure.production.history(name) if each.reason == REASON]) == 1


def test_an_upload_that_failed_goes_on(
    proxy: FaultProxy, sqlite_server: Server, sure: HttpRegistry, name: str, file: Path
) -> None:
    """No write was sent, so no outcome is unknown; `retry` sends the bytes and creates the version."""
    file.write_bytes(name.encode())
    with through(proxy, sqlite_server) as registry:
        workbench = Workbench(registry)
        for call in (
            lambda: workbench.log_version(name, file, framework="onnx", metrics={}),
            lambda: workbench.log_model(name, {name: 2.0}, metrics={}),
        ):
            proxy.plan(CutRequest(after=100), of=b"PUT /v1/blobs/")
            with pytest.raises(RegistryUnavailable) as failed:
                call()
            assert not failed.value.outcome_unknown
            assert "retry(error)" not in str(failed.value)
            assert registry.retry(failed.value).model == name
    assert len(list(sure.versions.search(name))) == 3


@pytest.mark.parametrize(
    "call",
    [
        lambda r, name, file: r.register(name, file, framework="onnx"),
        lambda r, name, _: Workbench(r).log_model(name, {name: 3.0}, metrics={}),
    ],
    ids=["register", "log_model"],
)
def test_an_error_may_be_repeated_until_it_succeeds(  # noqa: PLR0917 - fixtures
    call: Callable[[Any, str, Path], Any],
    proxy: FaultProxy,
    sqlite_server: Server,
    sure: HttpRegistry,
    name: str,
    file: Path,
) -> None:
    """A loop that repeats the first error, and not the one raised last, makes one version all the same."""
    file.write_bytes(name.encode())
    with through(proxy, sqlite_server) as registry:
        proxy.plan(CutRequest(after=100), of=b"PUT /v1/blobs/")
        with pytest.raises(RegistryUnavailable) as first:
            call(registry, name, file)
        assert not first.value.outcome_unknown
        proxy.plan(LostAnswer(), LostAnswer(), of=b"/versions HTTP")
        with pytest.raises(RegistryUnavailable):
            registry.retry(first.value)
        with pytest.raises(RegistryUnavailable) as lost:
            registry.retry(first.value)
        assert lost.value.outcome_unknown
        assert registry.retry(first.value) == registry.retry(lost.value)
    assert len(list(sure.versions.search(name))) == 2


def test_an_error_that_succeeded_is_not_done_again(
    proxy: FaultProxy, sqlite_server: Server, sure: HttpRegistry, name: str, file: Path
) -> None:
    """Repeated once more, or by several threads at once, it brings what it brought."""
    file.write_bytes(name.encode())
    with through(proxy, sqlite_server) as registry:
        proxy.plan(CutRequest(after=100), of=b"PUT /v1/blobs/")
        with pytest.raises(RegistryUnavailable) as failed:
            registry.register(name, file, framework="onnx")
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: sure.retry(failed.value).version, range(4)))
    assert found == [2] * 4
    assert sure.retry(failed.value).version == 2
    assert len(list(sure.versions.search(name))) == 2


@pytest.mark.parametrize("given", [None, ValueError("x"), "x"])
def test_only_errors_of_the_registry_are_repeated(sure: HttpRegistry, given: Any) -> None:
    """Anything else is refused by its type."""
    with pytest.raises(InvalidRequest, match=type(given).__name__):
        sure.retry(given)


def test_what_was_never_sent_is_known_not_to_be_done(sqlite_server: Server, name: str) -> None:
    """A closed port has done nothing; the same key is good all the same."""
    config = RegistryConfig(url="http://127.0.0.1:1", token=sqlite_server.token, attempts=1)
    with HttpRegistry(config) as away, sqlite_server.registry() as registry:
        with pytest.raises(ConnectionFailed) as failed:
            away.models.create(name, "forecasting")
        assert failed.value.idempotency_key
        assert not failed.value.outcome_unknown
        assert registry.retry(failed.value).name == name


def test_a_refusal_is_decided_anew(sqlite_server: Server, name: str) -> None:
    """A request that the registry has answered is not repeated; neither is an error that came from another process."""
    with sqlite_server.registry() as registry:
        with pytest.raises(ModelNotFound) as refused:
            registry.models.get(name)
        with pytest.raises(InvalidRequest, match="ModelNotFound"):
            registry.retry(refused.value)
    unknown = ConnectionFailed("gone")
    unknown.outcome_unknown, unknown.idempotency_key = True, "0" * 32
    unknown.repeat = unknown.operation = lambda _: None
    arrived = pickle.loads(pickle.dumps(unknown))  # noqa: S301 - our own
    assert (arrived.outcome_unknown, arrived.idempotency_key, arrived.repeat) == (True, "0" * 32, None)


def test_the_page_of_a_proxy_after_a_write_leaves_it_unknown(sqlite_server: Server, name: str) -> None:
    """It may have been done behind the proxy that answers 200 with a page of its own."""
    html = b"<html>please log in</html>"

    def page(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/html"}, content=html)

    config = RegistryConfig(url=sqlite_server.url, token=sqlite_server.token, attempts=1)
    with HttpRegistry(config, transport=httpx.MockTransport(page)) as between, sqlite_server.registry() as registry:
        with pytest.raises(ProtocolError) as failed:
            between.models.create(name, "forecasting")
        assert failed.value.outcome_unknown
        assert registry.retry(failed.value).name == name


@contextlib.asynccontextmanager
async def locked(server: Server) -> AsyncIterator[None]:
    """Keep versions from being written meanwhile; they can be read."""
    connection = await asyncpg.connect(server.database_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE versions IN EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


def test_a_database_that_is_locked_for_longer_than_anybody_waits(
    postgres_server_of_session: Server, name: str, file: Path
) -> None:
    """The version is there once, whether the first request was done after all or not."""
    server = postgres_server_of_session
    with server.registry() as sure:
        sure.models.create(name, "forecasting")
        sure.register(name, file, framework="onnx")
    file.write_bytes(b"others")

    async def run() -> tuple[RegistryError, Any]:
        config = RegistryConfig(url=server.url, token=server.token, deadline_s=0.6, attempts=2, resolve=None)
        async with AsyncHttpRegistry(config) as registry:
            async with locked(server):
                with pytest.raises((ServerFailed, AnswerTimedOut, RegistryUnavailable)) as failed:
                    await registry.register(name, file, framework="onnx")
            patient = AsyncHttpRegistry(RegistryConfig(url=server.url, token=server.token, resolve=None))
            async with patient:
                found = await patient.retry(failed.value)
            return failed.value, found

    error, found = asyncio.run(run())
    assert error.outcome_unknown
    assert found.version == 2
    with server.registry() as sure:
        assert [each.version for each in sure.versions.search(name)] == [2, 1]


@pytest.mark.parametrize("command", ["register", "promote", "alias"])
def test_the_command_line_names_the_option_that_repeats(  # noqa: PLR0917 - fixtures
    command: str, proxy: FaultProxy, sqlite_server: Server, sure: HttpRegistry, name: str, file: Path
) -> None:
    """The remedy is what is run: it ends well, and nothing is done twice."""
    cli = Cli(proxy.url, sqlite_server.token, sqlite_server.data)
    if command == "promote":
        sure.versions.transition(name, 1, "staging", revision=1)
    words, head = {
        "register": (["versions", "register", name, str(file), "--framework", "onnx"], b"/versions HTTP"),
        "promote": (["promote", name, "1", "--reason", REASON], b"/transition"),
        "alias": (["aliases", "set", name, "champion", "1"], b"PUT /v1/models/"),
    }[command]
    before = events(sure)
    proxy.plan(LostAnswer(), of=head)
    problem = Cli(proxy.url, sqlite_server.token, sqlite_server.data)(*words, "--json", status=5, REGISTRY_ATTEMPTS="1")
    members = json.loads(problem.stderr)
    assert "registry.retry" not in problem.stderr
    options = members["remedy"].partition("again with ")[2].partition(",")[0].split()
    assert options[:2] == ["--idempotency-key", members["idempotency_key"]]
    cli(*words, *options)
    cli(*words, *options)
    assert events(sure) == before + 1
    cli(*words, "--idempotency-key", "no key", status=2)


def test_versions_promoted_twice_stay_one(sure: HttpRegistry, name: str) -> None:
    """The helper of this file counts what it should: two promotions are more events than one."""
    before = events(sure)
    promoted(sure, name, b"another")
    assert events(sure) > before + 1
