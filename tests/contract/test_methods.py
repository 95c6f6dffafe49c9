"""HEAD equals GET without a body, and every address lists all its methods: generated from the OpenAPI document."""

import functools
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from registry_server.infrastructure.filesystem_blobs import FilesystemBlobs
from tests.conftest import Server
from tests.security.test_bodies import send_asgi
from tests.security.worlds import MODEL, SHA256, World, assert_unchanged, key, logged, open_world_in_memory, problem
from tests.support.steps import promoted

PLACES = {
    "name": MODEL,
    "version": "1",
    "other": "2",
    "alias": "shadow",
    "selector": "latest",
    "sha256": SHA256,
    "path": "model.bin",
    "start": "0",
    "token_id": "0" * 16,
}
UNDOCUMENTED = {"/openapi.json": {"get"}}
FILE = f"/v1/models/{MODEL}/versions/1/files/model.bin"
RESOLVE = f"/v1/models/{MODEL}/resolve/latest"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Provide one registry for all tests of this file; no test changes it."""
    with open_world_in_memory() as shared:
        yield shared


@functools.cache
def addresses(world: World) -> dict[str, set[str]]:
    """Return each served address with the methods that the document lists for it."""
    with world.http() as http:
        paths: dict[str, Any] = http.get("/openapi.json").json()["paths"]
    found = {path: set(operations) for path, operations in paths.items()} | UNDOCUMENTED
    served = {route.path_format for route in world.backend._app.routes}
    assert set(found) == served
    return found


def filled(path: str) -> str:
    """Return the address with the names of existing objects filled in."""
    places = PLACES | ({"name": "admin"} if path.startswith("/v1/principals") else {})
    return path.format(**places)


def status_and_headers(answer: httpx.Response) -> tuple[int, dict[str, str]]:
    """Return status and headers without those that differ from request to request."""
    return answer.status_code, {
        name: value for name, value in answer.headers.items() if name not in {"x-request-id", "date"}
    }


def reading(world: World) -> list[str]:
    """Return every address that accepts GET."""
    return [filled(path) for path, methods in addresses(world).items() if "get" in methods]


@pytest.mark.parametrize("token", ["admin", "none", "wrong"])
def test_head_returns_the_status_and_headers_of_get(world: World, token: str) -> None:
    """Content-Length is included, and errors are equal, too."""
    tokens = {"admin": world.token, "none": None, "wrong": "mrg_wrong"}
    with assert_unchanged(world), world.http(tokens[token]) as http:
        # Metrics count requests, so they never say the same twice.
        for path in set(reading(world)) - {"/metrics"}:
            got, head = http.get(path), http.head(path)
            assert status_and_headers(head) == status_and_headers(got), path
            assert head.content == b""
            assert got.content, path
            assert head.headers["content-length"] == str(len(got.content)), path
        assert (http.head("/metrics").status_code, http.head("/metrics").content) in {(200, b""), (401, b"")}


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (FILE, {"range": "bytes=2-4"}),
        (FILE, {"range": "bytes=-1"}),
        (FILE, {"range": "bytes=99-"}),
        (FILE, {"if-none-match": f'"{SHA256}"'}),
        (FILE, {"if-range": '"other"', "range": "bytes=2-"}),
        (RESOLVE, {"if-none-match": '"2.2"'}),
        (RESOLVE, {"if-none-match": "*"}),
        ("/v1/models?limit=1", {}),
        ("/v1/models?limit=null", {}),
        ("/v1/models?limit=1&limit=2", {}),
        ("/v1/nothing", {}),
        ("/v1//models", {}),
        ("/v1/models/absent", {}),
        (f"/v1/models/{MODEL}/resolve/production", {}),
        ("/v1/models", {"x-request-deadline-ms": "soon"}),
        ("/v1/models/%ff", {}),
    ],
)
def test_head_with_ranges_conditions_and_queries_equals_get(world: World, path: str, headers: dict[str, str]) -> None:
    """Ranges, If-None-Match, query parameters, and addresses of missing objects."""
    with assert_unchanged(world), world.http(world.token) as http:
        got, head = (http.request(method, path, headers=headers) for method in ("GET", "HEAD"))
        assert status_and_headers(head) == status_and_headers(got)
        assert head.content == b""


def test_the_application_sends_no_body_for_head(world: World) -> None:
    """The application itself sends no bytes, so no ASGI server has to drop them."""
    for path in {*reading(world), FILE, "/v1/nothing", "/v1/presence"}:
        for token in (world.token, None):
            _, *rest = send_asgi(world, "HEAD", path, token, {})
            assert b"".join(message.get("body", b"") for message in rest) == b"", path
            assert not rest[-1].get("more_body", False)


def test_head_of_a_file_opens_no_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of the file does not matter."""
    opened: list[str] = []
    whole = FilesystemBlobs.read_chunks

    def watched(self: FilesystemBlobs, sha256: str, start: int, length: int) -> Any:
        opened.append(sha256)
        return whole(self, sha256, start, length)

    monkeypatch.setattr(FilesystemBlobs, "read_chunks", watched)
    with world.http(world.token) as http:
        head = http.head(FILE)
        assert (head.status_code, head.headers["content-length"], opened) == (200, "7", [])
        assert http.get(FILE).content == b"weights"
        assert opened == [SHA256]


def test_head_without_get_is_refused_with_the_allowed_methods(world: World) -> None:
    """Nothing is changed."""
    with assert_unchanged(world), world.http(world.token) as http:
        for path, methods in addresses(world).items():
            if "get" not in methods:
                answer = http.head(filled(path), headers=key())
                assert (answer.status_code, answer.content) == (405, b""), path
                assert "HEAD" not in answer.headers["allow"]


def allowed(methods: set[str]) -> str:
    """Return the `Allow` header of an address with these methods."""
    every = {method.upper() for method in methods} | {"OPTIONS"}
    return ", ".join(sorted(every | ({"HEAD"} if "GET" in every else set())))


def test_options_lists_all_methods_of_every_address(world: World) -> None:
    """For every caller, for any names in the path, on the normal and on the short path of a resolve."""
    with assert_unchanged(world), world.http() as http:
        for path, methods in addresses(world).items():
            for address in {filled(path), re.sub(r"\{(name|alias|sha256|path|selector|token_id)\}", "x", filled(path))}:
                answer = http.options(address, headers={"origin": "https://elsewhere.example"})
                assert (answer.status_code, answer.content) == (204, b""), path
                assert answer.headers["allow"] == allowed(methods), path
                assert answer.headers["x-request-id"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET", "TRACE", "CONNECT", "BREW"])
def test_other_methods_are_refused_with_all_methods_of_the_address(world: World, method: str) -> None:
    """Every address refuses them with a problem that lists its methods, with and without a token."""
    with assert_unchanged(world):
        for token in (None, world.token):
            with world.http(token) as http:
                for path, methods in addresses(world).items():
                    if method.lower() in methods:
                        continue
                    answer = http.request(method, filled(path), headers=key())
                    refusal = problem(answer)
                    assert (answer.status_code, refusal["code"]) == (405, "method_not_allowed"), path
                    assert answer.headers["allow"] == allowed(methods), path
                    assert allowed(methods) in refusal["remedy"]
                    assert refusal["value"] == method


def test_over_a_socket_head_has_no_body_and_the_connection_is_reused(server: Server, name: str) -> None:
    """The next answer belongs to the next request, and both engines return the same."""
    with server.registry() as registry:
        registry.models.create(name, "regression")
        promoted(registry, name)
    home = f"/v1/models/{name}"
    paths = [home, f"{home}/versions/1/files/model.bin", f"{home}/resolve/production", "/openapi.json", "/health/ready"]
    paths += [f"{home}/versions/1/manifest", "/v1/models/absent", "/v1/events?limit=2", "/metrics"]
    with (
        logged() as log,
        httpx.Client(
            base_url=server.url,
            headers={"authorization": f"Bearer {server.token}"},
            limits=httpx.Limits(max_connections=1),
        ) as http,
    ):
        for path in paths:
            head, got = http.head(path), http.get(path)
            assert (head.status_code, head.content) == (got.status_code, b""), path
            if path != "/metrics":
                assert status_and_headers(head) == status_and_headers(got), path
        label = (
            'registry_request_seconds_count{method="HEAD",route="/v1/models/{name}/resolve/{selector}",status="200"}'
        )
        assert label in http.get("/metrics").text
    assert log.failures == []
