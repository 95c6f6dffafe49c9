"""One asynchronous registry in several event loops: in turn, at the same time in threads, and closed in any way."""

import asyncio
import gc
import logging
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from common_lib import AsyncHttpRegistry, RegistryConfig
from common_lib.config import ResolveRules
from common_lib.errors import RegistryClosed
from tests.conftest import Server
from tests.support.fault_proxy import HalfOpen, Latency, faulty
from tests.support.steps import promoted


def _abruptly(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a loop that is closed without ending its generators, as old scripts do."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


RUNS: dict[str, Callable[[Coroutine[Any, Any, Any]], Any]] = {"asyncio.run": asyncio.run, "abruptly": _abruptly}


@pytest.fixture
def strict(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail on warnings about unclosed resources, and on log lines of asyncio about them."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(each.message) for each in found if issubclass(each.category, ResourceWarning)] == []
    assert [each.message for each in caplog.records if each.levelno >= logging.WARNING] == []


def make_registry(server: Server, **options: Any) -> AsyncHttpRegistry:
    """Make an asynchronous registry outside of any loop."""
    return AsyncHttpRegistry(RegistryConfig(url=server.url, token=server.token, **options))


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.usefixtures("strict")
def test_a_registry_works_in_one_loop_after_another(run: str, sqlite_server: Server) -> None:
    """In ten loops with several connections each; closed connections are not used again."""
    registry = make_registry(sqlite_server, resolve=None)

    async def work() -> list[str]:
        found = await asyncio.gather(*(registry.principals.whoami() for _ in range(3)))
        return [each.name for each in found]

    for _ in range(10):
        assert RUNS[run](work()) == ["admin"] * 3
    RUNS[run](registry.close())
    with pytest.raises(RegistryClosed):
        asyncio.run(work())


@pytest.mark.usefixtures("strict")
def test_two_threads_use_a_registry_at_the_same_time(sqlite_server: Server) -> None:
    """Each has a loop of its own, which never touches the connections of the other one."""
    registry = make_registry(sqlite_server, resolve=None)
    both = threading.Barrier(2)

    async def work() -> set[str]:
        both.wait(30)
        return {(await registry.principals.whoami()).name for _ in range(50)}

    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(asyncio.run, work()) for _ in range(2)]
        assert [each.result(60) for each in running] == [{"admin"}, {"admin"}]
    asyncio.run(registry.close())


@pytest.mark.usefixtures("strict")
def test_a_registry_may_be_closed_while_another_loop_uses_it(sqlite_server: Server) -> None:
    """The next call in the other loop raises RegistryClosed, and its connections are closed on its own loop."""
    registry = make_registry(sqlite_server, resolve=None)
    used, closed = threading.Event(), threading.Event()

    async def work() -> None:
        await registry.principals.whoami()
        used.set()
        await asyncio.to_thread(closed.wait, 30)
        await registry.principals.whoami()

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(asyncio.run, work())
        assert used.wait(30)
        asyncio.run(registry.close())
        closed.set()
        with pytest.raises(RegistryClosed):
            running.result(30)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_refresh_of_an_ended_loop_is_started_again(run: str, sqlite_server: Server, name: str) -> None:
    """Whether the refresh was under way or only scheduled when the loop ended."""
    with sqlite_server.registry() as sure:
        sure.models.create(name, "forecasting")
        promoted(sure, name)
    reference = f"models:/{name}/production"
    with faulty(sqlite_server.url) as proxy:
        rules = ResolveRules(fresh_s=0.0, revalidate_s=1000.0, persist=False)
        registry = AsyncHttpRegistry(RegistryConfig(url=proxy.url, token=sqlite_server.token, resolve=rules))

        async def ask() -> int:
            return (await registry.resolve(reference)).version

        async def ask_and_start_the_refresh() -> int:
            found = await ask()
            await asyncio.sleep(0)
            return found

        assert RUNS[run](ask()) == 1
        for work in (ask, ask_and_start_the_refresh, ask):
            proxy.plan(Latency(0.2))
            assert RUNS[run](work()) == 1
        with sqlite_server.registry() as sure:
            promoted(sure, name, b"second")

        async def wait_for_second() -> int:
            for _ in range(400):
                if (found := await ask()) == 2:
                    return found
                await asyncio.sleep(0.02)
            return 0

        assert asyncio.run(wait_for_second()) == 2
        asyncio.run(registry.close())


@pytest.mark.usefixtures("strict")
def test_a_flight_of_an_ended_loop_does_not_block_others(sqlite_server: Server, name: str) -> None:
    """A call that waits for it in another loop fetches; a call whose loop has ended gets nothing."""
    with sqlite_server.registry() as sure:
        sure.models.create(name, "forecasting")
        promoted(sure, name)
    with faulty(sqlite_server.url) as proxy:
        rules = ResolveRules(fresh_s=60.0, revalidate_s=60.0, persist=False)
        config = RegistryConfig(url=proxy.url, token=sqlite_server.token, resolve=rules, attempts=1)
        registry = AsyncHttpRegistry(config)
        proxy.plan(HalfOpen())

        async def ask(patience_s: float) -> int | None:
            try:
                async with asyncio.timeout(patience_s):
                    return (await registry.resolve(f"models:/{name}/production")).version
            except TimeoutError:
                return None

        with ThreadPoolExecutor(3) as threads:
            first = threads.submit(asyncio.run, ask(0.5))
            others = [threads.submit(asyncio.run, ask(patience_s)) for patience_s in (0.2, 20.0)]
            assert first.result(30) is None or first.result() == 1
            assert others[1].result(30) == 1
            others[0].result(30)
        asyncio.run(registry.close())


@pytest.mark.usefixtures("strict")
def test_a_transport_of_the_caller_stays_open_between_loops() -> None:
    """It may not belong to a loop at all; only `close` closes it."""

    class Own(httpx.MockTransport):
        closed = 0

        async def aclose(self) -> None:
            self.closed += 1

    own = Own(lambda _: httpx.Response(401, json={"detail": "no"}))
    registry = AsyncHttpRegistry(RegistryConfig(url="http://x", attempts=1), transport=own)

    async def work() -> None:
        with pytest.raises(Exception, match="status 401"):
            await registry.principals.whoami()

    for _ in range(3):
        asyncio.run(work())
        assert not own.closed
    asyncio.run(registry.close())
    assert own.closed
