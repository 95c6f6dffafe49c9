"""A summary of the counts of all targets; `FUZZ_AT_LEAST` is the minimum number of cases of a run."""

import os

import pytest

_HEAD = ("target", "cases", "accepted", "refused", "late", "broken", "seconds")
_counts: list[tuple[str, int, int, int, int, int, float]] = []


def pytest_report_header() -> str:
    """Print the seed, so that a run can be repeated."""
    return f"FUZZ_SEED={os.environ.get('FUZZ_SEED', '1')}"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect the counts of a target, also from another process."""
    if report.when == "call":
        _counts.extend(value for name, value in report.user_properties if name == "fuzz")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run with too few cases."""
    if not hasattr(session.config, "workerinput") and _total() < int(os.environ.get("FUZZ_AT_LEAST", "0")):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a table of the targets and the sum."""
    for row in (_HEAD, *sorted(_counts)):
        terminalreporter.write_line("{:<24}{:>10}{:>10}{:>10}{:>8}{:>8}{:>9}".format(*row))
    terminalreporter.write_line(f"{_total():,} cases over {len(_counts)} targets; {pytest_report_header()}")


def _total() -> int:
    return sum(row[1] for row in _counts)
