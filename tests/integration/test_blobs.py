"""Blobs whose bytes a disk has lost or changed."""

from pathlib import Path

import pytest

from common_lib import HttpRegistry
from common_lib.errors import BlobDamaged
from registry_server.testing import TestBackend
from tests.support.steps import version_of


@pytest.fixture
def blob_file(model_registry: HttpRegistry, model_registry_backend: TestBackend) -> Path:
    """Return the file with the bytes of `eurusd` version 1."""
    model_registry.models.create("eurusd", "forecasting")
    version_of(model_registry, "eurusd", b"weights")
    (file,) = (path for path in (model_registry_backend._home / "blobs" / "sha256").rglob("*") if path.is_file())
    return file


@pytest.mark.parametrize("damage", [b"", b"weight", b"weightS"])
def test_lost_and_damaged_bytes_can_be_uploaded_again(
    model_registry: HttpRegistry, blob_file: Path, tmp_path: Path, damage: bytes
) -> None:
    """Truncated bytes are requested again automatically; a new upload replaces changed bytes."""
    blob_file.write_bytes(damage)
    if len(damage) < 7:
        with pytest.raises(BlobDamaged):
            model_registry.download("models:/eurusd/1", tmp_path / "before")
    (tmp_path / "model.bin").write_bytes(b"weights")
    model_registry.artifacts.put_blob(blob_file.name, tmp_path / "model.bin")
    model_registry.download("models:/eurusd/1", tmp_path / "after")
    assert (tmp_path / "after" / "model.bin").read_bytes() == b"weights"


def test_a_registration_detects_lost_bytes(model_registry: HttpRegistry, blob_file: Path, tmp_path: Path) -> None:
    """The client uploads them again although their row exists, so no version lacks its bytes."""
    blob_file.unlink()
    version_of(model_registry, "eurusd", b"weights")
    model_registry.download("models:/eurusd/2", tmp_path)
    assert (tmp_path / "model.bin").read_bytes() == b"weights"
