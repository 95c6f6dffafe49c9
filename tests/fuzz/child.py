"""A child process that uses the cases that pass their check, so that a crash of native code does not end the fuzzer.

    runner=in_child(check, "tests.fuzz.targets.xgboost:use")

`check(case)` runs in the fuzzer and refuses most cases; `use(case)` runs in the child on the others, in batches, with a
limit of the address space and of the time for each case. A `LoadRefused` in the child counts as late: the error is
typed, but the library refused the case, not the check. If the process ends, the number of its responses identifies the
case.
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
_CASE_S: Final = 60.0  # wall clock time on a machine that may be busy
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
    """Build a runner that checks in this process and uses in a child; `use` is `module:function`.

    `warm` returns a case that the child uses before its memory is limited, so that memory which a library allocates
    once does not count.
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
    """The child process, which is started on first use and again after each end."""

    def __init__(self, use: str, memory: int, folder: Path, warm: bytes, case_s: float) -> None:
        self._use, self._memory, self._folder, self._warm, self._case_s = use, memory, folder, warm, case_s
        self.late = 0
        self._process: subprocess.Popen[bytes] | None = None

    def use_all(self, pending: list[bytes]) -> None:
        """Let the child use each case, and remove the case from the list.

        Raises:
            Broken: a case ended the process, took too long, or caused an error that is not a refusal.
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
                self.end()  # the next process uses the rest of the batch
                raise Broken(case, f"the case passes the check, but: {answer}")

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
                return f"took more than {seconds:.0f} s"
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
    """Write one line to standard output for each case of each file named on standard input."""
    module, _, function = sys.argv[1].partition(":")
    use = getattr(import_module(module), function)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # the output of libraries goes to standard error
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
