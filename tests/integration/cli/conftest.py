"""Fixtures of the command line: a server, a model and a version."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli


@pytest.fixture
def cli(sqlite_server: Any) -> Cli:
    """Provide the program with the token of the first admin."""
    return Cli(sqlite_server.url, sqlite_server.token, sqlite_server.data)


@pytest.fixture
def model(cli: Cli, name: str) -> str:
    """Create a model without versions."""
    cli("models", "create", name, "--type", "classification", "--tag", "team=fx", "--description", "Up or down?")
    return name


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """Create a folder with a trained model."""
    folder = tmp_path / "trained"
    folder.mkdir()
    (folder / "weights.json").write_text('{"w": [0.25]}')
    (folder / "notes.txt").write_text("a note")
    return folder


@pytest.fixture
def version(cli: Cli, model: str, trained: Path) -> str:
    """Create a model with one version."""
    cli("versions", "register", model, trained, "--framework", "sklearn", "--metric", "accuracy=0.49")
    return model
