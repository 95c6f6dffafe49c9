"""Concurrent writers, outages and refused tokens against the real server."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from common_lib import HttpRegistry, RegistryConfig
from common_lib.config import ResolveRules
from common_lib.errors import RevisionMismatch, Unauthenticated, VersionRecalled
from common_lib.operations import versions
from common_lib.operations.base import Operation
from common_lib.rules.access import Role
from common_lib.staleness import KeepLastGood
from common_lib.types.principals import Grant
from registry_server.serving import running
from registry_server.settings import Settings
from registry_server.testing import TestBackend
from tests.simulation.simulator import report_row
from tests.support.steps import promoted

PRODUCTION = "models:/eurusd/production"


@pytest.mark.parametrize("races", [150, pytest.param(10_000, marks=pytest.mark.long)])
def test_one_of_two_writers_with_the_same_revision_wins(model_registry_backend: TestBackend, races: int) -> None:
    """The other writer receives 412, and no acknowledged write is lost."""
    won, refused = [], 0
    with model_registry_backend.registry() as one, model_registry_backend.registry() as other:
        revision = one.models.create("eurusd", "forecasting").revision
        with ThreadPoolExecutor(2) as pool:
            for race in range(races):
                texts = [f"{race} by one", f"{race} by other"]
                writes = [
                    pool.submit(registry.models.update, "eurusd", description=text, revision=revision)
                    for registry, text in zip((one, other), texts, strict=True)
                ]
                errors = [write.exception() for write in writes]
                refused += sum(isinstance(error, RevisionMismatch) and error.status == 412 for error in errors)
                won += [text for text, error in zip(texts, errors, strict=True) if error is None]
                found = one.models.get("eurusd")
                assert found.description == won[-1]
                revision = found.revision
    report_row(
        f"{races:,} races of two writers with one revision",
        "one wins, one 412 each; 0 lost updates",
        f"{len(won):,} won, {refused:,} × 412; revision {revision:,} after {races:,}",
    )
    assert (len(won), refused, revision) == (races, races, races + 1)


_FIRST = """
import sys, time
from pathlib import Path
from common_lib import HttpRegistry, RegistryConfig
from common_lib.config import ResolveRules
rules = ResolveRules(persist=Path(sys.argv[2]))
with HttpRegistry(RegistryConfig(url=sys.argv[1], token=sys.argv[3], resolve=rules)) as registry:
    found = [registry.versions.resolution(f"models:/model-{n}/production") for n in range(20)]
print(sum(each.version.version == 1 for each in found), *{each.source for each in found})
"""


def test_a_new_process_resolves_from_the_cache_file_during_an_outage(tmp_path: Path) -> None:
    """A real process that never reached the registry uses the file of an earlier process."""
    file = tmp_path / "resolves.json"
    rules = ResolveRules(persist=file)
    with running(Settings(data=tmp_path / "data", port=0, access_log=False)) as url:
        token = (tmp_path / "data" / "admin-token").read_text().strip()
        with HttpRegistry(RegistryConfig(url=url, token=token, resolve=rules)) as registry:
            for number in range(20):
                registry.models.create(f"model-{number}", "forecasting")
                promoted(registry, f"model-{number}")
                registry.resolve(f"models:/model-{number}/production")
    command = [sys.executable, "-c", _FIRST, url, str(file), token]
    resolved, source = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    report_row(
        "the first resolves of a new process with a cache file (real)", "100 %", f"{resolved} of 20, from the {source}"
    )
    assert (resolved, source) == ("20", "disk-cache")


def _refusal(registry: HttpRegistry, operation: Operation[versions.Resolution]) -> type[Exception] | None:
    try:
        registry.call(operation)
    except (VersionRecalled, Unauthenticated) as refused:
        return type(refused)
    return None


def test_keep_last_good_serves_while_the_token_is_refused(tmp_path: Path) -> None:
    """The stale version comes with the reason; without keep-last-good the resolve is refused.

    A version whose recall the client has seen stays refused.
    """
    with running(Settings(data=tmp_path / "data", port=0, access_log=False)) as url:
        admin = (tmp_path / "data" / "admin-token").read_text().strip()
        with HttpRegistry(RegistryConfig(url=url, token=admin, resolve=None)) as owner:
            for name in ("eurusd", "gbpusd"):
                owner.models.create(name, "forecasting")
                promoted(owner, name)
            owner.principals.create("trader", "service", [Grant(role=Role.STRATEGY, models="*")])
            token = owner.principals.issue_token("trader")
            rules = ResolveRules(fresh_s=0.05, revalidate_s=0.05, persist=False)
            with HttpRegistry(RegistryConfig(url=url, token=token.secret or "", resolve=rules)) as registry:
                keep = KeepLastGood(max_age_s=3_600)
                good = replace(versions.resolution(PRODUCTION), staleness=keep)
                recalled = replace(versions.resolution("models:/gbpusd/production"), staleness=keep)
                first = registry.call(good)
                registry.call(recalled)
                owner.versions.recall("gbpusd", 1, reason="trades the wrong way", force=True)
                end = time.monotonic() + 20
                while _refusal(registry, recalled) is not VersionRecalled:
                    assert time.monotonic() < end, "the client does not see the recall"
                owner.principals.revoke_token(token.token.id)
                while not (found := registry.call(good)).reason:
                    assert time.monotonic() < end, "the server still accepts the token"
                with pytest.raises(Unauthenticated):
                    registry.resolve(PRODUCTION)
                refused = _refusal(registry, recalled)
    report_row(
        "token expired during keep-last-good",
        "stale version with the reason; a recalled version is refused",
        f"stale {found.stale}: {found.reason}; {refused.__name__ if refused else 'served'}",
    )
    # Not with the recall: the server refuses the token first, and the client has no stored answer to serve.
    assert refused is Unauthenticated
    assert found.version == first.version
    assert found.stale
    assert "unauthenticated" in found.reason
