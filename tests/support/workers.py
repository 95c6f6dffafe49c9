"""The distribution of tests by pytest-xdist: one worker more than cores, and nobody waits for the last long test.

Many tests wait for clocks, disks and children, so that a worker more keeps the cores busy. Workers get neighbouring
tests, which share what a module sets up, and take tests over from each other in the end.
"""

import os
from typing import Any

import pytest

# Those of more than three seconds; the rest fills what is left beside them.
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
    """Answer `-n auto`; who sets PYTEST_XDIST_AUTO_NUM_WORKERS decides instead."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let workers steal, which as an option would have to stand in every command that distributes tests."""
    if config.option.dist != "load":
        return None
    from xdist.scheduler import WorkStealingScheduling  # noqa: PLC0415 - the tests run without xdist, too

    return WorkStealingScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin a distributed run with the longest tests."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not item.nodeid.startswith(_LONGEST))
