"""Processes that tests kill: a parent has imported everything and forks a child for each job.

It reads jobs from its input, one JSON document a line, and writes what the child acknowledged and how it ended.
"""

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

ROOT = Path(__file__).parents[2]


class End(NamedTuple):
    """The end of a child (a signal or a status), and the digests it acknowledged before."""

    signal: int
    status: int
    acknowledged: list[str]


class Nursery:
    """The process that forks the children."""

    def __init__(self, to: IO[str], back: IO[str]) -> None:
        self._to, self._back = to, back

    def run(self, **job: Any) -> End:
        """Run a job in a child, and wait for its end."""
        self.start(**job)
        return self.wait()

    def start(self, **job: Any) -> int:
        """Start a child and return its process id."""
        self._to.write(json.dumps(job) + "\n")
        self._to.flush()
        return int(json.loads(self._back.readline())["born"])

    def ready(self) -> None:
        """Wait until the child reports that it is ready."""
        message = json.loads(self._back.readline())
        assert "ready" in message, "the child failed; its traceback stands above"

    def wait(self) -> End:
        """Return how the child ended."""
        acknowledged: list[str] = []
        for line in self._back:
            message = json.loads(line)
            acknowledged += [message["acknowledged"]] if "acknowledged" in message else []
            if "ended" in message:
                status = message["ended"]
                return End(os.WTERMSIG(status), os.waitstatus_to_exitcode(status), acknowledged)
        raise AssertionError("the nursery died")


@contextmanager
def nursery() -> Iterator[Nursery]:
    """Run a nursery inside the block."""
    command = [sys.executable, "-W", "error", "-m", "tests.crash.nursery"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Nursery(process.stdin, process.stdout)
        finally:
            process.stdin.close()


def report_to_parent(**what: Any) -> None:
    """Send a message to the parent; it is sent before this process can be killed."""
    os.write(1, (json.dumps(what) + "\n").encode())


def main() -> None:
    """Fork a child for each line."""
    from tests.crash.jobs import JOBS  # noqa: PLC0415 - the pytest process imports this module for its other half

    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            report_to_parent(born=os.getpid())
            os._exit(_child(JOBS[job.pop("job")], job))
        _, status = os.waitpid(child, 0)
        report_to_parent(ended=status)


def _child(work: Any, job: dict[str, Any]) -> int:
    try:
        work(**job)
    except BaseException:  # noqa: BLE001 - the parent needs every error
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
