"""The cost of a page of 100 models in a registry with ten and a hundred times as many models.

Measured through the HTTP API over a socket, in interleaved rounds, with a separate registry for each size and engine.
PostgreSQL is analysed after the filling, as its autovacuum would do; SQLite is not, because nothing does it there.
"""

import contextlib
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import filling, harness
from benchmarks.harness import SEED, Client, Figure, Server, request
from tests.support.postgres import Postgres, postgres_server

SIZES = (1_000, 10_000, 100_000)
BARS = {10_000: 1.5, 100_000: 3.0}
LIMIT, MOST = 100, 1_000
WARM_UP, ROUNDS, EACH = 3, 30, 3
_PRODUCTION, _TYPE, _TAG = "stage=production", "type=forecasting", f"tag=team={filling.FORECASTERS}"
QUERIES = {
    "plain": "",
    "plain, from the middle": "",
    "by type": _TYPE,
    "by stage": _PRODUCTION,
    "by tag": _TAG,
    "by all three": f"{_TYPE}&{_PRODUCTION}&{_TAG}",
}
Open = Callable[[contextlib.ExitStack, Path, int], tuple[Server, str]]


def measure() -> list[Figure]:
    """Measure both engines."""
    with harness.temporary_folder("pages") as folder:
        figures = _engine("sqlite", folder / "sqlite", _on_sqlite)
        # Not in `folder`, which PostgreSQL's own user could not enter.
        with postgres_server(Path("/tmp")) as postgres:  # noqa: S108 - it creates a new folder there
            return figures + _engine("postgres", folder / "postgres", _on(postgres))


def _on_sqlite(stack: contextlib.ExitStack, data: Path, models: int) -> tuple[Server, str]:
    with harness.registry(data):
        pass
    filling.fill_sqlite(data / "registry.sqlite3", models, SEED)
    return stack.enter_context(harness.registry(data))


def _on(postgres: Postgres) -> Open:
    def open_(stack: contextlib.ExitStack, data: Path, models: int) -> tuple[Server, str]:
        url = postgres.create_database(f"pages_{models}")
        with harness.registry(data, database_url=url):
            pass
        filling.fill_postgres(url, models, SEED)
        return stack.enter_context(harness.registry(data, database_url=url))

    return open_


def _engine(engine: str, folder: Path, open_: Open) -> list[Figure]:
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        servers: dict[int, Server] = {}
        requests: dict[int, dict[str, bytes]] = {}
        for models in SIZES:
            began = time.perf_counter()
            servers[models], token = open_(stack, folder / str(models), models)
            with servers[models].client() as client:
                requests[models] = _requests(client, token, models)
            harness.log(f"pages: {models:,} models in {engine}, after {time.perf_counter() - began:.0f} s")
        return [figure for query in QUERIES for figure in _compare(engine, query, servers, requests)]


def _requests(client: Client, token: str, models: int) -> dict[str, bytes]:
    """Return the request of each query; raise an error if the response is not a full page."""
    found = {}
    for query, conditions in QUERIES.items():
        path = f"/v1/models?limit={LIMIT}&{conditions}".rstrip("&")
        if "middle" in query:
            path += f"&page_token={_middle(client, token, models)}"
        found[query] = request("GET", path, token=token)
        count = len(client.expect(200, found[query]).json()["items"])
        if count != LIMIT:
            raise RuntimeError(f"{query!r} returns {count} of {models} models, not a full page")
    return found


def _middle(client: Client, token: str, models: int) -> str:
    """Return the page token after the first half of all models."""
    behind, page_token = 0, ""
    while behind < models // 2:
        step = min(MOST, models // 2 - behind)
        path = f"/v1/models?limit={step}" + (f"&page_token={page_token}" if page_token else "")
        page_token = client.expect(200, request("GET", path, token=token)).json()["next_page_token"]
        behind += step
    return page_token


def _compare(
    engine: str, query: str, servers: dict[int, Server], requests: dict[int, dict[str, bytes]]
) -> list[Figure]:
    rounds: dict[int, list[float]] = {models: [] for models in SIZES}
    with contextlib.ExitStack() as stack:
        clients = {models: stack.enter_context(server.client()) for models, server in servers.items()}
        for _ in range(WARM_UP + ROUNDS):
            for models, client in clients.items():
                raw = requests[models][query]
                rounds[models].append(statistics.median(client.seconds(raw) for _ in range(EACH)))
    taken = {models: times[WARM_UP:] for models, times in rounds.items()}
    base = taken[SIZES[0]]
    return [
        harness.at_most(
            bar,
            "pages",
            f"{engine}, {query}, {models:,} models beside {SIZES[0]:,}",
            [time_s / base_s for time_s, base_s in zip(taken[models], base, strict=True)],
            f"{1000 * statistics.median(taken[models]):.2f} ms to {1000 * statistics.median(base):.2f} ms",
        )
        for models, bar in BARS.items()
    ]


if __name__ == "__main__":
    harness.main(measure)
