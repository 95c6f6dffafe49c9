"""Single flipped bits in cached bytes and documents, in stored bytes and in stored manifests."""

import random
from pathlib import Path

import pytest

from registry_server.testing import TestBackend
from tests.crash import clients, flips


@pytest.mark.parametrize("count", [60, pytest.param(2_000, marks=[pytest.mark.long, pytest.mark.timeout(3_600)])])
@pytest.mark.parametrize("kind", flips.KINDS)
def test_a_flipped_bit_is_found_before_it_is_used(
    model_registry_backend: TestBackend, tmp_path: Path, kind: str, count: int
) -> None:
    """Data that exist elsewhere are fetched again; other data are refused."""
    seed = 20_261_125
    print(f"seed {seed}")
    with clients.client(model_registry_backend) as registry:
        clients.register(registry)
        bits = flips.Bits(model_registry_backend, registry, tmp_path / "cache", random.Random(f"{seed} {kind}"))
        for _ in range(count):
            flips.KINDS[kind](bits)
