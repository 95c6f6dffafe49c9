"""`registry-server principal`: what principals may do is seen and changed, with a server or without one."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common_lib import HttpRegistry, Operation
from common_lib.operations import principals
from registry_server.serving import running
from registry_server.settings import Settings
from tests.support.cli import operate

Reach = Callable[..., Any]


OWNERS = ["with a server", "without a server"]


@contextlib.contextmanager
def reached(owner: str, data: Path) -> Iterator[Reach]:
    """`registry-server` on a registry with a service `bench` of two grants, whoever owns its folder."""
    with contextlib.ExitStack() as stack:
        if owner == "with a server":
            stack.enter_context(running(Settings(data=data, port=0, access_log=False)))
        else:
            operate("migrate", "--data", data)

        def reach(*arguments: str, status: int = 0) -> Any:
            return operate(*arguments, "--data", data, status=status)

        reach("token", "create", "--name", "bench", "--role", "workbench", "--grant", "analysis:eurusd-*")
        yield reach


@pytest.fixture(params=OWNERS)
def reach(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reach]:
    """A registry of this test's own."""
    with reached(request.param, tmp_path) as reach:
        yield reach


@pytest.fixture(scope="module", params=OWNERS)
def unchanged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reach]:
    """A registry that all tests share which change nothing."""
    with reached(request.param, tmp_path_factory.mktemp("unchanged")) as reach:
        yield reach


def grants(reach: Reach, name: str = "bench") -> set[str]:
    """What a principal may do."""
    found = json.loads(reach("principal", "list", "--json").stdout)
    (ours,) = (principal for principal in found if principal["name"] == name)
    return {f"{grant['role']}:{grant['models']}" for grant in ours["grants"]}


def test_grants_are_added_and_removed_and_the_rest_stays(reach: Reach) -> None:
    """In one change, based on the revision that was read just before; a grant that is there is not doubled."""
    options = ["--grant", "analysis:eurusd-*", "--role", "strategy", "--remove-grant", "workbench:*"]
    said = reach("principal", "update", "bench", *options).stdout.splitlines()[-1]
    assert said.split()[:4] == ["bench", "service", "analysis:eurusd-*,", "strategy:*"]
    assert said.split()[-1] == "2"
    assert grants(reach) == {"analysis:eurusd-*", "strategy:*"}
    after = json.loads(reach("principal", "update", "bench", "--grant", "auditor:*", "--json").stdout)
    assert (after["revision"], len(after["grants"])) == (3, 3)
    assert any(line.split()[:2] == ["admin", "human"] for line in reach("principal", "list").stdout.splitlines())


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        (["bench"], 2, "give the change"),
        (
            ["bench", "--remove-grant", "admin:*"],
            2,
            "bench does not have grant admin:*; it has analysis:eurusd-*, workbench:*",
        ),
        (["bench", "--grant", "king:*"], 2, "'king' in 'king:*' is not a role: give one of workbench"),
        (["bench", "--role", "admin", "--revision", "1", "--force"], 2, "contradict each other"),
        (["bench", "--role", "admin", "--revision", "7"], 1, "revision_mismatch"),
        (["nobody", "--role", "admin"], 3, "principal_not_found"),
    ],
)
def test_what_is_refused_changes_nothing(unchanged: Reach, options: list[str], status: int, sentence: str) -> None:
    """Each with the exit status of the client."""
    refused = unchanged("principal", "update", *options, status=status).stderr
    assert sentence in " ".join(refused.replace("│", " ").split())
    assert grants(unchanged) == {"analysis:eurusd-*", "workbench:*"}


def test_what_somebody_changed_in_between_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is forced."""
    honest = HttpRegistry.call

    def interrupted(registry: HttpRegistry, operation: Operation[Any]) -> Any:
        if operation.method == "PATCH":
            monkeypatch.setattr(HttpRegistry, "call", honest)
            honest(registry, principals.update("bench", [], force=True, reason="left"))
        return honest(registry, operation)

    operate("migrate", "--data", tmp_path)
    operate("token", "create", "--data", tmp_path, "--name", "bench", "--role", "workbench")
    change = ("principal", "update", "bench", "--data", tmp_path, "--role", "admin")
    monkeypatch.setattr(HttpRegistry, "call", interrupted)
    assert "revision_mismatch" in operate(*change, status=1).stderr
    monkeypatch.setattr(HttpRegistry, "call", interrupted)
    operate(*change, "--force", "--reason", "left")
