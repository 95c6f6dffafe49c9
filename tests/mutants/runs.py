"""Runs of pytest on a copy of the tree, with a fault or without, and the judgement of the outcomes."""

import compileall
import hashlib
import json
import os
import py_compile
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.faults import Fault

PACKAGES = ("common_lib", "adapters", "registry_server")
_COPIED = (
    *PACKAGES,
    "tests",
    "docs",
    "examples",
    "benchmarks",
    "pyproject.toml",
    "noxfile.py",
    "README.md",
    "CHANGELOG.md",
)
_PLUGIN = Path(__file__).with_name("outcomes.py")
# Much more than the tests of one fault need; pytest-timeout ends a hanging test earlier.
_RUN_S = 600
_TEST_S = 120


@dataclass(frozen=True)
class Verdict:
    """The judgement on one fault: noticed, survived or broken, with the observed outcome."""

    fault: str
    verdict: str
    seen: str
    seconds: float


class Copy:
    """A copy of the tree in its own folder, in which faults may be planted."""

    def __init__(
        self, source: Path, folder: Path, *, names: tuple[str, ...] = _COPIED, packages: tuple[str, ...] = PACKAGES
    ) -> None:
        self.root = folder / "tree"
        self._source = source
        self._outcomes = folder / "outcomes.jsonl"
        self._plugins = folder / "plugins"
        self._packages = packages
        self._plugins.mkdir(parents=True)
        shutil.copy(_PLUGIN, self._plugins / "mutant_outcomes.py")
        for name in names:
            if (path := source / name).is_dir():
                shutil.copytree(path, self.root / name, ignore=shutil.ignore_patterns("__pycache__", "_build"))
            else:
                shutil.copy2(path, self.root / name)
        # Compiled once, so that all runs start faster. By hash, as a fault may change neither size nor time of a file.
        compileall.compile_dir(self.root, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)

    def judge(self, fault: Fault) -> Verdict:
        """Plant a fault, run its tests, remove it, and return whether each test failed."""
        began = time.monotonic()
        path = self.root / fault.file
        changed = fault.apply(self.root)
        try:
            path.write_text(changed, "utf-8")
            outcomes, output = self.run(fault.tests)
        finally:
            shutil.copy2(self._source / fault.file, path)
        verdict, seen = _judgement(fault, outcomes, output)
        return Verdict(fault.name, verdict, seen, time.monotonic() - began)

    def run(self, tests: tuple[str, ...]) -> tuple[list[dict[str, str]], str]:
        """Run tests on the copy as it is. Return their outcomes and the output of pytest."""
        self._outcomes.unlink(missing_ok=True)
        # A variable instead of an option, because child processes of the tests must import the copy too.
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join((str(self.root), str(self._plugins))),
            "PYTHONDONTWRITEBYTECODE": "1",  # or a run could use a file that was compiled with another fault
            "MUTANT_OUTCOMES": str(self._outcomes),
            "MUTANT_PACKAGES": " ".join(self._packages),
        }
        options = ["-p", "mutant_outcomes", "-p", "no:cacheprovider", "-q", "--tb=short"]
        if "registry_server" in self._packages:
            options += ["-n0", f"--timeout={_TEST_S}"]
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        try:
            output, _ = process.communicate(timeout=_RUN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            output += f"\nended after {_RUN_S} s"
        lines = self._outcomes.read_text("utf-8").splitlines() if self._outcomes.exists() else []
        return [json.loads(line) for line in lines], output


def is_of(test: str, outcome: dict[str, str]) -> bool:
    """Return whether an outcome belongs to a test; a name without parameters stands for all of them."""
    return outcome["test"] == test or outcome["test"].startswith(f"{test}[")


def _judgement(fault: Fault, outcomes: list[dict[str, str]], output: str) -> tuple[str, str]:
    seen: list[str] = []
    for test in fault.tests:
        mine = [outcome for outcome in outcomes if is_of(test, outcome)]
        # A failed set-up is not a judgement; a failed tear-down is, because it checks the event log.
        failed = [one for one in mine if one["outcome"] == "failed" and one["when"] != "setup"]
        if failed:
            seen.append(failed[0].get("why", "").partition("\n")[0])
        elif not mine or any(one["outcome"] in {"failed", "broken"} for one in mine):
            why = next((one["why"] for one in mine if "why" in one), output.strip()[-300:])
            return "broken", f"{test} did not reach a judgement: {why}"
        else:
            return "survived", f"{test} passed"
    return "noticed", seen[0]


def failures_without_faults(copy: Copy, faults: list[Fault]) -> list[str]:
    """Run all named tests without any fault. Return those that did not pass or did not run."""
    tests = tuple(dict.fromkeys(test for fault in faults for test in fault.tests))
    if not tests:  # without arguments pytest would run all tests
        return []
    outcomes, output = copy.run(tests)
    bad = [
        f"{one['test']}: {one.get('why', one['outcome'])}" for one in outcomes if one["outcome"] in {"failed", "broken"}
    ]
    passed = [one for one in outcomes if (one["when"], one["outcome"]) == ("call", "passed")]
    bad += [f"{test} did not pass" for test in tests if not any(is_of(test, one) for one in passed)]
    return [*bad, output[-2000:]] if bad else []


def fingerprint(root: Path, fault: Fault) -> str:
    """Hash the main inputs of a judgement: the fault, its file, and the files of its tests."""
    digest = hashlib.sha256(repr(fault).encode())
    for name in (fault.file, *sorted({test.partition("::")[0] for test in fault.tests})):
        digest.update((root / name).read_bytes())
    return digest.hexdigest()
