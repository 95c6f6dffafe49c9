"""A separate interpreter that may fork: it always ends in time, and none of its children remains."""

import contextlib
import os
import signal
import subprocess
import sys

LONGEST_S = 60.0


def run_with_children(code: str, timeout_s: float = LONGEST_S, **environment: str) -> tuple[str, str]:
    """Run code in a new session, return its output and errors, and end each process of that session.

    Raises:
        TimeoutExpired: the interpreter did not end in time.
    """
    command = [sys.executable, "-W", "error", "-c", code]
    with subprocess.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            return process.communicate(timeout=timeout_s)
        finally:
            # The group has the id of its first process, which is not reused before that process is waited for.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
