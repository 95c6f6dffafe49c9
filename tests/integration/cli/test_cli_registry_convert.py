"""`registry convert`: only what is trusted is read, and what cannot be saved safely is refused."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression

from tests.support.cli import Cli


def registered(cli: Cli, model: str, folder: Path, trained: Any) -> str:
    """The digest of a pickle that is the next version of the model."""
    content = pickle.dumps(trained)
    (folder / "model.pkl").write_bytes(content)
    cli("versions", "register", model, folder / "model.pkl", "--framework", "scikit-learn")
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def digest(cli: Cli, model: str, tmp_path: Path) -> str:
    """The digest of the pickle that is version 1 of `model`."""
    return registered(cli, model, tmp_path, LogisticRegression().fit([[0.0], [1.0]], [0, 1]))


def test_a_trusted_pickle_becomes_the_next_version_in_a_safe_format(cli: Cli, model: str, digest: str) -> None:
    """Its parent is the version it was made of; the digest of the file or of the version will do, spelt either way."""
    said = cli("convert", f"models:/{model}/1", "--trust", digest).stdout
    assert said == f"models:/{model}/2 is models:/{model}/1 in the format of scikit-learn\n"
    shown = cli.json("versions", "show", model, "2")
    assert [entry["path"] for entry in shown["files"]] == ["model.skops"]
    assert shown["lineage"]["parent"] == f"models:/{model}/1"
    version = cli.json("versions", "show", model, "1")["digest"]
    for number, trust in enumerate((f"sha256:{digest}", version), start=3):
        converted = cli.json("convert", f"models:/{model}/1", "--trust", trust, "--file", "model.pkl")
        assert (converted["version"], converted["framework"]) == (number, "scikit-learn")


def test_what_is_not_trusted_is_not_read(cli: Cli, model: str, tmp_path: Path) -> None:
    """The refusal names the digest to trust, and no version is made."""
    digest = registered(cli, model, tmp_path, Trap(tmp_path / "sprung"))
    problem = cli.problem("convert", f"models:/{model}/1", "--trust", "0" * 64, status=1)
    assert problem["code"] == "load_refused"
    assert problem["remedy"].endswith(f"trust its digest, 'sha256:{digest}'")
    said = cli("convert", f"models:/{model}/1", "--trust", "0" * 64, status=1).stderr
    assert [line[:2] for line in said.splitlines()] == ["✗ ", "  ", "  "]
    assert not (tmp_path / "sprung").exists()
    assert len(cli.json("versions", "list", model)) == 1


def test_what_no_safe_format_can_hold_is_refused(cli: Cli, model: str, tmp_path: Path) -> None:
    """With what can be saved instead."""
    digest = registered(cli, model, tmp_path, {"scale": len})
    problem = cli.problem("convert", f"models:/{model}/1", "--trust", digest, status=1)
    assert problem["code"] == "no_safe_format"
    assert "scikit-learn" in problem["remedy"]
    assert len(cli.json("versions", "list", model)) == 1


def test_a_safe_format_needs_no_conversion(cli: Cli, version: str) -> None:
    """It is loaded as it is."""
    problem = cli.problem("convert", f"models:/{version}/1", "--trust", "0" * 64, "--file", "weights.json", status=1)
    assert problem["remedy"] == "load it as it is"


@pytest.mark.parametrize("trust", [[], ["--trust", "me"], ["--trust", "sha256:" + "A" * 64]])
def test_trust_is_a_digest(cli: Cli, trust: list[str]) -> None:
    """Anything else is a wrong command line, found before anything is asked for."""
    done = cli._replace(url="http://127.0.0.1:9")("convert", "models:/eurusd/1", *trust, status=2)
    assert "--trust" in done.stderr


class Trap:
    """A file appears when its pickle is read."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.place,)
