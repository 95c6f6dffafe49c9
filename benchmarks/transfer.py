"""The cost of a transfer compared with the necessary work: reading, hashing and writing the bytes once.

A real server on loopback and the real client, on tmpfs and on disk; each round measures both sides of a ratio. Memory
is the peak that the kernel recorded for each process; for this the client runs in its own process.
"""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from benchmarks import harness
from benchmarks.harness import SEED, Figure, Server
from common_lib import Cache, FileEntry, HttpRegistry, RegistryConfig
from common_lib.artifacts import hashing, upload

ROUNDS = 5
MIB = 1024**2
SIZE = int(os.environ.get("TRANSFER_MIB", "1024")) * MIB
AT_ONCE = 16
MOST_MIB = 64
FILES, FILE_BYTES, LATENCY_S = 1_000, 100_000, 0.005
PLACES = {"tmpfs": Path("/dev/shm"), "disk": Path("/var/tmp")}  # noqa: S108 - new folders are created there


class Bench(NamedTuple):
    """A server, the folder of all files, and the name of its file system."""

    place: str
    folder: Path
    server: Server
    config: RegistryConfig

    def registry(self, **options: Any) -> HttpRegistry:
        """Open a client."""
        return HttpRegistry(self.config, **options)

    def fresh(self, name: str) -> Path:
        """Create an empty folder."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


def measure() -> list[Figure]:
    """Measure everything on each available file system."""
    figures = []
    for place, folder in PLACES.items():
        if not folder.is_dir():
            harness.log(f"transfer: {folder} does not exist; skipped")
            continue
        with _bench(place, folder) as bench:
            figures += _large(bench) + _memory(bench) + _small(bench)
    return figures


@contextlib.contextmanager
def _bench(place: str, folder: Path) -> Iterator[Bench]:
    home = folder / f"benchmark-transfer-{os.getpid()}"
    home.mkdir()
    try:
        with harness.registry(home / "data") as (server, token):
            config = RegistryConfig(url=f"http://127.0.0.1:{server.port}", token=token, blob_timeout_s=300)
            with HttpRegistry(config) as registry:
                registry.models.create("large", "regression")
            yield Bench(place, home, server, config)
    finally:
        shutil.rmtree(home)


def _content(path: Path, seed: int, size: int) -> Path:
    chance = random.Random(seed)  # noqa: S311 - reproducible on purpose
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(chance.randbytes(min(MIB, size - start)))
    return path


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _copied(source: Path, target: Path) -> None:
    """Do the local equivalent of an upload: read, hash and write in one thread, with fsync."""
    digest = hashlib.sha256()
    with source.open("rb", buffering=0) as reading, target.open("wb", buffering=0) as writing:
        while chunk := reading.read(MIB):
            digest.update(chunk)
            writing.write(chunk)
        os.fsync(writing.fileno())
    target.unlink()


def _hashed(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        hashlib.file_digest(file, "sha256")


def _large(bench: Bench) -> list[Figure]:
    """Measure one large file: upload, download, from the cache, and a second upload."""
    gib = SIZE / 1024**3
    rounds: dict[str, list[tuple[float, float]]] = {"up": [], "down": [], "warm": [], "again": []}
    for number in range(ROUNDS):
        harness.log(f"transfer: {gib:g} GiB on {bench.place}, round {number + 1} of {ROUNDS}")
        for key, pair in _round(bench, SEED + number).items():
            rounds[key].append(pair)
    named = {
        "up": (0.6, f"upload of {gib:g} GiB, {bench.place}, beside writing and hashing"),
        "down": (0.6, f"verified download, {bench.place}, beside an unverified one"),
        "warm": (0.8, f"verified from the warm cache, {bench.place}, beside reading and hashing"),
    }
    figures = [
        harness.at_least(
            bar, "transfer", what, [bare / ours for ours, bare in rounds[key]], _format_seconds(rounds[key])
        )
        for key, (bar, what) in named.items()
    ]
    again = f"upload of the same {gib:g} GiB again, {bench.place}, beside hashing"
    figures.append(
        harness.at_most(
            1.2, "transfer", again, [ours / bare for ours, bare in rounds["again"]], _format_seconds(rounds["again"])
        )
    )
    return figures


def _round(bench: Bench, seed: int) -> dict[str, tuple[float, float]]:
    """Measure each kind of transfer; return the seconds of the registry and of the local equivalent."""
    source = _content(bench.folder / "source.bin", seed, SIZE)
    cache, found = Cache(bench.fresh("cache")), {}
    with bench.registry() as registry, httpx.Client(base_url=bench.config.url, timeout=300) as plain:

        def register() -> None:
            registry.register("large", source, framework="none")

        bare_s = _seconds(lambda: _copied(source, bench.folder / "copy.bin"))
        found["up"] = (_seconds(register), bare_s)
        version = registry.resolve("models:/large/latest")
        found["again"] = (_seconds(register), _seconds(lambda: _hashed(source)))
        path = f"/v1/models/large/versions/{version.version}/files/source.bin"
        bare_s = _seconds(lambda: _unverified(plain, bench, path))
        found["down"] = (_seconds(lambda: registry.fetch(version.reference, cache=cache)), bare_s)
        warm_s = _seconds(lambda: registry.fetch(version.reference, cache=cache, local_files_only=True))
        found["warm"] = (warm_s, _seconds(lambda: _hashed(source)))
        _free(registry)
    return found


def _format_seconds(pairs: list[tuple[float, float]]) -> str:
    ours, bare = (statistics.median(times) for times in zip(*pairs, strict=True))
    return f"{ours:.2f} s to {bare:.2f} s"


def _unverified(plain: httpx.Client, bench: Bench, path: str) -> None:
    """Download the same bytes to the same disk without verification."""
    target = bench.folder / "unverified.bin"
    with plain.stream("GET", path, headers={"authorization": f"Bearer {bench.config.token}"}) as answer:
        answer.raise_for_status()
        with target.open("wb", buffering=0) as file:
            for chunk in answer.iter_raw():
                file.write(chunk)
            os.fsync(file.fileno())
    target.unlink()


def _free(registry: HttpRegistry) -> None:
    # Tombstoned, so that their bytes can be collected and the folder does not grow with each round.
    for version in registry.versions.search("large"):
        if version.tombstone is None:
            registry.versions.tombstone("large", version.version, reason="measured", force=True)


def _memory(bench: Bench) -> list[Figure]:
    """Measure how much the peak memory grows with one large transfer, and with many concurrent ones."""
    figures = []
    for many in (1, AT_ONCE):
        harness.log(f"transfer: memory of {many} at once on {bench.place}")
        size = SIZE // many
        figures += [
            harness.at_most(
                1.0,
                "transfer",
                f"peak memory of the {who}, {many} × {size // MIB} MiB up and down, {bench.place}, of {MOST_MIB} MiB",
                [grown / MOST_MIB],
                f"{grown:.0f} MiB more",
            )
            for who, grown in _peaks(bench, many, size).items()
        ]
    return figures


def _peaks(bench: Bench, many: int, size: int) -> dict[str, float]:
    work = bench.fresh(f"memory-{many}")
    Path(f"/proc/{bench.server.pid}/clear_refs").write_text("5", "ascii")
    before = bench.server.resident_mb()
    order = {"url": bench.config.url, "token": bench.config.token, "folder": str(work), "many": many, "size": size}
    done = subprocess.run(  # noqa: S603 - fixed arguments
        [sys.executable, "-m", "benchmarks.transfer", "--client", json.dumps(order)],
        cwd=harness.ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    shutil.rmtree(work)
    return {"server": _peak_mb(bench.server.pid) - before, "client": float(done.stdout)}


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def client(order: dict[str, Any]) -> None:
    """Run the client of the memory measurement: warm up, transfer the bytes, and print how much the peak grew."""
    folder, many, size = Path(order["folder"]), order["many"], order["size"]
    config = RegistryConfig(url=order["url"], token=order["token"], blob_timeout_s=300)

    def moved(number: int, size: int) -> None:
        home = folder / f"{number}-{size}"
        home.mkdir()
        file = _content(home / "file.bin", number * size, size)
        version = registry.register("large", file, framework="none")
        file.unlink()
        registry.fetch(version.reference, cache=Cache(home / "cache"))
        shutil.rmtree(home)

    with HttpRegistry(config) as registry, concurrent.futures.ThreadPoolExecutor(many) as pool:
        list(pool.map(lambda number: moved(number, MIB), range(many)))
        Path("/proc/self/clear_refs").write_text("5", "ascii")
        before = _peak_mb(os.getpid())
        list(pool.map(lambda number: moved(number, size), range(many)))
        print(_peak_mb(os.getpid()) - before)


class Delayed(httpx.HTTPTransport):
    """A transport that adds latency to each request."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request after the delay."""
        time.sleep(LATENCY_S)
        return super().handle_request(request)


def _small(bench: Bench) -> list[Figure]:
    """Measure many small files, concurrently and one by one."""
    ratios, times = [], []
    with bench.registry(transport=Delayed()) as registry:
        for number in range(ROUNDS):
            harness.log(f"transfer: {FILES:,} small files on {bench.place}, round {number + 1} of {ROUNDS}")
            taken = []
            for at_once in (1, None):
                files = _many(bench.fresh("many"), f"{number}-{at_once}".encode())
                taken.append(_seconds(lambda files=files, at_once=at_once: _sent(registry, files, at_once)))
            ratios.append(taken[0] / taken[1])
            times.append((taken[1], taken[0]))
    what = f"{FILES:,} files of {FILE_BYTES // 1000} kB, {LATENCY_S * 1000:g} ms away, {bench.place}, beside one by one"
    return [harness.at_least(5.0, "transfer", what, ratios, _format_seconds(times))]


def _many(folder: Path, seed: bytes) -> list[hashing.LocalFile]:
    found = []
    for number in range(FILES):
        path = folder / f"{number:04d}.bin"
        content = hashlib.sha256(seed + b"%d" % number).digest() * (FILE_BYTES // 32)
        path.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        entry = FileEntry(path=path.name, size=len(content), sha256=sha256)
        found.append(hashing.LocalFile(path, entry, (sha256,)))
    return found


def _sent(registry: HttpRegistry, files: list[hashing.LocalFile], at_once: int | None) -> None:
    from common_lib.binding import run  # noqa: PLC0415 - beside what it drives

    if at_once is None:
        run(upload.send(files), registry.call)
    else:
        for file in files:
            registry.artifacts.put_blob(file.entry.sha256, file.path)


if __name__ == "__main__":
    if "--client" in sys.argv:
        client(json.loads(sys.argv[-1]))
    else:
        harness.main(measure)
