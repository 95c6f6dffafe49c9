"""`registry-server principal`: grants are listed and changed, with a server or without one."""

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

Operate = Callable[..., Any]


OWNERS = ["with a server", "without a server"]


@contextlib.contextmanager
def opened(owner: str, data: Path) -> Iterator[Operate]:
    """Provide `registry-server` on a registry that has a service `bench` with two grants."""
    with contextlib.ExitStack() as stack:
        if owner == "with a server":
            stack.enter_context(running(Settings(data=data, port=0, access_log=False)))
        else:
            operate("migrate", "--data", data)

        def operate_on(*arguments: str, status: int = 0) -> Any:
            return operate(*arguments, "--data", data, status=status)

        operate_on("token", "create", "--name", "bench", "--role", "workbench", "--grant", "analysis:eurusd-*")
        yield operate_on


@pytest.fixture(params=OWNERS)
def operate_on(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Operate]:
    """Provide a new registry."""
    with opened(request.param, tmp_path) as operate_on:
        yield operate_on


@pytest.fixture(scope="module", params=OWNERS)
def unchanged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operate]:
    """Provide a registry for all tests that do not change it."""
    with opened(request.param, tmp_path_factory.mktemp("unchanged")) as operate_on:
        yield operate_on


def grants(operate_on: Operate, name: str = "bench") -> set[str]:
    """Return the grants of a principal."""
    found = json.loads(operate_on("principal", "list", "--json").stdout)
    (ours,) = (principal for principal in found if principal["name"] == name)
    return {f"{grant['role']}:{grant['models']}" for grant in ours["grants"]}


def test_grants_are_added_and_removed_and_the_rest_stays(operate_on: Operate) -> None:
    """It is one change, based on the revision that was read first; an existing grant is not added twice."""
    options = ["--grant", "analysis:eurusd-*", "--role", "strategy", "--remove-grant", "workbench:*"]
    row = operate_on("principal", "update", "bench", *options).stdout.splitlines()[-1]
    assert row.split()[:4] == ["bench", "service", "analysis:eurusd-*,", "strategy:*"]
    assert row.split()[-1] == "2"
    assert grants(operate_on) == {"analysis:eurusd-*", "strategy:*"}
    after = json.loads(operate_on("principal", "update", "bench", "--grant", "auditor:*", "--json").stdout)
    assert (after["revision"], len(after["grants"])) == (3, 3)
    assert any(line.split()[:2] == ["admin", "human"] for line in operate_on("principal", "list").stdout.splitlines())


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
        (["bench", "--role", "admin", "--revision", "1", "--force"], 2, "cannot be combined"),
        (["bench", "--role", "admin", "--revision", "7"], 1, "revision_mismatch"),
        (["nobody", "--role", "admin"], 3, "principal_not_found"),
    ],
)
def test_a_refused_update_changes_nothing(unchanged: Operate, options: list[str], status: int, sentence: str) -> None:
    """The exit statuses are those of `registry`."""
    refused = unchanged("principal", "update", *options, status=status).stderr
    assert sentence in " ".join(refused.replace("│", " ").split())
    assert grants(unchanged) == {"analysis:eurusd-*", "workbench:*"}


def test_a_concurrent_change_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --force it is."""
    original = HttpRegistry.call

    def interrupted(registry: HttpRegistry, operation: Operation[Any]) -> Any:
        if operation.method == "PATCH":
            monkeypatch.setattr(HttpRegistry, "call", original)
            original(registry, principals.update("bench", [], force=True, reason="left"))
        return original(registry, operation)

    operate("migrate", "--data", tmp_path)
    operate("token", "create", "--data", tmp_path, "--name", "bench", "--role", "workbench")
    change = ("principal", "update", "bench", "--data", tmp_path, "--role", "admin")
    monkeypatch.setattr(HttpRegistry, "call", interrupted)
    assert "revision_mismatch" in operate(*change, status=1).stderr
    monkeypatch.setattr(HttpRegistry, "call", interrupted)
    operate(*change, "--force", "--reason", "left")
