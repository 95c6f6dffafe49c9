"""Runs of pytest on a copy of the tree, with a fault in it or without, and the judgement of what came out."""

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
# Much more than the tests of one fault need; a fault that makes them hang is noticed by pytest-timeout first.
_RUN_S = 600
_TEST_S = 120


@dataclass(frozen=True)
class Verdict:
    """The judgement on one fault: noticed, survived, or broken, with what was seen."""

    fault: str
    verdict: str
    seen: str
    seconds: float


class Copy:
    """A copy of the tree in a folder of its own, which is free to be damaged."""

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
        # Once for all runs, which start faster then. By hash, for a fault may change neither size nor second of a file.
        compileall.compile_dir(self.root, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)

    def judge(self, fault: Fault) -> Verdict:
        """Plant a fault, run its tests, take it out again, and say whether each of them failed."""
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
        """Run tests on the copy as it is. Return their outcomes and what pytest wrote."""
        self._outcomes.unlink(missing_ok=True)
        # Children that the tests start have to import the copy too, hence the variable and not an option.
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join((str(self.root), str(self._plugins))),
            "PYTHONDONTWRITEBYTECODE": "1",  # or what was compiled with a fault might be used without it
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
    """Tell whether an outcome is one of a named test, which without parameters stands for all of them."""
    return outcome["test"] == test or outcome["test"].startswith(f"{test}[")


def _judgement(fault: Fault, outcomes: list[dict[str, str]], output: str) -> tuple[str, str]:
    seen: list[str] = []
    for test in fault.tests:
        mine = [outcome for outcome in outcomes if is_of(test, outcome)]
        # A failed set-up does not judge the test; a failed tear-down does, for there the log is checked.
        failed = [one for one in mine if one["outcome"] == "failed" and one["when"] != "setup"]
        if failed:
            seen.append(failed[0].get("why", "").partition("\n")[0])
        elif not mine or any(one["outcome"] in {"failed", "broken"} for one in mine):
            why = next((one["why"] for one in mine if "why" in one), output.strip()[-300:])
            return "broken", f"{test} came to no judgement: {why}"
        else:
            return "survived", f"{test} passed"
    return "noticed", seen[0]


def failures_without_faults(copy: Copy, faults: list[Fault]) -> list[str]:
    """Run all named tests without any fault. Return those that did not pass or did not run."""
    tests = tuple(dict.fromkeys(test for fault in faults for test in fault.tests))
    if not tests:  # pytest would run all there are
        return []
    outcomes, output = copy.run(tests)
    bad = [
        f"{one['test']}: {one.get('why', one['outcome'])}" for one in outcomes if one["outcome"] in {"failed", "broken"}
    ]
    passed = [one for one in outcomes if (one["when"], one["outcome"]) == ("call", "passed")]
    bad += [f"{test} did not pass" for test in tests if not any(is_of(test, one) for one in passed)]
    return [*bad, output[-2000:]] if bad else []


def fingerprint(root: Path, fault: Fault) -> str:
    """Hash what a judgement depends on most: the fault, the file it stands in, and the files of its tests."""
    digest = hashlib.sha256(repr(fault).encode())
    for name in (fault.file, *sorted({test.partition("::")[0] for test in fault.tests})):
        digest.update((root / name).read_bytes())
    return digest.hexdigest()
