"""Limits of facts and pages in bytes, so that every list fits into the memory of a client."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from common_lib import Grant, HttpRegistry, Role
from common_lib.errors import InvalidRequest
from common_lib.operations import models as model_operations
from common_lib.operations import versions as version_operations
from common_lib.rules import facts, lifecycle
from common_lib.types.artifacts import FileEntry
from common_lib.types.versions import FieldSpec, Signature
from registry_server.api import request_body
from registry_server.core import pages
from tests.security.worlds import CONTENT, MODEL, SHA256, World, open_world, problem
from tests.support.steps import version_of

FILE = {"path": "model.bin", "size": len(CONTENT), "sha256": SHA256}


@pytest.fixture(scope="module", params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Provide a registry with data on each engine."""
    with open_world(request) as this:
        yield this


@pytest.fixture
def registry(world: World) -> Iterator[HttpRegistry]:
    """Provide a registry client of the admin."""
    with world.backend.registry() as this:
        yield this


def size(value: Any) -> int:
    """Count the bytes of a value as compact JSON in UTF-8."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def filled(room: int, count: int, length: int) -> list[str]:
    """Return as many texts of the given length as fit into the given number of bytes."""
    texts = []
    for _ in range(count):
        wide = min(length, room // 3)
        narrow = min(length - wide, room - 3 * wide)
        texts.append("\N{EURO SIGN}" * wide + "x" * narrow)
        room -= 3 * wide + narrow
    assert room == 0
    return texts


def of_size(count: int, entries: int, length: int) -> dict[str, Any]:
    """Return an object of exactly that many bytes as JSON."""
    keys = [f"k{number:03}" for number in range(entries)]
    room = count - size(dict.fromkeys(keys, ""))
    return dict(zip(keys, filled(room, entries, length), strict=True))


def signed(count: int) -> dict[str, Any]:
    """Return a signature of exactly that many bytes as JSON."""
    fields = [{"name": f"f{number:03}", "dtype": "", "shape": []} for number in range(250)]
    found = {"inputs": fields, "outputs": []}
    for field, text in zip(fields, filled(count - size(found), 250, 256), strict=True):
        field["dtype"] = text
    return found


FIELDS: dict[str, Any] = {
    "description": lambda count: "\N{GRINNING FACE}" * ((count - 2) // 4) + "x" * ((count - 2) % 4),
    "metadata": lambda count: of_size(count, 30, 1_000),
    "tags": lambda count: of_size(count, 60, 256),
    "parameters": lambda count: of_size(count, 30, 1_000),
    "signature": signed,
}
OF_A_MODEL = ("description", "metadata", "tags")


def create(world: World, field: str, value: Any) -> Any:
    """Send the value of a field in a request to create a model or a version."""
    if field in OF_A_MODEL:
        name = f"m-{uuid.uuid4().hex[:8]}"
        return world.send("POST", "/v1/models", {"name": name, "type": "regression", field: value})
    body = {"files": [FILE], "framework": "test", field: value}
    return world.send("POST", f"/v1/models/{MODEL}/versions", body)


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_has_a_limit_in_bytes(world: World, field: str) -> None:
    """A value at the limit is accepted; one more byte is refused with field, size and limit."""
    limit = facts.MAX_BYTES[field]
    taken = create(world, field, FIELDS[field](limit))
    assert taken.status_code == 201, taken.text
    refusal = problem(create(world, field, FIELDS[field](limit + 1)))
    assert (refusal["status"], refusal["code"], refusal["field"], refusal["value"]) == (
        *(422, "field_too_large", field),
        str(limit + 1),
    )
    assert str(limit) in refusal["detail"]


@pytest.mark.parametrize("field", [name for name in FIELDS if name in OF_A_MODEL])
def test_an_update_has_the_same_limit_as_a_creation(world: World, field: str) -> None:
    """An update of a model or a version cannot store a value that a creation refuses."""
    value = FIELDS[field](facts.MAX_BYTES[field] + 1)
    targets = [f"/v1/models/{MODEL}"] + [f"/v1/models/{MODEL}/versions/1"] * (field != "metadata")
    for target in targets:
        refusal = problem(world.send("PATCH", target, {field: value, "reason": "larger"}))
        assert (refusal["code"], refusal["field"]) == ("field_too_large", field)


@pytest.mark.parametrize("field", FIELDS)
def test_the_client_checks_the_same_limits_before_it_sends(field: str) -> None:
    """Every operation applies the same rule with the same limit."""
    limit = facts.MAX_BYTES[field]

    def build(count: int) -> None:
        value = FIELDS[field](count)
        if field == "signature":
            sides = {side: [FieldSpec(**one) for one in fields] for side, fields in value.items()}
            value = Signature(**sides)
        if field in OF_A_MODEL:
            model_operations.create("m", "regression", **{field: value})
            model_operations.update("m", revision=1, **{field: value})
        else:
            version_operations.create("m", [FileEntry(**FILE)], framework="test", **{field: value})

    build(limit)
    with pytest.raises(InvalidRequest, match=str(limit)) as caught:
        build(limit + 1)
    assert (caught.value.code, caught.value.field) == ("field_too_large", field)


def test_models_larger_than_the_limit_can_still_be_listed(
    world: World, registry: HttpRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages end early, hold at least one row each, and together hold every model once, in either order."""
    monkeypatch.setitem(facts.MAX_BYTES, "metadata", 2 * pages.MAX_BYTES)
    monkeypatch.setattr(request_body, "MAX_JSON_BYTES", 2 * pages.MAX_BYTES)
    body = {f"k{number:03}": "\N{GRINNING FACE}" * 1_000 for number in range(255)}
    names = [f"large-{number:02}" for number in range(11)]
    for name in names:
        created = world.send("POST", "/v1/models", {"name": name, "type": "anomaly_detection", "metadata": body})
        assert created.status_code == 201
    monkeypatch.undo()
    for order in ("name", "-created_at"):
        found, token, count = [], "", 0
        while token is not None:
            target = f"/v1/models?type=anomaly_detection&limit=1000&order={order}"
            answer = world.send("GET", target + (f"&page_token={token}" if token else ""))
            assert len(answer.content) <= pages.MAX_BYTES + 1_000
            page = answer.json()
            assert page["items"]
            found += [model["name"] for model in page["items"]]
            token, count = page["next_page_token"], count + 1
        assert found == (names if order == "name" else names[::-1])
        assert count == 3
    assert [model.name for model in registry.models.search(type="anomaly_detection")] == names


def rows_of(world: World, target: str) -> list[Any]:
    """Follow the pages of a list and return its rows; fail if a page exceeds its limit."""
    found, token = [], ""
    while token is not None:
        answer = world.send("GET", f"{target}?limit=1000" + (f"&page_token={token}" if token else ""))
        assert len(answer.content) <= pages.MAX_BYTES + 1_000
        page = answer.json()
        found += page["items"]
        token = page["next_page_token"]
    return found


def test_every_list_ends_its_pages_early(world: World, registry: HttpRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models, versions, decisions, principals, tokens: small pages neither skip nor repeat a row."""
    for number in range(4):
        name = f"people-{number}-{uuid.uuid4().hex[:6]}"
        registry.principals.create(name, "human", [Grant(role=Role.ANALYSIS, models=f"m{n}*") for n in range(20)])
        registry.principals.issue_token(name)
        version_of(registry, MODEL, description="long " * 100)
        registry.aliases.create(MODEL, f"alias-{number}-{uuid.uuid4().hex[:6]}", 1, reason="because " * 20)
    targets = [f"/v1/models/{MODEL}/{what}" for what in ("versions", "history")]
    for target in ("/v1/models", "/v1/principals", "/v1/tokens", *targets):
        whole = rows_of(world, target)
        assert len(whole) > 3
        for most in (1, 2_000):
            monkeypatch.setattr(pages, "MAX_BYTES", most)
            assert list(_paged(world, target, most)) == whole
            monkeypatch.undo()


def _paged(world: World, target: str, most: int) -> Iterator[Any]:
    token = ""
    while token is not None:
        answer = world.send("GET", f"{target}?limit=1000" + (f"&page_token={token}" if token else ""))
        page = answer.json()
        assert len(page["items"]) == 1 or len(answer.content) <= most + 200
        yield from page["items"]
        token = page["next_page_token"]


def test_large_events_are_read_page_by_page(
    world: World, registry: HttpRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that continues after its last sequence gets every event, of any size."""
    whole = world.send("GET", "/v1/events?limit=1000").json()
    monkeypatch.setattr("registry_server.core.events.MAX_BYTES", 3_000)
    found: list[Any] = []
    while part := world.send("GET", f"/v1/events?limit=1000&after={len(found)}").json():
        assert len(part) == 1 or size(part) <= 3_100
        found += part
    assert found == whole


def test_lists_without_pages_have_a_limit(
    world: World, registry: HttpRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Aliases of a model and verdicts on a version are limited in number; existing ones can still be changed."""
    monkeypatch.setattr(lifecycle, "MAX_ALIASES", 2)
    registry.models.create("pointed-at", "regression")
    version_of(registry, "pointed-at", CONTENT)
    version_of(registry, "pointed-at", CONTENT)
    for alias in ("first", "second"):
        registry.aliases.create("pointed-at", alias, 1)
    with pytest.raises(InvalidRequest, match="2 aliases") as caught:
        registry.aliases.create("pointed-at", "third", 1)
    assert caught.value.code == "too_many_entries"
    registry.aliases.move("pointed-at", "second", 2, revision=1)
    registry.aliases.delete("pointed-at", "first", revision=1)
    registry.aliases.create("pointed-at", "third", 1)

    monkeypatch.setattr(lifecycle, "MAX_VERDICTS", 1)
    tokens = []
    for number in range(2):
        registry.principals.create(f"human-{number}", "human", [Grant(role=Role.INTEGRATION, models="*")])
        tokens.append(registry.principals.issue_token(f"human-{number}").secret)
    target, verdict = "/v1/models/pointed-at/versions/1/approvals", {"verdict": "approved", "reason": "it is good"}
    statuses = []
    for token, what in ((tokens[0], "approved"), (tokens[1], "approved"), (tokens[0], "refused")):
        headers = {"authorization": f"Bearer {token}", "idempotency-key": uuid.uuid4().hex}
        with world.http() as http:
            statuses.append(http.post(target, json=verdict | {"verdict": what}, headers=headers).status_code)
    assert statuses == [201, 422, 201]
