"""Recall: a version is blocked for everyone at once, until it is reinstated."""

from dataclasses import replace
from pathlib import Path

import pytest

from common_lib import ModelRegistry
from common_lib.artifacts.loading import load
from common_lib.errors import IllegalTransition, InvalidRequest, LoadRefused, NotCached, Tombstoned, VersionRecalled
from common_lib.rules.lifecycle import OnRecall
from common_lib.types.policies import PromotionRules
from tests.support.steps import promoted, version_of


def skipping(registry: ModelRegistry, name: str) -> None:
    """Set the policy so that moving references skip recalled versions."""
    registry.policies.put(name, PromotionRules(on_recall=OnRecall.SKIP), reason="never stall", revision=1)


def test_a_recalled_version_is_refused_by_every_reference(registry: ModelRegistry, name: str) -> None:
    """By number, alias, stage and latest; the error names who recalled it and why, and its facts can be read."""
    registry.models.create(name, "regression")
    promoted(registry, name)
    registry.aliases.create(name, "champion", 1)
    recalled = registry.versions.recall(name, 1, reason="it leaks", revision=3)
    assert recalled.recall is not None
    assert (recalled.recall.by, recalled.recall.reason, recalled.revision) == ("admin", "it leaks", 4)
    for place in ("/1", "@champion", "/production", "/latest"):
        with pytest.raises(VersionRecalled, match=r"by admin at .*: it leaks") as refused:
            registry.resolve(f"models:/{name}{place}")
        assert (refused.value.status, refused.value.field, refused.value.value) == (410, "version", "1")
    assert registry.versions.get(name, 1) == recalled
    assert registry.versions.manifest(name, 1).files
    assert registry.models.get(name).production_version == 1


def test_reinstating_is_a_decision_in_the_history(registry: ModelRegistry, name: str) -> None:
    """The version works as before, and the history has both decisions."""
    registry.models.create(name, "regression")
    before = promoted(registry, name)
    recalled = registry.versions.recall(name, 1, reason="it leaks", revision=before.revision)
    with pytest.raises(VersionRecalled):
        registry.versions.recall(name, 1, reason="it leaks", revision=recalled.revision)
    with pytest.raises(InvalidRequest, match="reason"):
        registry.versions.reinstate(name, 1, reason="", revision=recalled.revision)
    after = registry.versions.reinstate(name, 1, reason="it does not", revision=recalled.revision)
    assert after.recall is None
    assert registry.resolve(f"models:/{name}/production") == after
    with pytest.raises(IllegalTransition, match="not recalled"):
        registry.versions.reinstate(name, 1, reason="again", revision=after.revision)
    decisions = [(decision.what, decision.reason) for decision in registry.production.history(name)][:2]
    assert decisions == [("version.reinstated", "it does not"), ("version.recalled", "it leaks")]


def test_a_policy_can_skip_recalled_versions(registry: ModelRegistry, name: str) -> None:
    """Moving references resolve to the version before; a number or an alias is still refused."""
    registry.models.create(name, "regression")
    for _ in range(3):
        promoted(registry, name)
    version_of(registry, name)
    skipping(registry, name)
    for recalled in (4, 3):
        registry.versions.recall(name, recalled, reason="it leaks", force=True)
    assert registry.resolve(f"models:/{name}/production").version == 2
    assert registry.resolve(f"models:/{name}/latest").version == 2
    with pytest.raises(VersionRecalled):
        registry.resolve(f"models:/{name}/3")
    with pytest.raises(VersionRecalled):
        registry.resolve(f"models:/{name}/development")
    for recalled in (2, 1):
        registry.versions.recall(name, recalled, reason="it leaks too", force=True)
    with pytest.raises(VersionRecalled, match="version 3"):
        registry.resolve(f"models:/{name}/production")


def test_a_recalled_version_can_only_be_archived_or_tombstoned(registry: ModelRegistry, name: str) -> None:
    """It is neither submitted nor promoted."""
    registry.models.create(name, "regression")
    version_of(registry, name)
    registry.versions.transition(name, 1, "staging", revision=1)
    registry.versions.recall(name, 1, reason="it leaks", revision=2)
    with pytest.raises(VersionRecalled):
        registry.production.promote(name, 1, reason="anyway")
    assert [finding.rule for finding in registry.production.check(name, 1).findings if not finding.met] == ["recall"]
    registry.versions.transition(name, 1, "archived", reason="leaks", revision=3)
    with pytest.raises(VersionRecalled):
        registry.versions.transition(name, 1, "staging", revision=4)
    registry.versions.tombstone(name, 1, reason="leaks", revision=4)
    with pytest.raises(Tombstoned):
        registry.versions.reinstate(name, 1, reason="it was right", revision=5)


def test_a_recalled_version_is_neither_fetched_nor_loaded(
    model_registry: ModelRegistry, name: str, tmp_path: Path
) -> None:
    """Also from the cache, and offline once this machine knows of the recall."""
    registry = model_registry
    registry.models.create(name, "regression")
    (tmp_path / "model.json").write_text("{}")
    registry.register(name, tmp_path / "model.json", framework="json")
    snapshot = registry.fetch(f"models:/{name}/latest")
    assert registry.load(f"models:/{name}/latest") == {}
    registry.versions.recall(name, 1, reason="it leaks", revision=1)
    assert registry.load(f"models:/{name}/1", local_files_only=True) == {}
    for use in (registry.fetch, registry.load, lambda reference: registry.download(reference, tmp_path / "down")):
        with pytest.raises(VersionRecalled, match="it leaks"):
            use(f"models:/{name}/1")
    for reference in (f"models:/{name}/1", f"models:/{name}/latest"):
        with pytest.raises(VersionRecalled, match="it leaks"):
            registry.fetch(reference, local_files_only=True)
    assert not (tmp_path / "down").exists()
    with pytest.raises(LoadRefused, match="it leaks"):
        load(replace(snapshot, version=registry.versions.get(name, 1)))
    registry.versions.reinstate(name, 1, reason="it does not", revision=2)
    with pytest.raises(VersionRecalled):
        registry.fetch(f"models:/{name}/1", local_files_only=True)
    assert registry.load(f"models:/{name}/latest") == {}
    assert registry.load(f"models:/{name}/1", local_files_only=True) == {}
    with pytest.raises(NotCached):
        registry.fetch(f"models:/{name}/2", local_files_only=True)
