"""Shared parts of the benchmarks: figures and their table, server processes, a plain HTTP client, a load generator.

A limit ("bar") is a ratio of two things measured in one run, in interleaved rounds: absolute figures differ by a factor
of two between runs on the same machine, their ratio does not. No benchmark asserts a time.
"""

import argparse
import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).parent.parent
SEED = 20_260_301
_HOST = "127.0.0.1"
_ANSWER_WITHIN_S = 30.0
_END_WITHIN_S = 15.0
_PACKAGES = ("litestar", "uvicorn", "httptools", "msgspec", "apsw", "asyncpg", "pydantic", "httpx")


class Figure(NamedTuple):
    """A measured ratio and its bar; half of the rounds lie between `low` and `high`."""

    benchmark: str
    what: str
    ratio: float
    low: float
    high: float
    sign: str
    bar: float
    absolute: str

    @property
    def met(self) -> bool:
        """True if the median meets the bar."""
        return self.ratio >= self.bar if self.sign == "≥" else self.ratio <= self.bar


def at_least(bar: float, benchmark: str, what: str, ratios: Sequence[float], absolute: str) -> Figure:
    """Return a figure that should not be below its bar."""
    return Figure(benchmark, what, *_middle(ratios), "≥", bar, absolute)


def at_most(bar: float, benchmark: str, what: str, ratios: Sequence[float], absolute: str) -> Figure:
    """Return a figure that should not be above its bar."""
    return Figure(benchmark, what, *_middle(ratios), "≤", bar, absolute)


def _middle(ratios: Sequence[float]) -> tuple[float, float, float]:
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
    return middle, low, high


def table(figures: Sequence[Figure], *, markdown: bool = False) -> str:
    """Format the figures as a table, for a terminal or in Markdown."""
    rows = [("benchmark", "what", "measured", "middle half", "bar", "", "absolute")]
    rows += [
        (f.benchmark, f.what, f"{f.ratio:.2f}", f"{f.low:.2f}–{f.high:.2f}", f"{f.sign} {f.bar:g}", verdict, f.absolute)
        for f in figures
        for verdict in ("met" if f.met else "**missed**" if markdown else "MISSED",)
    ]
    if markdown:
        rows.insert(1, ("---", "---", "---:", "---:", "---:", "---", "---"))
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def machine() -> list[str]:
    """Describe the machine and the software on which the figures are measured."""
    found = dict(line.split(":", 1) for line in _text("/proc/cpuinfo").splitlines() if ":" in line)
    model = next((value.strip() for key, value in found.items() if key.startswith("model name")), platform.machine())
    versions = []
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions.append(f"{package} {version(package)}")
    return [
        f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.system()} {platform.release()}",
        f"{platform.python_implementation()} {platform.python_version()}, event loop of asyncio, {', '.join(versions)}",
        f"files in {tempfile.gettempdir()} ({_file_system(tempfile.gettempdir())}), seed {SEED}",
    ]


def _text(path: str) -> str:
    return Path(path).read_text("utf-8") if Path(path).exists() else ""


def _file_system(folder: str) -> str:
    mounts = [line.split()[1:3] for line in _text("/proc/mounts").splitlines()]
    around = [(point, kind) for point, kind in mounts if Path(folder).resolve().is_relative_to(point)]
    return max(around, key=lambda mount: len(mount[0]), default=("", "?"))[1]


def main(measure: Callable[[], list[Figure]]) -> None:
    """Run one benchmark as a script; `run.py` runs it with `--json`."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--json", action="store_true", help="print a JSON array instead of a table")
    options = parser.parse_args()
    figures = measure()
    print(json.dumps(figures) if options.json else "\n".join([*machine(), "", table(figures)]))


def log(text: str) -> None:
    """Print the progress to standard error."""
    print(text, file=sys.stderr, flush=True)


class Answer(NamedTuple):
    """An HTTP response; header names in lower case, in the order received."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Parse the body as JSON."""
        return json.loads(self.body)


def request(method: str, path: str, *, token: str = "", body: bytes | None = None, **headers: str) -> bytes:
    """Return the bytes of a request; the keyword `if_match` becomes the header If-Match."""
    fields = {"host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if token:
        fields["authorization"] = f"Bearer {token}"
    if body is not None:
        fields |= {"content-length": str(len(body))}
        fields.setdefault("content-type", "application/json")
    head = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(head).encode() + (body or b"")


class Client:
    """A blocking keep-alive connection, with so little overhead that the server dominates the measured time."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((_HOST, port), timeout=_ANSWER_WITHIN_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, raw: bytes) -> Answer:
        """Send a request and return the response."""
        self._socket.sendall(raw)
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        status, *lines = received[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = received[end + 4 :]
        while len(body) < int(headers.get("content-length", 0)):
            body += self._more()
        return Answer(int(status.split(" ", 2)[1]), headers, body)

    def _more(self) -> bytes:
        received = self._socket.recv(1 << 20)
        if not received:
            raise ConnectionError("the server closed the connection")
        return received

    def expect(self, status: int, raw: bytes) -> Answer:
        """Send a request and return the response; raise an error on another status."""
        answer = self.send(raw)
        if answer.status != status:
            raise RuntimeError(f"expected {status} for {raw[:200]!r}, got {answer.status}: {answer.body[:500]!r}")
        return answer

    def seconds(self, raw: bytes, status: int = 200) -> float:
        """Measure the time of one request, from the first byte sent to the last byte received."""
        began = time.perf_counter()
        answer = self.send(raw)
        took = time.perf_counter() - began
        if answer.status != status:
            raise RuntimeError(f"expected {status}, got {answer.status}: {answer.body[:500]!r}")
        return took


class Server(NamedTuple):
    """A server process of `benchmarks.servers`."""

    port: int
    pid: int
    began: float

    def client(self) -> Client:
        """Open a connection to the server."""
        return Client(self.port)

    def cpu_s(self) -> float:
        """Return the processor time that the server has used."""
        fields = _text(f"/proc/{self.pid}/stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float:
        """Return the resident memory of the server."""
        line = next(line for line in _text(f"/proc/{self.pid}/status").splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


@contextlib.contextmanager
def server(kind: str, **options: Any) -> Iterator[Server]:
    """Run a server during the block; connections wait until it is ready: its socket listens first."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind((_HOST, 0))
        listening.listen(1024)
        descriptor = listening.fileno()
        command = [sys.executable, "-m", "benchmarks.servers", kind, str(descriptor), json.dumps(options)]
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, pass_fds=[descriptor])  # noqa: S603 - fixed arguments
        try:
            yield Server(listening.getsockname()[1], process.pid, began)
        finally:
            process.terminate()
            try:
                process.wait(_END_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def registry(folder: Path, **options: Any) -> Iterator[tuple[Server, str]]:
    """Run a registry on a data folder during the block; yield it with its admin's token when it is ready."""
    with server("registry", data=str(folder), **options) as running:
        with running.client() as client:
            client.expect(200, request("GET", "/health/ready"))
        yield running, (folder / "admin-token").read_text().strip()


@contextlib.contextmanager
def temporary_folder(name: str) -> Iterator[Path]:
    """Create a folder that is removed after the block."""
    with tempfile.TemporaryDirectory(prefix=f"benchmark-{name}-") as folder:
        yield Path(folder)


class Load(NamedTuple):
    """The result of the load generator."""

    answers: int
    seconds: float
    generator_cpu_s: float

    @property
    def per_s(self) -> float:
        """Responses per second."""
        return self.answers / self.seconds


class Generator:
    """A process that puts load on servers of this machine; see `benchmarks.load`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def load(
        self, port: int, requests: Sequence[bytes], *, status: int, connections: int, count: int, seconds: float
    ) -> Load:
        """Send the requests in a loop on keep-alive connections, until `count` responses or the end of the time."""
        texts = [raw.decode("latin-1") for raw in requests]
        job = {"port": port, "requests": texts, "status": status, "connections": connections}
        job |= {"count": count, "seconds": seconds}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the load generator failed; see above")
        return Load(*json.loads(answer))


@contextlib.contextmanager
def generator() -> Iterator[Generator]:
    """Run a load generator during the block."""
    command = [sys.executable, "-m", "benchmarks.load"]
    with subprocess.Popen(  # noqa: S603 - fixed arguments
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Generator(process)
        finally:
            process.terminate()
