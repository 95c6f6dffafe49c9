"""The plug-in for the tests of dependent services."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from common_lib import AsyncHttpRegistry, HttpRegistry
from common_lib.errors import Forbidden, ModelNotFound

LIGHT = """
import sys
import registry_server.pytest_plugin
heavy = {"litestar", "pydantic", "httpx", "apsw", "msgspec"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""

FETCHES = """
import os
import pytest

BEFORE = os.environ["REGISTRY_CACHE"]

@pytest.mark.parametrize("turn", [1, 2])
def test_it(model_registry, tmp_path, turn):
    (tmp_path / "model.json").write_text("{}")
    model_registry.models.create("eurusd", "forecasting")
    version = model_registry.register("eurusd", tmp_path / "model.json", framework="json")
    assert not os.listdir(os.environ["REGISTRY_CACHE"])
    folder = model_registry.fetch(version.reference).folder
    assert folder.is_relative_to(os.environ["REGISTRY_CACHE"])
    assert not folder.is_relative_to(BEFORE)

def test_nothing_is_left_of_it():
    assert os.environ["REGISTRY_CACHE"] == BEFORE
"""


def test_the_plugin_costs_nothing_until_it_is_used() -> None:
    """Pytest loads it in every project where the package is installed."""
    assert subprocess.run([sys.executable, "-c", LIGHT], check=False).returncode == 0


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_begins_with_an_empty_registry(model_registry: HttpRegistry, turn: int) -> None:
    """What one test creates, another does not see."""
    assert list(model_registry.models.search()) == []
    model_registry.models.create("eurusd", "forecasting", description=str(turn))


@pytest.mark.anyio
async def test_both_clients_reach_the_same_registry(
    model_registry: HttpRegistry, async_model_registry: AsyncHttpRegistry
) -> None:
    """What the blocking one writes, the asynchronous one reads."""
    created = model_registry.models.create("eurusd", "forecasting")
    assert await async_model_registry.models.get("eurusd") == created


def test_rights_are_as_real_as_the_rest(
    model_registry: HttpRegistry, model_registry_as: Callable[..., HttpRegistry]
) -> None:
    """A service's test sees what its role may not do."""
    model_registry.models.create("eurusd", "forecasting")
    strategy = model_registry_as("strategy", models="eur*")
    assert strategy.models.get("eurusd").name == "eurusd"
    with pytest.raises(Forbidden, match="register"):
        strategy.models.create("eurgbp", "forecasting")
    with pytest.raises(ModelNotFound):
        model_registry_as("strategy", models="usd*").models.get("eurusd")


def test_a_dependent_project_needs_no_set_up(tmp_path: Path) -> None:
    """A test file elsewhere uses the fixtures without importing or configuring anything."""
    theirs = "def test_it(model_registry):\n    assert list(model_registry.models.search()) == []\n"
    assert "1 passed" in ran(theirs, tmp_path)


def test_the_cache_of_the_user_is_left_alone(tmp_path: Path, cache: Path) -> None:
    """What a dependent's test fetches goes into a cache of that test's own, and the environment is as it was after."""
    mine = ran(FETCHES, tmp_path)
    assert "3 passed" in mine, mine
    assert list(cache.iterdir()) == []


def ran(tests: str, folder: Path) -> str:
    """What pytest says of a test file outside of this project."""
    (folder / "test_theirs.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    outcome = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)
    return outcome.stdout + outcome.stderr


@pytest.fixture
def anyio_backend() -> str:
    """The clients run on asyncio."""
    return "asyncio"
