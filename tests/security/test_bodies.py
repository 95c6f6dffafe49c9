"""Request bodies: the server reads none for callers without rights, and a large body does not delay other requests."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from registry_server.api import request_body, strict_json
from tests.security.route_rights import ONE
from tests.security.worlds import MODEL, SHA256, World, assert_unchanged, key, open_world_in_memory

MIB = 2**20
PLACES = {"name": MODEL, "version": "1", "alias": "shadow", "sha256": SHA256, "start": "0", "token_id": "0" * 16}


# Routes with a larger limit: a registration, and bytes.
LARGE = {"/v1/models/{name}/versions", "/v1/blobs", "/v1/blobs/{sha256}", "/v1/uploads/{sha256}/parts/{start}"}


class BodyRequested(Exception):
    """The application requested the body."""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Provide one registry for all tests of this file; none of them changes it."""
    with open_world_in_memory() as shared:
        with shared.backend.registry() as registry:
            registry.principals.create("bare", "human", [])
        yield shared


@pytest.fixture(scope="module")
def token_without_grants(world: World) -> str:
    """Provide the token of a principal without grants."""
    with world.backend.registry() as admin:
        return admin.principals.issue_token("bare").secret or ""


def operations_with_body(world: World) -> list[tuple[str, str]]:
    """Return the method and path of every operation that takes a body."""
    with world.http() as http:
        paths = http.get("/openapi.json").json()["paths"]
    return [
        (method.upper(), path)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "requestBody" in operation
    ]


def refusal_of_unread_body(
    world: World, method: str, path: str, token: str | None, **headers: str
) -> tuple[int, dict[str, Any]]:
    """Return the status and the problem of a refusal that the server sends before it reads the body."""
    given = {"content-type": "application/json", "if-match": "*", **key(), **headers}
    sent = send_asgi(world, method, path.format(**PLACES), token, given)
    return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent[1:]))


def send_asgi(world: World, method: str, target: str, token: str | None, headers: dict[str, str]) -> list[Any]:
    """Send a request through ASGI without a body, and return all messages of the response."""
    if token is not None:
        headers = {**headers, "authorization": f"Bearer {token}"}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": target,
        "raw_path": target.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("registry.test", 80),
    }
    sent: list[Any] = []

    async def receive() -> Any:
        raise BodyRequested(target)

    async def send(message: Any) -> None:
        sent.append(message)

    world.backend._portal.call(world.backend._app, scope, receive, send)
    return sent


def test_no_body_is_read_for_a_caller_without_rights(world: World, token_without_grants: str) -> None:
    """Every route with a body refuses callers without a token, with a wrong token and without a grant first."""
    routes = operations_with_body(world)
    assert len(routes) > 20
    with assert_unchanged(world):
        for method, path in routes:
            for length in ({}, {"content_length": str(10**12)}, {"transfer_encoding": "chunked"}):
                assert refusal_of_unread_body(world, method, path, None, **length)[0] == 401, path
                assert refusal_of_unread_body(world, method, path, "mrg_wrong", **length)[0] == 401, path
                status, refusal = refusal_of_unread_body(world, method, path, token_without_grants, **length)
                assert (status, refusal["code"]) in {(403, "forbidden"), (404, "model_not_found")}, path


def test_every_change_declares_its_rights(world: World) -> None:
    """The handler of every changing route declares the rights that a caller needs."""
    for route in world.backend._app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if handler.http_methods & {"POST", "PUT", "PATCH", "DELETE"}:
                assert handler.opt.get("needs"), handler.handler_name


def test_a_body_that_announces_too_many_bytes_is_not_read(world: World) -> None:
    """An announced length above the limit of the route gets 413, for an admin too."""
    with assert_unchanged(world):
        for method, path in operations_with_body(world):
            if path not in LARGE:
                status, refusal = refusal_of_unread_body(world, method, path, world.token, content_length=str(MIB + 1))
                assert (status, refusal["code"]) == (413, "too_large"), path
            status, refusal = refusal_of_unread_body(world, method, path, world.token, content_length=str(2**50))
            # Routes for bytes have another media type, and the server checks that first.
            assert (status, refusal["code"]) in {(413, "too_large"), (415, "unsupported_media_type")}, path


def test_only_a_registration_takes_more_than_a_megabyte(world: World) -> None:
    """A registration may have 8 MiB of JSON, any other request 1 MiB; the refusal states the limit."""
    with assert_unchanged(world):
        for method, path in operations_with_body(world):
            if "blobs" in path or "parts" in path:
                continue
            target = path.format(**PLACES)
            large = path in LARGE
            most = 8 * MIB if large else MIB
            answer = world.send(method, target, b" " * most + b"{}")
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large"), path
            assert str(most) in answer.json()["detail"]
            within = world.send(method, target, b" " * (most - 2) + b"[]")
            assert (within.status_code, within.json()["code"]) == (422, "invalid_request"), path


def test_large_bodies_are_parsed_beside_other_requests(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One separate thread parses all large bodies, so the event loop remains free for other requests."""
    threads: list[str] = []
    parse = strict_json.parse

    def watched(*given: Any) -> Any:
        threads.append(threading.current_thread().name)
        return parse(*given)

    monkeypatch.setattr(strict_json, "parse", watched)
    with assert_unchanged(world):
        for size in (16 * 1024 + 1, MIB):
            assert world.send("POST", "/v1/models", b" " * (size - 2) + b"[]").status_code == 422
        assert set(threads) == {"registry-bodies_0"}
        threads.clear()
        world.send("POST", "/v1/models", b"[]")
        assert "registry-bodies_0" not in threads


@pytest.mark.parametrize("piece", [b'"a%d":1', b'"a%d":[1]', b'"a%d":"x"', b'"a%d":{"b":"c"}'])
def test_the_number_of_values_is_limited(world: World, piece: bytes) -> None:
    """The limit counts names and values; commas inside texts do not count."""
    many = b",".join(piece % number for number in range(request_body.MAX_VALUES))
    with assert_unchanged(world):
        answer = world.send("POST", "/v1/models", b'{"name":"n","type":"regression","metadata":{%s}}' % many)
        assert (answer.status_code, answer.json()["field"]) == (422, "body")
        assert f"more than {request_body.MAX_VALUES} names and values" in answer.json()["detail"]
        texts = b",".join(b'"a%d":"%s"' % (number, b':,\\\\\\",' * 250) for number in range(100))
        answer = world.send("POST", "/v1/models", b'{"name":"n","type":"regression","metadata":{%s}}' % texts)
        assert answer.json()["code"] == "text_too_long"


def test_a_version_of_ten_thousand_files_is_not_too_many(world: World) -> None:
    """A registration of 10,000 files passes all limits of bodies and fails only because its bytes are missing."""
    files = [
        {"path": f"{'x' * 200}/{n:05}.bin", "size": 1, "sha256": f"{n:064x}", "media_type": "application/octet-stream"}
        for n in range(10_000)
    ]
    facts = {f"a{n}": 0.5 for n in range(256)}
    field = {"dtype": "float64", "shape": [1] * 32}
    fields = [{"name": f"f{n}", **field} for n in range(256)]
    signature = {"inputs": fields, "outputs": fields}
    body = {"files": files, "framework": "x", "parameters": facts, "metrics": facts, "signature": signature}
    with assert_unchanged(world):
        answer = world.send("POST", f"/v1/models/{MODEL}/versions", body)
    assert (answer.status_code, answer.json()["code"]) == (409, "blob_missing")


@pytest.mark.parametrize(
    "text",
    [b'"', b'"\\', b'"\\"', b'{"a', b'{"a":"\\', b'{"a":"b\\"', b'{"a":[', b"[" * 99, b'{"\\"":', b'{"a":1,' * 9],
)
def test_unterminated_json_is_refused(world: World, text: bytes) -> None:
    """Incomplete JSON is refused whether its values are counted quickly or one by one."""
    many = b'"' + b",:" * request_body.MAX_VALUES + b'"'
    with assert_unchanged(world):
        for body in (b'{"description":' + many + b"," + text, many + text, text + b",:" * request_body.MAX_VALUES):
            answer = world.send("POST", "/v1/models", body)
            assert answer.status_code in {400, 422}
            assert answer.json()["code"] in {"invalid_json", "invalid_request"}


def test_numbers_with_thousands_of_digits_are_refused_without_conversion(world: World) -> None:
    """Such a number is refused in every field and as the whole body."""
    with assert_unchanged(world):
        for digits in (20, 309, 4_300, 4_301, 1_000_000):
            for number in (b"9" * digits, b"-" + b"9" * digits, b"1e" + b"9" * digits):
                for body in (b'{"to":"archived","replacing":%s}' % number, b'{"to":%s}' % number, number):
                    answer = world.send("POST", ONE.format(name=MODEL, version=1) + "/transition", body)
                    assert answer.status_code in {400, 422}, body[:40]
