"""A fuzzer with a seed and bounds of cases and time, and one target for each reader of foreign input.

The law: a target accepts any input or refuses it with one of its own errors. Any other error, the end of the process,
and more than `MEMORY` or `CASE_S` for one case are failures, and the case is saved so that it can be run again.

Add a target: write `tests/fuzz/targets/<name>.py` with a list `TARGETS` of `Target`; the fuzzer finds it.

    from tests.fuzz.harness import Target, calling
    from tests.fuzz.mutators import any_text

    TARGETS = [
        Target(
            name="references",
            seeds=lambda: ["models:/m/1", "models:/m/production"],  # valid cases: each must be accepted as it is
            mutate=any_text,                                        # (chance, case) -> another case
            runner=calling(parse_reference),                        # provides the function `run(case)`
            refusals=(InvalidReference,),                           # the typed errors of a refusal
        )
    ]

* `seeds` is called when the target runs, so it may import heavy libraries, and call `pytest.skip` if one is missing.
  It must return the same cases each time, or a seed of the fuzzer could not repeat a run.
* `mutate(chance, case)` draws all random values from `chance`, a `random.Random` of this case alone, and does not
  change `case`. A case is `bytes`, `str`, or any object that can be pickled.
* `runner()` is a context manager, so it can start a server and stop it; it yields the function `run(case)`, whose
  result is ignored. For a wrong response, such as a status of 500, `run` raises `AssertionError` or `Broken`.
* Input that passes its check and is then used by native code is used in a child process:
  `runner=in_child(check, "module:use")` of `tests.fuzz.child`.

Environment: `FUZZ_SEED` (printed, default 1 in the default suite, fresh in `nox -s fuzz`), `FUZZ_CASES` and
`FUZZ_SECONDS` for each target, `FUZZ_CASE=<file>` to run one saved case, `FUZZ_FAILURES` of one target before it stops.
Case number n of a target depends on the seed, the target's name and n alone.
"""

import contextlib
import hashlib
import os
import pickle
import random
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias

MEMORY: Final = 2**30
CASE_S: Final = 10.0
Run: TypeAlias = Callable[[Any], object]


class Broken(AssertionError):
    """A failure of a case that the runner detects later than in the call with this case."""

    def __init__(self, case: Any, why: str) -> None:
        super().__init__(why)
        self.case = case


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One reader of foreign input; see the head of this module."""

    name: str
    seeds: Callable[[], Sequence[Any]]
    mutate: Callable[[random.Random, Any], Any]
    runner: Callable[[], AbstractContextManager[Run]]
    refusals: tuple[type[Exception], ...]


@dataclass(slots=True)
class Tally:
    """Counts of one target's run; `broken` describes each failure and names the file of its case.

    `late` is the number of accepted cases that passed the check and that the library refused with a typed error.
    """

    accepted: int = 0
    refused: int = 0
    late: int = 0
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)

    @property
    def cases(self) -> int:
        """Number of cases that were run."""
        return self.accepted + self.refused + len(self.broken)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seed and bounds of a run, changed by the environment."""

    cases: int
    seconds: float
    seed: str = field(default_factory=lambda: os.environ.get("FUZZ_SEED", "1"))
    failures: int = field(default_factory=lambda: int(os.environ.get("FUZZ_FAILURES", "1")))

    @classmethod
    def of(cls, *, cases: int, seconds: float) -> "Bounds":
        """Return these bounds, changed by the environment."""
        return cls(int(os.environ.get("FUZZ_CASES", cases)), float(os.environ.get("FUZZ_SECONDS", seconds)))


def all_targets() -> list[Target]:
    """Find the targets of every module in `tests/fuzz/targets`, by name."""
    modules = sorted(path.stem for path in (Path(__file__).parent / "targets").glob("*.py"))
    found = [target for name in modules for target in import_module(f"tests.fuzz.targets.{name}").TARGETS]
    names = [target.name for target in found]
    assert len(set(names)) == len(names), f"two targets have the same name: {names}"
    return found


def calling(function: Run) -> Callable[[], AbstractContextManager[Run]]:
    """Build a runner of a function that needs no preparation."""
    return lambda: contextlib.nullcontext(function)


def fuzz(target: Target, bounds: Bounds, folder: Path) -> Tally:
    """Run cases of a target until a bound is reached; save the cases that break the law in `folder`."""
    tally, seeds, began = Tally(), target.seeds(), time.monotonic()
    mark = folder / f"{target.name}.current"
    try:
        with target.runner() as run, mark.open("wb", buffering=0) as current:
            for number, case in _cases(target, seeds, bounds):
                current.seek(0)
                current.write(f"{bounds.seed} {number:12}\n".encode())  # this file remains if the case ends the process
                _run(target, run, case, tally, folder, valid=number < len(seeds))
                if len(tally.broken) >= bounds.failures or time.monotonic() - began > bounds.seconds:
                    break
    except Broken as late:  # a runner may check the last cases only at its end
        tally.broken.append(_save(target, late.case, late, folder))
    tally.seconds = time.monotonic() - began
    tally.late = getattr(run, "late", 0)
    mark.unlink()
    return tally


def case_of(target: Target, seeds: Sequence[Any], seed: str, number: int) -> Any:
    """Return the case of a number: first the unchanged valid cases, then changed ones."""
    if number < len(seeds):
        return seeds[number]
    chance = random.Random(f"{seed}/{target.name}/{number}")
    return target.mutate(chance, chance.choice(seeds))


def run_saved(target: Target, file: Path) -> None:
    """Run one saved case, and raise its error."""
    content = file.read_bytes()
    case = {".bin": bytes, ".txt": bytes.decode}.get(file.suffix, pickle.loads)(content)
    with target.runner() as run, contextlib.suppress(*target.refusals):
        run(case)


def _cases(target: Target, seeds: Sequence[Any], bounds: Bounds) -> Iterator[tuple[int, Any]]:
    for number in range(max(bounds.cases, len(seeds))):
        yield number, case_of(target, seeds, bounds.seed, number)


def _run(target: Target, run: Run, case: Any, tally: Tally, folder: Path, *, valid: bool) -> None:
    before, began = _memory(), time.thread_time()
    try:
        run(case)
        tally.accepted += 1
    except target.refusals as error:
        if valid:
            tally.broken.append(_save(target, case, error, folder))
        else:
            tally.refused += 1
    except Broken as late:
        tally.broken.append(_save(target, late.case, late, folder))
    except BaseException as error:
        tally.broken.append(_save(target, case, error, folder))
        if not isinstance(error, Exception):
            raise
    grown, took = _memory() - before, time.thread_time() - began
    if grown > MEMORY or took > CASE_S:
        why = AssertionError(f"the case took {grown / 2**20:.0f} MiB and {took:.1f} s")
        tally.broken.append(_save(target, case, why, folder))


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _save(target: Target, case: Any, error: BaseException, folder: Path) -> str:
    """Save a case, and return a text with its error and the command that runs it again."""
    suffix = {bytes: "bin", str: "txt"}.get(type(case), "pickle")
    try:
        content = case if suffix == "bin" else case.encode() if suffix == "txt" else pickle.dumps(case)
    except UnicodeEncodeError:
        suffix, content = "pickle", pickle.dumps(case)
    file = folder / f"{target.name}-{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"
    file.write_bytes(content)
    again = f"FUZZ_CASE={file} pytest -n0 'tests/fuzz/test_fuzz.py::test_a_short_run_finds_no_failure[{target.name}]'"
    return f"{type(error).__name__}: {error!s:.1000}\n  case: {case!r:.200}\n  again: {again}"
