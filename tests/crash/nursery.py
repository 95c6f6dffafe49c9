"""Processes that are born to be killed: one that has imported everything, and forks whenever it is asked.

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
    """How a child ended: by a signal, or with a status; and what it acknowledged before."""

    signal: int
    status: int
    kept: list[str]


class Nursery:
    """The parent of all children."""

    def __init__(self, to: IO[str], back: IO[str]) -> None:
        self._to, self._back = to, back

    def run(self, **job: Any) -> End:
        """Let a child do a job, and wait for its end."""
        self.start(**job)
        return self.wait()

    def start(self, **job: Any) -> int:
        """Let a child begin; its process id."""
        self._to.write(json.dumps(job) + "\n")
        self._to.flush()
        return int(json.loads(self._back.readline())["born"])

    def ready(self) -> None:
        """Wait until the child says that it is."""
        told = json.loads(self._back.readline())
        assert "ready" in told, "the child failed; its traceback stands above"

    def wait(self) -> End:
        """The end of the child."""
        kept: list[str] = []
        for line in self._back:
            told = json.loads(line)
            kept += [told["kept"]] if "kept" in told else []
            if "ended" in told:
                status = told["ended"]
                return End(os.WTERMSIG(status), os.waitstatus_to_exitcode(status), kept)
        raise AssertionError("the nursery died")


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A nursery for as long as the block lasts."""
    command = [sys.executable, "-W", "error", "-m", "tests.crash.nursery"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Nursery(process.stdin, process.stdout)
        finally:
            process.stdin.close()


def tell(**what: Any) -> None:
    """Say something to whoever asked; it is on its way before this process can be killed."""
    os.write(1, (json.dumps(what) + "\n").encode())


def main() -> None:
    """Fork for each line."""
    from tests.crash.jobs import JOBS  # noqa: PLC0415 - the pytest process imports this module for its other half

    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            tell(born=os.getpid())
            os._exit(_child(JOBS[job.pop("job")], job))
        _, status = os.waitpid(child, 0)
        tell(ended=status)


def _child(work: Any, job: dict[str, Any]) -> int:
    try:
        work(**job)
    except BaseException:  # noqa: BLE001 - the parent must be told, whatever it is
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
