"""The cost of looking up an earlier production version and of a policy check, after 1,000,000 events.

Both are compared with a resolve of the same models over the same connection. The policy has rules of every kind except
change windows.
"""

import contextlib
import random
import statistics
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from benchmarks import filling, harness, past
from benchmarks.harness import SEED, Client, Figure, Server, request
from benchmarks.steps import change
from tests.support.postgres import Postgres, postgres_server

MODELS, EVENTS = 10_000, 1_000_000
REQUESTED = 16
BAR = 3.0
WARM_UP, ROUNDS, EACH = 3, 40, 8
RULES = {
    "metrics": [
        {"metric": "rmse", "direction": "at_most", "than": 0.5},
        {"metric": "mae", "direction": "at_most", "tolerance": 0.01},
    ],
    "approvals": 1,
    "tags": {"team": None},
    "files": ["*.skops"],
}
Open = Callable[[contextlib.ExitStack, Path], tuple[Server, str]]


def measure() -> list[Figure]:
    """Measure both engines."""
    with harness.temporary_folder("lifecycle") as folder:
        figures = _engine("sqlite", folder / "sqlite", _on_sqlite)
        # Not in `folder`, which PostgreSQL's own user could not enter.
        with postgres_server(Path("/tmp")) as postgres:  # noqa: S108 - it creates a new folder there
            return figures + _engine("postgres", folder / "postgres", _on(postgres))


def _on_sqlite(stack: contextlib.ExitStack, data: Path) -> tuple[Server, str]:
    with harness.registry(data):
        pass
    file = data / "registry.sqlite3"
    filling.fill_sqlite(file, MODELS, SEED)
    past.add_sqlite(file, past.past(MODELS, EVENTS))
    return stack.enter_context(harness.registry(data))


def _on(postgres: Postgres) -> Open:
    def open_(stack: contextlib.ExitStack, data: Path) -> tuple[Server, str]:
        url = postgres.create_database("lifecycle")
        with harness.registry(data, database_url=url):
            pass
        filling.fill_postgres(url, MODELS, SEED)
        past.add_postgres(url, past.past(MODELS, EVENTS))
        return stack.enter_context(harness.registry(data, database_url=url))

    return open_


def _engine(engine: str, folder: Path, open_: Open) -> list[Figure]:
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        began = time.perf_counter()
        server, token = open_(stack, folder)
        harness.log(f"lifecycle: {EVENTS:,} events in {engine}, after {time.perf_counter() - began:.0f} s")
        client = stack.enter_context(server.client())
        return _compare(engine, client, _requests(client, token))


def _requests(client: Client, token: str) -> dict[str, list[bytes]]:
    """Return the requests for a few models by kind; the first kind is the resolve, the baseline."""
    chance = random.Random(SEED)  # noqa: S311 - reproducible on purpose
    listed = client.expect(200, request("GET", f"/v1/models?limit={REQUESTED}&stage=production", token=token)).json()
    names = [item["name"] for item in listed["items"]]
    moments = past.past(MODELS, EVENTS).moments(chance, len(names))
    found: dict[str, list[bytes]] = {"resolve": [], "production at": [], "resolve as of": [], "policy check": []}
    for name, moment in zip(names, moments, strict=True):
        as_of = moment.isoformat().replace("+00:00", "Z")
        path = f"/v1/models/{name}"
        _set_policy_and_approve(client, token, path)
        found["resolve"].append(request("GET", f"{path}/resolve/production", token=token))
        found["production at"].append(request("GET", f"{path}/production?as_of={as_of}", token=token))
        found["resolve as of"].append(request("GET", f"{path}/resolve/production?as_of={as_of}", token=token))
        found["policy check"].append(request("GET", f"{path}/versions/9/check", token=token))
    return found


def _set_policy_and_approve(client: Client, token: str, path: str) -> None:
    body = {"rules": RULES, "reason": "losses must be small"}
    client.expect(200, change("PUT", f"{path}/policy", token, body, if_match='"1"'))
    approval = {"verdict": "approved", "reason": "it is better"}
    client.expect(201, change("POST", f"{path}/versions/9/approvals", token, approval))


def _compare(engine: str, client: Client, requests_by_kind: dict[str, list[bytes]]) -> list[Figure]:
    turns = {what: cycle(requests) for what, requests in requests_by_kind.items()}
    taken: dict[str, list[float]] = {what: [] for what in requests_by_kind}
    for _ in range(WARM_UP + ROUNDS):
        for what, requests in turns.items():
            taken[what].append(statistics.median(client.seconds(next(requests)) for _ in range(EACH)))
    base, *others = ({what: times[WARM_UP:]} for what, times in taken.items())
    (resolves,) = base.values()
    return [
        harness.at_most(
            BAR,
            "lifecycle",
            f"{engine}, {what} beside a resolve, {EVENTS:,} events",
            [time_s / base_s for time_s, base_s in zip(times, resolves, strict=True)],
            f"{1000 * statistics.median(times):.2f} ms to {1000 * statistics.median(resolves):.2f} ms",
        )
        for other in others
        for what, times in other.items()
    ]


if __name__ == "__main__":
    harness.main(measure)
