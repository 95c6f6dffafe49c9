"""Production: promotion by compare-and-set, rollback, and the production version at any moment."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from common_lib import ModelRegistry, ModelStage
from common_lib.errors import (
    IllegalTransition,
    InvalidRequest,
    NothingToReturnTo,
    ProductionChanged,
    RevisionMismatch,
    Tombstoned,
    VersionNotFound,
    VersionRecalled,
)
from common_lib.rules.lifecycle import MOVES
from tests.support.steps import promoted, version_of


def staged(registry: ModelRegistry, name: str, content: bytes = b"weights") -> int:
    """Provide the number of a new version in staging."""
    number = version_of(registry, name, content).version
    registry.versions.transition(name, number, "staging", revision=1)
    return number


def production(registry: ModelRegistry, name: str) -> int | None:
    """Return the production version by every way to query it; fail if they disagree."""
    model = registry.models.get(name).production_version
    assert registry.production.at(name).version == model
    assert [version.version for version in registry.versions.search(name, stage="production")] == (
        [] if model is None else [model]
    )
    return model


class TestPromotion:
    def test_of_two_promotions_over_the_same_incumbent_one_wins(self, registry: ModelRegistry, name: str) -> None:
        """The other gets an error that names the winner, the time and the reason."""
        registry.models.create(name, "regression")
        promoted(registry, name)
        first, second = staged(registry, name), staged(registry, name)
        registry.production.promote(name, first, reason="a better loss", replacing=1)
        with pytest.raises(ProductionChanged) as lost:
            registry.production.promote(name, second, reason="a better loss too", replacing=1)
        assert lost.value.winner is not None
        assert (lost.value.winner.version, lost.value.winner.by) == (first, "admin")
        assert lost.value.winner.reason == "a better loss"
        assert lost.value.winner.at == registry.production.at(name).since
        assert "version 2" in lost.value.detail
        assert production(registry, name) == first
        assert registry.versions.get(name, second).stage is ModelStage.STAGING

    def test_a_first_promotion_states_that_it_replaces_no_version(self, registry: ModelRegistry, name: str) -> None:
        """A second caller that expects no version in production gets an error."""
        registry.models.create(name, "regression")
        first, second = staged(registry, name), staged(registry, name)
        registry.versions.transition(name, first, "production", reason="the first", revision=2)
        for replacing in (None, second):
            with pytest.raises(ProductionChanged, match=r"version 1 of .* is in production"):
                registry.production.promote(name, second, reason="the first?", replacing=replacing)
        registry.versions.transition(name, first, "archived", reason="broken", revision=3)
        with pytest.raises(
            ProductionChanged, match=r"no version of .* is in production, but the request replaces version 1"
        ) as lost:
            registry.production.promote(name, second, reason="instead", replacing=1)
        assert lost.value.winner is not None
        assert (lost.value.winner.version, lost.value.winner.reason) == (None, "broken")

    def test_the_second_promotion_of_one_version_names_the_first(self, registry: ModelRegistry, name: str) -> None:
        """The error names the principal whose promotion came first."""
        registry.models.create(name, "regression")
        number = staged(registry, name)
        registry.production.promote(name, number, reason="first", revision=2)
        with pytest.raises(RevisionMismatch) as lost:
            registry.production.promote(name, number, reason="second", revision=2, replacing=None)
        assert lost.value.winner is not None
        assert (lost.value.winner.version, lost.value.winner.reason) == (number, "first")

    def test_a_stale_revision_without_a_decision_names_no_winner(self, registry: ModelRegistry, name: str) -> None:
        """A changed description is not a decision."""
        registry.models.create(name, "regression")
        number = version_of(registry, name).version
        registry.versions.update(name, number, description="other", revision=1)
        with pytest.raises(RevisionMismatch) as lost:
            registry.versions.transition(name, number, "staging", revision=1)
        assert lost.value.winner is None

    def test_a_decision_that_the_caller_had_read_names_no_winner(self, registry: ModelRegistry, name: str) -> None:
        """Only the author of the current revision is a winner; the same holds for late edits."""
        registry.models.create(name, "regression")
        number = staged(registry, name)
        registry.versions.update(name, number, description="other", revision=2)
        with pytest.raises(RevisionMismatch) as lost:
            registry.production.promote(name, number, reason="too late", revision=2, replacing=None)
        assert lost.value.winner is None
        registry.production.promote(name, number, reason="in time", revision=3, replacing=None)
        with pytest.raises(RevisionMismatch) as lost:
            registry.versions.update(name, number, description="once more", revision=3)
        assert lost.value.winner is not None
        assert lost.value.winner.reason == "in time"

    def test_a_check_of_a_tombstoned_version_is_refused_like_its_promotion(
        self, registry: ModelRegistry, name: str
    ) -> None:
        """The same holds for a tombstoned model."""
        registry.models.create(name, "regression")
        first, second = staged(registry, name), staged(registry, name)
        registry.versions.tombstone(name, first, reason="wrong data", revision=2)
        with pytest.raises(Tombstoned, match="wrong data"):
            registry.production.check(name, first)
        registry.models.tombstone(name, reason="wrong question", revision=1)
        with pytest.raises(Tombstoned, match="wrong question"):
            registry.production.check(name, second)

    def test_a_forced_promotion_needs_a_reason_and_ignores_revision_and_incumbent(
        self, registry: ModelRegistry, name: str
    ) -> None:
        """The history records that it was forced."""
        registry.models.create(name, "regression")
        promoted(registry, name)
        number = staged(registry, name)
        with pytest.raises(InvalidRequest, match="reason"):
            registry.production.promote(name, number, reason=" ", force=True)
        registry.production.promote(name, number, reason="now", force=True)
        assert production(registry, name) == number
        assert next(registry.production.history(name)).forced

    def test_an_archived_version_returns_to_production_only_by_rollback(
        self, registry: ModelRegistry, name: str
    ) -> None:
        """The error says so."""
        registry.models.create(name, "regression")
        promoted(registry, name)
        promoted(registry, name)
        with pytest.raises(IllegalTransition, match="rollback"):
            registry.production.promote(name, 1, reason="it was better")


class TestRollback:
    def test_a_rollback_returns_to_the_previous_production_version(self, registry: ModelRegistry, name: str) -> None:
        """Each rollback goes one step further back; a new promotion starts from the restored version."""
        registry.models.create(name, "regression")
        for _ in range(3):
            promoted(registry, name)
        for expected in (2, 1):
            back = registry.production.rollback(name, reason="it fails", replacing=expected + 1)
            assert (back.version, back.stage, production(registry, name)) == (expected, ModelStage.PRODUCTION, expected)
            assert registry.versions.get(name, expected + 1).stage is ModelStage.ARCHIVED
        with pytest.raises(NothingToReturnTo, match="staging"):
            registry.production.rollback(name, reason="it fails", replacing=1)
        fourth = promoted(registry, name).version
        assert registry.production.rollback(name, reason="it fails", replacing=fourth).version == 1

    def test_a_rollback_of_an_empty_production_restores_the_last_version(
        self, registry: ModelRegistry, name: str
    ) -> None:
        """A version that was archived by mistake comes back."""
        registry.models.create(name, "regression")
        promoted(registry, name)
        second = promoted(registry, name)
        registry.versions.transition(name, 2, "archived", reason="a slip", revision=second.revision)
        assert production(registry, name) is None
        assert registry.production.rollback(name, reason="it was a slip").version == 2
        assert registry.production.rollback(name, reason="it fails", replacing=2).version == 1

    def test_a_rollback_skips_unusable_versions(self, registry: ModelRegistry, name: str) -> None:
        """Recalled, tombstoned, or returned to staging."""
        registry.models.create(name, "regression")
        for _ in range(5):
            promoted(registry, name)
        registry.versions.recall(name, 4, reason="leaks", force=True)
        registry.versions.tombstone(name, 3, reason="leaks", force=True)
        registry.versions.transition(name, 2, "staging", reason="once more", force=True)
        assert registry.production.rollback(name, reason="it fails", replacing=5).version == 1

    def test_a_rollback_is_refused_after_another_promotion(self, registry: ModelRegistry, name: str) -> None:
        """It would undo a promotion that the caller has not read."""
        registry.models.create(name, "regression")
        for _ in range(3):
            promoted(registry, name)
        for replacing in (2, None):
            with pytest.raises(ProductionChanged) as lost:
                registry.production.rollback(name, reason="it fails", replacing=replacing)
            assert lost.value.winner is not None
            assert lost.value.winner.version == 3
        assert production(registry, name) == 3

    def test_a_model_that_never_was_in_production_cannot_be_rolled_back(
        self, registry: ModelRegistry, name: str
    ) -> None:
        """Versions in staging do not count."""
        registry.models.create(name, "regression")
        staged(registry, name)
        with pytest.raises(NothingToReturnTo):
            registry.production.rollback(name, reason="it fails")
        assert production(registry, name) is None


class TestHistory:
    def test_the_history_lists_who_decided_what_when_and_why(self, registry: ModelRegistry, name: str) -> None:
        """Newest first, each with the stages that it changed; pages neither skip nor repeat."""
        registry.models.create(name, "regression")
        promoted(registry, name)
        promoted(registry, name)
        registry.production.rollback(name, reason="it fails", replacing=2)
        found = list(registry.production.history(name, page_size=2))
        assert [decision.what for decision in found] == [
            "version.rolled_back",
            *("version.promoted", "version.staged") * 2,
        ]
        assert [(move.version, move.before, move.after) for move in found[0].stages] == [
            (1, ModelStage.ARCHIVED, ModelStage.PRODUCTION),
            (2, ModelStage.PRODUCTION, ModelStage.ARCHIVED),
        ]
        assert (found[0].by, found[0].reason, found[0].subject) == ("admin", "it fails", f"models/{name}/versions/1")
        assert all(later.at > earlier.at and later.sequence > earlier.sequence for later, earlier in pairwise(found))

    def test_every_move_in_the_history_is_a_legal_move(self, registry: ModelRegistry, name: str) -> None:
        """Stages change as the table of moves defines, by the event that it names."""
        registry.models.create(name, "regression")
        promoted(registry, name)
        promoted(registry, name)
        registry.production.rollback(name, reason="it fails", replacing=2)
        registry.versions.transition(name, 2, "staging", reason="once more", force=True)
        registry.versions.transition(name, 2, "archived", reason="no", force=True)
        version_of(registry, name)
        registry.versions.transition(name, 3, "archived", reason="never", force=True)
        registry.versions.transition(name, 1, "archived", reason="enough", force=True)
        seen = {
            (move.before, move.after, decision.what)
            for decision in registry.production.history(name)
            for move in decision.stages
        }
        assert seen == {(move.source, move.target, move.event) for move in MOVES}


class TestAsOf:
    def test_every_moment_has_one_production_version(self, registry: ModelRegistry, name: str) -> None:
        """From the instant of a decision until just before the next."""
        registry.models.create(name, "regression")
        for _ in range(3):
            promoted(registry, name)
        registry.production.rollback(name, reason="it fails", replacing=3)
        registry.versions.transition(name, 2, "archived", reason="all fail", force=True)
        moves = [
            decision
            for decision in registry.production.history(name)
            if any(ModelStage.PRODUCTION in {move.before, move.after} for move in decision.stages)
        ]
        expected = [None, 2, 3, 2, 1]
        tick = timedelta(microseconds=1)
        for decision, version in zip(moves, expected, strict=True):
            for moment in (decision.at, decision.at + tick):
                found = registry.production.at(name, moment)
                assert (found.version, found.since, found.sequence) == (version, decision.at, decision.sequence)
                assert (found.what, found.by, found.reason) == (decision.what, decision.by, decision.reason)
                reference = f"models:/{name}/production?as_of={moment.isoformat()}"
                if version is None:
                    with pytest.raises(VersionNotFound):
                        registry.resolve(reference)
                else:
                    assert registry.resolve(reference).version == version
        assert registry.production.at(name, moves[-1].at - tick).version is None

    def test_a_past_moment_returns_no_later_facts(self, registry: ModelRegistry, name: str) -> None:
        """Stage, tags and description are those at the start of the tenure: a backtest must not see the future."""
        registry.models.create(name, "regression")
        before = promoted(registry, name)
        moment = registry.production.at(name).since
        registry.versions.update(
            name, 1, description="it failed in March", tags={"bad": "yes"}, force=True, reason="seen"
        )
        promoted(registry, name)
        assert registry.resolve(f"models:/{name}/production?as_of={moment.isoformat()}") == before

    def test_a_recalled_version_is_refused_for_every_past_moment(self, registry: ModelRegistry, name: str) -> None:
        """The history still names the version."""
        registry.models.create(name, "regression")
        promoted(registry, name)
        moment = registry.production.at(name).since
        registry.versions.recall(name, 1, reason="it leaks", force=True)
        with pytest.raises(VersionRecalled, match="it leaks"):
            registry.resolve(f"models:/{name}/production?as_of={moment.isoformat()}")
        assert registry.production.at(name, moment).version == 1

    def test_moments_before_the_model_and_in_the_future_are_refused(self, registry: ModelRegistry, name: str) -> None:
        """The error names the first or last moment that can be queried."""
        began = registry.models.create(name, "regression").created_at
        for moment, why in (
            (began - timedelta(microseconds=1), "was created at"),
            (datetime(1970, 1, 1, tzinfo=UTC), "was created at"),
            (datetime.now(UTC) + timedelta(hours=1), "a time in the past"),
        ):
            with pytest.raises(InvalidRequest, match=why) as refused:
                registry.production.at(name, moment)
            assert (refused.value.code, refused.value.field) == ("as_of_out_of_range", "as_of")
            with pytest.raises(InvalidRequest, match=why):
                registry.resolve(f"models:/{name}/production?as_of={moment.isoformat()}")
        assert registry.production.at(name, began).version is None
