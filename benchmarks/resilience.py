"""What the policy costs: a call of each client beside a bare GET of httpx, which gets the same bytes.

Real sockets, a bare Litestar handler in a process of its own. In each round one of each is timed, in turns, on warm
connections: ours with deadline, retry, bulkhead, breaker and telemetry that nobody listens to; httpx alone; the same
transport of ours without a policy; and a resolve that is answered from memory, with the reading of its answer.
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
from common_lib.operations.base import nothing
from tests.support.answers import version_answer

BAR, BAR_ASYNC, BAR_CACHED = 0.10, 0.15, 0.02
WARM_UP, ROUNDS, EACH = 200, 60, 50
_PATH = "/v1/models/{name:str}/resolve/{selector:str}"
_RESOLVE = versions.resolve("models:/eurusd/production")
_ASKED = replace(_RESOLVE, read=nothing)
_TIMEOUT_S = 5.0


def measure() -> list[Figure]:
    """Both clients, and the cache."""
    body = version_answer(1).body.decode()
    with harness.server("answering", path=_PATH, status=200, headers={}, body=body) as server:
        with server.client() as client:
            client.expect(200, request("GET", _RESOLVE.path))
        url = f"http://127.0.0.1:{server.port}"
        return [*_blocking(url), asyncio.run(_asynchronous(url))]


def _blocking(url: str) -> list[Figure]:
    harness.say(f"resilience, blocking: {ROUNDS} rounds")
    known = RegistryConfig(url=url, resolve=ResolveRules(fresh_s=1e6, revalidate_s=1e6, stale_s=1e6, snapshot=False))
    with (
        httpx.Client(base_url=url) as bare,
        HttpRegistry(RegistryConfig(url=url, resolve=None)) as registry,
        HttpRegistry(known) as cached,
    ):
        calls: list[Callable[[], object]] = [
            lambda: bare.get(_RESOLVE.path),
            lambda: registry.call(_ASKED),
            lambda: registry._transport.send(_ASKED, _TIMEOUT_S),  # noqa: SLF001 - what is below the policy
            lambda: cached.call(_ASKED),
        ]
        for call in calls:
            for _ in range(WARM_UP):
                call()
        rounds = [_round(calls) for _ in range(ROUNDS)]
    return [
        _overhead(BAR, "policy, blocking, beside a bare GET", rounds),
        harness.at_most(
            BAR_CACHED,
            "resilience",
            "resolve from memory beside a bare GET",
            [memory / httpx_s for httpx_s, _, _, memory in rounds],
            f"{_middle(rounds, 3):.1f} µs to {_middle(rounds, 0):.0f} µs",
        ),
    ]


def _round(calls: Sequence[Callable[[], object]]) -> list[float]:
    """The median of each, in turns, so that a drift of the machine favours none."""
    took: list[list[float]] = [[] for _ in calls]
    for _ in range(EACH):
        for times, call in zip(took, calls, strict=True):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
    return [statistics.median(times) for times in took]


async def _asynchronous(url: str) -> Figure:
    harness.say(f"resilience, async: {ROUNDS} rounds")
    async with (
        httpx.AsyncClient(base_url=url) as bare,
        AsyncHttpRegistry(RegistryConfig(url=url, resolve=None)) as registry,
    ):
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: bare.get(_RESOLVE.path),
            lambda: registry.call(_ASKED),
            lambda: registry._transport._send(_ASKED, _TIMEOUT_S, (), "", asyncio.Event()),  # noqa: SLF001 - see above
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
    return _overhead(BAR_ASYNC, "policy, async, with its task, beside a bare GET", rounds)


def _overhead(bar: float, what: str, rounds: Sequence[Sequence[float]]) -> Figure:
    """What the policy adds to our transport, and beside it the whole call."""
    whole = statistics.median(each[1] / each[0] for each in rounds)
    return harness.at_most(
        bar,
        "resilience",
        what,
        [(each[1] - each[2]) / each[0] for each in rounds],
        f"{_middle(rounds, 1) - _middle(rounds, 2):.0f} µs to {_middle(rounds, 0):.0f} µs; whole call {whole:.2f} of it",
    )


def _middle(rounds: Sequence[Sequence[float]], place: int) -> float:
    return statistics.median(each[place] for each in rounds) * 1e6


if __name__ == "__main__":
    harness.main(measure)
