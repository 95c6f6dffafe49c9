"""Another interpreter that may fork: whatever happens, it ends in time and none of its children stays."""

import contextlib
import os
import signal
import subprocess
import sys

LONGEST_S = 60.0


def run_with_children(code: str, timeout_s: float = LONGEST_S, **environment: str) -> tuple[str, str]:
    """Run code in a session of its own, and return what it wrote; then end each process of that session.

    Raises:
        TimeoutExpired: it did not end in time.
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
            # The group has the number of its first process, which nobody else gets before that one is waited for.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
