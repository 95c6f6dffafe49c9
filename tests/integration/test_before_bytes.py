"""A registration that cannot succeed is refused before bytes are sent; so are empty paths."""

import asyncio
import math
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.strategy import Strategy
from adapters.workbench import Workbench
from common_lib import AsyncHttpRegistry, HttpRegistry, ModelRegistry, RegistryConfig
from common_lib.artifacts import upload
from common_lib.artifacts.hashing import hash_files
from common_lib.errors import Forbidden, InvalidRequest, ModelNotFound, RequestRefused, Tombstoned
from common_lib.operations.base import Operation
from registry_server.testing import TestBackend, backend
from tests.conftest import Server
from tests.support.cli import Cli, operate


class Watched(ModelRegistry):
    """A registry that records each request."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry
        self.origin = registry.origin
        self.seen: list[Operation[Any]] = []

    def call(self, operation: Operation[Any]) -> Any:
        """Answer by the real one."""
        self.seen.append(operation)
        return self._registry.call(operation)

    def paths(self) -> list[str]:
        """Return the last part of the path of each request."""
        return [operation.path.removeprefix("/v1/").partition("/")[0] for operation in self.seen]


@pytest.fixture(scope="module")
def served() -> Iterator[TestBackend]:
    """Provide the application with the model `open`, and the tombstoned model `gone`."""
    with backend() as application:
        application.reset()
        with application.registry() as registry:
            for name in ("open", "gone"):
                registry.models.create(name, "regression")
            registry.models.tombstone("gone", reason="no more", force=True)
        yield application


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """Create a folder of new files, one for each way to upload."""
    folder = tmp_path / "trained"
    folder.mkdir()
    for name, size in (("small.bin", 100), ("middle.bin", 300_000), ("tiny.bin", 1)):
        (folder / name).write_bytes(os.urandom(size))
    return folder


@pytest.fixture
def cli(sqlite_server: Server) -> Cli:
    """Provide the command line of the first admin."""
    return Cli(sqlite_server.url, sqlite_server.token, sqlite_server.data)


REFUSED: list[tuple[str, str, str, type[RequestRefused]]] = [
    ("no such model", "admin", "missing", ModelNotFound),
    ("a tombstone", "admin", "gone", Tombstoned),
    ("a name that no model has", "admin", "not a name", InvalidRequest),
    ("an empty name", "admin", "", InvalidRequest),
    ("no right", "strategy", "open", Forbidden),
    ("no right to upload either", "analysis", "open", Forbidden),
]


@pytest.mark.parametrize(("role", "name", "kind"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
@pytest.mark.parametrize("much", [0, 1], ids=["little", "much"])
def test_a_registration_that_must_fail_sends_no_byte(  # noqa: PLR0917 - columns of a table
    served: TestBackend, trained: Path, monkeypatch: pytest.MonkeyPatch, role: str, name: str, kind: Any, much: int
) -> None:
    """It raises the error of the registration before it hashes a file."""
    hashed: list[str] = []
    if much:
        monkeypatch.setattr(upload, "_MUCH_BYTES", 1_000)
    with served.registry(role) as registry:
        watched = Watched(registry)
        with pytest.raises(kind):
            watched.register(name, trained, framework="test", progress=lambda path, *_: hashed.append(path))
        assert set(watched.paths()) <= {"presence"}
        assert len(watched.seen) <= 1
        assert not (much and hashed)


def test_a_grant_on_another_model_does_not_allow_the_registration(served: TestBackend, trained: Path) -> None:
    """The right is checked for the model itself; an unreadable model does not exist for the caller."""
    with served.registry("workbench", models="other-*") as registry:
        watched = Watched(registry)
        with pytest.raises(ModelNotFound):
            watched.register("open", trained, framework="test")
        assert watched.paths() == ["presence"]
        with pytest.raises(ModelNotFound):
            registry.artifacts.check_presence([], "open")
    with served.registry("workbench", models="open") as registry:
        assert registry.register("open", trained, framework="test").file_count == 3


@pytest.mark.parametrize(("much", "requests"), [(10**9, 1), (1_000, 2)])
def test_the_question_costs_one_request_at_most(
    served: TestBackend, trained: Path, monkeypatch: pytest.MonkeyPatch, much: int, requests: int
) -> None:
    """None where there is little: it goes with the question which bytes are missing."""
    monkeypatch.setattr(upload, "_MUCH_BYTES", much)
    with served.registry() as registry:
        watched = Watched(registry)
        watched.register("open", trained, framework="test")
        assert watched.paths()[:requests] == ["presence"] * requests
        assert watched.paths().count("presence") == requests


@pytest.mark.parametrize(
    "facts",
    [{"metrics": {"a": math.nan}}, {"parameters": {"a": [1]}}, {"tags": {"a": 1}}, {"framework": 3}, {"lineage": 3}],
)
def test_invalid_facts_are_refused_before_any_request(
    served: TestBackend, trained: Path, facts: dict[str, Any]
) -> None:
    """Also before a file is read."""
    hashed: list[str] = []
    with served.registry() as registry:
        watched = Watched(registry)
        with pytest.raises(InvalidRequest):
            watched.register(
                "open", trained, **{"framework": "x"} | facts, progress=lambda path, *_: hashed.append(path)
            )
        assert (watched.seen, hashed) == ([], [])


def test_the_workbench_sends_no_byte_of_a_registration_that_must_fail(served: TestBackend, trained: Path) -> None:
    """With `log_version` and with `register`."""
    with served.registry() as registry:
        watched = Watched(registry)
        with pytest.raises(ModelNotFound):
            Workbench(watched).log_version("missing", trained, framework="x", metrics={"a": 1.0})
        assert set(watched.paths()) <= {"presence", "models"}


def test_the_asynchronous_client_sends_no_byte_of_a_registration_that_must_fail(
    sqlite_server: Server, trained: Path
) -> None:
    """Over sockets."""
    config = RegistryConfig(url=sqlite_server.url, token=sqlite_server.token, resolve=None)

    async def work() -> None:
        async with AsyncHttpRegistry(config) as registry:
            with pytest.raises(ModelNotFound):
                await registry.register(f"missing-{uuid.uuid4().hex}", trained, framework="test")

    asyncio.run(work())
    with HttpRegistry(config) as registry:
        digests = [file.entry.sha256 for file in hash_files(trained)]
        assert registry.artifacts.check_presence(digests).missing == digests


def test_the_command_line_sends_no_byte_of_a_registration_that_must_fail(cli: Cli, trained: Path) -> None:
    """Its exit status is that of a missing object."""
    cli("versions", "register", f"missing-{uuid.uuid4().hex}", trained, "--framework", "x", status=3)


BLANK = ["", " ", "\t", "\n  "]


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a current folder with a file that must not be sent."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "secret.env").write_text("KEY=x")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("blank", [*BLANK, b"", None, 3])
def test_an_empty_path_is_not_the_current_folder(served: TestBackend, secret: Path, blank: Any) -> None:
    """Neither to read from nor to write to; no request is sent."""
    with served.registry() as registry:
        watched = Watched(registry)
        acts: list[tuple[str, Callable[[], Any]]] = [
            ("path", lambda: watched.register("open", blank, framework="x")),
            ("path", lambda: Workbench(watched).log_version("open", blank, framework="x", metrics={"a": 1.0})),
            ("folder", lambda: watched.download("models:/open/1", blank)),
        ]
        if blank is not None:
            acts.append(("folder", lambda: Strategy(watched, blank)))
        for field, act in acts:
            with pytest.raises(InvalidRequest, match="current folder") as refused:
                act()
            assert refused.value.field == field
        assert watched.seen == []
    assert [path.name for path in secret.iterdir()] == ["secret.env"]


def test_the_current_folder_is_written_as_a_dot(served: TestBackend, secret: Path) -> None:
    """The dot is the explicit name of the current folder."""
    with served.registry() as registry:
        assert registry.register("open", ".", framework="x").file_count == len(list(secret.iterdir()))


@pytest.mark.parametrize("blank", BLANK[:2])
def test_every_command_refuses_an_empty_path(cli: Cli, secret: Path, blank: str) -> None:
    """In each option and argument of both programs."""
    for words in (
        ("versions", "register", "m", blank, "--framework", "x"),
        ("versions", "register", "m", ".", "--framework", "x", "--signature", blank),
        ("download", "models:/m/1", "--to", blank),
        ("policy", "set", "m", blank, "--reason", "x"),
        ("whoami", "--token-file", blank),
    ):
        assert "path" in cli(*words, status=2).output
    for command in (
        ("serve", "--data", blank),
        ("doctor", "--data", blank),
        ("demo", "--data", blank),
        ("migrate", "--data", blank),
        ("token", "create", "--name", "x", "--role", "workbench", "--out", blank),
        ("gc", "--token-file", blank),
    ):
        assert "path" in operate(*command, status=2).output
    assert [path.name for path in secret.iterdir()] == ["secret.env"]
