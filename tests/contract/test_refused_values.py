"""Values that JSON, Python or another system reads in two ways: both sides refuse them with a typed error."""

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common_lib import Cache
from common_lib.errors import DigestMismatch, InvalidRequest, LoadRefused
from common_lib.loaders import json_document
from common_lib.operations import aliases as alias_operations
from common_lib.operations import models as model_operations
from common_lib.operations import principals as principal_operations
from common_lib.operations import versions as version_operations
from common_lib.rules import names
from common_lib.rules.violation import RuleViolation
from common_lib.types.artifacts import FileEntry
from registry_server.testing import TestBackend
from tests.security.worlds import CONTENT, MODEL, SHA256, World, assert_unchanged, open_world, problem

FILE = {"path": "model.bin", "size": len(CONTENT), "sha256": SHA256}
DEVICES = [
    "nul.txt",
    "NUL",
    "con.tar.gz",
    "aux",
    "prn.a.b",
    "com1",
    "LPT9.log",
    "Com0",
    "conin$",
    "COM\u00b9.x",
    "con .txt",
]


@pytest.fixture(scope="module", params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Provide a registry with data on each engine."""
    with open_world(request) as this:
        yield this


NUMBERS = {
    "4,300 digits": b"9" * 4_300,
    "4,301 digits": b"9" * 4_301,
    "101 digits": b"1" + b"0" * 100,
    "101 digits below zero": b"-1" + b"0" * 100,
    "1e400": b"1e400",
    "-1e999999": b"-1e999999",
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "-Infinity": b"-Infinity",
    "a lone surrogate": b'"\\ud800"',
    "halves in the wrong order": b'"\\udc00\\ud800"',
    "a NUL": b'"a\\u0000b"',
    "depth 5,000": b"[" * 5_000 + b"]" * 5_000,
    "a key twice": b'1,"a":2',
}


@pytest.mark.parametrize("field", ["metadata", "parameters", "metrics"])
@pytest.mark.parametrize("what", NUMBERS)
def test_the_server_refuses_ambiguous_values(world: World, field: str, what: str) -> None:
    """The answer is a typed problem, and the server stores nothing."""
    body: dict[str, Any] = {"name": "new", "type": "regression"}
    target = "/v1/models"
    if field != "metadata":
        target, body = f"/v1/models/{MODEL}/versions", {"files": [FILE], "framework": "test"}
    if field == "metrics" and what.startswith("101 digits"):
        pytest.skip("a metric is a double, however it is written")
    content = json.dumps(body)[:-1].encode() + b',"%s":{"a":%s}}' % (field.encode(), NUMBERS[what])
    with assert_unchanged(world):
        answer = world.send("POST", target, content)
        assert answer.status_code in {400, 422}
        problem(answer)


@pytest.mark.parametrize("field", ["metadata", "parameters"])
@pytest.mark.parametrize("value", [10**100 - 1, -(10**100) + 1, 2**64, -0.0, 5e-324, 1.7976931348623157e308, "9" * 999])
def test_values_within_the_limits_are_preserved(world: World, field: str, value: Any) -> None:
    """Integers beyond 64 bits are preserved exactly, too."""
    with world.backend.registry() as registry:
        if field == "metadata":
            name = f"m-{uuid.uuid4().hex[:8]}"
            registry.models.create(name, "regression", metadata={"a": value})
            found = registry.models.get(name).metadata["a"]
        else:
            entry = FileEntry(**FILE)
            made = registry.versions.create(MODEL, [entry], framework="test", parameters={"a": value})
            found = registry.versions.get(MODEL, made.version).parameters["a"]
    assert (type(found), repr(found)) == (type(value), repr(value))


BAD: dict[str, Any] = {
    "101 digits": 10**100,
    "101 digits below zero": -(10**100),
    "4,300 digits": 10**4_299,
    "4,301 digits": 10**4_300,
    "NaN": float("nan"),
    "-inf": float("-inf"),
    "a lone surrogate": "\ud800",
    "a NUL": "a\x00b",
    "1,001 characters": "x" * 1_001,
}


@pytest.mark.parametrize("what", BAD)
def test_the_client_refuses_ambiguous_values_before_it_sends(what: str) -> None:
    """In metadata and parameters, of a new model or version and of a change."""
    value = BAD[what]
    builds: list[Callable[[], Any]] = [
        lambda: model_operations.create("m", "regression", metadata={"a": value}),
        lambda: model_operations.update("m", revision=1, metadata={"a": value}),
        lambda: version_operations.create("m", [FileEntry(**FILE)], framework="test", parameters={"a": value}),
    ]
    for build in builds:
        with pytest.raises(InvalidRequest) as caught:
            build()
        assert str(caught.value.field).endswith(".a") or ".a." in str(caught.value.field)
        assert len(str(caught.value)) < 1_000


def test_five_thousand_keys_are_refused(world: World) -> None:
    """Both sides refuse them, and the error states the number."""
    many = {f"k{number}": 1 for number in range(5_000)}
    with pytest.raises(InvalidRequest) as caught:
        model_operations.create("m", "regression", metadata=many)
    assert caught.value.code == "too_many_entries"
    refusal = problem(world.send("POST", "/v1/models", {"name": "new", "type": "regression", "metadata": many}))
    assert refusal["code"] == "too_many_entries"


@pytest.mark.parametrize("device", DEVICES)
def test_device_names_are_refused_everywhere(world: World, device: str) -> None:
    """As a model, tag key, principal, alias and part of a path, in any case."""
    alias = f"/v1/models/{MODEL}/aliases/{device.lower().partition('.')[0].strip()}"
    new = {"if-match": None, "if-none-match": "*"}
    answers = [
        world.send("POST", "/v1/models", {"name": device, "type": "regression"}),
        world.send("POST", "/v1/models", {"name": "new", "type": "regression", "tags": {device: "x"}}),
        world.send("POST", "/v1/models", {"name": "new", "type": "regression", "tags": {f"a/{device}": "x"}}),
        world.send("PATCH", f"/v1/models/{MODEL}/versions/1", {"tags": {device: "x"}, "reason": "x"}),
        world.send("POST", "/v1/principals", {"name": device.lower(), "kind": "human", "grants": []}),
        *([world.send("PUT", alias, {"version": 1}, new)] if alias.isascii() else []),
    ]
    for path in (device, f"a/{device}", f"{device}/b"):
        body = {"files": [FILE | {"path": path}], "framework": "test"}
        answers.append(world.send("POST", f"/v1/models/{MODEL}/versions", body))
    for answer in answers:
        assert problem(answer)["code"] in {"reserved_name", "invalid_name", "invalid_path", "invalid_request"}


@pytest.mark.parametrize("name", ["nul.txt", "con.tar.gz", "aux", "lpt1.x.y"])
def test_a_device_name_has_its_own_error_code_on_both_sides(world: World, name: str) -> None:
    """The error says that the otherwise valid name is a device of Windows."""
    builds: list[Callable[[], Any]] = [
        lambda: model_operations.create(name, "regression"),
        lambda: model_operations.create("m", "regression", tags={name: "x"}),
        lambda: principal_operations.create(name, "human", []),
        lambda: alias_operations.create("m", name.partition(".")[0], 1),
        lambda: version_operations.create("m", [FileEntry(**FILE | {"path": f"a/{name}"})], framework="test"),
    ]
    for build in builds:
        with pytest.raises(InvalidRequest, match="Windows") as caught:
            build()
        assert caught.value.code == "reserved_name"
    refusal = problem(world.send("POST", "/v1/principals", {"name": name, "kind": "human", "grants": []}))
    assert refusal["code"] == "reserved_name"
    refusal = problem(world.send("POST", "/v1/models", {"name": "new", "type": "regression", "tags": {name: "x"}}))
    assert refusal["code"] == "reserved_name"


@pytest.mark.parametrize("name", ["nulls.txt", "contact", "auxiliary", "com10", "lpt", "console.log", "x.nul"])
def test_a_name_that_only_begins_like_a_device_is_accepted(name: str) -> None:
    """Windows compares the whole text before the first dot."""
    assert names.check_model_name(name) == name
    assert names.check_new_principal_name(name) == name
    assert names.check_artifact_path(f"{name}/{name}")
    names.check_tags({name: "x"})
    with pytest.raises(RuleViolation):
        names.check_tags({f"{name}/nul.x": "x"})


def test_existing_principals_and_aliases_with_device_names_stay_usable(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They can be read, moved and granted rights; only new ones are refused."""
    with monkeypatch.context() as patch:
        patch.setattr(names, "_DEVICES", frozenset())
        with world.backend.registry() as registry:
            registry.principals.create("aux.desk", "human", [])
            registry.aliases.create(MODEL, "prn", 1)
    with world.backend.registry() as registry:
        assert registry.principals.get("aux.desk").name == "aux.desk"
        registry.principals.update("aux.desk", [], revision=1)
        assert registry.principals.issue_token("aux.desk").secret
        assert registry.versions.resolve(f"models:/{MODEL}@prn").version == 1
        assert registry.aliases.move(MODEL, "prn", 2, revision=1).version == 2
        registry.aliases.delete(MODEL, "prn", revision=2)
        with pytest.raises(InvalidRequest, match="Windows"):
            registry.aliases.create(MODEL, "prn", 1)


@pytest.mark.parametrize(
    "content",
    [
        *(b"[1e999999]", b'{"a":-1e400}', b"[1.8e308]", b'["\\ud800"]', b'["\\udc00\\ud800"]', b'{"\\udfff":1}'),
        *(b"NaN", b"[Infinity]", b'{"a":1,"a":2}', b'["\xed\xa0\x80"]', b"[" * 100_000, b"[" + b"9" * 5_000 + b"]"),
    ],
    ids=lambda content: content[:12].decode("latin-1"),
)
def test_an_ambiguous_json_model_is_not_loaded(
    model_registry_backend: TestBackend, tmp_path: Path, content: bytes
) -> None:
    """Infinities and lone surrogates cannot be written again as they were."""
    (tmp_path / "model.json").write_bytes(content)
    with model_registry_backend.registry() as registry:
        registry.models.create("m", "regression")
        registry.register("m", tmp_path / "model.json", framework="json")
        with pytest.raises(LoadRefused):
            registry.load("models:/m/1")


def test_unambiguous_json_models_are_loaded() -> None:
    """Surrogate pairs, the largest double, a NUL in a text, an escaped backslash before a u."""
    content = b'["\\ud83d\\ude02", 1.7976931348623157e308, -0.0, "a\\u0000b", "\\\\ud800"]'
    assert json_document.load(content) == [
        "\N{FACE WITH TEARS OF JOY}",
        1.7976931348623157e308,
        0.0,
        "a\x00b",
        "\\ud800",
    ]


@pytest.mark.parametrize("size", [0, len(CONTENT) - 1, len(CONTENT) + 1, 2**40])
def test_a_version_with_a_wrong_file_size_is_refused(world: World, size: int) -> None:
    """The digest is right and the bytes are stored, but the manifest states another size."""
    with assert_unchanged(world):
        body = {"files": [FILE | {"size": size}], "framework": "test"}
        refusal = problem(world.send("POST", f"/v1/models/{MODEL}/versions", body))
    assert (refusal["code"], refusal["field"], refusal["value"]) == ("invalid_manifest", "size", str(size))


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_a_download_of_the_wrong_size_gets_no_file_name(tmp_path: Path, size: int) -> None:
    """The registry's manifest is wrong; the client stores nothing, although the digest is right."""
    partial = Cache(tmp_path).start_download(FileEntry(path="model.bin", size=size, sha256=SHA256))
    with pytest.raises(DigestMismatch):
        _arrive(partial)
    partial.close()
    assert not Cache(tmp_path).blob(SHA256).exists()
    assert hashlib.sha256(CONTENT).hexdigest() == SHA256


def _arrive(partial: Any) -> None:
    partial.write(CONTENT)
    partial.publish()
