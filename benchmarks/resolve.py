"""The hot path: what a resolve costs beside a bare Litestar handler that returns the very same bytes.

Real sockets, one uvicorn process each, keep-alive connections of a load generator in a third process. The registry
checks the token, counts, measures, reads its database and builds an ETag; the bare handler does nothing.
"""

import json
import statistics
from typing import NamedTuple

from benchmarks import harness
from benchmarks.harness import Answer, Figure, Generator, Server, request
from benchmarks.steps import model_in_production

BAR, BAR_304 = 0.6, 0.7
CONNECTIONS = (8, 32)
MODELS = 16  # a fixed set of names, as a service has; Litestar's routing cache holds 1,024
ROUNDS = 25
ROUND_S, ROUND_REQUESTS = 0.4, 20_000
_PATH = "/v1/models/{name:str}/resolve/{selector:str}"
# What uvicorn and Litestar add by themselves.
_OWN = {"date", "content-length", "content-type"}


class Side(NamedTuple):
    """One of two servers, and what it is asked."""

    server: Server
    requests: list[bytes]
    status: int


def measure() -> list[Figure]:
    """Ratio of requests per second, registry to bare handler."""
    with harness.temporary_folder("resolve") as folder, harness.registry(folder) as (server, token):
        with server.client() as client:
            names = [model_in_production(client, token, f"model-{number:02d}") for number in range(MODELS)]
            plain = [request("GET", f"/v1/models/{name}/resolve/production", token=token) for name in names]
            answer = client.expect(200, plain[0])
            etag = answer.headers["etag"]
            known = [
                request("GET", f"/v1/models/{name}/resolve/production", token=token, if_none_match=etag)
                for name in names
            ]
            unchanged = client.expect(304, known[0])
        with _bare(answer) as bare, _bare(unchanged) as bare_304, harness.generator() as generator:
            _require_same(bare, plain[0], answer)
            _require_same(bare_304, known[0], unchanged)
            return [
                figure
                for connections in CONNECTIONS
                for figure in (
                    _compare(generator, connections, "200", BAR, Side(server, plain, 200), Side(bare, plain, 200)),
                    _compare(
                        generator, connections, "304", BAR_304, Side(server, known, 304), Side(bare_304, known, 304)
                    ),
                )
            ]


def _bare(answer: Answer) -> "harness.contextlib.AbstractContextManager[Server]":
    headers = {name: value for name, value in answer.headers.items() if name not in _OWN}
    return harness.server(
        "answering",
        path=_PATH,
        status=answer.status,
        headers=headers,
        body=answer.body.decode(),
    )


def _require_same(bare: Server, raw: bytes, answer: Answer) -> None:
    with bare.client() as client:
        found = client.expect(answer.status, raw)
    if found.body != answer.body or sorted(found.headers) != sorted(answer.headers):
        raise RuntimeError(f"the bare handler answers {found}, the registry {answer}")


def _compare(generator: Generator, connections: int, what: str, bar: float, ours: Side, bare: Side) -> Figure:
    harness.say(f"resolve {what}, {connections} connections: {ROUNDS} rounds")

    def run(side: Side) -> tuple[float, float]:
        cpu = side.server.cpu_s()
        load = generator.load(
            side.server.port,
            side.requests,
            status=side.status,
            connections=connections,
            count=ROUND_REQUESTS,
            seconds=ROUND_S,
        )
        return load.per_s, (side.server.cpu_s() - cpu) / load.answers * 1e6

    run(ours)
    run(bare)
    rounds = []
    for number in range(ROUNDS):
        # Alternating order, so that a drift of the machine favours neither.
        pair = [run(side) for side in ((ours, bare) if number % 2 else (bare, ours))]
        rounds.append(pair if number % 2 else pair[::-1])
    per_s, cpu = ([[side[index] for side in pair] for pair in rounds] for index in (0, 1))
    ours_s, bare_s = (statistics.median(pair[side] for pair in per_s) for side in (0, 1))
    ours_cpu, bare_cpu = (statistics.median(pair[side] for pair in cpu) for side in (0, 1))
    return harness.at_least(
        bar,
        "resolve",
        f"{what}, {connections} connections",
        [mine / other for mine, other in per_s],
        f"{ours_s:,.0f}/s of {bare_s:,.0f}/s; {ours_cpu:.0f} µs of CPU to {bare_cpu:.0f} µs",
    )


if __name__ == "__main__":
    harness.main(measure)
