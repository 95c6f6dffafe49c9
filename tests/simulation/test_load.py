"""A server that fails now and then, and one that is asked for more than it can bear."""

import random

import pytest

from tests.simulation.worlds import (
    OK,
    SICK,
    Clock,
    Process,
    Queue,
    Told,
    all_calls,
    beside,
    resolve,
    seeded,
    share,
    ticking,
)

NAME = resolve("eurusd")
LOAD, CAPACITY, SPIKE = 1.0, 1.5, 1.67


@pytest.mark.parametrize(("seed", "calls"), seeded(5_000))
@pytest.mark.parametrize(("rate", "success", "amplification"), [(0.1, 0.998, 1.12), (0.2, 0.945, 1.20)])
def test_independent_failures_are_mended_within_the_budget(
    seed: int, calls: int, rate: float, success: float, amplification: float
) -> None:
    """Each attempt fails with that probability; retries mend most of it and are few."""
    clock, chance = Clock(), random.Random(seed)
    process = Process(clock, Told(clock, lambda _: SICK if chance.random() < rate else OK), seed)
    ticking(clock, 10, calls / 10, lambda _: process.call(NAME))
    clock.run(calls / 10 + 60)
    answered = share(sum(call.answer is not None for call in process.calls), len(process.calls))
    amplified = process.attempts / len(process.calls)
    beside(
        f"{rate:.0%} independent 5xx, seed {seed}, {calls:,} calls",
        f"success ≥ {success:.1%}, amplification ≤ {amplification}",
        f"{answered:.2%}, {amplified:.3f}",
    )
    assert len(process.calls) == calls
    assert answered >= success
    assert amplified <= amplification


@pytest.mark.parametrize(
    ("seed", "processes"), [pytest.param(0, 4), *(pytest.param(s, 20, marks=pytest.mark.long) for s in range(5))]
)
@pytest.mark.parametrize("heeds_deadlines", [True, False], ids=["deadlines", "no deadlines"])
@pytest.mark.parametrize("of", ["load", "capacity"])
def test_after_a_spike_it_recovers(seed: int, processes: int, *, heeds_deadlines: bool, of: str) -> None:
    """A server bears 1.5 times its load; for 30 s it gets 1.67 times its load, or its capacity; then it is well again.

    Well means what it was before: every call is answered, at the first attempt, within a second; and it stays so.
    """
    clock, chance = Clock(), random.Random(seed)
    base = 10.0 * processes
    server = Queue(clock, base * CAPACITY, heeds_deadlines=heeds_deadlines)
    world = [Process(clock, server, chance.getrandbits(32)) for _ in range(processes)]
    begin, end, stop = 30.0, 60.0, 130.0
    spike = base * SPIKE * (CAPACITY if of == "capacity" else LOAD)
    ticking(clock, base, stop, lambda n: world[n % processes].call(NAME))
    ticking(clock, spike - base, end, lambda n: world[n % processes].call(NAME), begin)
    attempts: dict[float, int] = {}
    clock.at(end + 30, lambda: attempts.update({end: sum(process.attempts for process in world)}))
    clock.run(stop + 30)
    calls = list(all_calls(world))
    bad = [call.began for call in calls if call.error is not None or call.took_s > 1]
    during = [call for call in calls if begin <= call.began < end]
    after = [call for call in calls if call.began >= end + 30]
    recovered_s = max([began for began in bad if began > end], default=end) - end
    amplified = (sum(process.attempts for process in world) - attempts[end]) / len(after)
    beside(
        f"spike of {SPIKE} × {of} at capacity {CAPACITY} ×, server {'heeds' if heeds_deadlines else 'ignores'} "
        f"deadlines, seed {seed}, {processes} processes",
        "recovered ≤ 30 s after, and for good",
        f"{recovered_s:.1f} s; {share(sum(c.answer is not None for c in during), len(during)):.1%} answered meanwhile; "
        f"{amplified:.3f} attempts a call afterwards",
    )
    assert recovered_s <= 30
    assert amplified <= 1.01
    assert not server.waiting
