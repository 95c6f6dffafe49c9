"""The circuit under real tasks and threads, and the effect of one call on it."""

import asyncio
import itertools
import resource
import statistics
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import httpx
import pytest

from common_lib import AsyncHttpRegistry, HttpRegistry, RegistryConfig
from common_lib.client.failures import Failure
from common_lib.client.resilience import Resilience
from common_lib.config import BreakerRules
from common_lib.deadline import deadline
from common_lib.errors import AnswerTimedOut, CircuitOpen, DeadlineExceeded, RegistryUnavailable, ServerFailed
from tests.simulation.simulator import CUT, OK, report_row, resolve

NAME = resolve("eurusd")
URL = "http://registry"
KEY = f"{URL} resolve"
SLOW = Failure(AnswerTimedOut, "ReadTimeout")


def config(**options: Any) -> RegistryConfig:
    """Return a configuration without cache, so that each call makes attempts."""
    return RegistryConfig(url=URL, resolve=None, **options)


def open_circuit(resilience: Resilience) -> Any:
    """Record failures until the circuit opens, and return it."""
    circuit = resilience.breakers.circuit(KEY)
    while circuit.state != "opened":
        circuit.record(circuit.admit()[0], failed=True)
    return circuit


def half_open(resilience: Resilience) -> Any:
    """Open the circuit, end its time, and return it."""
    circuit = open_circuit(resilience)
    circuit._until = resilience.clock()
    return circuit


def test_a_half_open_circuit_admits_one_of_a_thousand_tasks() -> None:
    """The others are rejected at once, while the first one is under way."""
    arrived = 0

    async def run() -> list[Any]:
        all_rejected = asyncio.Event()

        async def answer(_: httpx.Request) -> httpx.Response:
            nonlocal arrived
            arrived += 1
            await all_rejected.wait()
            return httpx.Response(200, stream=httpx.ByteStream(b"{}"))

        async with AsyncHttpRegistry(config(), transport=httpx.MockTransport(answer)) as registry:
            half_open(registry.resilience)
            calls = [asyncio.ensure_future(registry.call(NAME)) for _ in range(1_000)]
            for rejected in itertools.islice(asyncio.as_completed(calls), 999):
                with pytest.raises(CircuitOpen):
                    await rejected
            all_rejected.set()
            return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = anyio.run(run)
    report_row("1,000 tasks at half-open (real)", "exactly 1 admitted", f"{arrived}")
    assert arrived == 1
    assert sum(isinstance(outcome, CircuitOpen) for outcome in outcomes) == 999


def test_a_half_open_circuit_admits_one_of_64_threads() -> None:
    """They call at the same moment, and one call is under way until all others are rejected."""
    together, rejected = threading.Barrier(64), threading.Semaphore(0)
    arrived = itertools.count()

    def answer(_: httpx.Request) -> httpx.Response:
        next(arrived)
        for _ in range(63):
            assert rejected.acquire(timeout=30)
        return httpx.Response(200, stream=httpx.ByteStream(b"{}"))

    with HttpRegistry(config(), transport=httpx.MockTransport(answer)) as registry, ThreadPoolExecutor(64) as pool:
        half_open(registry.resilience)

        def call(_: int) -> bool:
            together.wait()
            try:
                registry.call(NAME)
            except CircuitOpen:
                rejected.release()
                return False
            return True

        assert sum(pool.map(call, range(64))) == 1
    admitted = next(arrived)
    report_row("64 threads at half-open (real)", "exactly 1 admitted", f"{admitted}")
    assert admitted == 1


@pytest.mark.parametrize("end", ["cancelled", "interrupted", "deadline"])
def test_a_probe_that_its_caller_ends_does_not_count(end: str) -> None:
    """The permit is returned, the circuit stays half open, and the next call may probe."""
    if end == "cancelled":
        resilience = anyio.run(_cancelled)
    elif end == "interrupted":
        resilience = _interrupted()
    else:
        resilience = Resilience(config(attempts=1))
        half_open(resilience)
        with deadline(0.5):
            steps = resilience.steps(NAME)
            next(steps)
            with pytest.raises(DeadlineExceeded):
                steps.send(SLOW)
    circuit = resilience.breakers.circuit(KEY)
    report_row(
        f"probe {end}",
        "permit returned, still half-open, 0 failures counted",
        f"{circuit.state}, {circuit._probing} probes, opened {circuit._times_opened} times",
    )
    assert (circuit.state, circuit._probing, circuit._times_opened) == ("half-opened", 0, 1)
    steps = resilience.steps(NAME)
    next(steps)
    with pytest.raises(StopIteration):
        steps.send(OK)
    assert circuit.state == "closed"


async def _cancelled() -> Resilience:
    async def answer(_: httpx.Request) -> httpx.Response:
        return await anyio.sleep_forever()  # type: ignore[no-any-return, func-returns-value]

    registry = AsyncHttpRegistry(config(attempt_timeout_s=0.1), transport=httpx.MockTransport(answer))
    half_open(registry.resilience)
    with anyio.move_on_after(0.05):
        await registry.call(NAME)
    await registry.close()
    return registry.resilience


def _interrupted() -> Resilience:
    def answer(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    with HttpRegistry(config(), transport=httpx.MockTransport(answer)) as registry:
        half_open(registry.resilience)
        with pytest.raises(KeyboardInterrupt):
            registry.call(NAME)
    return registry.resilience


def test_four_failures_and_one_success_repeated_open_the_circuit() -> None:
    """The circuit opens as soon as the minimum of calls is reached."""
    resilience = Resilience(config(attempts=1))
    calls = 0
    while resilience.breakers.circuit(KEY).state == "closed":
        steps = resilience.steps(NAME)
        next(steps)
        with pytest.raises(StopIteration if calls % 5 == 4 else RegistryUnavailable):
            steps.send(OK if calls % 5 == 4 else CUT)
        calls += 1
        assert calls <= 20
    report_row("four failures and one success, repeated", "opens within 20 calls, the minimum", f"opened after {calls}")


@pytest.mark.parametrize("rejections", [50_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_rejections_use_no_memory_and_constant_time(rejections: int) -> None:
    """Each rejection has an error of its own, whose text stays short."""
    resilience = Resilience(config(breaker=BreakerRules(open_s=1e6, longest_open_s=1e6)))
    open_circuit(resilience)
    _reject(resilience, rejections // 20)
    before_kib, took_s = _resident_kib(), []
    for _ in range(10):
        began = time.process_time()
        _reject(resilience, rejections // 10)
        took_s.append((time.process_time() - began) / (rejections // 10))
    grown_mib = (_resident_kib() - before_kib) / 1024
    text = "".join(traceback.format_exception(_reject(resilience, 1)))
    report_row(
        f"{rejections:,} rejections (real)",
        "RSS + < 1 MB, time per rejection flat, formatted error < 10 kB",
        f"{grown_mib:+.2f} MB; {took_s[0] * 1e6:.1f} µs at first, {took_s[-1] * 1e6:.1f} µs at last; {len(text):,} B",
    )
    assert grown_mib < 1
    assert statistics.median(took_s[5:]) < 1.5 * statistics.median(took_s[:5])
    assert len(text) < 10_000


def _reject(resilience: Resilience, times: int) -> CircuitOpen:
    last = None
    for _ in range(times):
        try:
            next(resilience.steps(NAME))
        except CircuitOpen as rejected:
            last = rejected
    assert last is not None
    return last


def _resident_kib() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel
        return int(file.read().split()[1]) * resource.getpagesize() / 1024


def test_200_concurrent_failing_calls_raise_200_errors() -> None:
    """The retries of one call do not change the result of another one."""

    async def answer(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.001)
        return httpx.Response(503, stream=httpx.ByteStream(b""))

    async def run() -> list[Any]:
        patient = BreakerRules(minimum_calls=10**6)
        options = config(most_calls=200, first_pause_s=0.001, longest_pause_s=0.001, retry_most=1e6, breaker=patient)
        async with AsyncHttpRegistry(options, transport=httpx.MockTransport(answer)) as registry:
            return await asyncio.gather(*(registry.call(NAME) for _ in range(200)), return_exceptions=True)

    outcomes = anyio.run(run)
    raised = sum(isinstance(outcome, ServerFailed) and len(outcome.tried) == 3 for outcome in outcomes)
    report_row("200 concurrent failing calls on one client (real)", "200 raise", f"{raised}, each after 3 attempts")
    assert raised == 200
