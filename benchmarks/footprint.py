"""The cost of imports, the base install, the start of a server, and its memory at rest.

Imports are measured as processor time of new interpreters, minus that of an interpreter that imports nothing. A server
is started on an existing data folder, and measured from the launch of its process to the end of its first response.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.harness import ROOT, Figure, request

BAR_IMPORT, IMPORT_ROUNDS = 0.3, 15
BAR_INSTALL_MB = 30
BAR_SERVER, SERVER_ROUNDS, SETTLED_S = 2.0, 9, 1.0
OURS = "import common_lib, adapters"
DEPENDENCIES = "import pydantic, httpx, tenacity, purgatory, websockets"
_LIVE = request("GET", "/health/live")
_INSTALLERS = ("pip", "setuptools")


def measure() -> list[Figure]:
    """Measure everything; skip the install if the package index cannot be reached."""
    figures = [_imports()]
    try:
        figures.append(_install())
    except subprocess.CalledProcessError as error:
        harness.log(f"footprint: the install failed and is skipped: {error.stderr}")
    return [*figures, *_server()]


def _imports() -> Figure:
    harness.log(f"footprint: {IMPORT_ROUNDS} rounds of imports")
    statements = ("pass", OURS, DEPENDENCIES)
    for statement in statements:
        _cpu_s(statement)
    rounds = [[_cpu_s(statement) for statement in statements] for _ in range(IMPORT_ROUNDS)]
    costs = [(ours - bare, theirs - bare) for bare, ours, theirs in rounds]
    ours, theirs = (1000 * statistics.median(cost) for cost in zip(*costs, strict=True))
    return harness.at_most(
        BAR_IMPORT,
        "footprint",
        "import of common_lib and adapters beside their five dependencies",
        [ours / theirs for ours, theirs in costs],
        f"{ours:.0f} ms of CPU to {theirs:.0f} ms",
    )


def _cpu_s(statement: str) -> float:
    process = subprocess.Popen([sys.executable, "-c", statement], cwd=ROOT)  # noqa: S603 - fixed arguments
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{statement!r} failed")
    return used.ru_utime + used.ru_stime


def _install() -> Figure:
    harness.log("footprint: a base install")
    with harness.temporary_folder("install") as folder:
        venv.create(folder, with_pip=True)
        packages = next(folder.glob("lib/python*/site-packages"))
        python = str(folder / "bin" / "python")
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(ROOT)]
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - fixed arguments
        size_mb = sum(_bytes(entry) for entry in packages.iterdir() if not entry.name.startswith(_INSTALLERS)) / 1e6
        names = [entry.name for entry in packages.glob("*.dist-info") if not entry.name.startswith(_INSTALLERS)]
    return harness.at_most(
        BAR_INSTALL_MB,
        "footprint",
        "base install with its dependencies and their byte code, MB",
        [size_mb],
        f"{size_mb:.1f} MB in {len(names)} packages",
    )


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _server() -> list[Figure]:
    harness.log(f"footprint: {SERVER_ROUNDS} starts of each server")
    with harness.temporary_folder("start") as data:
        kinds: list[tuple[str, dict[str, Any]]] = [("registry", {"data": str(data)}), ("live", {})]
        with contextlib.ExitStack() as once:
            for kind, options in kinds:
                _start(once, kind, options)
        rounds = []
        for _ in range(SERVER_ROUNDS):
            with contextlib.ExitStack() as ours, contextlib.ExitStack() as bare:
                started = [_start(stack, *kind) for stack, kind in zip((ours, bare), kinds, strict=True)]
                time.sleep(SETTLED_S)
                rounds.append([(seconds, resident_mb()) for seconds, resident_mb in started])
    ratios = [[mine / other for mine, other in zip(*pair, strict=True)] for pair in rounds]
    medians = [[statistics.median(pair[side][what] for pair in rounds) for side in (0, 1)] for what in (0, 1)]
    (start_s, bare_s), (resident, bare_resident) = medians
    return [
        harness.at_most(
            BAR_SERVER,
            "footprint",
            "start to first response beside a bare Litestar application",
            [start for start, _ in ratios],
            f"{start_s:.2f} s to {bare_s:.2f} s",
        ),
        harness.at_most(
            BAR_SERVER,
            "footprint",
            "resident memory at rest beside a bare Litestar application",
            [memory for _, memory in ratios],
            f"{resident:.0f} MB to {bare_resident:.0f} MB",
        ),
    ]


def _start(stack: contextlib.ExitStack, kind: str, options: dict[str, Any]) -> tuple[float, Callable[[], float]]:
    """Start a server; return the seconds from launch to first response, and a function that reads its memory."""
    server = stack.enter_context(harness.server(kind, **options))
    with server.client() as client:
        client.expect(200, _LIVE)
        return time.perf_counter() - server.began, server.resident_mb


if __name__ == "__main__":
    harness.main(measure)
