"""Lists whose entries are found by name: both sides refuse duplicates."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common_lib import Grant, ModelRegistry, Operation, Role
from common_lib.errors import InvalidRequest
from common_lib.operations import policies as policy_operations
from common_lib.operations import principals as principal_operations
from common_lib.operations import versions as version_operations
from common_lib.types.artifacts import FileEntry
from common_lib.types.policies import PromotionRules
from common_lib.types.versions import Signature
from tests.security.worlds import CONTENT, MODEL, SHA256, World, assert_unchanged, open_world, problem

FILE = {"path": "model.bin", "size": len(CONTENT), "sha256": SHA256}
PRICE = {"name": "price", "dtype": "float64"}
AUC = {"metric": "auc", "direction": "at_least", "than": 0.5}
DAYS = {"days": ["monday", "friday"], "since": "09:00", "until": "17:00"}


@pytest.fixture(scope="module", params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Provide a registry with data on each engine."""
    with open_world(request) as this:
        yield this


def version(**facts: Any) -> tuple[str, str, Any]:
    """Return the request to create a version."""
    return "POST", f"/v1/models/{MODEL}/versions", {"files": [FILE], "framework": "test"} | facts


def signature(**sides: Any) -> tuple[str, str, Any]:
    """Return the request to create a version with that signature."""
    return version(signature={"inputs": [], "outputs": []} | sides)


def policy(**rules: Any) -> tuple[str, str, Any]:
    """Return the request to set a policy."""
    return "PUT", f"/v1/models/{MODEL}/policy", {"rules": rules, "reason": "as decided"}


def windows(**parts: Any) -> tuple[str, str, Any]:
    """Return the request to set a policy with those change windows."""
    return policy(windows={"zone": "UTC", "hours": [DAYS]} | parts)


def grants(*given: dict[str, str]) -> tuple[str, str, Any]:
    """Return the request to create a principal."""
    return "POST", "/v1/principals", {"name": "twice", "kind": "human", "grants": list(given)}


TWICE: dict[str, tuple[tuple[str, str, Any], str, str]] = {
    "inputs": (signature(inputs=[PRICE, PRICE | {"dtype": "int64"}]), "duplicate_entry", "signature.inputs[1]"),
    "equal inputs": (signature(inputs=[PRICE, {"name": "y", "dtype": "i"}, PRICE]), "duplicate_entry", "[2]"),
    "outputs": (signature(outputs=[PRICE, PRICE | {"shape": [1]}]), "duplicate_entry", "signature.outputs[1]"),
    "paths": (version(files=[FILE, FILE]), "invalid_manifest", "path"),
    "paths but for capitals": (version(files=[FILE, FILE | {"path": "Model.BIN"}]), "invalid_manifest", "path"),
    "a path that is a folder": (version(files=[FILE, FILE | {"path": "Model.bin/x"}]), "invalid_manifest", "path"),
    "metric rules": (policy(metrics=[AUC, AUC | {"than": 0.7}]), "invalid_policy", "rules.metrics[1]"),
    "equal metric rules": (policy(metrics=[AUC, AUC]), "invalid_policy", "rules.metrics[1]"),
    "incumbent rules": (
        policy(metrics=[AUC | {"than": None}, AUC | {"than": None, "tolerance": 0.1}]),
        *("invalid_policy", "rules.metrics[1]"),
    ),
    "patterns": (policy(files=["*.md", "*.json", "*.md"]), "invalid_policy", "rules.files[2]"),
    "closed days": (windows(closed=["2026-12-24", "2026-12-24"]), "invalid_policy", "rules.windows.closed[1]"),
    "hours": (windows(hours=[DAYS, DAYS]), "invalid_policy", "rules.windows.hours[1]"),
    "hours of the same days in another order": (
        windows(hours=[DAYS, DAYS | {"days": ["friday", "monday"]}]),
        *("invalid_policy", "rules.windows.hours[1]"),
    ),
    "days": (windows(hours=[DAYS | {"days": ["monday"] * 2}]), "invalid_policy", "rules.windows.hours[0].days[1]"),
    "grants": (grants({"role": "admin", "models": "a*"}, {"role": "admin", "models": "a*"}), "duplicate_entry", "[1]"),
    "grants but for capitals": (
        grants({"role": "admin", "models": "a*"}, {"role": "admin", "models": "A*"}),
        *("duplicate_entry", "grants[1]"),
    ),
}


@pytest.mark.parametrize("what", TWICE)
def test_the_server_refuses_duplicate_entries(world: World, what: str) -> None:
    """The server would have to guess which entry counts; it stores nothing and names the second entry."""
    (method, target, body), code, field = TWICE[what]
    with assert_unchanged(world):
        refusal = problem(world.send(method, target, body))
    assert (refusal["status"], refusal["code"]) == (422, code)
    assert field in refusal["field"]
    assert refusal["value"]


def test_an_update_of_grants_refuses_duplicates_too(world: World) -> None:
    """An update cannot store grants that a creation refuses."""
    grant = {"role": "analysis", "models": "*"}
    refusal = problem(world.send("PATCH", "/v1/principals/admin", {"grants": [grant, grant], "reason": "twice"}))
    assert (refusal["code"], refusal["field"]) == ("duplicate_entry", "grants[1]")


@pytest.mark.parametrize(
    "request_",
    [
        signature(inputs=[PRICE, PRICE | {"name": "Price"}], outputs=[PRICE]),
        policy(metrics=[AUC, AUC | {"than": None}, AUC | {"direction": "at_most", "than": 0.9}], files=["*.a", "*.b"]),
        windows(hours=[DAYS, DAYS | {"until": "18:00"}, DAYS | {"days": ["monday"]}]),
        grants({"role": "admin", "models": "a*"}, {"role": "analysis", "models": "a*"}),
    ],
    ids=["signature", "policy", "windows", "grants"],
)
def test_entries_that_only_resemble_each_other_are_accepted(world: World, request_: tuple[str, str, Any]) -> None:
    """Other capitals of an input, two bounds of a metric, overlapping hours, two roles on the same models."""
    if "policy" in request_[1]:
        world.send(*version(metrics={"auc": 0.6}))
    answer = world.send(*request_)
    assert answer.status_code in {200, 201}, answer.text


def _build(target: str, body: Any) -> Callable[[], Any]:
    if target.endswith("/versions"):
        files = [FileEntry(**file) for file in body["files"]]
        found = body.get("signature")
        signed = None if found is None else Signature.from_json(json.dumps(found).encode())
        return lambda: version_operations.create(MODEL, files, framework="test", signature=signed)
    if target.endswith("/policy"):
        return lambda: policy_operations.put(
            MODEL, PromotionRules.from_json(json.dumps(body["rules"]).encode()), reason="as decided", revision=1
        )
    given = [Grant(role=Role(grant["role"]), models=grant["models"]) for grant in body["grants"]]
    return lambda: principal_operations.create("twice", "human", given)


@pytest.mark.parametrize("what", TWICE)
def test_the_client_refuses_duplicate_entries(what: str) -> None:
    """It applies the same rule before it sends a request."""
    (_, target, body), code, field = TWICE[what]
    with pytest.raises(InvalidRequest) as caught:
        _build(target, body)()
    assert caught.value.code == code
    assert field in str(caught.value.field)


@pytest.mark.parametrize("query", ["tag=team%3Dfx&tag=team%3Deq", "tag=team%3Dfx&tag=a%3Db&tag=team%3Dfx"])
def test_a_search_refuses_one_tag_with_two_values(world: World, query: str) -> None:
    """A tag has one value, so no model could match both."""
    refusal = problem(world.send("GET", f"/v1/models?{query}"))
    assert (refusal["code"], refusal["value"]) == ("duplicate_entry", "team")


class Silent(ModelRegistry):
    """A registry that records operations and returns no answer."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def call(self, operation: Operation[Any]) -> Any:
        """Record the path of the operation."""
        self.sent.append(operation.path)
        raise AssertionError(operation.path)


@pytest.mark.parametrize("facts", [{"tags": {"nul.txt": "x"}}, {"signature": None}, {"parameters": {"a": "x" * 1_001}}])
def test_an_invalid_registration_sends_no_request(tmp_path: Path, facts: dict[str, Any]) -> None:
    """The rules are checked before any question to the server and before any upload."""
    (tmp_path / "model.bin").write_bytes(CONTENT)
    if "signature" in facts:
        facts = {"signature": Signature.from_json(json.dumps({"inputs": [PRICE, PRICE], "outputs": []}).encode())}
    registry = Silent()
    with pytest.raises(InvalidRequest):
        registry.register("m", tmp_path / "model.bin", framework="test", **facts)
    assert registry.sent == []
