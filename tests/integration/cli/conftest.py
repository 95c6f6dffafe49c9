"""The command line with a server, a model and a version at hand."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli


@pytest.fixture
def cli(sqlite_server: Any) -> Cli:
    """The program as the first admin uses it."""
    return Cli(sqlite_server.url, sqlite_server.token, sqlite_server.data)


@pytest.fixture
def model(cli: Cli, name: str) -> str:
    """A model without versions."""
    cli("models", "create", name, "--type", "classification", "--tag", "team=fx", "--description", "Up or down?")
    return name


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A folder with what was trained."""
    folder = tmp_path / "trained"
    folder.mkdir()
    (folder / "weights.json").write_text('{"w": [0.25]}')
    (folder / "notes.txt").write_text("a note")
    return folder


@pytest.fixture
def version(cli: Cli, model: str, trained: Path) -> str:
    """A model with one version."""
    cli("versions", "register", model, trained, "--framework", "sklearn", "--metric", "accuracy=0.49")
    return model
