"""`registry convert`: it reads only trusted files, and refuses models without a safe format."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression

from tests.support.cli import Cli


def register(cli: Cli, model: str, folder: Path, trained: Any) -> str:
    """Register a pickle as the next version of the model, and return its digest."""
    content = pickle.dumps(trained)
    (folder / "model.pkl").write_bytes(content)
    cli("versions", "register", model, folder / "model.pkl", "--framework", "scikit-learn")
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def digest(cli: Cli, model: str, tmp_path: Path) -> str:
    """Register a pickle as version 1 of `model`, and return its digest."""
    return register(cli, model, tmp_path, LogisticRegression().fit([[0.0], [1.0]], [0, 1]))


def test_a_trusted_pickle_becomes_the_next_version_in_a_safe_format(cli: Cli, model: str, digest: str) -> None:
    """The new version has the old one as its parent; --trust takes the digest of the file or of the version."""
    output = cli("convert", f"models:/{model}/1", "--trust", digest).stdout
    assert output == f"models:/{model}/2 is models:/{model}/1 in the format of scikit-learn\n"
    converted = cli.json("versions", "show", model, "2")
    assert [entry["path"] for entry in converted["files"]] == ["model.skops"]
    assert converted["lineage"]["parent"] == f"models:/{model}/1"
    version = cli.json("versions", "show", model, "1")["digest"]
    for number, trust in enumerate((f"sha256:{digest}", version), start=3):
        converted = cli.json("convert", f"models:/{model}/1", "--trust", trust, "--file", "model.pkl")
        assert (converted["version"], converted["framework"]) == (number, "scikit-learn")


def test_an_untrusted_file_is_not_read(cli: Cli, model: str, tmp_path: Path) -> None:
    """The refusal names the digest to trust, and no version is created."""
    digest = register(cli, model, tmp_path, Trap(tmp_path / "sprung"))
    problem = cli.problem("convert", f"models:/{model}/1", "--trust", "0" * 64, status=1)
    assert problem["code"] == "load_refused"
    assert problem["remedy"].endswith(f"pass its digest as `trust`: 'sha256:{digest}'")
    output = cli("convert", f"models:/{model}/1", "--trust", "0" * 64, status=1).stderr
    assert [line[:2] for line in output.splitlines()] == ["✗ ", "  ", "  "]
    assert not (tmp_path / "sprung").exists()
    assert len(cli.json("versions", "list", model)) == 1


def test_an_object_without_a_safe_format_is_refused(cli: Cli, model: str, tmp_path: Path) -> None:
    """The remedy lists what can be saved."""
    digest = register(cli, model, tmp_path, {"scale": len})
    problem = cli.problem("convert", f"models:/{model}/1", "--trust", digest, status=1)
    assert problem["code"] == "no_safe_format"
    assert "scikit-learn" in problem["remedy"]
    assert len(cli.json("versions", "list", model)) == 1


def test_a_safe_format_needs_no_conversion(cli: Cli, version: str) -> None:
    """The remedy is to load the file as it is."""
    problem = cli.problem("convert", f"models:/{version}/1", "--trust", "0" * 64, "--file", "weights.json", status=1)
    assert problem["remedy"] == "load the file without conversion"


@pytest.mark.parametrize("trust", [[], ["--trust", "me"], ["--trust", "sha256:" + "A" * 64]])
def test_the_option_trust_takes_a_digest_only(cli: Cli, trust: list[str]) -> None:
    """Anything else is a usage error, and no request is sent."""
    done = cli._replace(url="http://127.0.0.1:9")("convert", "models:/eurusd/1", *trust, status=2)
    assert "--trust" in done.stderr


class Trap:
    """An object whose pickle creates a file when it is read."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.place,)
