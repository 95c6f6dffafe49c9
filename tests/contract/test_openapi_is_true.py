"""The OpenAPI document describes every request and response exactly."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import jsonschema
import pytest

from common_lib import Grant, HttpRegistry, RegistryConfig, Role
from common_lib.errors import (
    Conflict,
    DecisionNotAllowed,
    InvalidRequest,
    NotFound,
    RevisionRequired,
    Unauthenticated,
    VersionRecalled,
)
from common_lib.operations import lifecycle
from common_lib.operations.base import Source
from common_lib.rules.promotion import Direction
from common_lib.rules.windows import Weekday
from common_lib.types.artifacts import FileEntry
from common_lib.types.policies import ChangeHours, ChangeWindows, MetricRule, PromotionRules
from common_lib.types.versions import FieldSpec, Lineage, Signature
from registry_server.api.openapi import build
from registry_server.inprocess import URL, PortalTransport
from registry_server.testing import TestBackend

# The header is HTTP's own, not one of the operation.
TRANSPORT_HEADERS = {"accept", "accept-encoding", "authorization", "connection", "content-length", "content-type"}
TRANSPORT_HEADERS |= {"host", "user-agent", "transfer-encoding"}
# What a client may send with every request.
TRANSPORT_HEADERS |= {"x-request-deadline-ms"}


class Watched(httpx.BaseTransport):
    """Pass requests on, and validate each request and response against the document."""

    def __init__(self, backend: TestBackend) -> None:
        self.document: dict[str, Any] = json.loads(json.dumps(build(backend._app)))
        self.seen: set[tuple[str, str]] = set()
        self._inner = PortalTransport(backend._app, backend._portal)

    @property
    def operations(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Path, method and description of every operation."""
        return [
            (path, method, operation)
            for path, methods in self.document["paths"].items()
            for method, operation in methods.items()
        ]

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer as the application does, if the document foresaw it."""
        path, operation = self._described(request)
        body = b"".join(request.stream) if isinstance(request.stream, httpx.SyncByteStream) else b""
        answer = self._inner.handle_request(
            httpx.Request(request.method, request.url, headers=request.headers, content=body)
        )
        answer.read()
        self._check_answer(operation, answer)
        if answer.is_success:
            self._check_request(path, operation, request, body)
        self.seen.add((operation["operationId"], str(answer.status_code)))
        return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(answer.content))

    def _described(self, request: httpx.Request) -> tuple[str, dict[str, Any]]:
        found = [
            (path, operation)
            for path, method, operation in self.operations
            if method == request.method.lower() and re.fullmatch(_pattern(path), request.url.path)
        ]
        ((path, operation),) = found
        return path, operation

    def _check_request(self, path: str, operation: dict[str, Any], request: httpx.Request, body: bytes) -> None:
        places = re.fullmatch(_pattern(path), request.url.path)
        assert places is not None
        query = parse_qsl(request.url.query.decode(), keep_blank_values=True)
        given = {"path": places.groupdict(), "query": dict(query), "header": dict(request.headers)}
        declared = {(parameter["in"], parameter["name"]): parameter for parameter in operation["parameters"]}
        assert {("query", name) for name in given["query"]} <= declared.keys()
        headers = {name for name in given["header"] if name not in TRANSPORT_HEADERS}
        undeclared = headers - {name.lower() for where, name in declared if where == "header"}
        assert not undeclared, f"{operation['operationId']} takes undeclared headers: {sorted(undeclared)}"
        for (where, name), parameter in declared.items():
            values = given[where]
            value = values.get(name.lower() if where == "header" else name)
            assert value is not None or not parameter["required"], f"{operation['operationId']} without {name}"
            if value is not None:
                self._check(parameter["schema"], _typed(parameter["schema"], value))
        if "requestBody" in operation:
            media_type = request.headers["content-type"]
            content = operation["requestBody"]["content"].get(media_type)
            assert content is not None, f"{operation['operationId']} takes undeclared {media_type}"
            if media_type == "application/json":
                self._check(content["schema"], json.loads(body))
        else:
            assert not body, f"{operation['operationId']} takes an undeclared body"

    def _check_answer(self, operation: dict[str, Any], answer: httpx.Response) -> None:
        described = operation["responses"].get(str(answer.status_code))
        assert described is not None or answer.status_code >= 400, f"{operation['operationId']}: {answer}"
        described = described or operation["responses"]["default"]
        for name in described["headers"]:
            assert name in answer.headers, f"{operation['operationId']} answers {answer.status_code} without {name}"
        for name in ("ETag", "Location"):
            is_declared = name in described["headers"] or name not in answer.headers
            assert is_declared, f"{operation['operationId']} answers {answer.status_code} with undeclared {name}"
        if "content" not in described:
            assert answer.content == b""
            return
        media_type = answer.headers["content-type"].partition(";")[0]
        content = described["content"].get(media_type)
        assert content is not None, f"{operation['operationId']} answers with undeclared {media_type}"
        if media_type.endswith("json"):
            self._check(content["schema"], answer.json())

    def _check(self, schema: dict[str, Any], value: Any) -> None:
        whole = schema | {"components": self.document["components"]}
        jsonschema.Draft202012Validator(whole).validate(value)


def _pattern(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda place: f"(?P<{place[1]}>{'.+' if place[1] == 'path' else '[^/]+'})", path)


def _typed(schema: dict[str, Any], text: str) -> Any:
    """Convert the text of a parameter to the value that it stands for."""
    match schema.get("type"):
        case "integer":
            return int(text)
        case "boolean":
            return {"true": True, "false": False}[text]
        case "array":
            return [text]
    return text


@pytest.fixture
def watched(model_registry_backend: TestBackend) -> Watched:
    """Provide the application behind the validator."""
    return Watched(model_registry_backend)


def test_every_operation_matches_the_document(
    watched: Watched, model_registry_backend: TestBackend, tmp_path: Path
) -> None:
    """Requests and responses of every operation, successes and errors, match their schemas."""
    token = model_registry_backend.token()
    (tmp_path / "model.onnx").write_bytes(b"weights")
    with HttpRegistry(RegistryConfig(url=URL, token=token), transport=watched) as registry:
        _use_everything(registry, tmp_path)
        registry.principals.create("judge", "human", [Grant(role=Role.INTEGRATION, models="*")])
        secret = registry.principals.issue_token("judge").secret or ""
    with HttpRegistry(RegistryConfig(url=URL, token=secret), transport=watched) as judge:
        judge.approvals.approve("eurusd", 1, reason="it is sound")
        judge.approvals.list_of_version("eurusd", 1)
    with httpx.Client(base_url=URL, transport=watched, headers={"authorization": f"Bearer {token}"}) as client:
        _revalidate(client)
        assert client.get("/health/live").json() == {"status": "live"}
        assert client.get("/health/ready").json() == {"status": "ready"}
        assert client.get("/metrics").is_success
    stranger = RegistryConfig(url=URL, token="mrg_nobody")
    with HttpRegistry(stranger, transport=watched) as nobody, pytest.raises(Unauthenticated):
        nobody.principals.whoami()
    documented = {
        (operation["operationId"], status)
        for _, _, operation in watched.operations
        for status in operation["responses"]
        if status != "default"
    }
    assert documented - watched.seen == set()


Lie = Callable[[dict[str, Any], dict[str, Any]], Any]
LIES: dict[str, tuple[Lie, str]] = {
    "another status": (lambda operation, _: operation["responses"].pop("201"), r"<Response \[201 "),
    "another media type": (
        lambda operation, _: operation["responses"]["201"].update(content={"text/plain": {}}),
        "answers with undeclared application/json",
    ),
    "no ETag": (
        lambda operation, _: operation["responses"]["201"]["headers"].pop("ETag"),
        "answers 201 with undeclared ETag",
    ),
    "one header more": (
        lambda operation, _: operation["responses"]["201"]["headers"].update({"Retry-After": {}}),
        "answers 201 without Retry-After",
    ),
    "no key": (
        lambda operation, _: operation["parameters"].clear(),
        r"takes undeclared headers: \['idempotency-key'\]",
    ),
    "no body": (lambda operation, _: operation.pop("requestBody"), "takes an undeclared body"),
    "another body": (
        lambda operation, _: operation["requestBody"].update(content={"text/plain": {}}),
        "takes undeclared application/json",
    ),
    "a stricter request": (
        lambda _, schemas: schemas["CreateModel"]["properties"].pop("tags"),
        "'tags' was unexpected",
    ),
    "a stricter answer": (
        lambda _, schemas: schemas["RegisteredModel"]["required"].append("size"),
        "'size' is a required property",
    ),
    "another type": (
        lambda _, schemas: schemas["RegisteredModel"]["properties"]["owner"].update(type="integer"),
        "'admin' is not of type 'integer'",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_wrong_document_is_detected(watched: Watched, model_registry_backend: TestBackend, lie: str) -> None:
    """With one word of the document changed, the same request fails because of that word."""
    change, found = LIES[lie]
    change(watched.document["paths"]["/v1/models"]["post"], watched.document["components"]["schemas"])
    config = RegistryConfig(url=URL, token=model_registry_backend.token())
    with (
        HttpRegistry(config, transport=watched) as registry,
        pytest.raises((AssertionError, jsonschema.ValidationError), match=found),
    ):
        registry.models.create("eurusd", "forecasting", tags={"team": "fx"})


def _use_everything(registry: HttpRegistry, folder: Path) -> None:
    model = registry.models.create(
        "eurusd", "forecasting", owner="fx", description="d", tags={"team": "fx"}, metadata={"days": 3, "x": 0.5}
    )
    model = registry.models.update("eurusd", revision=model.revision, metadata={})
    first = registry.register(
        "eurusd",
        folder,
        framework="onnx",
        metrics={"auc": 0.5},
        parameters={"depth": 3},
        signature=Signature(inputs=[FieldSpec(name="x", dtype="float64", shape=[-1, 3])], outputs=[]),
        lineage=Lineage(run="r1"),
        tags={"team": "fx"},
    )
    again = FileEntry(path="model.onnx", size=7, sha256=registry.versions.manifest("eurusd", 1).files[0].sha256)
    registry.artifacts.get_blob(again.sha256)
    registry.artifacts.put_blob(again.sha256, folder / "model.onnx")
    registry.artifacts.verify_blob(again.sha256)
    registry.versions.create("eurusd", [again], framework="onnx")
    _use_uploads(registry, folder)
    staged = registry.versions.transition("eurusd", 1, "staging", revision=first.revision)
    registry.versions.transition("eurusd", 1, "production", reason="it is honest", revision=staged.revision)
    registry.versions.update("eurusd", 2, force=True, reason="in a hurry", description="the second")
    _use_lifecycle(registry)
    assert registry.resolve("models:/eurusd/production").version == 1
    alias = registry.aliases.create("eurusd", "champion", 1)
    registry.aliases.move("eurusd", "champion", 2, revision=alias.revision, reason="better")
    registry.aliases.get("eurusd", "champion")
    registry.aliases.list_of_model("eurusd")
    registry.aliases.delete("eurusd", "champion", force=True, reason="unused")
    registry.download("models:/eurusd/1", folder / "down")
    registry.versions.get("eurusd", 1)
    list(registry.versions.search("eurusd", stage="production", order="version", tombstoned=True, page_size=1))
    list(registry.models.search(type="forecasting", stage="production", tags={"team": "fx"}, owner="fx", prefix="eur"))
    list(registry.models.search(created_from=model.created_at, created_before=model.updated_at, order="-created_at"))
    registry.versions.tombstone("eurusd", 2, reason="it was too much", force=True)
    registry.models.create("gbpusd", "forecasting")
    list(registry.models.search(page_size=1))
    registry.models.tombstone("gbpusd", reason="never used", force=True)
    registry.models.get("gbpusd")
    _use_principals(registry)
    registry.events.after(0, limit=1_000)
    with pytest.raises(NotFound):
        registry.models.get("nothing")
    with pytest.raises(RevisionRequired):
        registry.models.update("eurusd", owner="me")
    with pytest.raises(Conflict):
        registry.call(lifecycle.transition("eurusd", 1, "staging", reason="now", force=True))
    with pytest.raises(InvalidRequest):
        list(registry.models.search(page_size=5_000))


def _use_lifecycle(registry: HttpRegistry) -> None:
    hours = ChangeHours(days=[*Weekday], since="00:00", until="24:00")
    rules = PromotionRules(
        metrics=[MetricRule(metric="auc", direction=Direction.AT_LEAST, than=0.1)],
        windows=ChangeWindows(zone="Europe/Berlin", hours=[hours], closed=["2001-01-01"]),
    )
    policy = registry.policies.put("eurusd", rules, reason="no less than chance", revision=1)
    assert registry.policies.get("eurusd") == policy
    registry.versions.transition("eurusd", 2, "staging", revision=2)
    assert not registry.production.check("eurusd", 2).met
    registry.production.promote("eurusd", 2, reason="in a hurry", override=True, replacing=1)
    registry.production.rollback("eurusd", reason="too much of it", replacing=2)
    seen = registry.versions.get("eurusd", 2)
    recalled = registry.versions.recall("eurusd", 2, reason="wrong data", revision=seen.revision)
    with pytest.raises(VersionRecalled):
        registry.resolve("models:/eurusd/2")
    registry.versions.reinstate("eurusd", 2, reason="the data was right", revision=recalled.revision)
    with pytest.raises(DecisionNotAllowed):
        registry.approvals.approve("eurusd", 2, reason="mine")
    assert len(list(registry.production.history("eurusd", page_size=2))) == 8
    now = registry.production.at("eurusd")
    assert registry.resolve(f"models:/eurusd/production?as_of={now.since.isoformat()}").version == 1
    assert registry.versions.diff("eurusd", 1, 2).items


def _use_uploads(registry: HttpRegistry, folder: Path) -> None:
    file = folder / "large.bin"
    file.write_bytes(b"0123456789")
    sha256 = [hashlib.sha256(b"0123456789"[:end]).hexdigest() for end in (4, 10)]
    for _ in range(2):
        assert registry.artifacts.begin_upload(sha256[1], 10).received == 0
        assert registry.artifacts.put_part(sha256[1], Source(file, 0, 4), sha256[0]).received == 4
        assert registry.artifacts.get_upload(sha256[1]).received == 4
        registry.artifacts.delete_upload(sha256[1])
    registry.artifacts.put_blobs({hashlib.sha256(one).hexdigest(): one for one in (b"one", b"two")})
    registry.artifacts.begin_upload(sha256[1], 10)
    registry.artifacts.put_part(sha256[1], Source(file, 0, 4), sha256[0])
    assert registry.artifacts.put_part(sha256[1], Source(file, 4), sha256[1]).complete
    assert registry.artifacts.collect_garbage(dry_run=True, grace_s=0).removed_blobs == 0


def _use_principals(registry: HttpRegistry) -> None:
    registry.principals.whoami()
    made = registry.principals.create("bot", "service", [Grant(role=Role.STRATEGY, models="eurusd-*")])
    registry.principals.update("bot", [], revision=made.revision)
    registry.principals.get("bot")
    issued = registry.principals.issue_token("bot", valid_days=3)
    list(registry.principals.search(page_size=1))
    list(registry.principals.tokens(page_size=1))
    registry.principals.revoke_token(issued.token.id)


def _revalidate(client: httpx.Client) -> None:
    """Repeat every GET that returned an ETag with If-None-Match, and expect 304."""
    for path in ("models/eurusd", "models/eurusd/versions/1", "models/eurusd/resolve/production", "whoami"):
        _ask_again_for(client, path)
    for path in ("models/eurusd/policy", "principals/bot"):
        _ask_again_for(client, path)
    key = {"idempotency-key": "a-key-of-its-own", "if-none-match": "*"}
    client.put("/v1/models/eurusd/aliases/shadow", json={"version": 1}, headers=key).raise_for_status()
    _ask_again_for(client, "models/eurusd/aliases/shadow")
    _ask_again_for(client, "models/eurusd/versions/1/files/model.onnx")
    path = "/v1/models/eurusd/versions/1/files/model.onnx"
    assert client.get(path, headers={"range": "bytes=2-"}).status_code == 206
    assert client.get(path, headers={"range": "bytes=99-"}).status_code == 416


def _ask_again_for(client: httpx.Client, path: str) -> None:
    first = client.get(f"/v1/{path}").raise_for_status()
    assert client.get(f"/v1/{path}", headers={"if-none-match": first.headers["etag"]}).status_code == 304
