"""Preparatory steps that many tests share."""

import tempfile
from pathlib import Path
from typing import Any

from common_lib import ModelRegistry, ModelVersion


def version_of(registry: ModelRegistry, name: str, content: bytes = b"weights", **facts: Any) -> ModelVersion:
    """Register a new version of one file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.bin"
        file.write_bytes(content)
        return registry.register(name, file, framework=facts.pop("framework", "test"), **facts)


def promoted(registry: ModelRegistry, name: str, content: bytes = b"weights") -> ModelVersion:
    """Register a new version and promote it to production."""
    version = version_of(registry, name, content)
    staged = registry.versions.transition(name, version.version, "staging", revision=version.revision)
    return registry.production.promote(name, staged.version, reason="it is better", revision=staged.revision)
