"""Policies with many file patterns on versions with many files: check and promotion agree, and block no request."""

import asyncio
import hashlib
import threading
import time
from pathlib import Path

import pytest

from common_lib import HttpRegistry, ModelRegistry
from common_lib.errors import PolicyNotMet
from common_lib.rules import promotion
from common_lib.rules.promotion import MAX_RULES
from common_lib.types.artifacts import FileEntry
from common_lib.types.policies import PromotionRules
from registry_server.core import policies, production
from tests.conftest import Server

CONTENT = b"one content for every file"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def admin(server: Server, tmp_path: Path) -> ModelRegistry:
    """Provide the first admin of each engine, with the bytes of every file uploaded."""
    registry = server.registry()
    (tmp_path / "blob").write_bytes(CONTENT)
    registry.artifacts.put_blob(SHA256, tmp_path / "blob")
    return registry


def staged(registry: ModelRegistry, name: str, paths: list[str], patterns: list[str]) -> int:
    """Stage version 1 of a model whose policy wants files that fit the patterns, and return its revision."""
    registry.models.create(name, "forecasting")
    registry.policies.put(name, PromotionRules(files=patterns), reason="as decided", revision=1)
    entries = [FileEntry(path=path, size=len(CONTENT), sha256=SHA256) for path in paths]
    registry.versions.create(name, entries, framework="test")
    return registry.versions.transition(name, 1, "staging", revision=1).revision


@pytest.mark.parametrize("count", [1, 157, 10_000])
def test_check_and_promotion_agree_about_many_patterns_and_files(admin: ModelRegistry, name: str, count: int) -> None:
    """A version that meets the check is promoted; the refusal of another names its missing files."""
    paths = [f"shards/part-{number:05}.bin" for number in range(count)]
    word = paths[0]
    patterns = [f"{word[: number % 7]}*{word[7 + number // 7 :]}" for number in range(MAX_RULES - 1)]
    revision = staged(admin, name, paths, [*patterns, "shards/absent-*.bin"])
    check = admin.production.check(name, 1)
    assert [finding.subject for finding in check.findings if not finding.met] == ["shards/absent-*.bin"]
    with pytest.raises(PolicyNotMet, match=r"shards/absent-\*\.bin"):
        admin.versions.transition(name, 1, "production", reason="it is better", revision=revision)
    admin.policies.put(name, PromotionRules(files=patterns), reason="as decided", revision=2)
    assert admin.production.check(name, 1).met
    promoted = admin.versions.transition(name, 1, "production", reason="it is better", revision=revision)
    assert promoted.stage == "production"


def test_a_policy_set_during_the_preparation_of_a_promotion_counts(
    admin: ModelRegistry, server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction evaluates the current policy, not the one of the preparation."""
    revision = staged(admin, name, ["model.bin"], ["*.bin"])
    find_policy_files = production.find_policy_files
    prepared, go_on = threading.Event(), threading.Event()

    async def slowly(*args: object) -> policies.PolicyFiles:
        found = await find_policy_files(*args)  # type: ignore[arg-type]
        prepared.set()
        with server.registry() as other:
            await asyncio.to_thread(set_policy, other)
        return found

    def set_policy(other: HttpRegistry) -> None:
        other.policies.put(name, PromotionRules(files=["*.json"]), reason="stricter", revision=2)
        go_on.set()

    monkeypatch.setattr(production, "find_policy_files", slowly)
    with pytest.raises(PolicyNotMet, match=r"\*\.json"):
        admin.versions.transition(name, 1, "production", reason="it is better", revision=revision)
    assert prepared.is_set()
    assert go_on.is_set()


def test_other_requests_are_served_while_thousands_of_files_are_matched(
    server: Server, admin: ModelRegistry, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The matching does not run on the event loop: a resolve succeeds meanwhile."""
    revision = staged(admin, name, ["model.bin"], ["*.bin"])
    find, searching, resolved = promotion.find_files, threading.Event(), threading.Event()

    def held(*args: object) -> object:
        searching.set()
        assert resolved.wait(30), "nobody was served while files were looked for"
        return find(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(promotion, "find_files", held)
    promoting = threading.Thread(
        target=lambda: admin.versions.transition(name, 1, "production", reason="better", revision=revision)
    )
    promoting.start()
    try:
        assert searching.wait(30)
        with server.registry() as other:
            assert other.models.get(name).production_version is None
    finally:
        resolved.set()
        promoting.join(30)
    assert admin.models.get(name).production_version == 1


def test_the_worst_patterns_take_time_linear_in_the_paths() -> None:
    """Near matches cost no more than others: twice the length takes about twice the time."""
    patterns = ["*" + "a" * 100 + "b" + "a*", "*" + "aaaaaaab*" * 7]

    def cost(length: int) -> float:
        paths = ["a" * length + f"{number:05}" for number in range(400)]
        began = time.process_time()
        for _ in range(5):
            found = promotion.find_files(patterns, paths)
        assert not any(finding.met for finding in found.values())
        return time.process_time() - began

    assert cost(4_000) < 8 * max(cost(1_000), 0.005)
