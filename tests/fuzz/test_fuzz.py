"""Whatever is read from others is accepted, or refused by an error of ours; see tests/fuzz/harness.py."""

import os
from pathlib import Path

import pytest

from tests.fuzz.harness import Bounds, Target, all_targets, fuzz, run_saved

TARGETS = {target.name: target for target in all_targets()}


def held(request: pytest.FixtureRequest, target: Target, bounds: Bounds) -> None:
    """Fuzz a target, note its counts for the summary, and fail if a case broke the law."""
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
    assert tally.refused, "nothing was refused: the cases prove little"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_short(request: pytest.FixtureRequest, name: str) -> None:
    """Each target for a second or two."""
    held(request, TARGETS[name], Bounds.of(cases=3_000, seconds=1.5))


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_long(request: pytest.FixtureRequest, name: str) -> None:
    """Each target for its share of 20 minutes on two cores."""
    held(request, TARGETS[name], Bounds.of(cases=150_000, seconds=2_000 / len(TARGETS)))
