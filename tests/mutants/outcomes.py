"""A pytest plug-in for one run on a copy: it writes each test's outcome as a line of JSON to $MUTANT_OUTCOMES."""

import importlib.util
import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

# With such an error the test has not judged the behaviour; the fault is badly planted.
_BROKEN = (ImportError, NameError, SyntaxError)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run with code that does not come from the copy."""
    for package in os.environ["MUTANT_PACKAGES"].split():
        spec = importlib.util.find_spec(package)
        if spec is None or config.rootpath not in Path(spec.origin or "").parents:
            raise pytest.UsageError(f"{package} does not come from the copy {config.rootpath} but from {spec}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """Write the outcome of each phase of a test."""
    report = yield
    line = {"test": item.nodeid, "when": report.when, "outcome": report.outcome}
    if report.failed and call.excinfo is not None:
        line["why"] = why = call.excinfo.exconly(tryshort=True)[:200]
        # A test that ends by pytest-timeout has detected nothing: perhaps the machine was slow.
        if isinstance(call.excinfo.value, _BROKEN) or "from pytest-timeout" in why:
            line["outcome"] = "broken"
    with Path(os.environ["MUTANT_OUTCOMES"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    return report
