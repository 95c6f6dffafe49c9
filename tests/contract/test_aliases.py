"""Aliases, through every client on every engine."""

import pytest

from common_lib import ModelRegistry
from common_lib.errors import (
    AliasNotFound,
    AlreadyExists,
    InvalidRequest,
    RevisionMismatch,
    RevisionRequired,
    VersionNotFound,
)
from tests.support.steps import version_of


def test_an_alias_is_created_once_and_moved_by_its_revision(registry: ModelRegistry, name: str) -> None:
    """The caller that moves an alias passes the revision that it read."""
    registry.models.create(name, "regression")
    version_of(registry, name)
    version_of(registry, name)
    created = registry.aliases.create(name, "champion", 1)
    assert registry.aliases.get(name, "champion") == created
    with pytest.raises(AlreadyExists, match="version 1"):
        registry.aliases.create(name, "champion", 2)
    moved = registry.aliases.move(name, "champion", 2, revision=created.revision, reason="better")
    assert (moved.version, moved.revision) == (2, 2)
    with pytest.raises(RevisionMismatch):
        registry.aliases.move(name, "champion", 1, revision=created.revision)
    with pytest.raises(RevisionRequired):
        registry.aliases.move(name, "champion", 1)


def test_set_creates_or_moves_an_alias(registry: ModelRegistry, name: str) -> None:
    """With a revision it moves the alias of that revision only; with force it moves any."""
    registry.models.create(name, "regression")
    for _ in range(3):
        version_of(registry, name)
    assert registry.set_alias(name, "champion", 1).revision == 1
    assert registry.set_alias(name, "champion", 2, reason="better").revision == 2
    with pytest.raises(RevisionMismatch):
        registry.set_alias(name, "champion", 3, revision=1)
    assert registry.set_alias(name, "champion", 3, force=True, reason="now").version == 3
    with pytest.raises(AliasNotFound):
        registry.set_alias(name, "shadow", 1, revision=1)
    assert registry.set_alias(name, "shadow", 1, force=True, reason="now").revision == 1


def test_moving_an_alias_to_its_own_version_changes_nothing(registry: ModelRegistry, name: str) -> None:
    """The revision stays, and no event is written."""
    registry.models.create(name, "regression")
    version_of(registry, name)
    created = registry.aliases.create(name, "champion", 1)
    assert registry.aliases.move(name, "champion", 1, revision=1) == created


def test_an_alias_points_at_live_versions_only(registry: ModelRegistry, name: str) -> None:
    """A missing version and a tombstoned version are refused."""
    registry.models.create(name, "regression")
    version_of(registry, name)
    registry.versions.tombstone(name, 1, reason="gone", revision=1)
    for number in (1, 2):
        with pytest.raises(VersionNotFound):
            registry.aliases.create(name, "champion", number)


def test_aliases_are_listed_by_name_and_deleted(registry: ModelRegistry, name: str) -> None:
    """Deleting an alias needs its revision, too."""
    registry.models.create(name, "regression")
    version_of(registry, name)
    for alias in ("shadow", "champion"):
        registry.aliases.create(name, alias, 1)
    assert [alias.alias for alias in registry.aliases.list_of_model(name)] == ["champion", "shadow"]
    with pytest.raises(RevisionRequired):
        registry.aliases.delete(name, "shadow")
    registry.aliases.delete(name, "shadow", revision=1)
    with pytest.raises(AliasNotFound):
        registry.aliases.get(name, "shadow")
    assert registry.aliases.create(name, "shadow", 1).revision == 1


def test_force_moves_or_creates_an_alias_at_any_revision(registry: ModelRegistry, name: str) -> None:
    """A forced change needs no revision and creates a missing alias."""
    registry.models.create(name, "regression")
    version_of(registry, name)
    version_of(registry, name)
    assert registry.aliases.move(name, "champion", 1, force=True, reason="now").version == 1
    assert registry.aliases.move(name, "champion", 2, force=True, reason="now").revision == 2


def test_a_deleted_alias_is_not_created_again_by_its_old_revision(registry: ModelRegistry, name: str) -> None:
    """The caller read an alias that another caller has deleted since, and gets an error."""
    registry.models.create(name, "regression")
    version_of(registry, name)
    with pytest.raises(AliasNotFound):
        registry.aliases.move(name, "champion", 1, revision=1)
    with pytest.raises(RevisionRequired):
        registry.aliases.move(name, "champion", 1)


@pytest.mark.parametrize("alias", ["latest", "production", "v7", "V7", "7", "a b", "", "-x", "x" * 65, "champion\n"])
def test_reserved_and_malformed_aliases_are_refused(registry: ModelRegistry, name: str, alias: str) -> None:
    """With reserved words as aliases, a reference would have two meanings."""
    with pytest.raises(InvalidRequest):
        registry.aliases.create(name, alias, 1)
