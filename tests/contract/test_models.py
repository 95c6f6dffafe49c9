"""Registered models, through every client on every engine."""

from datetime import UTC, datetime, timedelta

import pytest

from common_lib import ModelRegistry, ModelType
from common_lib.errors import (
    AlreadyExists,
    InUse,
    InvalidRequest,
    ModelNotFound,
    RevisionMismatch,
    RevisionRequired,
    Tombstoned,
)
from tests.support.steps import promoted, version_of


def test_a_model_has_the_fields_it_was_created_with(registry: ModelRegistry, name: str) -> None:
    """Omitted fields have their defaults."""
    created = registry.models.create(
        name,
        "forecasting",
        owner="desk-7",
        description="two\nlines",
        tags={"team": "fx", "venue/primary": "ebs"},
        metadata={"horizon_days": 1, "threshold": 0.25, "live": True, "note": None, "big": 2**60},
    )
    assert registry.models.get(name) == created
    assert created.type is ModelType.FORECASTING
    assert created.metadata == {"horizon_days": 1, "threshold": 0.25, "live": True, "note": None, "big": 2**60}
    assert (created.revision, created.latest_version, created.production_version) == (1, 0, None)
    assert created.created_at == created.updated_at
    assert datetime.now(UTC) - created.created_at < timedelta(minutes=5)


def test_a_model_without_owner_belongs_to_its_creator(registry: ModelRegistry, name: str) -> None:
    """The owner defaults to the caller."""
    assert registry.models.create(name, "regression").owner == registry.principals.whoami().name


def test_model_names_are_unique_ignoring_case(registry: ModelRegistry, name: str) -> None:
    """A name that differs only in case is refused, and the error names the existing model."""
    registry.models.create(name, "regression")
    with pytest.raises(AlreadyExists, match=name):
        registry.models.create(name.upper(), "regression")
    with pytest.raises(ModelNotFound):
        registry.models.get(name.upper())


def test_an_update_changes_only_the_fields_it_passes(registry: ModelRegistry, name: str) -> None:
    """Other fields stay, and the revision increases by one."""
    created = registry.models.create(name, "regression", description="first", tags={"a": "1"})
    updated = registry.models.update(name, revision=1, tags={"b": "2"})
    assert (updated.tags, updated.description, updated.revision) == ({"b": "2"}, "first", 2)
    assert updated.updated_at > created.updated_at


def test_an_update_that_changes_nothing_leaves_the_revision(registry: ModelRegistry, name: str) -> None:
    """Equal values are not a change."""
    created = registry.models.create(name, "regression", description="same")
    assert registry.models.update(name, revision=1, description="same") == created


def test_the_second_update_of_one_revision_is_refused(registry: ModelRegistry, name: str) -> None:
    """Nobody overwrites a change that they have not read, except by force."""
    registry.models.create(name, "regression")
    registry.models.update(name, revision=1, description="mine")
    with pytest.raises(RevisionMismatch, match="at revision 2, but If-Match is"):
        registry.models.update(name, revision=1, description="theirs")
    with pytest.raises(RevisionRequired):
        registry.models.update(name, description="theirs")
    assert registry.models.get(name).description == "mine"
    assert registry.models.update(name, force=True, reason="now", description="theirs").revision == 3


def test_a_new_version_does_not_change_the_revision_of_its_model(
    registry: ModelRegistry, name: str, tmp_path: object
) -> None:
    """The revision counts edits of the model, not its versions."""
    seen = registry.models.create(name, "regression")
    version_of(registry, name)
    assert registry.models.update(name, revision=seen.revision, description="still mine").latest_version == 1


def test_a_tombstoned_model_can_be_read_but_not_changed(registry: ModelRegistry, name: str) -> None:
    """Its name is never available again."""
    registry.models.create(name, "regression")
    tombstone = registry.models.tombstone(name, reason="superseded", revision=1).tombstone
    assert tombstone is not None
    assert tombstone.reason == "superseded"
    assert registry.models.get(name).tombstone == tombstone
    with pytest.raises(Tombstoned, match="superseded"):
        registry.models.update(name, force=True, reason="now", description="again")
    with pytest.raises(AlreadyExists):
        registry.models.create(name, "regression")
    assert name not in {model.name for model in registry.models.search(prefix=name)}
    assert name in {model.name for model in registry.models.search(prefix=name, tombstoned=True)}


def test_a_model_in_production_cannot_be_tombstoned(registry: ModelRegistry, name: str) -> None:
    """The error names the version in production."""
    registry.models.create(name, "regression")
    promoted(registry, name)
    with pytest.raises(InUse, match="version 1"):
        registry.models.tombstone(name, reason="oops", revision=1)


def test_a_tombstone_needs_a_reason(registry: ModelRegistry, name: str) -> None:
    """A blank text is not a reason."""
    registry.models.create(name, "regression")
    with pytest.raises(InvalidRequest, match="reason"):
        registry.models.tombstone(name, reason="  ", revision=1)


def test_a_search_combines_all_conditions(registry: ModelRegistry, name: str) -> None:
    """Type, stage, tags, owner, prefix and time narrow the result together."""
    for number, kind in enumerate(["regression", "forecasting", "regression"]):
        registry.models.create(
            f"{name}-{number}", kind, owner=f"owner-{name}-{number % 2}", tags={"of": name, "n": str(number)}
        )
    promoted(registry, f"{name}-1")
    middle = registry.models.get(f"{name}-1").created_at

    def found(**conditions: object) -> list[str]:
        return [model.name.removeprefix(f"{name}-") for model in registry.models.search(**conditions)]  # type: ignore[arg-type]

    assert found(prefix=name) == ["0", "1", "2"]
    assert found(prefix=name, order="-name") == ["2", "1", "0"]
    assert found(tags={"of": name}, type="regression") == ["0", "2"]
    assert found(tags={"of": name, "n": "2"}) == ["2"]
    assert found(owner=f"owner-{name}-0") == ["0", "2"]
    assert found(tags={"of": name}, stage="production") == ["1"]
    assert found(tags={"of": name}, stage="staging") == []
    assert found(prefix=name, created_from=middle) == ["1", "2"]
    assert found(tags={"of": name}, created_before=middle, order="-created_at") == ["0"]
    assert found(tags={"of": name}, owner="nobody") == []


@pytest.mark.parametrize("order", ["name", "-name", "created_at", "-created_at"])
def test_pages_of_models_neither_skip_nor_repeat(registry: ModelRegistry, name: str, order: str) -> None:
    """All pages together equal the whole list, also while others create models."""
    for number in range(7):
        registry.models.create(f"{name}-{number}", "regression", tags={"of": name})
    whole = [model.name for model in registry.models.search(tags={"of": name}, order=order)]  # type: ignore[arg-type]
    assert len(whole) == 7
    seen = []
    for model in registry.models.search(tags={"of": name}, order=order, page_size=2):  # type: ignore[arg-type]
        seen.append(model.name)
        if len(seen) == 3:
            registry.models.create(f"{name}-0-between", "regression", tags={"of": name})
    assert [one for one in seen if one in whole] == whole


def test_a_search_by_stage_follows_the_versions(registry: ModelRegistry, name: str) -> None:
    """A model matches a stage exactly while one of its live versions is in that stage."""
    registry.models.create(name, "regression")
    version = version_of(registry, name)

    def stages() -> set[str]:
        return {
            stage
            for stage in ("development", "staging", "production", "archived")
            if [model for model in registry.models.search(stage=stage, prefix=name) if model.name == name]
        }

    assert stages() == {"development"}
    staged = registry.versions.transition(name, 1, "staging", revision=version.revision)
    assert stages() == {"staging"}
    archived = registry.versions.transition(name, 1, "archived", reason="no use", revision=staged.revision)
    assert stages() == {"archived"}
    registry.versions.tombstone(name, 1, reason="gone", revision=archived.revision)
    assert stages() == set()
