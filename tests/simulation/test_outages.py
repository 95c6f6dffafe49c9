"""A registry that is away for ten minutes, or hangs, and comes back."""

import random
from typing import Any

import pytest

from common_lib.errors import RegistryUnavailable
from tests.simulation.worlds import CUT, OK, Clock, Process, Told, all_calls, beside, resolve, share, ticking

OUTAGE_S, NAMES, FRESH_S, WITHIN_S = 600.0, 10, 5.0, 12.0
AWAY = pytest.mark.parametrize("silent", [False, True], ids=["refuses", "hangs"])
LONG = [pytest.param(0, 1), *(pytest.param(seed, 20, marks=pytest.mark.long) for seed in range(5))]
SIZES = pytest.mark.parametrize(("seed", "processes"), LONG)


class Outage:
    """Processes that resolve ten times a second, before, during and after an outage."""

    def __init__(self, seed: int, processes: int, *, silent: bool, cached: bool, outage_s: float = OUTAGE_S) -> None:
        chance = random.Random(seed)
        self.clock = Clock()
        self.begin, self.end = 20.0, 20.0 + outage_s
        away = None if silent else CUT
        server = Told(self.clock, lambda now: away if self.begin <= now < self.end else OK)
        self.processes = [Process(self.clock, server, chance.getrandbits(32), cached=cached) for _ in range(processes)]

    def run(self, begin: float, until: float, name: Any) -> None:
        """Let them resolve; `name` gives what number so and so asks for."""
        for number, process in enumerate(self.processes):
            offset = number / len(self.processes) / 10
            ticking(self.clock, 10, until, lambda n, p=process: p.call(resolve(name(n))), begin + offset)  # type: ignore[misc]
        self.clock.run(until + 30)

    def during(self) -> list[Any]:
        """The calls that began in the outage."""
        return [call for call in all_calls(self.processes) if self.begin <= call.began < self.end]


@AWAY
@SIZES
def test_what_was_resolved_before_is_resolved_in_an_outage(seed: int, processes: int, *, silent: bool) -> None:
    """All of it, flagged as stale once it is older than fresh, and hardly anybody waits."""
    outage = Outage(seed, processes, silent=silent, cached=True)
    outage.run(0.0, outage.end, lambda n: f"model-{n % NAMES}")
    calls = outage.during()
    answered = share(sum(call.answer is not None for call in calls), len(calls))
    known = [call.answer.provenance for call in calls if call.answer]
    waits = sorted(call.took_s for call in calls)
    attempts = sum(process.attempts for process in outage.processes) / len(calls)
    beside(
        f"10-minute outage, the server {'hangs' if silent else 'refuses'}, {processes} processes × 10 resolves/s, "
        f"seed {seed}, {len(calls):,} resolves",
        "100 % answered, stale once older than fresh, p99 ≤ 1 ms",
        f"{answered:.2%}; waits of p99 {waits[int(len(waits) * 0.99)] * 1e3:.0f} ms, longest {waits[-1]:.2f} s; "
        f"{attempts:.3f} attempts a resolve",
    )
    assert answered == 1
    assert all(each.stale for each in known if each.age_s >= FRESH_S)
    assert not any(each.stale for each in known if each.age_s < FRESH_S and not each.reason)
    assert waits[int(len(waits) * 0.99)] <= 0.001


@AWAY
@SIZES
def test_what_was_never_resolved_ends_in_an_error_and_spares_the_server(
    seed: int, processes: int, *, silent: bool
) -> None:
    """A typed one within the deadline; hardly anything of it reaches the server."""
    outage = Outage(seed, processes, silent=silent, cached=True)
    first: list[int] = []
    outage.clock.at(outage.begin + 10, lambda: first.append(sum(p.attempts for p in outage.processes)))
    outage.run(outage.begin, outage.end, lambda n: f"unseen-{n}")
    calls = outage.during()
    attempts = sum(process.attempts for process in outage.processes)
    early = first[0] / (100 * processes)
    beside(
        f"the same on names never seen, it {'hangs' if silent else 'refuses'}, {processes} processes, seed {seed}",
        "typed error within the deadline; ≤ 0.05 attempts a call, ≤ 1.1 in the first 10 s",
        f"{attempts / len(calls):.4f}, {early:.2f}; the longest took {max(call.took_s for call in calls):.2f} s",
    )
    assert all(isinstance(call.error, RegistryUnavailable) for call in calls)
    assert max(call.took_s for call in calls) <= 10.0
    assert attempts / len(calls) <= 0.05
    assert early <= 1.1


@AWAY
@SIZES
def test_a_repair_is_seen_within_seconds(seed: int, processes: int, *, silent: bool) -> None:
    """Twelve seconds after it nearly everything is as the registry says now, and one attempt at a time found out."""
    outage = Outage(seed, processes, silent=silent, cached=True, outage_s=120.0)
    outage.run(0.0, outage.end + 60, lambda n: f"model-{n % NAMES}")
    later = [call for call in all_calls(outage.processes) if call.began >= outage.end + WITHIN_S]
    # Heard since the repair, and no failure is told any more.
    fresh = [call for call in later if call.answer and call.answer.provenance.age_s <= call.ended - outage.end]
    probes = max(process.most_probes for process in outage.processes)
    beside(
        f"repair of a server that {'hung' if silent else 'refused'}, {processes} processes, seed {seed}",
        "≥ 99 % fresh within 12 s; ≤ 1 probe in flight per process and key",
        f"{share(len(fresh), len(later)):.2%}; {probes}",
    )
    assert share(len(fresh), len(later)) >= 0.99
    assert probes == 1
    assert all(process.circuit().state == "closed" for process in outage.processes)
