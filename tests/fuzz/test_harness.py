"""The fuzzer detects each way to break the law, and a seed repeats a run."""

import dataclasses
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.fuzz.child import in_child
from tests.fuzz.harness import Bounds, Target, calling, case_of, fuzz, run_saved
from tests.fuzz.mutators import any_bytes

HERE = f"{__name__}:use"
FEW = Bounds(cases=50, seconds=60)


def target(runner: object) -> Target:
    """Build a target with a runner, whose valid case is `good`."""
    return Target(name="own", seeds=lambda: [b"good"], mutate=any_bytes, runner=runner, refusals=(KeyError,))  # type: ignore[arg-type]


def use(case: bytes) -> None:
    """End the process, hang, fill memory or fail, depending on the case."""
    if b"die" in case:
        os.kill(os.getpid(), signal.SIGSEGV)
    if b"hang" in case:
        time.sleep(600)
    if b"fill" in case:
        bytearray(2**31)
    if b"fail" in case:
        raise ValueError("failed\nit has")


def refusing(case: bytes) -> None:
    """Refuse every case except `good`."""
    if case != b"good":
        raise KeyError("refused")


def failing(case: bytes) -> None:
    """Break the law for every case except `good`."""
    if case != b"good":
        raise ValueError("not ours")


def test_refusals_and_acceptance_are_counted(tmp_path: Path) -> None:
    """The run counts both, reports no failure and leaves no file."""
    tally = fuzz(target(calling(refusing)), FEW, tmp_path)
    assert (tally.cases, tally.broken) == (50, [])
    assert tally.refused
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_another_kind_is_a_failure(tmp_path: Path) -> None:
    """The fuzzer saves the case, and the saved case fails again."""
    faulty = target(calling(failing))
    tally = fuzz(faulty, FEW, tmp_path)
    assert len(tally.broken) == 1
    (saved,) = tmp_path.iterdir()
    assert str(saved) in tally.broken[0]
    with pytest.raises(ValueError, match="not ours"):
        run_saved(faulty, saved)


def test_a_valid_case_that_is_refused_is_a_failure(tmp_path: Path) -> None:
    """A check that refuses everything would prove nothing."""

    def never(case: bytes) -> None:
        raise KeyError("never")

    assert len(fuzz(target(calling(never)), FEW, tmp_path).broken) == 1


def test_time_and_number_of_cases_are_bounds(tmp_path: Path) -> None:
    """The run stops at the first bound that it reaches."""
    tally = fuzz(target(calling(refusing)), Bounds(cases=10**9, seconds=0.05), tmp_path)
    assert 1 < tally.cases < 10**9


@pytest.mark.parametrize(
    ("case", "why"),
    [(b"die", "SIGSEGV"), (b"fill", "MemoryError"), (b"fail", "ValueError: failed it has"), (b"hang", "more than 1 s")],
)
def test_the_end_of_a_child_names_its_case(tmp_path: Path, case: bytes, why: str) -> None:
    """The failure names the case that ended the process or failed, and the other cases run too."""
    left = iter([b"good", b"good", case, b"good"])
    faulty = target(in_child(lambda _: None, HERE, case_s=1 if case == b"hang" else 60))
    faulty = dataclasses.replace(faulty, mutate=lambda chance, valid: next(left))
    tally = fuzz(faulty, Bounds(cases=5, seconds=60), tmp_path)
    assert len(tally.broken) == 1
    assert why in tally.broken[0]
    (saved,) = tmp_path.iterdir()
    assert saved.read_bytes() == case


def test_a_seed_repeats_a_run() -> None:
    """Each case depends only on the seed, the name of the target and its number."""
    own = target(calling(refusing))
    first = [case_of(own, own.seeds(), "7", number) for number in range(20)]
    random.random()
    assert first == [case_of(own, own.seeds(), "7", number) for number in range(20)]
    assert first != [case_of(own, own.seeds(), "8", number) for number in range(20)]
