"""Resolves while the registry is down, over real sockets and with real processes."""

import time
from pathlib import Path

import anyio
import pytest

from common_lib import AsyncHttpRegistry, HttpRegistry, RegistryConfig
from common_lib.config import ResolveRules
from common_lib.errors import RegistryUnavailable
from registry_server.serving import running
from registry_server.settings import Settings
from tests.support.steps import promoted

RULES = ResolveRules(fresh_s=0.0, revalidate_s=0.0)


def config_of_stopped_server(data: Path, **options: object) -> RegistryConfig:
    """Run a server until one reference is resolved, stop it, and return the configuration of the client."""
    with running(Settings(data=data, port=0, access_log=False)) as url:
        token = (data / "admin-token").read_text().strip()
        config = RegistryConfig(url=url, token=token, attempts=1, **options)  # type: ignore[arg-type]
        with HttpRegistry(config) as registry:
            registry.models.create("eurusd", "forecasting")
            promoted(registry, "eurusd")
            registry.resolve("models:/eurusd/production")
    return config


def test_a_new_process_resolves_during_an_outage(tmp_path: Path) -> None:
    """It uses the file of the last process; a reference that was never resolved raises a typed error."""
    config = config_of_stopped_server(tmp_path / "data", resolve=ResolveRules(persist=tmp_path / "resolves.json"))
    with HttpRegistry(config) as registry:
        found = registry.versions.resolution("models:/eurusd/production")
        assert (found.version.version, found.source) == (1, "disk-cache")
        with pytest.raises(RegistryUnavailable):
            registry.resolve("models:/eurusd@champion")


def test_both_clients_serve_stale_answers_during_an_outage(tmp_path: Path) -> None:
    """With the version, its source, and the reason."""
    rules = ResolveRules(fresh_s=0.0, revalidate_s=0.0, persist=tmp_path / "resolves.json")
    config = config_of_stopped_server(tmp_path / "data", resolve=rules)
    with HttpRegistry(config) as registry:
        found = registry.versions.resolution("models:/eurusd/production")
    assert (found.stale, found.source) == (True, "disk-cache")
    assert "tried once" in found.reason

    async def ask() -> tuple[bool, str]:
        async with AsyncHttpRegistry(config) as registry:
            found = await registry.versions.resolution("models:/eurusd/production")
            return found.stale, found.source

    assert anyio.run(ask) == (True, "disk-cache")


def test_stale_answers_take_no_time_once_the_circuit_is_open(tmp_path: Path) -> None:
    """The time of the slowest of a hundred resolves is printed."""
    rules = ResolveRules(fresh_s=0.0, revalidate_s=0.0, persist=tmp_path / "resolves.json")
    config = config_of_stopped_server(tmp_path / "data", resolve=rules)
    with HttpRegistry(config) as registry:
        for _ in range(20):
            registry.resolve("models:/eurusd/production")
        circuit = registry.circuits()[f"{config.url} resolve"]
        assert circuit.state == "opened"
        assert 0 < circuit.retry_after_s <= 5
        took = []
        for _ in range(1_000):
            began = time.perf_counter()
            assert registry.versions.resolution("models:/eurusd/production").stale
            took.append(time.perf_counter() - began)
    print(f"p99 {sorted(took)[990] * 1e6:.0f} µs")


def test_a_background_refresh_fetches_the_new_version(tmp_path: Path) -> None:
    """The old version is served until then."""
    with running(Settings(data=tmp_path, port=0, access_log=False)) as url:
        token = (tmp_path / "admin-token").read_text().strip()
        rules = ResolveRules(fresh_s=0.0, revalidate_s=60.0)
        plain = RegistryConfig(url=url, token=token)
        cached = RegistryConfig(url=url, token=token, resolve=rules)
        with HttpRegistry(plain) as writer, HttpRegistry(cached) as reader:
            writer.models.create("eurusd", "forecasting")
            promoted(writer, "eurusd", b"one")
            assert reader.resolve("models:/eurusd/production").version == 1
            promoted(writer, "eurusd", b"two")
            assert reader.resolve("models:/eurusd/production").version == 1
            end = time.monotonic() + 10
            while reader.resolve("models:/eurusd/production").version == 1:
                assert time.monotonic() < end, "the refresh did not fetch the new version"
