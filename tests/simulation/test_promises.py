"""What a service relies on, against the real server: one writer wins, and production goes on without it."""

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
from tests.simulation.worlds import beside
from tests.support.steps import promoted

PRODUCTION = "models:/eurusd/production"


@pytest.mark.parametrize("races", [150, pytest.param(10_000, marks=pytest.mark.long)])
def test_of_two_writers_with_one_revision_one_wins(model_registry_backend: TestBackend, races: int) -> None:
    """Each time; the other one is told 412, and nothing that was acknowledged is lost."""
    won, told = [], 0
    with model_registry_backend.registry() as one, model_registry_backend.registry() as other:
        revision = one.models.create("eurusd", "forecasting").revision
        with ThreadPoolExecutor(2) as pool:
            for race in range(races):
                text = [f"{race} by one", f"{race} by other"]
                writes = [
                    pool.submit(registry.models.update, "eurusd", description=said, revision=revision)
                    for registry, said in zip((one, other), text, strict=True)
                ]
                errors = [write.exception() for write in writes]
                told += sum(isinstance(error, RevisionMismatch) and error.status == 412 for error in errors)
                won += [said for said, error in zip(text, errors, strict=True) if error is None]
                found = one.models.get("eurusd")
                assert found.description == won[-1]
                revision = found.revision
    beside(
        f"{races:,} races of two writers with one revision",
        "one wins, one 412 each; 0 lost updates",
        f"{len(won):,} won, {told:,} × 412; revision {revision:,} after {races:,}",
    )
    assert (len(won), told, revision) == (races, races, races + 1)


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


def test_the_first_resolve_of_a_new_process_is_answered_in_an_outage(tmp_path: Path) -> None:
    """By a real process of its own that never saw the registry, out of the file that another one left."""
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
    answered, source = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    beside(
        "the first resolves of a new process with a snapshot (real)", "100 %", f"{answered} of 20, from the {source}"
    )
    assert (answered, source) == ("20", "disk-cache")


def _refusal(registry: HttpRegistry, operation: Operation[versions.Resolution]) -> type[Exception] | None:
    try:
        registry.call(operation)
    except (VersionRecalled, Unauthenticated) as refused:
        return type(refused)
    return None


def test_trading_goes_on_with_a_token_that_is_no_longer_valid(tmp_path: Path) -> None:
    """Under keep-last-good: the version it knows, stale, with the reason; without that policy it is refused.

    What it knows to be recalled stays refused, whoever would go on with it.
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
                going_on = KeepLastGood(max_age_s=3_600)
                kept = replace(versions.resolution(PRODUCTION), staleness=going_on)
                bad = replace(versions.resolution("models:/gbpusd/production"), staleness=going_on)
                first = registry.call(kept)
                registry.call(bad)
                owner.versions.recall("gbpusd", 1, reason="trades the wrong way", force=True)
                end = time.monotonic() + 20
                while _refusal(registry, bad) is not VersionRecalled:
                    assert time.monotonic() < end, "the recall is not heard of"
                owner.principals.revoke_token(token.token.id)
                while not (found := registry.call(kept)).reason:
                    assert time.monotonic() < end, "the server still takes the token"
                with pytest.raises(Unauthenticated):
                    registry.resolve(PRODUCTION)
                refused = _refusal(registry, bad)
    beside(
        "token expired during keep-last-good",
        "goes on, stale, reason told; a recalled version is refused",
        f"stale {found.stale}: {found.reason}; {refused.__name__ if refused else 'served'}",
    )
    # Not by the recall: what it means now is no longer told to that token, and there is nothing to go on with.
    assert refused is Unauthenticated
    assert found.version == first.version
    assert found.stale
    assert "unauthenticated" in found.reason
