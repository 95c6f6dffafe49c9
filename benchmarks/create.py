"""The cost of a write compared with the durable commit that it needs, and the gain by group commit.

`create version` over HTTP alternates with two baselines: a commit of the same rows into a copy of the database, with
the same pragmas on the same disk, and a POST of the same body to a handler that discards it. For group commit, each
fsync takes 5 ms longer, and sixteen writers on one model are compared with one.
"""

import contextlib
import itertools
import statistics
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw

from benchmarks import harness, steps
from benchmarks.harness import Figure, Generator, Server

NOOP_SHARE = 1.5
WARM_UP, CREATES = 50, 400
BAR_GROUP, WRITERS, FSYNC_S = 5.0, 16, 0.005
ROUNDS, ROUND_S = 7, 2.0
_MODEL = "volatility"
_FILE = "registry.sqlite3"
_PATH = "/v1/models/{name:str}/versions"
# The tables that one create writes to, and the condition that selects the newest rows.
_NEWEST = "ORDER BY rowid DESC LIMIT 1"
_ROWS = {
    "documents": _NEWEST,
    "versions": _NEWEST,
    "version_files": "WHERE (model, version) = (SELECT model, version FROM versions ORDER BY rowid DESC LIMIT 1)",
    "events": _NEWEST,
    "idempotency": _NEWEST,
}
_Statement = tuple[str, tuple[Any, ...]]


def measure() -> list[Figure]:
    """Measure one client, and many writers."""
    return [_one_client(), _many_writers()]


def _one_client() -> Figure:
    harness.log(f"create: {CREATES} versions by one client")
    with harness.temporary_folder("create") as folder, contextlib.ExitStack() as stack:
        data = folder / "data"
        server, token = stack.enter_context(harness.registry(data))
        noop = stack.enter_context(harness.server("discard_body", path=_PATH))
        client, noop_client = (stack.enter_context(to.client()) for to in (server, noop))
        steps.model(client, token, _MODEL)
        written = apsw.Connection(str(data / _FILE), flags=apsw.SQLITE_OPEN_READONLY)
        bare = _copy(written, folder / "bare.sqlite3")
        stack.callback(written.close)
        stack.callback(bare.close)
        raw = steps.creation(token, _MODEL, 0)
        client.expect(201, raw)
        written_rows = deque([_rows_of_newest(written)])
        create_s, commit_s, noop_s = [], [], []
        for number in range(1, WARM_UP + CREATES + 1):
            raw = steps.creation(token, _MODEL, number)

            def create(raw: bytes = raw) -> None:
                create_s.append(client.seconds(raw, 201))
                written_rows.append(_rows_of_newest(written))

            def commit() -> None:
                commit_s.append(_commit(bare, written_rows.popleft()))

            # An fsync also waits for earlier writes of other processes, so the two take turns in being first.
            first, last = (create, commit) if number % 2 else (commit, create)
            first()
            noop_s.append(noop_client.seconds(raw, 201))
            last()
    return _beside(create_s[WARM_UP:], commit_s[WARM_UP:], noop_s[WARM_UP:])


def _beside(create_s: Sequence[float], commit_s: Sequence[float], noop_s: Sequence[float]) -> Figure:
    # The ratio is one of medians of the whole run; its spread is that of ten parts of the run.
    tenth = len(create_s) // 10
    parts = [slice(None), *(slice(start, start + tenth) for start in range(0, len(create_s), tenth))]
    medians = [tuple(statistics.median(times[part]) for times in (create_s, commit_s, noop_s)) for part in parts]
    ratios = [create / (commit + NOOP_SHARE * noop) for create, commit, noop in medians]
    create, commit, noop = (1000 * value for value in medians[0])
    figure = harness.at_most(
        1.0,
        "create",
        f"p50 beside bare commit + {NOOP_SHARE} × no-op POST",
        ratios[1:],
        f"{create:.2f} ms; commit {commit:.2f} ms, no-op {noop:.2f} ms",
    )
    return figure._replace(ratio=ratios[0])


def _copy(source: apsw.Connection, path: Path) -> apsw.Connection:
    copy = apsw.Connection(str(path))
    with copy.backup("main", source, "main") as backup:
        backup.step()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        copy.execute(f"PRAGMA {pragma}").fetchall()
    return copy


def _rows_of_newest(written: apsw.Connection) -> list[_Statement]:
    """Return the statements, with their values, that repeat the newest create."""
    statements: list[_Statement] = []
    for table, where in _ROWS.items():
        for row in written.execute(f"SELECT * FROM {table} {where}").fetchall():  # noqa: S608 - fixed arguments
            marks = ", ".join("?" * len(row))
            statements.append((f"INSERT INTO {table} VALUES ({marks})", row))  # noqa: S608 - the same
    counter = written.execute("SELECT value, at FROM counters WHERE name = 'events'").fetchall()[0]
    latest = written.execute("SELECT latest_version FROM models WHERE name = ?", (_MODEL,)).fetchall()[0]
    statements.append(("UPDATE counters SET value = ?, at = ? WHERE name = 'events'", counter))
    statements.append(("UPDATE models SET latest_version = ? WHERE name = ?", (*latest, _MODEL)))
    return statements


def _commit(bare: apsw.Connection, statements: Sequence[_Statement]) -> float:
    began = time.perf_counter()
    bare.execute("BEGIN IMMEDIATE")
    for statement, values in statements:
        bare.execute(statement, values).fetchall()
    bare.execute("COMMIT")
    return time.perf_counter() - began


def _many_writers() -> Figure:
    harness.log(f"create: {ROUNDS} rounds of one and of {WRITERS} writers, each fsync {FSYNC_S * 1000:.0f} ms longer")
    with (
        harness.temporary_folder("group-commit") as folder,
        harness.registry(folder, fsync_s=FSYNC_S) as (server, token),
        harness.generator() as generator,
    ):
        with server.client() as client:
            steps.model(client, token, _MODEL)
        numbers = itertools.count()
        rates = [
            tuple(_rate(generator, server, token, writers, numbers) for writers in (1, WRITERS))
            for _ in range(ROUNDS + 1)
        ][1:]
    one, many = (statistics.median(rate) for rate in zip(*rates, strict=True))
    return harness.at_least(
        BAR_GROUP,
        "create",
        f"{WRITERS} writers beside one, {FSYNC_S * 1000:.0f} ms per fsync",
        [many / one for one, many in rates],
        f"{many:,.0f}/s of {one:,.0f}/s",
    )


def _rate(generator: Generator, server: Server, token: str, writers: int, numbers: Iterator[int]) -> float:
    # Each request creates another version; there are more than one round can send.
    most = int(ROUND_S / FSYNC_S * writers)
    requests = [steps.creation(token, _MODEL, next(numbers)) for _ in range(most)]
    load = generator.load(server.port, requests, status=201, connections=writers, count=most, seconds=ROUND_S)
    return load.per_s


if __name__ == "__main__":
    harness.main(measure)
