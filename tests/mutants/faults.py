"""The planted faults as data: each is one edit of the code and the tests that have to fail with it.

They stand in the TOML files of this folder, one for each part of the code. A fault is an entry of this form:

    [[fault]]
    name = "a short sentence"                # what is wrong with the code then
    kind = "PostgreSQL alone"                # the kind of fault that it is an example of
    file = "registry_server/core/writes.py"
    old = '''text that occurs once'''        # exact, so that an entry out of date is an error and no silent gap
    new = '''text in its place'''
    tests = ["tests/unit/test_rules.py::test_x"]  # each has to fail; without `[…]`, with one of its parameters at least
"""

import ast
import tomllib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]


class StaleFault(Exception):
    """A fault whose text or tests are not what the code is today."""


@dataclass(frozen=True)
class Fault:
    """One edit of one file, and the tests that notice it."""

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
        """Raise StaleFault if a test that is named is not there."""
        for test in self.tests:
            file, _, inside = test.partition("::")
            if inside.partition("[")[0] not in functions_of(root / file):
                raise StaleFault(f"{self.name}: the test {test} does not exist")


def load(folder: Path = FOLDER) -> list[Fault]:
    """Read the faults of all files of a folder. Raise StaleFault for an entry that lacks a field or has others."""
    faults: list[Fault] = []
    names = {field.name for field in fields(Fault)}
    for path in sorted(folder.glob("*.toml")):
        for entry in tomllib.loads(path.read_text("utf-8")).get("fault", []):
            if entry.keys() != names or not entry["tests"]:
                raise StaleFault(f"{path.name}: {entry.get('name', entry)}: an entry has {sorted(names)}, none empty")
            faults.append(Fault(**{**entry, "tests": tuple(entry["tests"])}))
    return faults


def check(fault: Fault, root: Path) -> str:
    """Return the changed text of a fault's file. Raise StaleFault if the fault does not fit the tree."""
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
