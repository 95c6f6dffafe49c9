"""Foreign input is accepted, or refused by a typed error of the project; see tests/fuzz/harness.py."""

import os
from pathlib import Path

import pytest

from tests.fuzz.harness import Bounds, Target, all_targets, fuzz, run_saved

TARGETS = {target.name: target for target in all_targets()}


def check_target(request: pytest.FixtureRequest, target: Target, bounds: Bounds) -> None:
    """Fuzz a target, record its counts for the summary, and fail if a case broke the law."""
    folder = request.config.cache.mkdir("fuzz")
    if saved := os.environ.get("FUZZ_CASE"):
        run_saved(target, Path(saved))
        return
    tally = fuzz(target, bounds, folder)
    numbers = (tally.cases, tally.accepted, tally.refused, tally.late, len(tally.broken), round(tally.seconds, 1))
    request.node.user_properties.append(("fuzz", (target.name, *numbers)))
    print(f"FUZZ_SEED={bounds.seed} {target.name}: {tally.cases} cases in {tally.seconds:.1f} s")
    assert not tally.broken, f"FUZZ_SEED={bounds.seed}\n" + "\n".join(tally.broken)
    assert tally.accepted
    assert tally.refused, "no case was refused, so the cases prove little"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_a_short_run_finds_no_failure(request: pytest.FixtureRequest, name: str) -> None:
    """Each target runs for a second or two."""
    check_target(request, TARGETS[name], Bounds.of(cases=3_000, seconds=1.5))


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_a_long_run_finds_no_failure(request: pytest.FixtureRequest, name: str) -> None:
    """Each target runs for its share of 20 minutes on two cores."""
    check_target(request, TARGETS[name], Bounds.of(cases=150_000, seconds=2_000 / len(TARGETS)))
