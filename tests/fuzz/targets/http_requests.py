"""Requests to the server: their addresses, queries, headers, bodies and page tokens."""

import base64
import contextlib
import json
import random
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final
from unittest import mock
from urllib.parse import unquote_to_bytes

from common_lib.rules.codes import Code
from registry_server.core import pages
from tests.fuzz.harness import Run, Target, calling
from tests.fuzz.mutators import NUMBERS, TEXTS, any_bytes, any_json, any_text, any_value
from tests.fuzz.world import Request, recorded, repeatable, world

_PRINTABLE: Final = re.compile(rb"[^\x21-\x7e]")
_HEADERS: Final = (
    *("accept", "authorization", "content-encoding", "content-length", "content-type", "cookie", "expect"),
    *("idempotency-key", "if-match", "if-none-match", "if-range", "range", "x-request-deadline-ms", "x-request-id"),
    *("x-forwarded-for", "x-prefix-sha256", "transfer-encoding", "accept-encoding", "if-modified-since"),
)
_MOMENTS: Final = (
    "2026-03-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-02-30T00:00:00Z",
)
_VALUES: Final = (
    *("*", '"1"', 'W/"1"', '"1", "2"', '""', "bytes=0-", "bytes=-1", "bytes=1-0", "bytes=0-0,2-3", "bytes=9" * 40),
    *("Bearer ", "Bearer mrg_x", "Basic YTpi", "application/json; charset=utf-16", "text/plain", "gzip", "0", "-5"),
    *("1e9", "99999999999999999999", "nan", "a" * 9_000, "\u00ff", "x\ty", ",", ";", '"'),
)


class Refused(Exception):
    """A refusal by the server with a problem document."""


def ask(request: Request) -> None:
    """Send a request, and check the response against the rules for every response.

    Raises:
        Refused: the response is a problem document with a known code.
        AssertionError: the response is a failure of the server, or not a problem document.
    """
    answer = world().send(request)
    headers = dict(answer.headers)
    # A deadline of zero correctly causes a 504.
    is_hurried = answer.status == 504 and b"x-request-deadline-ms" in dict(request.headers)
    assert answer.status < 500 or is_hurried, f"{answer.status} {answer.body[:500]!r}"
    assert "x-request-id" in headers, headers
    if answer.status >= 400:
        assert headers["content-type"] == "application/problem+json", headers
        problem = json.loads(answer.body) if answer.body else {"code": "none", "status": answer.status}
        assert problem["status"] == answer.status
        assert not answer.body or Code(problem["code"]).status == answer.status, problem
        raise Refused(problem["code"])


def _text(chance: random.Random, text: bytes) -> bytes:
    made = any_text(chance, text.decode("latin-1")).encode("utf-8", "replace")
    return _PRINTABLE.sub(lambda match: b"%%%02X" % match[0][0], made)


def _addresses(chance: random.Random, request: Request) -> Request:
    path, mark, query = request.target.partition(b"?")
    parts = path.split(b"/")
    place = chance.randrange(1, len(parts))
    parts[place] = chance.choice((_text(chance, parts[place]), _bound(chance), parts[place].swapcase()))
    method = chance.choice((request.method, request.method, "GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"))
    return request._replace(method=method, target=b"/".join(parts) + mark + query)


def _queries(chance: random.Random, request: Request) -> Request:
    path, _, query = request.target.partition(b"?")
    pairs = [pair.split(b"=", 1) for pair in query.split(b"&") if b"=" in pair]
    names = ("limit", "page_token", "order", "type", "stage", "tag", "owner", "prefix", "as_of", "after", "tombstoned")
    if not pairs or chance.random() < 0.4:
        pairs.append([chance.choice((*names, "created_from", "updated_before", "dry_run", "x")).encode(), b"1"])
    pair = chance.choice(pairs)
    pair[chance.choice((0, 1, 1, 1, 1))] = chance.choice((_text(chance, pair[1]), _bound(chance)))
    if chance.random() < 0.2:
        pairs.append(chance.choice(pairs))
    return request._replace(target=path + b"?" + b"&".join(b"=".join(pair) for pair in pairs))


def _bound(chance: random.Random) -> bytes:
    value = str(
        chance.choice((*NUMBERS, *TEXTS, "null", "None", "true", "2026-03-01T00:00:00Z", "0001-01-01T00:00:00Z"))
    )
    return _PRINTABLE.sub(lambda match: b"%%%02X" % match[0][0], value.encode("utf-8", "replace"))


def _headers(chance: random.Random, request: Request) -> Request:
    made = [list(header) for header in request.headers]
    for _ in range(chance.choice((1, 1, 2, 4))):
        way = chance.randrange(4)
        if way == 0 and made:
            del made[chance.randrange(len(made))]
        elif way == 1 and made:
            made.append(list(chance.choice(made)))
        elif way == 2 and made:
            header = chance.choice(made)
            header[1] = any_text(chance, header[1].decode("latin-1")).encode("utf-8", "replace").strip()
        else:
            value = chance.choice(_VALUES).encode("latin-1", "replace")
            made.append([chance.choice(_HEADERS).encode(), value])
    clean = tuple((name, re.sub(rb"[\r\n\x00]", b"", value)) for name, value in made)
    return request._replace(headers=clean)


def _bodies(chance: random.Random, request: Request) -> Request:
    request = chance.choice((request, *_with_bodies()))
    if chance.random() < 0.7:
        try:
            changed = any_json(chance, json.loads(request.body))
        except ValueError:
            changed = any_value(chance)
        body = json.dumps(changed, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    else:
        body = any_bytes(chance, request.body)
    return request._replace(body=body)


def _lists() -> list[Request]:
    """Return every list, with the token of its second page if it has one."""
    found = []
    for request in repeatable():
        body = world().send(request).body
        if b'"next_page_token"' in body:
            found.append(request)
            if token := json.loads(body)["next_page_token"]:
                found.append(_with_token(request, token))
    assert len({request.route for request in found}) > 3
    return found


def _with_token(request: Request, token: str) -> Request:
    path, _, query = request.target.partition(b"?")
    pairs = [pair for pair in query.split(b"&") if pair and not pair.startswith(b"page_token=")]
    return request._replace(target=path + b"?" + b"&".join([*pairs, b"page_token=" + token.encode()]))


def _forged(chance: random.Random, request: Request) -> Request:
    """Insert a page token with a valid checksum, which anybody who knows this code can build."""
    _, _, token = request.target.partition(b"page_token=")
    if token and chance.random() < 0.7:
        place = any_json(
            chance, json.loads(base64.b64decode(unquote_to_bytes(token), altchars=b"-_")[: -len(_CHECKSUM)])
        )
    else:
        place = [chance.choice((*NUMBERS, *TEXTS, any_value(chance))) for _ in range(chance.randrange(4))]
    body = json.dumps(place).encode("utf-8", "replace")
    return _with_token(request, pages._encode(body + _CHECKSUM))


class _Right(bytes):
    """A checksum that is equal to every other one."""

    __hash__ = bytes.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, bytes)


@contextlib.contextmanager
def _with_any_checksum() -> Iterator[Run]:
    with mock.patch.object(pages, "_checksum", return_value=_CHECKSUM):
        yield ask


@cache
def _with_bodies() -> list[Request]:
    return [request for request in recorded() if request.body and dict(request.headers)[b"content-type"] == _JSON]


def _target(name: str, seeds: Any, mutate: Any, runner: Any = None) -> Target:
    return Target(name=name, seeds=seeds, mutate=mutate, runner=runner or calling(ask), refusals=(Refused,))


_CHECKSUM: Final = _Right(b"checksum")
_JSON: Final = b"application/json"
TARGETS: Final = [
    _target("http-addresses", repeatable, _addresses),
    _target("http-queries", repeatable, _queries),
    _target("http-headers", repeatable, _headers),
    _target("http-bodies", lambda: [r for r in repeatable() if r.body], _bodies),
    _target("page-tokens", _lists, _forged, _with_any_checksum),
]
