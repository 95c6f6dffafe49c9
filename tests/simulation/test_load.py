"""A server that fails now and then, and a server with more load than capacity."""

import random

import pytest

from tests.simulation.simulator import (
    OK,
    SICK,
    Clock,
    Process,
    QueueServer,
    ScriptedServer,
    all_calls,
    repeat,
    report_row,
    resolve,
    seeds_and_sizes,
    share,
)

NAME = resolve("eurusd")
LOAD, CAPACITY, SPIKE = 1.0, 1.5, 1.67


@pytest.mark.parametrize(("seed", "calls"), seeds_and_sizes(5_000))
@pytest.mark.parametrize(("rate", "success", "amplification"), [(0.1, 0.998, 1.12), (0.2, 0.945, 1.20)])
def test_retries_hide_most_independent_failures_within_the_budget(
    seed: int, calls: int, rate: float, success: float, amplification: float
) -> None:
    """Each attempt fails with the given probability; retries make most calls succeed, and few are needed."""
    clock, chance = Clock(), random.Random(seed)
    process = Process(clock, ScriptedServer(clock, lambda _: SICK if chance.random() < rate else OK), seed)
    repeat(clock, 10, calls / 10, lambda _: process.call(NAME))
    clock.run(calls / 10 + 60)
    success_rate = share(sum(call.answer is not None for call in process.calls), len(process.calls))
    amplified = process.attempts / len(process.calls)
    report_row(
        f"{rate:.0%} independent 5xx, seed {seed}, {calls:,} calls",
        f"success ≥ {success:.1%}, amplification ≤ {amplification}",
        f"{success_rate:.2%}, {amplified:.3f}",
    )
    assert len(process.calls) == calls
    assert success_rate >= success
    assert amplified <= amplification


@pytest.mark.parametrize(
    ("seed", "processes"), [pytest.param(0, 4), *(pytest.param(s, 20, marks=pytest.mark.long) for s in range(5))]
)
@pytest.mark.parametrize("heeds_deadlines", [True, False], ids=["deadlines", "no deadlines"])
@pytest.mark.parametrize("of", ["load", "capacity"])
def test_clients_and_server_recover_after_a_spike(seed: int, processes: int, *, heeds_deadlines: bool, of: str) -> None:
    """After 30 s at 1.67 times the load, or the capacity, the state before the spike returns, and lasts.

    In that state every call is answered at the first attempt within a second.
    """
    clock, chance = Clock(), random.Random(seed)
    base = 10.0 * processes
    server = QueueServer(clock, base * CAPACITY, heeds_deadlines=heeds_deadlines)
    clients = [Process(clock, server, chance.getrandbits(32)) for _ in range(processes)]
    begin, end, stop = 30.0, 60.0, 130.0
    spike = base * SPIKE * (CAPACITY if of == "capacity" else LOAD)
    repeat(clock, base, stop, lambda n: clients[n % processes].call(NAME))
    repeat(clock, spike - base, end, lambda n: clients[n % processes].call(NAME), begin)
    attempts: dict[float, int] = {}
    clock.at(end + 30, lambda: attempts.update({end: sum(process.attempts for process in clients)}))
    clock.run(stop + 30)
    calls = list(all_calls(clients))
    bad = [call.began for call in calls if call.error is not None or call.took_s > 1]
    during = [call for call in calls if begin <= call.began < end]
    after = [call for call in calls if call.began >= end + 30]
    recovered_s = max([began for began in bad if began > end], default=end) - end
    amplified = (sum(process.attempts for process in clients) - attempts[end]) / len(after)
    report_row(
        f"spike of {SPIKE} × {of} at capacity {CAPACITY} ×, server {'heeds' if heeds_deadlines else 'ignores'} "
        f"deadlines, seed {seed}, {processes} processes",
        "recovered ≤ 30 s after, no metastable state",
        f"{recovered_s:.1f} s; {share(sum(c.answer is not None for c in during), len(during)):.1%} answered during "
        f"the spike; {amplified:.3f} attempts a call afterwards",
    )
    assert recovered_s <= 30
    assert amplified <= 1.01
    assert not server.waiting
