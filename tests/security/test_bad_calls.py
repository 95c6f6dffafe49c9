"""Bad input to the Python client raises typed errors with the value, before or after a request is sent."""

# ruff: noqa: E501 - one line for each call: a table is read by its columns

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common_lib import FieldSpec, FileEntry, Grant, HttpRegistry, ModelRegistry, RegistryConfig, Role, Signature, errors
from registry_server.testing import backend
from tests.contract.pairs import client_values
from tests.security.worlds import MODEL, SHA256, World, assert_unchanged, create_example_model

FILE = FileEntry(path="model.bin", size=7, sha256=SHA256)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Provide one registry for all tests of this file; none of them changes it."""
    with backend() as application:
        shared = World(application)
        with application.registry() as registry:
            create_example_model(registry, MODEL)
        yield shared
        shared.close()


Call = Callable[[ModelRegistry], Any]
# fmt: off
CALLS: list[tuple[str, Call, type[errors.RequestRefused], str | None, Any]] = [
    ("no name", lambda r: r.models.create(None, "regression"), errors.InvalidRequest, "name", None),  # type: ignore[arg-type]
    ("a number for a name", lambda r: r.models.create(7, "regression"), errors.InvalidRequest, "name", 7),  # type: ignore[arg-type]
    ("a name with a space", lambda r: r.models.create("a b", "regression"), errors.InvalidRequest, "name", "a b"),
    ("a surrogate as a name", lambda r: r.models.create("\ud800", "regression"), errors.InvalidRequest, "name", "\ud800"),
    ("a name that exists in other capitals", lambda r: r.models.create(MODEL.upper(), "regression"), errors.AlreadyExists, "name", MODEL.upper()),
    ("an upper-case name", lambda r: r.models.get(MODEL.upper()), errors.ModelNotFound, "name", MODEL.upper()),
    ("an invalid type", lambda r: r.models.create("new", "nope"), errors.InvalidRequest, "type", "nope"),
    ("a number for a type", lambda r: r.models.create("new", 7), errors.InvalidRequest, "type", 7),  # type: ignore[arg-type]
    ("a number for an owner", lambda r: r.models.create("new", "regression", owner=7), errors.InvalidRequest, "owner", 7),  # type: ignore[arg-type]
    ("a number as a tag", lambda r: r.models.create("new", "regression", tags={"a": 7}), errors.InvalidRequest, "tags.a", 7),  # type: ignore[dict-item]
    ("10,000 tags", lambda r: r.models.create("new", "regression", tags={f"t{n}": "" for n in range(10_000)}), errors.InvalidRequest, "tags", "10000"),
    ("infinity", lambda r: r.models.create("new", "regression", metadata={"a": math.inf}), errors.InvalidRequest, "metadata.a", math.inf),
    ("a list as metadata", lambda r: r.models.create("new", "regression", metadata={"a": [1]}), errors.InvalidRequest, "metadata.a", [1]),  # type: ignore[dict-item]
    ("NUL in a text", lambda r: r.models.create("new", "regression", description="\0"), errors.InvalidRequest, "description", "\0"),
    ("a surrogate in a text", lambda r: r.models.create("new", "regression", description="\ud800"), errors.InvalidRequest, "description", "\ud800"),
    ("no revision", lambda r: r.models.update(MODEL, description="x"), errors.RevisionRequired, "If-Match", None),
    ("a stale revision", lambda r: r.models.update(MODEL, revision=9, description="x"), errors.RevisionMismatch, "If-Match", '"9"'),
    ("revision 0", lambda r: r.models.update(MODEL, revision=0, description="x"), errors.InvalidRequest, "If-Match", '"0"'),
    ("no reason", lambda r: r.models.tombstone(MODEL, reason="", force=True), errors.InvalidRequest, "reason", ""),
    ("a page of 0", lambda r: list(r.models.search(page_size=0)), errors.InvalidRequest, "limit", "0"),
    ("a page of -1", lambda r: list(r.models.search(page_size=-1)), errors.InvalidRequest, "limit", "-1"),
    ("a page of 10**9", lambda r: list(r.models.search(page_size=10**9)), errors.InvalidRequest, "limit", "1000000000"),
    ("SQL as an order", lambda r: list(r.models.search(order="name;drop table models")), errors.InvalidRequest, "order", "name;drop table models"),  # type: ignore[arg-type]
    ("NUL as an owner", lambda r: list(r.models.search(owner="\0")), errors.InvalidRequest, "owner", "\0"),
    ("the last character as a prefix", lambda r: list(r.models.search(prefix="\U0010ffff")), errors.InvalidRequest, "prefix", "\U0010ffff"),
    ("5,000 tags to search by", lambda r: list(r.models.search(tags={f"t{n}": "" for n in range(5_000)})), errors.InvalidRequest, "tag", "5000"),
    ("version 0", lambda r: r.versions.get(MODEL, 0), errors.VersionNotFound, "version", "0"),
    ("version -1", lambda r: r.versions.get(MODEL, -1), errors.VersionNotFound, "version", "-1"),
    ("version 2**31", lambda r: r.versions.get(MODEL, 2**31), errors.VersionNotFound, "version", str(2**31)),
    ("version 2**63", lambda r: r.versions.get(MODEL, 2**63), errors.VersionNotFound, "version", str(2**63)),
    ("version True", lambda r: r.versions.get(MODEL, True), errors.NotFound, "path", f"/v1/models/{MODEL}/versions/True"),
    ("no reference", lambda r: r.resolve(None), errors.InvalidRequest, "reference", None),  # type: ignore[arg-type]
    ("a reference with a line break", lambda r: r.resolve(f"models:/{MODEL}/1\n"), errors.InvalidRequest, "reference", f"models:/{MODEL}/1\n"),
    ("no files", lambda r: r.versions.create(MODEL, [], framework="test"), errors.InvalidRequest, "files", "0"),
    ("a path with ..", lambda r: r.versions.create(MODEL, [FILE.model_copy(update={"path": "../x"})], framework="test"), errors.InvalidRequest, "path", "../x"),
    ("NaN as a metric", lambda r: r.versions.create(MODEL, [FILE], framework="test", metrics={"a": math.nan}), errors.InvalidRequest, "metrics.a", math.nan),
    ("an illegal transition", lambda r: r.versions.transition(MODEL, 1, "production", reason="x", revision=1), errors.IllegalTransition, "to", "production"),
    ("an invalid stage", lambda r: r.versions.transition(MODEL, 1, "limbo", revision=1), errors.InvalidRequest, "to", "limbo"),
    ("an invalid stage to search by", lambda r: list(r.versions.search(MODEL, stage="limbo")), errors.InvalidRequest, "stage", "limbo"),
    ("a number for a reason", lambda r: r.versions.transition(MODEL, 1, "archived", reason=7, revision=1), errors.InvalidRequest, "reason", 7),  # type: ignore[arg-type]
    ("a reserved alias", lambda r: r.aliases.create(MODEL, "v1", 1), errors.InvalidRequest, "alias", "v1"),
    ("a number for an alias", lambda r: r.aliases.get(MODEL, 7), errors.InvalidRequest, "alias", 7),  # type: ignore[arg-type]
    ("text for a version", lambda r: r.aliases.create(MODEL, "champion", "1"), errors.InvalidRequest, "version", "1"),  # type: ignore[arg-type]
    ("an alias that exists", lambda r: r.aliases.create(MODEL, "shadow", 1), errors.AlreadyExists, "alias", "shadow"),
    ("an invalid digest", lambda r: r.artifacts.get_blob("x"), errors.InvalidRequest, "sha256", "x"),
    ("a missing file", lambda r: r.register(MODEL, "/absent", framework="test"), errors.InvalidRequest, "path", "/absent"),
    ("a path with NUL", lambda r: r.register(MODEL, "a\0b", framework="test"), errors.InvalidRequest, "path", "a\0b"),
    ("events before the first", lambda r: r.events.after(-1), errors.InvalidRequest, "after", "-1"),
    ("an invalid kind", lambda r: r.principals.create("new", "robot", []), errors.InvalidRequest, "kind", "robot"),
    ("a word for a grant", lambda r: r.principals.create("new", "human", ["admin"]), errors.InvalidRequest, "grants.0", "admin"),  # type: ignore[list-item]
    ("an invalid role", lambda _: Grant(role="king", models="*"), errors.InvalidRequest, "role", "king"),  # type: ignore[arg-type]
    ("a grant without models", lambda _: Grant(role=Role.ADMIN), errors.InvalidRequest, "models", None),  # type: ignore[call-arg]
    ("text for a size of a file", lambda _: FileEntry(path="a", size="7", sha256=SHA256), errors.InvalidRequest, "size", "7"),  # type: ignore[arg-type]
    ("a number for a name within a signature", lambda _: Signature(inputs=[{"name": 7, "dtype": "f8"}], outputs=[]), errors.InvalidRequest, "inputs.0.name", 7),  # type: ignore[list-item]
    ("text for days", lambda r: r.principals.issue_token("admin", valid_days="7"), errors.InvalidRequest, "valid_days", "7"),  # type: ignore[arg-type]
    ("an invalid id", lambda r: r.principals.revoke_token("0" * 15), errors.InvalidRequest, "id", "0" * 15),
]
# Calls that would raise an error of httpx or a built-in error if the client did not check them.
HELD: list[tuple[str, Call]] = [
    ("a surrogate to search by", lambda r: list(r.models.search(owner="\ud800"))),
    ("100,000 letters to search by", lambda r: list(r.models.search(prefix="x" * 100_000))),
    ("a surrogate as a token's id", lambda r: r.principals.revoke_token("\ud800")),
    ("a token of other letters", lambda _: HttpRegistry(RegistryConfig(url="http://registry.test", token="\N{DIGIT ONE}é"))),
    ("an address with half a bracket", lambda _: RegistryConfig(url="http://[::1")),
    ("tags that are a list", lambda r: r.models.create("new", "regression", tags=["a"])),  # type: ignore[arg-type]
    ("tags that are a text", lambda r: r.models.create("new", "regression", tags="ab")),  # type: ignore[arg-type]
    ("tags to search by that are a list", lambda r: list(r.models.search(tags=["a"]))),  # type: ignore[arg-type]
    ("a revision of 5,000 digits", lambda r: r.models.update(MODEL, revision=10**5_000)),
    ("a page of 5,000 digits", lambda r: list(r.models.search(page_size=10**5_000))),
    ("a page of 1.5", lambda r: list(r.models.search(page_size=1.5))),  # type: ignore[arg-type]
    ("a text for a time", lambda r: list(r.models.search(created_from="2026"))),  # type: ignore[arg-type]
    ("version 10**5000", lambda r: r.versions.get(MODEL, 10**5_000)),
    ("files that are None", lambda r: r.versions.create(MODEL, None, framework="test")),  # type: ignore[arg-type]
    ("text as a metric", lambda r: r.versions.create(MODEL, [FILE], framework="test", metrics={"a": "x"})),  # type: ignore[dict-item]
    ("None as a metric", lambda r: r.versions.create(MODEL, [FILE], framework="test", metrics={"a": None})),  # type: ignore[dict-item]
    ("400 digits as a metric", lambda r: r.versions.create(MODEL, [FILE], framework="test", metrics={"a": 10**400})),
    ("metrics that are a list", lambda r: r.versions.create(MODEL, [FILE], framework="test", metrics=[1])),  # type: ignore[arg-type]
    ("a version of 5,000 digits to point at", lambda r: r.aliases.create(MODEL, "champion", 10**5_000)),
    ("a shape of 5,000 digits", lambda _: FieldSpec(name="a", dtype="f8", shape=[10**5_000])),
    ("a missing file to put", lambda r: r.artifacts.put_blob(SHA256, Path("/absent"))),
    ("a number for a path", lambda r: r.register(MODEL, 7, framework="test")),  # type: ignore[arg-type]
    ("events behind 10**5000", lambda r: r.events.after(10**5_000)),
    ("grants that are None", lambda r: r.principals.create("new", "human", None)),  # type: ignore[arg-type]
    ("an address with a surrogate", lambda _: HttpRegistry(RegistryConfig(url="http://\ud800"))),
    ("text for a deadline", lambda _: RegistryConfig(deadline_s="x")),  # type: ignore[arg-type]
]
# fmt: on


@pytest.mark.parametrize(
    ("call", "kind", "field", "value"), [case[1:] for case in CALLS], ids=[case[0] for case in CALLS]
)
def test_a_bad_call_is_refused_with_its_value(
    world: World, call: Call, kind: type[errors.RequestRefused], field: str | None, value: Any
) -> None:
    """The error has the class of its code, the field, the value and a remedy."""
    with assert_unchanged(world), world.backend.registry() as registry, pytest.raises(errors.RequestRefused) as refused:
        call(registry)
    assert type(refused.value) is kind
    assert (refused.value.field, repr(refused.value.value)) == (field, repr(value))
    assert refused.value.remedy
    assert errors.CODES[refused.value.code] is kind


@pytest.mark.parametrize("call", [pytest.param(call, id=what) for what, call in HELD])
def test_the_library_raises_only_its_own_errors(world: World, call: Call) -> None:
    """A bad call raises neither an error of pydantic or httpx nor a built-in error."""
    with world.backend.registry() as registry, pytest.raises(errors.RegistryError):
        call(registry)


@pytest.mark.parametrize("kind", [kind for kind in client_values().values() if kind.model_fields])
def test_values_never_raise_pydantic_errors(kind: Any) -> None:
    """The error of an invalid value object has the field and the value."""
    nonsense = object()
    with pytest.raises(errors.InvalidRequest) as refused:
        kind(**dict.fromkeys(kind.model_fields, nonsense))
    assert refused.value.field
    assert refused.value.field.partition(".")[0] == next(iter(kind.model_fields))
    assert refused.value.value is nonsense


def test_values_are_validated_in_one_pass() -> None:
    """No class has a custom initializer, which pydantic would call for each value in a response."""
    assert not any(vars(kind)["__pydantic_custom_init__"] for kind in client_values().values())


@pytest.mark.parametrize(
    "version",
    [
        "..",
        "../..",
        "1/manifest",
        "",
        ".",
    ],
)
def test_a_call_never_reaches_another_address(world: World, version: Any) -> None:
    """A version that is not a number cannot turn a call about a version into a call about its model."""
    with world.copied(), assert_unchanged(world), world.backend.registry() as registry:
        for call in (registry.versions.update, registry.versions.tombstone):
            with pytest.raises(errors.RegistryError):
                call(MODEL, version, force=True, **{"reason" if "tombstone" in call.__name__ else "description": "x"})
