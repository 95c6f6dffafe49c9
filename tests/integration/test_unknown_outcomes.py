"""A write whose answer is lost: the outcome is unknown, and a retry sends the same request under the same key."""

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
# The writes that a second request would execute again, and the beginning of their request.
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
    """Start a proxy in front of the server of the session."""
    with faulty(sqlite_server.url) as proxy:
        yield proxy


@pytest.fixture
def direct(sqlite_server: Server, name: str) -> Iterator[HttpRegistry]:
    """Provide a registry without the proxy, with a model of one version."""
    with sqlite_server.registry() as registry:
        registry.models.create(name, "forecasting")
        version_of(registry, name, b"first")
        yield registry


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Provide the file to register."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights")
    return path


def through(proxy: FaultProxy, server: Server, **options: Any) -> HttpRegistry:
    """Make a registry that sends its requests through the proxy, with one attempt."""
    return HttpRegistry(RegistryConfig(url=proxy.url, token=server.token, attempts=1, resolve=None, **options))


def count_events(registry: ModelRegistry) -> int:
    """Count the events of the log, except those of blobs: a write that is executed twice has two."""
    count, found = 0, registry.events.after(0, limit=1000)
    while found:
        count += sum("blob" not in event.type for event in found)
        found = registry.events.after(int(found[-1].sequence), limit=1000)
    return count


@pytest.mark.parametrize("write", WRITES)
def test_a_lost_answer_is_received_by_a_retry(  # noqa: PLR0917 - fixtures
    write: str, proxy: FaultProxy, sqlite_server: Server, direct: HttpRegistry, name: str, file: Path
) -> None:
    """For each kind of write `retry` returns the first answer, and the log has one event more."""
    call, head = WRITES[write]
    before = count_events(direct)
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
    assert count_events(direct) == before + 1


@pytest.mark.parametrize("adapter", [lambda registry: registry, Integration])
def test_the_asynchronous_registry_retries_too(  # noqa: PLR0917 - fixtures
    adapter: Callable[[AsyncHttpRegistry], Any],
    proxy: FaultProxy,
    sqlite_server: Server,
    direct: HttpRegistry,
    name: str,
    file: Path,
) -> None:
    """A flow whose answer is lost twice, and a single operation; also through an adapter."""

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
    assert [each.version for each in direct.versions.search(name)] == [2, 1]
    assert (version.version, recalled.recall.reason) == (2, REASON)


def test_a_promotion_is_retried_with_the_state_it_was_based_on(
    proxy: FaultProxy, sqlite_server: Server, direct: HttpRegistry, name: str
) -> None:
    """The version is in production now, so reading the state again would make another request."""
    version = direct.versions.transition(name, 1, "staging", revision=1)
    proxy.plan(LostAnswer(), of=b"/transition")
    with through(proxy, sqlite_server) as registry:
        with pytest.raises(ConnectionFailed) as lost:
            registry.production.promote(name, version.version, reason=REASON)
        assert registry.retry(lost.value).stage == "production"
    assert len([each for each in direct.production.history(name) if each.reason == REASON]) == 1


def test_a_failed_upload_is_continued_by_a_retry(
    proxy: FaultProxy, sqlite_server: Server, direct: HttpRegistry, name: str, file: Path
) -> None:
    """No write was sent, so the outcome is known; `retry` sends the bytes and creates the version."""
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
    assert len(list(direct.versions.search(name))) == 3


@pytest.mark.parametrize(
    "call",
    [
        lambda r, name, file: r.register(name, file, framework="onnx"),
        lambda r, name, _: Workbench(r).log_model(name, {name: 3.0}, metrics={}),
    ],
    ids=["register", "log_model"],
)
def test_the_same_error_may_be_retried_until_it_succeeds(  # noqa: PLR0917 - fixtures
    call: Callable[[Any, str, Path], Any],
    proxy: FaultProxy,
    sqlite_server: Server,
    direct: HttpRegistry,
    name: str,
    file: Path,
) -> None:
    """A loop that retries the first error each time, not the latest one, makes one version."""
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
    assert len(list(direct.versions.search(name))) == 2


def test_a_retry_that_succeeded_is_not_executed_again(
    proxy: FaultProxy, sqlite_server: Server, direct: HttpRegistry, name: str, file: Path
) -> None:
    """A further retry, also of several threads at the same time, returns the same result."""
    file.write_bytes(name.encode())
    with through(proxy, sqlite_server) as registry:
        proxy.plan(CutRequest(after=100), of=b"PUT /v1/blobs/")
        with pytest.raises(RegistryUnavailable) as failed:
            registry.register(name, file, framework="onnx")
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: direct.retry(failed.value).version, range(4)))
    assert found == [2] * 4
    assert direct.retry(failed.value).version == 2
    assert len(list(direct.versions.search(name))) == 2


@pytest.mark.parametrize("value", [None, ValueError("x"), "x"])
def test_only_errors_of_the_registry_are_retried(direct: HttpRegistry, value: Any) -> None:
    """Any other value is refused by its type."""
    with pytest.raises(InvalidRequest, match=type(value).__name__):
        direct.retry(value)


def test_the_outcome_of_a_write_that_was_not_sent_is_known(sqlite_server: Server, name: str) -> None:
    """A refused connection has no effect; the key can be used all the same."""
    config = RegistryConfig(url="http://127.0.0.1:1", token=sqlite_server.token, attempts=1)
    with HttpRegistry(config) as away, sqlite_server.registry() as registry:
        with pytest.raises(ConnectionFailed) as failed:
            away.models.create(name, "forecasting")
        assert failed.value.idempotency_key
        assert not failed.value.outcome_unknown
        assert registry.retry(failed.value).name == name


def test_a_refusal_cannot_be_retried(sqlite_server: Server, name: str) -> None:
    """Nor can an error that came from another process."""
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


def test_the_page_of_a_proxy_leaves_the_outcome_unknown(sqlite_server: Server, name: str) -> None:
    """The write may have been executed behind a proxy that answers 200 with its own page."""
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
    """Block writes of versions within a block; reads are possible."""
    connection = await asyncpg.connect(server.database_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE versions IN EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


def test_a_write_that_waits_longer_than_its_caller_is_executed_once(
    postgres_server_of_session: Server, name: str, file: Path
) -> None:
    """Whether or not the first request was executed in the end."""
    server = postgres_server_of_session
    with server.registry() as direct:
        direct.models.create(name, "forecasting")
        direct.register(name, file, framework="onnx")
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
    with server.registry() as direct:
        assert [each.version for each in direct.versions.search(name)] == [2, 1]


@pytest.mark.parametrize("command", ["register", "promote", "alias"])
def test_the_command_line_names_the_option_for_a_retry(  # noqa: PLR0917 - fixtures
    command: str, proxy: FaultProxy, sqlite_server: Server, direct: HttpRegistry, name: str, file: Path
) -> None:
    """The command of the remedy succeeds, and the write is executed once."""
    cli = Cli(proxy.url, sqlite_server.token, sqlite_server.data)
    if command == "promote":
        direct.versions.transition(name, 1, "staging", revision=1)
    words, head = {
        "register": (["versions", "register", name, str(file), "--framework", "onnx"], b"/versions HTTP"),
        "promote": (["promote", name, "1", "--reason", REASON], b"/transition"),
        "alias": (["aliases", "set", name, "champion", "1"], b"PUT /v1/models/"),
    }[command]
    before = count_events(direct)
    proxy.plan(LostAnswer(), of=head)
    problem = Cli(proxy.url, sqlite_server.token, sqlite_server.data)(*words, "--json", status=5, REGISTRY_ATTEMPTS="1")
    members = json.loads(problem.stderr)
    assert "registry.retry" not in problem.stderr
    options = members["remedy"].partition("again with ")[2].partition(",")[0].split()
    assert options[:2] == ["--idempotency-key", members["idempotency_key"]]
    cli(*words, *options)
    cli(*words, *options)
    assert count_events(direct) == before + 1
    cli(*words, "--idempotency-key", "no key", status=2)


def test_the_count_of_events_includes_promotions(direct: HttpRegistry, name: str) -> None:
    """Two promotions are more events than one."""
    before = count_events(direct)
    promoted(direct, name, b"another")
    assert count_events(direct) > before + 1
