"""The planted faults as data: each is one edit of the code and the tests that have to fail with it.

The TOML files of this folder contain them, one file for each part of the code. An entry has this form:

    [[fault]]
    name = "a short sentence"                # the behaviour of the code with the fault
    kind = "PostgreSQL alone"                # the kind of this fault
    file = "registry_server/core/writes.py"
    old = '''text that occurs once'''        # exact, so that an outdated entry is an error
    new = '''text in its place'''
    tests = ["tests/unit/test_rules.py::test_x"]  # each must fail; without `[…]`, for at least one parameter
"""

import ast
import tomllib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]


class StaleFault(Exception):
    """A fault whose text or tests no longer match the code."""


@dataclass(frozen=True)
class Fault:
    """One edit of one file, and the tests that detect it."""

    name: str
    kind: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, root: Path) -> str:
        """Return the text of the file with the fault in it. Raise StaleFault if the old text does not occur once."""
        path = root / self.file
        text = path.read_text("utf-8") if path.is_file() else ""
        if (found := text.count(self.old)) != 1:
            raise StaleFault(
                f"{self.name}: the old text occurs {found} times in {self.file}; bring the entry up to date"
            )
        if self.old == self.new:
            raise StaleFault(f"{self.name}: the new text is the old one")
        return text.replace(self.old, self.new)

    def require_tests(self, root: Path) -> None:
        """Raise StaleFault if a named test does not exist."""
        for test in self.tests:
            file, _, inside = test.partition("::")
            if inside.partition("[")[0] not in functions_of(root / file):
                raise StaleFault(f"{self.name}: the test {test} does not exist")


def load(folder: Path = FOLDER) -> list[Fault]:
    """Read the faults of all files of a folder. Raise StaleFault for an entry with a missing or unknown field."""
    faults: list[Fault] = []
    names = {field.name for field in fields(Fault)}
    for path in sorted(folder.glob("*.toml")):
        for entry in tomllib.loads(path.read_text("utf-8")).get("fault", []):
            if entry.keys() != names or not entry["tests"]:
                raise StaleFault(f"{path.name}: {entry.get('name', entry)}: an entry has {sorted(names)}, none empty")
            faults.append(Fault(**{**entry, "tests": tuple(entry["tests"])}))
    return faults


def check(fault: Fault, root: Path) -> str:
    """Return the changed text of a fault's file. Raise StaleFault if the fault does not match the tree."""
    fault.require_tests(root)
    return fault.apply(root)


@cache
def functions_of(path: Path) -> frozenset[str]:
    """Return the names of the test functions of a file, those in classes as `Class::name`."""
    if not path.is_file():
        return frozenset()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    body = ast.parse(path.read_text("utf-8")).body
    classes = [each for each in body if isinstance(each, ast.ClassDef)]
    return frozenset(each.name for each in body if isinstance(each, kinds)) | {
        f"{group.name}::{each.name}" for group in classes for each in group.body if isinstance(each, kinds)
    }
