"""The attacks of an external collection that apply to the registry.

`TEST_VECTORS` names the folder of `attacks.json`. The other tests contain the most important attacks and need no
folder.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from registry_server.testing import backend
from tests.conftest import Server
from tests.security.bad_requests import ENTRY, ONE
from tests.security.worlds import MODEL, World, assert_unchanged, create_example_model, key, logged, problem

FOLDER = os.environ.get("TEST_VECTORS")
ATTACKS: list[dict[str, str]] = json.loads((Path(FOLDER) / "attacks.json").read_text("utf-8")) if FOLDER else []
pytestmark = pytest.mark.skipif(not FOLDER, reason="TEST_VECTORS does not name a folder")


def attacks(kind: str, where: str = "") -> pytest.MarkDecorator:
    """Parametrize a test with the payloads of all attacks of a class."""
    found = [attack for attack in ATTACKS if attack["class"] == kind and attack["where"].startswith(where)]
    return pytest.mark.parametrize("payload", [a["payload"] for a in found], ids=[a["id"] for a in found])


class OpenedFiles:
    """The files that this process opens, recorded by an audit hook. A hook stays for ever, but can be switched off."""

    def __init__(self) -> None:
        self.recording = False
        self.paths: list[str] = []
        sys.addaudithook(self._record_event)

    def _record_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.recording and event == "open" and isinstance(arguments[0], str | bytes):
            self.paths.append(os.path.realpath(os.fsdecode(arguments[0])))


@pytest.fixture(scope="module")
def opened_files() -> OpenedFiles:
    """Provide one audit hook for all tests of this file."""
    return OpenedFiles()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Provide one registry for all tests of this file."""
    with backend() as application:
        world = World(application)
        with application.registry() as registry:
            create_example_model(registry, MODEL)
        yield world
        world.close()


@pytest.fixture
def sealed(world: World, opened_files: OpenedFiles) -> Iterator[World]:
    """Provide a world and check that nothing in it changes and that no file outside its folder is opened."""
    opened_files.paths.clear()
    with assert_unchanged(world):
        opened_files.recording = True
        yield world
        opened_files.recording = False
    root = os.path.realpath(world.backend._home)
    # The interpreter itself opens modules when they are imported on first use.
    foreign = [path for path in opened_files.paths if not path.startswith((root, sys.prefix, sys.base_prefix))]
    assert not foreign


def spellings(payload: str) -> set[str]:
    """Return the payload as it can occur in an address: quoted, and literally if that is possible.

    Dots are encoded, because httpx would resolve them; `test_sockets` sends literal dots.
    """
    as_it_is = payload.isascii() and payload.isprintable() and not set(payload) & set(" ?#")
    found = {quote(payload, safe=""), quote(payload), *([payload] if as_it_is else [])}
    return {spelling.replace("..", "%2e%2e") for spelling in found}


@attacks("path-traversal", "model name")
def test_malicious_names_are_refused(sealed: World, payload: str) -> None:
    """Addresses and bodies with such a name for a model, an alias, a tag or a principal are refused."""
    for name in spellings(payload):
        for target in (f"/v1/models/{name}", f"/v1/models/{MODEL}/aliases/{name}", f"/v1/principals/{name}"):
            for method, body in (("GET", None), ("PUT", {"version": 1}), ("PATCH", {}), ("DELETE", None)):
                answer = sealed.send(method, target, body)
                listed = payload == "" and method == "GET"
                assert answer.status_code in {404, 405, 422} or (listed and answer.is_success), target
    for method, target, body in [
        ("POST", "/v1/models", {"name": payload, "type": "regression"}),
        ("POST", "/v1/principals", {"name": payload, "kind": "human", "grants": []}),
        ("PATCH", f"/v1/models/{MODEL}", {"tags": {payload: "x"}, "reason": "now"}),
    ]:
        if "tags" not in body or payload != "CON":
            answer = sealed.send(method, target, body)
            assert (answer.status_code, problem(answer)["value"]) == (422, payload)


@attacks("path-traversal", "artifact path")
def test_malicious_paths_are_refused(sealed: World, payload: str) -> None:
    """Such a path is refused in a download and in a manifest."""
    for path in spellings(payload):
        assert problem(sealed.send("GET", f"{ONE}/files/{path}"))["status"] in {404, 422}
        answer = sealed.send("GET", f"{ONE}/files/model.bin?path={quote(payload, safe='')}")
        assert answer.status_code == 422
    body = {"framework": "test", "files": [ENTRY | {"path": payload}]}
    answer = sealed.send("POST", f"/v1/models/{MODEL}/versions", body)
    assert (answer.status_code, problem(answer)["code"] in {"invalid_path", "invalid_request"}) == (422, True)


@attacks("source-uri")
def test_the_registry_never_fetches_an_address(sealed: World, payload: str) -> None:
    """A field with an address in place of the bytes is refused."""
    version = {"framework": "test", "files": [ENTRY]}
    for target, body, field in [
        ("/v1/models", {"name": "new", "type": "regression", "source": payload}, "source"),
        ("/v1/models", {"name": "new", "type": "regression", "artifact_location": payload}, "artifact_location"),
        (f"/v1/models/{MODEL}/versions", version | {"source": payload}, "source"),
        (f"/v1/models/{MODEL}/versions", {"framework": "t", "files": [ENTRY | {"uri": payload}]}, "files[0].uri"),
    ]:
        refusal = problem(sealed.send("POST", target, body))
        assert (refusal["status"], refusal["field"], refusal["value"]) == (422, field, payload)
    assert sealed.send("GET", f"/v1/models?source={quote(payload, safe='')}").status_code == 422


@attacks("authn")
def test_only_a_valid_token_is_accepted(sealed: World, payload: str) -> None:
    """A request with such a header or query gets 401 and its response does not repeat the token."""
    jwt = "eyJhbGciOiJIUzI1NiIsImtpZCI6Ii4uLy4uL2Rldi9udWxsIn0.eyJzdWIiOiJhZG1pbiIsImF1ZCI6IngifQ."
    path, headers = "/v1/whoami", {"authorization": f"Bearer {jwt}"}
    if payload == "(absent)":
        headers = {}
    elif payload.startswith("?"):
        path, headers = f"{path}{payload.partition(' ')[0].replace('<valid>', sealed.token)}", {}
    elif payload.startswith(("Bearer", "Basic")):
        headers = {"authorization": payload.replace("<token>", sealed.token)}
    with sealed.http() as http:
        answer = http.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert sealed.token not in answer.text


def test_a_revoked_token_is_refused(world: World) -> None:
    """A token gets 401 after an admin has revoked it."""
    with world.copied(), world.backend.registry() as admin:
        issued = admin.principals.issue_token("admin")
        admin.principals.revoke_token(issued.token.id)
        with world.http(issued.secret) as http:
            assert http.get("/v1/whoami").status_code == 401


@attacks("authz")
def test_each_role_is_limited_to_its_rights(world: World, payload: str) -> None:
    """The pairs of role and request of the collection are refused; `test_rights` covers all pairs."""
    requests: dict[str, tuple[str, str, str, str, Any, int]] = {
        "read role POST /models": ("analysis", "*", "POST", "/v1/models", {"name": "new", "type": "regression"}, 403),
        "create role promotes to production": (
            *("workbench", "*", "POST", f"/v1/models/{MODEL}/versions/2/transition"),
            *({"to": "production", "reason": "x"}, 403),
        ),
        "deploy role deletes": ("strategy", "*", "DELETE", f"/v1/models/{MODEL}/aliases/shadow", None, 403),
        "token of model A acts on model B (BOLA)": ("admin", "gbpusd-*", "PATCH", f"/v1/models/{MODEL}", {}, 404),
        "X-HTTP-Method-Override: DELETE": ("admin", "*", "POST", f"/v1/models/{MODEL}/aliases/shadow", None, 405),
    }
    if payload not in requests:
        pytest.skip("not supported yet")
    role, models, method, target, body, expected = requests[payload]
    with world.copied():
        token = world.backend.token(role, models)
        with assert_unchanged(world), world.http(token, **{"x-http-method-override": "DELETE"}) as http:
            answer = http.request(method, target, json=body, headers=key() | {"if-match": "*"})
    assert answer.status_code == expected


BODIES = {
    "JSON depth 100000": b"[" * 100_000 + b"]" * 100_000,
    "JSON duplicate keys": b'{"name":"new","name":"newer","type":"regression"}',
    "integer with 5000 digits": b'{"name":"new","type":"regression","metadata":{"a":' + b"9" * 5_000 + b"}}",
    "lone surrogate \\ud800": b'{"name":"new","type":"regression","description":"\\ud800"}',
    "multipart 1e5 parts": b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n' * 100_000 + b"--x--",
}


@attacks("dos", "body")
def test_large_bodies_take_little_time(sealed: World, payload: str) -> None:
    """The server refuses such a body within a second; `test_sockets` covers the attacks that need a socket."""
    headers: dict[str, str] = {}
    if payload.startswith("Content-Length"):
        payload, headers = "JSON duplicate keys", {"content-length": str(10 * 2**40)}
    elif payload.startswith("multipart"):
        headers = {"content-type": "multipart/form-data; boundary=x"}
    elif payload not in BODIES:
        pytest.skip("it needs a socket")
    began = time.process_time()
    answer = sealed.send("POST", "/v1/models", BODIES[payload], headers)
    assert answer.status_code in {400, 413, 415, 422}
    problem(answer)
    assert time.process_time() - began < 1


@attacks("dos", "filter")
def test_searches_take_little_time(sealed: World, payload: str) -> None:
    """A search compares the text of a client literally and does not use it as a pattern or as SQL."""
    name, equals, value = payload.partition("=")
    text = quote(payload, safe="")
    targets = [f"/v1/models?{name}={quote(value, safe='')}"] if equals and name.isidentifier() else []
    targets += [f"/v1/models?{parameter}={text}" for parameter in ("owner", "prefix", "order", "page_token")]
    targets += [f"/v1/models?tag=team={text}", f"/v1/models?tag={text}=x"]
    for target in targets:
        began = time.process_time()
        answer = sealed.send("GET", target)
        assert answer.status_code == 422 or answer.json() == {"items": [], "next_page_token": None}
        assert time.process_time() - began < 0.2


@attacks("header-injection")
def test_stored_text_is_never_sent_as_a_header(sealed: World, payload: str) -> None:
    """The server refuses such text in a write and always serves files as attachments of unspecified type."""
    text = payload.partition(" as Content-Type")[0]
    for target, body in [
        ("/v1/models", {"name": text, "type": "regression"}),
        (f"/v1/models/{MODEL}/versions", {"framework": "test", "files": [ENTRY | {"media_type": text}]}),
        (f"/v1/models/{MODEL}/versions", {"framework": "test", "files": [ENTRY | {"path": text}]}),
    ]:
        refusal = problem(sealed.send("POST", target, body))
        assert refusal["status"] == 422
        assert refusal["value"] == text
    served = sealed.send("GET", f"{ONE}/files/model.bin")
    assert served.headers["content-type"] == "application/octet-stream"
    assert served.headers["content-disposition"] == "attachment"
    assert served.headers["x-content-type-options"] == "nosniff"


@attacks("idempotency")
def test_an_idempotency_key_belongs_to_one_request_of_one_principal(world: World, payload: str) -> None:
    """Another principal with the same key gets a response of its own."""
    if payload != "key of another principal":
        pytest.skip("another test covers it")
    used = key()
    body = {"name": "of-one", "type": "regression"}
    with world.copied():
        other = world.backend.token("workbench")
        first = world.send("POST", "/v1/models", body, used)
        assert first.status_code == 201
        with assert_unchanged(world), world.http(other) as http:
            answer = http.post("/v1/models", json=body, headers=used)
            assert (answer.status_code, problem(answer)["code"]) == (409, "model_exists")
        with world.http(other) as http:
            theirs = http.post("/v1/models", json=body | {"name": "of-other"}, headers=used)
        assert (theirs.status_code, theirs.json()["name"]) == (201, "of-other")
        assert world.send("POST", "/v1/models", body, used).content == first.content


def test_an_idempotency_key_is_stored_for_a_day(world: World) -> None:
    """A repeated request gets the first response after 24 hours."""
    used, body = key(), {"name": "kept", "type": "regression"}
    with world.copied():
        first = world.send("POST", "/v1/models", body, used)
        world.advance_clock(timedelta(hours=24))
        with assert_unchanged(world):
            assert world.send("POST", "/v1/models", body, used).content == first.content


def test_concurrent_identical_requests_are_carried_out_once(server: Server, name: str) -> None:
    """A hundred requests with one key create one model and get equal responses; early ones get 409 and retry."""
    headers = {"authorization": f"Bearer {server.token}", **key()}
    too_early = 0

    def send(http: httpx.Client) -> httpx.Response:
        nonlocal too_early
        while True:
            answer = http.post("/v1/models", json={"name": name, "type": "regression"}, headers=headers)
            if answer.status_code != 409:
                return answer
            assert problem(answer)["code"] == "request_in_flight"
            assert answer.headers["retry-after"] == "1"
            too_early += 1

    with logged() as log, httpx.Client(base_url=server.url) as http, ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, [http] * 100))
        events = http.get("/v1/events", params={"limit": 1000}, headers=headers).json()
        while len(page := http.get("/v1/events", params={"limit": 1000, "after": len(events)}, headers=headers).json()):
            events += page
    assert log.failures == []
    assert {answer.status_code for answer in answers} == {201}
    assert len({(answer.content, answer.headers["etag"], answer.headers["location"]) for answer in answers}) == 1
    assert [event["type"] for event in events if event["subject"] == f"models/{name}"] == ["registry.model.created"]
