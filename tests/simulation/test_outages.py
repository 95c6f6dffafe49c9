"""A registry that refuses connections or hangs for ten minutes, and then works again."""

import random
from typing import Any

import pytest

from common_lib.errors import RegistryUnavailable
from tests.simulation.simulator import (
    CUT,
    OK,
    Clock,
    Process,
    ScriptedServer,
    all_calls,
    repeat,
    report_row,
    resolve,
    share,
)

OUTAGE_S, NAMES, FRESH_S, WITHIN_S = 600.0, 10, 5.0, 12.0
FAULTS = pytest.mark.parametrize("silent", [False, True], ids=["refuses", "hangs"])
LONG = [pytest.param(0, 1), *(pytest.param(seed, 20, marks=pytest.mark.long) for seed in range(5))]
SIZES = pytest.mark.parametrize(("seed", "processes"), LONG)


class Outage:
    """Processes that resolve ten times a second, before, during and after an outage."""

    def __init__(self, seed: int, processes: int, *, silent: bool, cached: bool, outage_s: float = OUTAGE_S) -> None:
        chance = random.Random(seed)
        self.clock = Clock()
        self.begin, self.end = 20.0, 20.0 + outage_s
        fault = None if silent else CUT
        server = ScriptedServer(self.clock, lambda now: fault if self.begin <= now < self.end else OK)
        self.processes = [Process(self.clock, server, chance.getrandbits(32), cached=cached) for _ in range(processes)]

    def run(self, begin: float, until: float, name: Any) -> None:
        """Let all processes resolve; `name` returns the model for the number of a resolve."""
        for number, process in enumerate(self.processes):
            offset = number / len(self.processes) / 10
            repeat(self.clock, 10, until, lambda n, p=process: p.call(resolve(name(n))), begin + offset)  # type: ignore[misc]
        self.clock.run(until + 30)

    def during(self) -> list[Any]:
        """Return the calls that began during the outage."""
        return [call for call in all_calls(self.processes) if self.begin <= call.began < self.end]


@FAULTS
@SIZES
def test_stored_answers_are_served_during_an_outage(seed: int, processes: int, *, silent: bool) -> None:
    """Every resolve is answered, flagged as stale after `fresh_s`, and 99 of 100 do not wait."""
    outage = Outage(seed, processes, silent=silent, cached=True)
    outage.run(0.0, outage.end, lambda n: f"model-{n % NAMES}")
    calls = outage.during()
    success_rate = share(sum(call.answer is not None for call in calls), len(calls))
    provenances = [call.answer.provenance for call in calls if call.answer]
    waits = sorted(call.took_s for call in calls)
    attempts = sum(process.attempts for process in outage.processes) / len(calls)
    report_row(
        f"10-minute outage, the server {'hangs' if silent else 'refuses'}, {processes} processes × 10 resolves/s, "
        f"seed {seed}, {len(calls):,} resolves",
        "100 % answered, stale if older than fresh, p99 ≤ 1 ms",
        f"{success_rate:.2%}; waits of p99 {waits[int(len(waits) * 0.99)] * 1e3:.0f} ms, longest {waits[-1]:.2f} s; "
        f"{attempts:.3f} attempts a resolve",
    )
    assert success_rate == 1
    assert all(each.stale for each in provenances if each.age_s >= FRESH_S)
    assert not any(each.stale for each in provenances if each.age_s < FRESH_S and not each.reason)
    assert waits[int(len(waits) * 0.99)] <= 0.001


@FAULTS
@SIZES
def test_names_never_resolved_raise_an_error_and_spare_the_server(seed: int, processes: int, *, silent: bool) -> None:
    """The error is typed and comes within the deadline, and few attempts reach the server."""
    outage = Outage(seed, processes, silent=silent, cached=True)
    first: list[int] = []
    outage.clock.at(outage.begin + 10, lambda: first.append(sum(p.attempts for p in outage.processes)))
    outage.run(outage.begin, outage.end, lambda n: f"unseen-{n}")
    calls = outage.during()
    attempts = sum(process.attempts for process in outage.processes)
    early = first[0] / (100 * processes)
    report_row(
        f"the same for names never resolved before, "
        f"it {'hangs' if silent else 'refuses'}, {processes} processes, seed {seed}",
        "typed error within the deadline; ≤ 0.05 attempts a call, ≤ 1.1 in the first 10 s",
        f"{attempts / len(calls):.4f}, {early:.2f}; the longest took {max(call.took_s for call in calls):.2f} s",
    )
    assert all(isinstance(call.error, RegistryUnavailable) for call in calls)
    assert max(call.took_s for call in calls) <= 10.0
    assert attempts / len(calls) <= 0.05
    assert early <= 1.1


@FAULTS
@SIZES
def test_clients_notice_a_repair_within_seconds(seed: int, processes: int, *, silent: bool) -> None:
    """Twelve seconds after it nearly all answers are new, and each process had one probe at a time."""
    outage = Outage(seed, processes, silent=silent, cached=True, outage_s=120.0)
    outage.run(0.0, outage.end + 60, lambda n: f"model-{n % NAMES}")
    later = [call for call in all_calls(outage.processes) if call.began >= outage.end + WITHIN_S]
    # Fetched after the repair.
    fresh = [call for call in later if call.answer and call.answer.provenance.age_s <= call.ended - outage.end]
    probes = max(process.max_probes for process in outage.processes)
    report_row(
        f"repair of a server that {'hung' if silent else 'refused'}, {processes} processes, seed {seed}",
        "≥ 99 % fresh within 12 s; ≤ 1 probe in flight per process and key",
        f"{share(len(fresh), len(later)):.2%}; {probes}",
    )
    assert share(len(fresh), len(later)) >= 0.99
    assert probes == 1
    assert all(process.circuit().state == "closed" for process in outage.processes)
