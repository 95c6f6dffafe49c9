"""Versions, through every client on every engine."""

import hashlib
from pathlib import Path

import pytest

from common_lib import FieldSpec, FileEntry, Lineage, ModelRegistry, ModelStage, Signature
from common_lib.errors import (
    BytesMissing,
    IllegalTransition,
    InUse,
    InvalidRequest,
    RevisionMismatch,
    RevisionRequired,
    Tombstoned,
    VersionNotFound,
)
from tests.support.steps import promoted, version_of


def test_a_version_has_the_facts_it_was_registered_with(registry: ModelRegistry, name: str) -> None:
    """Floats are equal to the last bit."""
    registry.models.create(name, "classification")
    signature = Signature(
        inputs=[FieldSpec(name="rates", dtype="float64", shape=[-1, 22])], outputs=[FieldSpec(name="up", dtype="bool")]
    )
    lineage = Lineage(run="run-17", code_commit="abc123", data_digest="sha256:00", parent=f"models:/{name}/1")
    version = version_of(
        registry,
        name,
        framework="scikit-learn",
        description="the first",
        parameters={"clf__C": 0.1, "seed": 7, "warm": False, "penalty": "l2", "tol": 1e-300},
        metrics={"holdout/auc": 0.1 + 0.2, "loss": -0.0},
        signature=signature,
        lineage=lineage,
        tags={"data": "ecb"},
    )
    assert registry.versions.get(name, 1) == version
    assert version.metrics["holdout/auc"] == 0.1 + 0.2
    assert version.parameters["tol"] == 1e-300
    assert (version.version, version.stage, version.revision) == (1, ModelStage.DEVELOPMENT, 1)
    assert (version.signature, version.lineage) == (signature, lineage)
    assert (version.size, version.file_count) == (7, 1)


def test_the_digest_depends_on_the_files_alone(registry: ModelRegistry, name: str) -> None:
    """The same files have the same digest in any version; other files have another."""
    registry.models.create(name, "classification")
    first, second = version_of(registry, name, b"one"), version_of(registry, name, b"one", framework="other")
    assert first.digest == second.digest
    assert version_of(registry, name, b"two").digest != first.digest


def test_numbers_count_up_from_one(registry: ModelRegistry, name: str) -> None:
    """1, 2, 3; the number of a tombstoned version is not given again."""
    registry.models.create(name, "classification")
    version_of(registry, name)
    second = version_of(registry, name)
    registry.versions.tombstone(name, 2, reason="broken", revision=second.revision)
    assert version_of(registry, name).version == 3
    assert [version.version for version in registry.versions.search(name)] == [3, 1]
    assert [version.version for version in registry.versions.search(name, tombstoned=True, order="version")] == [
        1,
        2,
        3,
    ]


def test_a_refused_version_takes_no_number(registry: ModelRegistry, name: str) -> None:
    """A version without its bytes does not exist and leaves no gap."""
    registry.models.create(name, "classification")
    missing = FileEntry(path="model.bin", size=3, sha256=hashlib.sha256(name.encode()).hexdigest())
    with pytest.raises(BytesMissing, match=r"model\.bin"):
        registry.versions.create(name, [missing], framework="test")
    assert version_of(registry, name).version == 1


def test_a_wrong_size_in_the_manifest_is_refused(registry: ModelRegistry, name: str) -> None:
    """The manifest must state the length of the stored bytes."""
    registry.models.create(name, "classification")
    version_of(registry, name, b"weights")
    wrong = FileEntry(path="model.bin", size=8, sha256=hashlib.sha256(b"weights").hexdigest())
    with pytest.raises(InvalidRequest, match="has 7 bytes, not 8"):
        registry.versions.create(name, [wrong], framework="test")


@pytest.mark.parametrize("paths", [["a", "a"], ["a/b", "A/b"], ["a", "a/b"]])
def test_paths_that_collide_are_refused(registry: ModelRegistry, name: str, paths: list[str]) -> None:
    """Equal paths, paths that differ in case only, or a file that is a folder too."""
    registry.models.create(name, "classification")
    digest = hashlib.sha256(b"").hexdigest()
    with pytest.raises(InvalidRequest, match=r"manifest|folder"):
        registry.versions.create(name, [FileEntry(path=p, size=0, sha256=digest) for p in paths], framework="test")


def test_promotion_replaces_the_incumbent_in_one_step(registry: ModelRegistry, name: str) -> None:
    """The promoted version is the only one in production; the incumbent is archived."""
    registry.models.create(name, "classification")
    promoted(registry, name, b"one")
    promoted(registry, name, b"two")
    assert registry.models.get(name).production_version == 2
    assert registry.versions.get(name, 1).stage is ModelStage.ARCHIVED
    assert [version.version for version in registry.versions.search(name, stage="production")] == [2]


def test_illegal_moves_are_refused(registry: ModelRegistry, name: str) -> None:
    """The error lists the legal moves."""
    registry.models.create(name, "classification")
    version_of(registry, name)
    with pytest.raises(IllegalTransition) as refused:
        registry.versions.transition(name, 1, "production", reason="now", revision=1)
    assert "archived or staging" in refused.value.remedy
    assert registry.versions.get(name, 1).revision == 1


@pytest.mark.parametrize("to", ["production", "archived"])
def test_a_decision_needs_a_reason(registry: ModelRegistry, name: str, to: str) -> None:
    """Promoting and archiving need a reason for the history."""
    registry.models.create(name, "classification")
    version_of(registry, name)
    registry.versions.transition(name, 1, "staging", revision=1)
    with pytest.raises(InvalidRequest, match="reason"):
        registry.versions.transition(name, 1, to, revision=2)


def test_an_archived_version_can_return_to_staging(registry: ModelRegistry, name: str) -> None:
    """The archive is not final."""
    registry.models.create(name, "classification")
    version_of(registry, name)
    registry.versions.transition(name, 1, "archived", reason="pause", revision=1)
    assert registry.versions.transition(name, 1, "staging", revision=2).stage is ModelStage.STAGING


def test_the_second_move_from_one_revision_is_refused(registry: ModelRegistry, name: str) -> None:
    """A decision on a stale revision is refused; a missing revision too."""
    registry.models.create(name, "classification")
    version_of(registry, name)
    registry.versions.transition(name, 1, "staging", revision=1)
    with pytest.raises(RevisionMismatch):
        registry.versions.transition(name, 1, "archived", reason="late", revision=1)
    with pytest.raises(RevisionRequired):
        registry.versions.transition(name, 1, "archived", reason="blind")
    assert registry.versions.transition(name, 1, "archived", reason="now", force=True).revision == 3


def test_only_description_and_tags_can_be_updated(registry: ModelRegistry, name: str) -> None:
    """An update leaves bytes and facts as they were."""
    registry.models.create(name, "classification")
    before = version_of(registry, name, metrics={"auc": 0.5})
    after = registry.versions.update(name, 1, revision=1, description="kept", tags={"checked": "yes"})
    same = set(type(after).model_fields) - {"description", "tags", "revision", "updated_at"}
    assert all(getattr(after, field) == getattr(before, field) for field in same)
    assert (after.description, after.tags, after.revision) == ("kept", {"checked": "yes"}, 2)


def test_a_version_in_use_cannot_be_tombstoned(registry: ModelRegistry, name: str) -> None:
    """Production and aliases protect a version."""
    registry.models.create(name, "classification")
    current = promoted(registry, name)
    with pytest.raises(InUse, match="production"):
        registry.versions.tombstone(name, 1, reason="oops", revision=current.revision)
    pointed = version_of(registry, name)
    registry.aliases.create(name, "shadow", 2)
    with pytest.raises(InUse, match="shadow"):
        registry.versions.tombstone(name, 2, reason="oops", revision=pointed.revision)


def test_a_tombstoned_version_can_be_read_but_not_used(registry: ModelRegistry, name: str, tmp_path: Path) -> None:
    """Its facts and manifest are readable; it neither resolves nor moves nor serves bytes."""
    registry.models.create(name, "classification")
    version_of(registry, name)
    tombstoned = registry.versions.tombstone(name, 1, reason="leaked labels", revision=1)
    assert registry.versions.get(name, 1) == tombstoned
    assert registry.versions.manifest(name, 1).digest == tombstoned.digest
    with pytest.raises(VersionNotFound):
        registry.download(f"models:/{name}/1", tmp_path)
    with pytest.raises(Tombstoned, match="leaked labels"):
        registry.versions.transition(name, 1, "staging", revision=tombstoned.revision)
    with pytest.raises(VersionNotFound):
        registry.resolve(f"models:/{name}/latest")


def test_references_resolve_by_number_alias_stage_and_latest(registry: ModelRegistry, name: str) -> None:
    """The client and the server parse them alike."""
    registry.models.create(name, "classification")
    promoted(registry, name, b"one")
    version_of(registry, name, b"two")
    version_of(registry, name, b"three")
    registry.aliases.create(name, "champion", 2)

    def means(rest: str) -> int:
        return registry.resolve(f"models:/{name}{rest}").version

    assert [means(rest) for rest in ("/1", "@champion", "/production", "/development", "/latest")] == [1, 2, 1, 3, 3]
    for nothing in ("/9", "@nobody", "/staging", "/archived"):
        with pytest.raises(VersionNotFound):
            means(nothing)


@pytest.mark.parametrize(
    "reference", ["eurusd", "models:/", "models:/x", "models:/x/0", "models:/x/01", "models:/x/v7"]
)
def test_an_invalid_reference_is_refused_before_it_is_sent(registry: ModelRegistry, reference: str) -> None:
    """The error lists the valid forms."""
    with pytest.raises(InvalidRequest) as refused:
        registry.resolve(reference)
    assert "models:/name/production" in refused.value.remedy
    assert refused.value.status is None


def test_pages_of_versions_neither_skip_nor_repeat(registry: ModelRegistry, name: str) -> None:
    """All pages together equal the whole list, in both directions."""
    registry.models.create(name, "classification")
    for _ in range(5):
        version_of(registry, name)
    assert [v.version for v in registry.versions.search(name, page_size=2)] == [5, 4, 3, 2, 1]
    assert [v.version for v in registry.versions.search(name, page_size=2, order="version")] == [1, 2, 3, 4, 5]
