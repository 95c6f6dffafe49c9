"""Blobs whose bytes a disk has lost or changed."""

from pathlib import Path

import pytest

from common_lib import HttpRegistry
from common_lib.errors import BlobDamaged
from registry_server.testing import TestBackend
from tests.support.steps import version_of


@pytest.fixture
def stored(model_registry: HttpRegistry, model_registry_backend: TestBackend) -> Path:
    """The file in which the bytes of `eurusd` version 1 stand."""
    model_registry.models.create("eurusd", "forecasting")
    version_of(model_registry, "eurusd", b"weights")
    (file,) = (path for path in (model_registry_backend._home / "blobs" / "sha256").rglob("*") if path.is_file())
    return file


@pytest.mark.parametrize("damage", [b"", b"weight", b"weightS"])
def test_bytes_that_were_lost_can_be_sent_again(
    model_registry: HttpRegistry, stored: Path, tmp_path: Path, damage: bytes
) -> None:
    """Truncated ones are asked for again by themselves; of changed ones a new upload makes good ones."""
    stored.write_bytes(damage)
    if len(damage) < 7:
        with pytest.raises(BlobDamaged):
            model_registry.download("models:/eurusd/1", tmp_path / "before")
    (tmp_path / "model.bin").write_bytes(b"weights")
    model_registry.artifacts.put_blob(stored.name, tmp_path / "model.bin")
    model_registry.download("models:/eurusd/1", tmp_path / "after")
    assert (tmp_path / "after" / "model.bin").read_bytes() == b"weights"


def test_a_registration_notices_that_bytes_are_gone(model_registry: HttpRegistry, stored: Path, tmp_path: Path) -> None:
    """A version never exists without all its bytes, so they are sent although the row says they are here."""
    stored.unlink()
    version_of(model_registry, "eurusd", b"weights")
    model_registry.download("models:/eurusd/2", tmp_path)
    assert (tmp_path / "model.bin").read_bytes() == b"weights"
