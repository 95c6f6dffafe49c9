"""The cost of the resilience chain and of a resolve from memory, beside a bare GET of httpx, blocking and async.

The GET goes over a real socket to a bare Litestar handler in a process of its own, on a warm connection. The chain is a
call of our client without the network and the cache: deadline, retry, bulkhead, breaker, telemetry that discards its
events; in the async client also the task that shields a send. The two take turns.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import httpx

from benchmarks import harness
from benchmarks.harness import Figure, request
from common_lib import AsyncHttpRegistry, HttpRegistry, RegistryConfig
from common_lib.config import ResolveRules
from common_lib.operations import versions
from common_lib.operations.base import Answer
from tests.support.answers import version_answer

BAR, BAR_ASYNC, BAR_CACHED = 0.10, 0.15, 0.02
WARM_UP, ROUNDS, EACH = 100, 30, 30
_PATH = "/v1/models/{name:str}/resolve/{selector:str}"
_RESOLVE = versions.resolve("models:/eurusd/production")
_UNPARSED = replace(_RESOLVE, read=lambda _: None)
_ANSWER = version_answer(1)


def measure() -> list[Figure]:
    """Measure both clients, and the cache."""
    body = _ANSWER.body.decode()
    with harness.server("answering", path=_PATH, status=200, headers={}, body=body) as server:
        with server.client() as client:
            client.expect(200, request("GET", _RESOLVE.path))
        url = f"http://127.0.0.1:{server.port}"
        return [*_blocking(url), asyncio.run(_asynchronous(url))]


def _blocking(url: str) -> list[Figure]:
    harness.log(f"resilience, blocking: {ROUNDS} rounds")
    caching = RegistryConfig(url=url, resolve=ResolveRules(fresh_s=1e6, revalidate_s=1e6, stale_s=1e6, persist=False))
    with (
        httpx.Client(base_url=url) as bare,
        HttpRegistry(RegistryConfig(url=url, resolve=None)) as registry,
        HttpRegistry(caching) as cached,
    ):
        cached.call(_UNPARSED)
        registry.wrap_transport(lambda _: _Instant())
        calls: list[Callable[[], object]] = [
            lambda: bare.get(_RESOLVE.path),
            lambda: registry.call(_UNPARSED),
            lambda: cached.call(_UNPARSED),
        ]
        for call in calls:
            for _ in range(WARM_UP):
                call()
        rounds = [_round(calls) for _ in range(ROUNDS)]
    return [
        _overhead(BAR, "resilience chain, blocking, beside a bare GET", rounds),
        harness.at_most(
            BAR_CACHED,
            "resilience",
            "resolve from memory beside a bare GET",
            [memory / bare_s for bare_s, _, memory in rounds],
            f"{_middle(rounds, 2):.1f} µs to {_middle(rounds, 0):.0f} µs",
        ),
    ]


def _round(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Return the median time of each call; they take turns, so that a drift of the machine affects all."""
    took: list[list[float]] = [[] for _ in calls]
    for _ in range(EACH):
        for times, call in zip(took, calls, strict=True):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
    return [statistics.median(times) for times in took]


async def _asynchronous(url: str) -> Figure:
    harness.log(f"resilience, async: {ROUNDS} rounds")
    async with (
        httpx.AsyncClient(base_url=url) as bare,
        AsyncHttpRegistry(RegistryConfig(url=url, resolve=None)) as registry,
    ):
        registry._transport._send = _instantly  # type: ignore[method-assign]  # noqa: SLF001 - all above it is measured
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: bare.get(_RESOLVE.path),
            lambda: registry.call(_UNPARSED),
        ]
        for call in calls:
            for _ in range(WARM_UP):
                await call()
        rounds = []
        for _ in range(ROUNDS):
            took: list[list[float]] = [[] for _ in calls]
            for _ in range(EACH):
                for times, call in zip(took, calls, strict=True):
                    began = time.perf_counter()
                    await call()
                    times.append(time.perf_counter() - began)
            rounds.append([statistics.median(times) for times in took])
    return _overhead(BAR_ASYNC, "resilience chain, async, with its task, beside a bare GET", rounds)


def _overhead(bar: float, what: str, rounds: Sequence[Sequence[float]]) -> Figure:
    return harness.at_most(
        bar,
        "resilience",
        what,
        [each[1] / each[0] for each in rounds],
        f"{_middle(rounds, 1):.0f} µs to {_middle(rounds, 0):.0f} µs",
    )


class _Instant:
    """A transport that answers at once."""

    def send(self, *_: object) -> Answer:
        return _ANSWER

    def close(self) -> None:
        pass


async def _instantly(*_: object) -> Answer:
    return _ANSWER


def _middle(rounds: Sequence[Sequence[float]], place: int) -> float:
    return statistics.median(each[place] for each in rounds) * 1e6


if __name__ == "__main__":
    harness.main(measure)
