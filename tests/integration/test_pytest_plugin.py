"""The pytest plug-in for the tests of dependent services."""

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


def test_the_plugin_imports_nothing_until_it_is_used() -> None:
    """Pytest loads it in every project that has the package installed."""
    assert subprocess.run([sys.executable, "-c", LIGHT], check=False).returncode == 0


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_begins_with_an_empty_registry(model_registry: HttpRegistry, turn: int) -> None:
    """No test sees the data of another."""
    assert list(model_registry.models.search()) == []
    model_registry.models.create("eurusd", "forecasting", description=str(turn))


@pytest.mark.anyio
async def test_both_clients_reach_the_same_registry(
    model_registry: HttpRegistry, async_model_registry: AsyncHttpRegistry
) -> None:
    """The asynchronous client reads what the blocking one wrote."""
    created = model_registry.models.create("eurusd", "forecasting")
    assert await async_model_registry.models.get("eurusd") == created


def test_rights_are_enforced_in_process(
    model_registry: HttpRegistry, model_registry_as: Callable[..., HttpRegistry]
) -> None:
    """The test of a service sees which calls its role may not make."""
    model_registry.models.create("eurusd", "forecasting")
    strategy = model_registry_as("strategy", models="eur*")
    assert strategy.models.get("eurusd").name == "eurusd"
    with pytest.raises(Forbidden, match="register"):
        strategy.models.create("eurgbp", "forecasting")
    with pytest.raises(ModelNotFound):
        model_registry_as("strategy", models="usd*").models.get("eurusd")


def test_a_dependent_project_needs_no_setup(tmp_path: Path) -> None:
    """A test file elsewhere uses the fixtures without an import or configuration."""
    theirs = "def test_it(model_registry):\n    assert list(model_registry.models.search()) == []\n"
    assert "1 passed" in ran(theirs, tmp_path)


def test_the_plugin_does_not_touch_the_cache_of_the_user(tmp_path: Path, cache: Path) -> None:
    """Each test has its own cache, and the environment is restored afterwards."""
    mine = ran(FETCHES, tmp_path)
    assert "3 passed" in mine, mine
    assert list(cache.iterdir()) == []


def ran(tests: str, folder: Path) -> str:
    """Return the output of pytest for a test file outside of this project."""
    (folder / "test_theirs.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    outcome = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)
    return outcome.stdout + outcome.stderr


@pytest.fixture
def anyio_backend() -> str:
    """Run the clients on asyncio."""
    return "asyncio"
