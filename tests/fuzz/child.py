"""A process that uses what passed its check, so that native code which ends it does not end the fuzzer.

    runner=in_child(check, "tests.fuzz.targets.xgboost:use")

`check(case)` runs here and refuses most cases; `use(case)` runs there on those that pass, in batches, with a bound on
the address space and on the time of each. An error of the library becomes a `LoadRefused` there, which is counted as
late: it is typed, but the check was not the one to refuse. The case at which the process ends is known by the
answers before it.
"""

import contextlib
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from common_lib.errors import LoadRefused
from tests.fuzz.harness import MEMORY, Broken, Run

ROOT: Final = Path(__file__).parents[2]
_BATCH: Final = 64
_START_S: Final = 120.0
_CASE_S: Final = 60.0  # wall clock, on a machine that may be busy
_LENGTH: Final = struct.Struct("<Q")
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def in_child(
    check: Run,
    use: str,
    *,
    memory: int = MEMORY,
    warm: Callable[[], bytes] | None = None,
    case_s: float = _CASE_S,
) -> Callable[[], AbstractContextManager[Run]]:
    """Make a runner that checks here and uses there; `use` is `module:function`.

    `warm` gives a case that is used before the memory is bounded, so that what a library sets aside once is not
    counted.
    """
    return lambda: _running(check, lambda folder: _Child(use, memory, folder, warm() if warm else b"", case_s))


@contextlib.contextmanager
def _running(check: Run, child_in: Callable[[Path], "_Child"]) -> Iterator[Run]:
    pending: list[bytes] = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        child = child_in(Path(name))

        def run(case: bytes) -> None:
            check(case)
            pending.append(case)
            if len(pending) >= _BATCH:
                child.use_all(pending)

        try:
            yield run
            child.use_all(pending)
        finally:
            run.late = child.late  # type: ignore[attr-defined]
            child.end()


class _Child:
    """The process, started when it is needed and again after it ended."""

    def __init__(self, use: str, memory: int, folder: Path, warm: bytes, case_s: float) -> None:
        self._use, self._memory, self._folder, self._warm, self._case_s = use, memory, folder, warm, case_s
        self.late = 0
        self._process: subprocess.Popen[bytes] | None = None

    def use_all(self, pending: list[bytes]) -> None:
        """Have each case used, and remove it from the list.

        Raises:
            Broken: one ended the process, took too long, or was answered by an error that is not a refusal.
        """
        if not pending:
            return
        process = self._process or self._started()
        batch = self._folder / "batch"
        batch.write_bytes(b"".join(_LENGTH.pack(len(case)) + case for case in pending))
        assert process.stdin
        process.stdin.write(f"{batch}\n".encode())
        process.stdin.flush()
        while pending:
            case = pending[0]
            answer = self._answer(process, self._case_s)
            del pending[0]
            if answer == "refused":
                self.late += 1
            elif answer != "used":
                self.end()  # the rest of the batch is left to the next process
                raise Broken(case, f"it passes the check, but {answer}")

    def end(self) -> None:
        """End the process, if it runs."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self) -> "subprocess.Popen[bytes]":
        with (self._folder / "stderr").open("wb") as stderr:
            self._process = process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.child", self._use, str(self._memory)],
                cwd=ROOT,
                env={**os.environ, **_ONE_THREAD, "TMPDIR": str(self._folder)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                bufsize=0,
            )
        (self._folder / "warm").write_bytes(self._warm)
        assert process.stdin
        process.stdin.write(f"{self._folder / 'warm'}\n".encode())
        ready = self._answer(process, _START_S)
        assert ready == "used", f"the child did not start: {ready}"
        return process

    def _answer(self, process: "subprocess.Popen[bytes]", seconds: float) -> str:
        assert process.stdout
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([process.stdout], [], [], seconds)[0]:
                return f"ended by us: it took more than {seconds:.0f} s"
            more = os.read(process.stdout.fileno(), 1)
            if not more:
                code = process.wait()
                name = signal.Signals(-code).name if code < 0 else str(code)
                return f"ended the process: {name}; {self._last_output()}"
            line += more
        return line.decode().strip()

    def _last_output(self) -> str:
        return (self._folder / "stderr").read_text("utf-8", "replace")[-1_000:]


def _main() -> None:
    """Answer a line for each case in each file that is named on the standard input."""
    module, _, function = sys.argv[1].partition(":")
    use = getattr(import_module(module), function)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # libraries print
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warm = Path(sys.stdin.readline().strip()).read_bytes()
    if warm:
        use(warm)
    _bound_memory(int(sys.argv[2]))
    answers.write(b"used\n")
    for line in sys.stdin:
        content = Path(line.strip()).read_bytes()
        place = 0
        while place < len(content):
            (length,) = _LENGTH.unpack_from(content, place)
            place += _LENGTH.size + length
            answers.write(_outcome(use, content[place - length : place]))


def _bound_memory(more: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def _outcome(use: Callable[[bytes], Any], case: bytes) -> bytes:
    try:
        use(case)
    except LoadRefused:
        return b"refused\n"
    except Exception as error:  # noqa: BLE001 - any error is an answer
        return f"{type(error).__name__}: {error!s:.600}".replace("\n", " ").encode("utf-8", "replace") + b"\n"
    return b"used\n"


if __name__ == "__main__":
    _main()
