"""The cost of a resolve, compared with a bare Litestar handler that returns the same bytes.

Each side is one uvicorn process on a real socket; the load generator is a third process with keep-alive connections.
The registry checks the token, records metrics, reads its database and builds an ETag; the bare handler does none of it.
"""

import statistics
from contextlib import AbstractContextManager
from typing import NamedTuple

from benchmarks import harness
from benchmarks.harness import Answer, Figure, Generator, Server, request
from benchmarks.steps import model_in_production

BAR, BAR_304 = 0.6, 0.7
CONNECTIONS = (8, 32)
MODELS = 16  # a fixed set of names, as a service has; Litestar's routing cache holds 1,024
WARM_UP, ROUNDS = 2, 25
ROUND_S, ROUND_REQUESTS = 0.4, 20_000
_PATH = "/v1/models/{name:str}/resolve/{selector:str}"
# Headers that uvicorn and Litestar add.
_OWN = {"date", "content-length", "content-type"}


class Side(NamedTuple):
    """One of the two servers, and the requests to it."""

    server: Server
    requests: list[bytes]
    status: int

    def rate(self, generator: Generator, connections: int) -> tuple[float, float]:
        """Measure responses per second, and the server's processor time for each in µs."""
        cpu_s = self.server.cpu_s()
        load = generator.load(
            self.server.port,
            self.requests,
            status=self.status,
            connections=connections,
            count=ROUND_REQUESTS,
            seconds=ROUND_S,
        )
        return load.per_s, (self.server.cpu_s() - cpu_s) / load.answers * 1e6


class Pair(NamedTuple):
    """The registry and the bare handler, and the bar between them."""

    what: str
    bar: float
    ours: Side
    bare: Side


def measure() -> list[Figure]:
    """Measure requests per second of the registry, as a share of those of the bare handler."""
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
            fresh = Pair("200", BAR, Side(server, plain, 200), Side(bare, plain, 200))
            same = Pair("304", BAR_304, Side(server, known, 304), Side(bare_304, known, 304))
            return [_compare(generator, pair, connections) for connections in CONNECTIONS for pair in (fresh, same)]


def _bare(answer: Answer) -> AbstractContextManager[Server]:
    headers = {name: value for name, value in answer.headers.items() if name not in _OWN}
    body = answer.body.decode()
    return harness.server("fixed_response", path=_PATH, status=answer.status, headers=headers, body=body)


def _require_same(bare: Server, raw: bytes, answer: Answer) -> None:
    with bare.client() as client:
        found = client.expect(answer.status, raw)
    if found.body != answer.body or sorted(found.headers) != sorted(answer.headers):
        raise RuntimeError(f"the bare handler returns {found}, the registry {answer}")


def _compare(generator: Generator, pair: Pair, connections: int) -> Figure:
    harness.log(f"resolve {pair.what}, {connections} connections: {ROUNDS} rounds")
    rounds = []
    for number in range(WARM_UP + ROUNDS):
        if number % 2:
            ours, bare = pair.ours.rate(generator, connections), pair.bare.rate(generator, connections)
        else:  # the reverse order, so that a drift of the machine favours neither side
            bare, ours = pair.bare.rate(generator, connections), pair.ours.rate(generator, connections)
        rounds.append((*ours, *bare))
    rounds = rounds[WARM_UP:]
    per_s, cpu_us, bare_per_s, bare_cpu_us = map(statistics.median, zip(*rounds, strict=True))
    return harness.at_least(
        pair.bar,
        "resolve",
        f"{pair.what}, {connections} connections",
        [ours / bare for ours, _, bare, _ in rounds],
        f"{per_s:,.0f}/s of {bare_per_s:,.0f}/s; {cpu_us:.0f} µs of CPU to {bare_cpu_us:.0f} µs",
    )


if __name__ == "__main__":
    harness.main(measure)
