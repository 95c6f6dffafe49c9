"""The inputs of the client: responses of a server, and the configuration."""

import contextlib
import json
import random
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from typing import Final, NamedTuple

import httpx

from common_lib import HttpRegistry, RegistryConfig
from common_lib.config import BreakerRules, ResolveRules
from common_lib.errors import InvalidConfiguration, RegistryError
from registry_server.inprocess import URL
from tests.fuzz.harness import Run, Target, calling
from tests.fuzz.mutators import NUMBERS, TEXTS, any_bytes, any_json, any_text
from tests.fuzz.world import Answer, Exchange, world

_STATUS: Final = (
    200,
    201,
    202,
    204,
    206,
    301,
    302,
    304,
    307,
    400,
    401,
    403,
    404,
    408,
    409,
    410,
    412,
    413,
    416,
    418,
    422,
)
_LATER: Final = (428, 429, 431, 451, 500, 502, 503, 504, 599)
_HEADERS: Final = ("content-type", "content-length", "etag", "location", "retry-after", "x-request-id", "content-range")
_TYPES: Final = ("text/html", "application/json", "application/problem+json", "application/json; charset=utf-16", "")


class Case(NamedTuple):
    """The number of an operation, and the response to it."""

    number: int
    answer: Answer


@cache
def _exchanges() -> list[Exchange]:
    return [exchange for exchange in world().exchanges if exchange.operation.sink is None]


class _FixedAnswer(httpx.BaseTransport):
    """A transport that sends the same response to every request."""

    def __init__(self) -> None:
        self.answer = Answer(200, (), b"")

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if isinstance(request.stream, httpx.SyncByteStream):
            b"".join(request.stream)
        status, headers, body = self.answer
        raw = [(name.encode(), value.encode("utf-8", "replace")) for name, value in headers]
        return httpx.Response(status, headers=raw, stream=httpx.ByteStream(body))


@contextlib.contextmanager
def _calling() -> Iterator[Run]:
    transport = _FixedAnswer()
    config = RegistryConfig(url=URL, attempts=1, breaker=BreakerRules(minimum_calls=10**9), resolve=None)
    with HttpRegistry(config, transport=transport) as registry:

        def run(case: Case) -> None:
            transport.answer = case.answer
            registry.call(_exchanges()[case.number].operation)

        yield run


def _answer_cases() -> list[Case]:
    return [Case(n, one.answer) for n, one in enumerate(_exchanges()) if one.answer.status < 400]


def _mutate_answer(chance: random.Random, case: Case) -> Case:
    status, headers, body = case.answer
    way = chance.randrange(8)
    if way == 0:
        status = chance.choice(_STATUS)
    elif way == 1:
        name = chance.choice(_HEADERS)
        value = chance.choice((*_TYPES, *TEXTS, *map(str, NUMBERS), any_text(chance, dict(headers).get(name, ""))))
        headers = (*((n, v) for n, v in headers if n != name), (name, value.replace("\n", "").replace("\r", "")))
    elif way == 2:
        return Case(case.number, chance.choice(_exchanges()).answer)
    elif way == 3:
        body = any_bytes(chance, body)
    elif body[:1] in b"{[":
        body = json.dumps(any_json(chance, json.loads(body or b"{}"))).encode("utf-8", "replace")
    return Case(case.number, Answer(status, tuple(h for h in headers if h[0] != "content-length"), body))


def _variables() -> list[str]:
    rules = [(BreakerRules, "REGISTRY_BREAKER_"), (ResolveRules, "REGISTRY_RESOLVE_"), (RegistryConfig, "REGISTRY_")]
    return [f"{prefix}{field.name.upper()}" for kind, prefix in rules for field in fields(kind)]


_URLS: Final = ("http://127.0.0.1:8321", "https://registry.example:443/", "http://[::1]:8321", "HTTP://localhost")


_OTHERS: Final = {"REGISTRY_TOKEN": "mrg_x", "REGISTRY_ATTEMPTS": "2"}


def _configure(environment: dict[str, str]) -> None:
    HttpRegistry(RegistryConfig.from_environment(environment)).close()


def _mutate_settings(chance: random.Random, case: dict[str, str]) -> dict[str, str]:
    made = dict(case)
    for _ in range(chance.choice((1, 1, 2, 3))):
        name = chance.choice((*_variables(), *("REGISTRY_URL",) * 9, *("REGISTRY_REPLICAS",) * 4))
        valid = chance.choice(_URLS) if name in {"REGISTRY_URL", "REGISTRY_REPLICAS"} else made.get(name, "1")
        made[name] = chance.choice((any_text(chance, valid), *map(str, NUMBERS), *TEXTS, *_URLS))
    return made


TARGETS: Final = [
    Target(name="answers", seeds=_answer_cases, mutate=_mutate_answer, runner=_calling, refusals=(RegistryError,)),
    Target(
        name="configuration",
        seeds=lambda: [
            {},
            *({"REGISTRY_URL": url, "REGISTRY_TOKEN": "mrg_x", "REGISTRY_ATTEMPTS": "2"} for url in _URLS),
        ],
        mutate=_mutate_settings,
        runner=calling(_configure),
        refusals=(InvalidConfiguration,),
    ),
]
