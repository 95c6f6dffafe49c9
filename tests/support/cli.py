"""The command line in tests: `registry` with a server and a token in its environment, and real processes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from click.testing import CliRunner, Result

from common_lib.cli.program import program
from registry_server.cli.program import program as server_program


class Cli(NamedTuple):
    """The program `registry` with a server and a token in its environment."""

    url: str
    token: str
    data: Path

    def __call__(self, *arguments: str | Path, status: int = 0, **environment: str) -> Result:
        """Run a command in this process, check its exit status, and return the result."""
        known = {"REGISTRY_URL": self.url, "REGISTRY_TOKEN": self.token, "NO_COLOR": "1", "COLUMNS": "80"}
        done = CliRunner().invoke(program, [str(word) for word in arguments], env=known | environment)
        assert done.exit_code == status, (done.output, done.exception)
        return done

    def json(self, *arguments: str | Path) -> Any:
        """Run a command and return its JSON document."""
        done = self(*arguments, "--json")
        assert not done.stderr
        return json.loads(done.stdout)

    def problem(self, *arguments: str | Path, status: int) -> dict[str, Any]:
        """Run a command that fails, and return the problem that it wrote to standard error."""
        done = self(*arguments, "--json", status=status)
        assert not done.stdout
        problem: dict[str, Any] = json.loads(done.stderr)
        return problem


def run_python(code: str, *arguments: str | bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run Python code in a real process."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], check=False, capture_output=True, env=os.environ | environment
    )


REGISTRY = "from common_lib.cli import main; main()"
SERVER = "from registry_server.cli import main; main()"


class Serving:
    """A process `registry-server serve`."""

    def __init__(self, data: Path, *options: str, **environment: str) -> None:
        command = [sys.executable, "-c", SERVER, "serve", "--data", str(data), "--port", "0", "--quiet", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | environment)
        self.data = data
        self.stderr_text = ""

    def started(self) -> bool:
        """Wait until the server reports that it serves; return False if it ends before that."""
        while line := self._stderr.readline():
            self.stderr_text += line
            if "serving at " in line or "Ctrl-C" in line:
                return True
        self.process.wait()
        return False

    @property
    def url(self) -> str:
        """Address of the server."""
        found: str = json.loads((self.data / "server.json").read_text())["url"]
        return found

    @property
    def token(self) -> str:
        """Token of the first admin."""
        return (self.data / "admin-token").read_text().strip()

    def end(self, by: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit status."""
        self.process.send_signal(by)
        self.stderr_text += self._stderr.read()
        return self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._stderr.close()

    @property
    def _stderr(self) -> IO[str]:
        assert self.process.stderr
        return self.process.stderr


def operate(*arguments: str | Path, status: int | None = 0, **environment: str) -> Result:
    """Run a command of `registry-server` in this process, and check its exit status unless `status` is None."""
    known = {"NO_COLOR": "1", "COLUMNS": "80", "REGISTRY_TOKEN": ""} | environment
    done = CliRunner().invoke(server_program, [str(word) for word in arguments], env=known)
    assert status in {None, done.exit_code}, (done.output, done.exception)
    return done
