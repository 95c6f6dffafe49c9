"""The distribution of tests by pytest-xdist: one worker more than cores, and the longest tests first.

Many tests wait for clocks, disks and child processes, so an additional worker keeps the cores busy. Workers get
neighbouring tests, which share the fixtures of a module, and idle workers take over tests from others at the end.
"""

import os
from typing import Any

import pytest

# Tests of more than three seconds; the shorter ones run beside and after them.
_LONGEST = (
    "tests/docs/test_docs.py::test_the_pages_build_without_a_warning",
    "tests/docs/test_docs.py::test_the_examples_of_a_page_run[howto/",
    "tests/docs/test_docs.py::test_the_tests_shown_in_the_pages_pass",
    "tests/integration/test_pytest_plugin.py::test_a_dependent_project_needs_no_set_up",
    "tests/integration/test_pytest_plugin.py::test_the_cache_of_the_user_is_left_alone",
    "tests/crash/test_random_kills.py::",
    "tests/lifecycle/test_many_promotions.py::",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Return the number of workers for `-n auto`, unless PYTEST_XDIST_AUTO_NUM_WORKERS is set."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Use the scheduler that lets idle workers take over tests, without an option in every command."""
    if config.option.dist != "load":
        return None
    from xdist.scheduler import WorkStealingScheduling  # noqa: PLC0415 - the tests run without xdist, too

    return WorkStealingScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the longest tests to the beginning of a distributed run."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not item.nodeid.startswith(_LONGEST))
