"""The planted faults match the current code, and the runner distinguishes noticed faults from survivors.

`nox -s mutants` plants all of them, which takes minutes.
"""

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.faults import ROOT, Fault, StaleFault, check, load
from tests.mutants.runs import Copy, failures_without_faults

FAULTS = load()
PARTS = (
    "adapters",
    "common_lib/artifacts",
    "common_lib/cli",
    "common_lib/client",
    "common_lib/config.py",
    "common_lib/loaders",
    "common_lib/operations",
    "common_lib/rules",
    "registry_server/api",
    "registry_server/cli",
    "registry_server/core",
    "registry_server/domain",
    "registry_server/infrastructure",
)


def _faults(*, old: str = "return a + b", test: str = "test_toy.py::test_it", **more: str) -> Fault:
    given = {"name": "toy", "kind": "toy", "file": "toy/__init__.py", "new": "return a - b"} | more
    return Fault(**given, old=old, tests=(test,))


@pytest.fixture
def toy(tmp_path: Path) -> Copy:
    """Provide a copy of a tree with one function and its tests."""
    source = tmp_path / "source"
    (source / "toy").mkdir(parents=True)
    (source / "toy" / "__init__.py").write_text("def added(a: int, b: int) -> int:\n    return a + b\n")
    (source / "test_toy.py").write_text(
        "import toy\n\n\ndef test_it() -> None:\n    assert toy.added(2, 1) == 3\n\n\n"
        "def test_blind() -> None:\n    assert toy.added(0, 0) == 0\n"
    )
    (source / "pytest.ini").write_text("[pytest]\n")
    return Copy(source, tmp_path / "copy", names=("toy", "test_toy.py", "pytest.ini"), packages=("toy",))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_a_planted_fault_fits_the_code(fault: Fault) -> None:
    """The old text occurs once, the changed file is valid Python, and the tests exist."""
    ast.parse(check(fault, ROOT))


def test_every_part_has_its_faults() -> None:
    """Each fault has a unique name, and each part of the code has at least one fault."""
    names = Counter(fault.name for fault in FAULTS)
    assert [name for name, count in names.items() if count > 1] == []
    assert [part for part in PARTS if not any(fault.file.startswith(part) for fault in FAULTS)] == []


def test_the_runner_distinguishes_noticed_faults_from_survivors(toy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault survives if no test fails; broken code is not judged."""
    # Loading the plug-ins of other packages takes longer than these tests.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    blind = _faults(test="test_toy.py::test_blind")
    assert failures_without_faults(toy, [_faults(), blind]) == []
    assert failures_without_faults(toy, []) == []
    broken = _faults(new="return a + c")
    assert [toy.judge(fault).verdict for fault in (_faults(), blind, broken)] == ["noticed", "survived", "broken"]
    assert toy.judge(_faults()).seen == "assert 1 == 3"
    assert (toy.root / "toy" / "__init__.py").read_text().endswith("return a + b\n")


@pytest.mark.parametrize(
    ("stale", "sentence"),
    [
        (_faults(old="return a * b"), "occurs 0 times in toy/__init__.py"),
        (_faults(old="int"), "occurs 3 times"),
        (_faults(file="toy/gone.py"), "occurs 0 times"),
        (_faults(new="return a + b"), "the new text is the old one"),
        (_faults(test="test_toy.py::test_gone"), "the test test_toy.py::test_gone does not exist"),
        (_faults(test="gone.py::test_it"), "the test gone.py::test_it does not exist"),
    ],
)
def test_a_fault_out_of_date_is_an_error(toy: Copy, stale: Fault, sentence: str) -> None:
    """The runner does not count such a fault as noticed or as survived."""
    with pytest.raises(StaleFault, match=sentence):
        check(stale, toy.root)
