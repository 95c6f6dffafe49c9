"""Policies and approvals: conditions of a promotion, who may approve, and what the event records."""

from collections.abc import Iterator
from typing import Any

import pytest

from common_lib import HttpRegistry, ModelRegistry, RegistryConfig, Role
from common_lib.errors import (
    AlreadyDecided,
    DecisionNotAllowed,
    Forbidden,
    IllegalTransition,
    InvalidRequest,
    PolicyNotMet,
    RevisionMismatch,
    RevisionRequired,
)
from common_lib.rules.access import PrincipalKind
from common_lib.rules.promotion import Check, Direction
from common_lib.rules.windows import Weekday
from common_lib.types.policies import ChangeHours, ChangeWindows, MetricRule, PromotionRules
from common_lib.types.versions import FieldSpec, Signature
from tests.support.people import Person, people
from tests.support.steps import version_of

AUC = MetricRule(metric="auc", direction=Direction.AT_LEAST, than=0.6)
BETTER = MetricRule(metric="auc", direction=Direction.AT_LEAST, tolerance=0.01)


@pytest.fixture
def admin(server: Any) -> Iterator[ModelRegistry]:
    """Provide a registry client of the first admin, on each engine."""
    with server.registry() as registry:
        yield registry


@pytest.fixture
def person(server: Any, admin: ModelRegistry) -> Iterator[Person]:
    """Provide a function that creates human and service principals."""
    with people(admin, lambda token: HttpRegistry(RegistryConfig(url=server.url, token=token))) as made:
        yield made


def staged(registry: ModelRegistry, name: str, **facts: Any) -> int:
    """Provide the number of a new version in staging."""
    number = version_of(registry, name, **facts).version
    registry.versions.transition(name, number, "staging", revision=1)
    return number


def governed(registry: ModelRegistry, name: str, rules: PromotionRules) -> None:
    """Create a model with a policy from the beginning."""
    registry.models.create(name, "classification")
    registry.policies.put(name, rules, reason="as the committee decided", revision=1)


def missing(check: Check) -> list[str]:
    """Return the findings that are not met, in short form."""
    return [f"{finding.rule} {finding.subject}".strip() for finding in check.findings if not finding.met]


class TestPolicy:
    def test_a_model_begins_without_conditions(self, registry: ModelRegistry, name: str) -> None:
        """Its policy has a revision from the beginning, so that the first change can name it."""
        model = registry.models.create(name, "classification")
        policy = registry.policies.get(name)
        assert (policy.rules, policy.revision, policy.updated_at) == (PromotionRules(), 1, model.created_at)
        number = staged(registry, name)
        check = registry.production.check(name, number)
        assert (check.met, check.policy, check.replacing) == (True, 1, None)
        registry.production.promote(name, number, reason="the first")

    def test_a_policy_is_changed_by_compare_and_set(self, registry: ModelRegistry, name: str) -> None:
        """A change needs a reason; a change without effect makes no revision."""
        governed(registry, name, PromotionRules(approvals=1))
        with pytest.raises(RevisionRequired):
            registry.policies.put(name, PromotionRules(), reason="x")
        with pytest.raises(RevisionMismatch):
            registry.policies.put(name, PromotionRules(), reason="x", revision=1)
        with pytest.raises(InvalidRequest, match="reason"):
            registry.policies.put(name, PromotionRules(), reason="", revision=2)
        assert registry.policies.put(name, PromotionRules(approvals=1), reason="x", revision=2).revision == 2
        assert registry.policies.put(name, PromotionRules(approvals=2), reason="x", revision=2).revision == 3
        assert [decision.what for decision in registry.production.history(name)] == ["policy.set"] * 2

    def test_a_rule_for_an_unknown_metric_is_refused_once_versions_exist(
        self, registry: ModelRegistry, name: str
    ) -> None:
        """Without versions any metric is accepted; later, a misspelt metric would refuse every promotion."""
        governed(registry, name, PromotionRules(metrics=[AUC]))
        version_of(registry, name, metrics={"accuracy": 0.5})
        rules = PromotionRules(metrics=[AUC], approvals=1)
        with pytest.raises(InvalidRequest, match="accuracy") as refused:
            registry.policies.put(name, rules, reason="x", revision=2)
        assert (refused.value.code, refused.value.field) == ("invalid_policy", "rules.metrics[0].metric")
        version_of(registry, name, metrics={"auc": 0.5})
        assert registry.policies.put(name, rules, reason="x", revision=2).revision == 3

    def test_the_check_reports_every_rule(self, registry: ModelRegistry, name: str) -> None:
        """It lists what is wanted and found, changes nothing, and agrees with the promotion itself."""
        hours = [ChangeHours(days=[*Weekday], since="00:00", until="24:00")]
        rules = PromotionRules(
            metrics=[AUC, MetricRule(metric="loss", direction=Direction.AT_MOST, than=0.5, tolerance=0.1)],
            signature=True,
            approvals=1,
            tags={"reviewed": None, "risk": "low"},
            files=["*.md"],
            windows=ChangeWindows(zone="Europe/Berlin", hours=hours),
        )
        governed(registry, name, rules)
        number = staged(registry, name, metrics={"auc": 0.55, "loss": 0.6}, tags={"risk": "high"})
        events = len(list(registry.production.history(name)))
        check = registry.production.check(name, number)
        assert missing(check) == ["metric auc", "signature", "approvals", "tag reviewed", "tag risk", "file *.md"]
        by_rule = {f"{finding.rule} {finding.subject}".strip(): finding for finding in check.findings}
        assert (by_rule["metric auc"].value, by_rule["metric auc"].bound) == (0.55, 0.6)
        assert by_rule["metric loss"].met
        assert by_rule["window Europe/Berlin"].met
        with pytest.raises(PolicyNotMet) as refused:
            registry.production.promote(name, number, reason="now")
        for reported in (*missing(check), "revision 2"):
            assert reported in refused.value.detail
        assert len(list(registry.production.history(name))) == events

    def test_metrics_are_compared_with_the_incumbent(self, registry: ModelRegistry, name: str) -> None:
        """With a tolerance; without an incumbent the metric must only exist."""
        governed(registry, name, PromotionRules(metrics=[BETTER]))
        first, worse, near = (staged(registry, name, metrics={"auc": auc}) for auc in (0.7, 0.689, 0.691))
        nothing = staged(registry, name)
        assert missing(registry.production.check(name, nothing)) == ["metric auc"]
        registry.production.promote(name, first, reason="the first")
        assert missing(registry.production.check(name, worse)) == ["metric auc"]
        check = registry.production.check(name, near)
        assert (check.met, check.replacing) == (True, first)
        with pytest.raises(PolicyNotMet, match=r"found 0\.689"):
            registry.production.promote(name, worse, reason="nearly")
        registry.production.promote(name, near, reason="near enough", replacing=check.replacing)

    def test_the_signature_must_be_compatible_with_the_incumbent(self, registry: ModelRegistry, name: str) -> None:
        """The finding names the difference."""
        governed(registry, name, PromotionRules(signature=True))
        rates = FieldSpec(name="rates", dtype="float64", shape=[-1, 22])
        up = FieldSpec(name="up", dtype="bool", shape=[-1])
        first = staged(registry, name, signature=Signature(inputs=[rates], outputs=[up]))
        registry.production.promote(name, first, reason="the first")
        other = FieldSpec(name="rates", dtype="float32", shape=[-1, 22])
        second = staged(registry, name, signature=Signature(inputs=[other], outputs=[up]))
        (finding,) = (f for f in registry.production.check(name, second).findings if not f.met)
        assert finding.found == "input 'rates' was float64[-1, 22] and is float32[-1, 22]"
        more = staged(registry, name, signature=Signature(inputs=[rates], outputs=[up, other]))
        assert registry.production.check(name, more).met


class TestApprovals:
    def test_humans_other_than_the_author_approve(self, admin: ModelRegistry, person: Person, name: str) -> None:
        """The policy sets their number, and each human counts once."""
        governed(admin, name, PromotionRules(approvals=2))
        number = staged(admin, name)
        alice, bob = person("alice"), person("bob")
        word = alice.approvals.approve(name, number, reason="I have run it")
        assert word.approver == alice.principals.whoami().name
        with pytest.raises(AlreadyDecided, match="I have run it"):
            alice.approvals.approve(name, number, reason="once more")
        with pytest.raises(PolicyNotMet, match="wanted 2 by humans other than admin, found 1: alice"):
            alice.production.promote(name, number, reason="ready")
        bob.approvals.approve(name, number, reason="so have I")
        alice.production.promote(name, number, reason="ready")
        assert [found.reason for found in bob.approvals.list_of_version(name, number)] == ["I have run it", "so have I"]

    def test_services_and_authors_cannot_approve(self, admin: ModelRegistry, person: Person, name: str) -> None:
        """A caller without the right cannot, either; each error says why."""
        governed(admin, name, PromotionRules(approvals=1))
        author = person("author", Role.ADMIN)
        number = staged(author, name)
        for registry, code in (
            (author, "self_approval"),
            (person("deployer", kind=PrincipalKind.SERVICE), "human_required"),
        ):
            for decide in (registry.approvals.approve, registry.approvals.refuse):
                with pytest.raises(DecisionNotAllowed) as refused:
                    decide(name, number, reason="it is fine")
                assert refused.value.code == code
                assert refused.value.remedy
        with pytest.raises(Forbidden, match="approve"):
            person("trainer", Role.WORKBENCH).approvals.approve(name, number, reason="it is fine")
        with pytest.raises(InvalidRequest, match="reason"):
            person("carol").approvals.approve(name, number, reason=" ")
        assert admin.approvals.list_of_version(name, number) == []

    @pytest.mark.parametrize("changed", ["tags", "description", "policy"])
    def test_an_approval_is_void_after_the_version_or_policy_changes(
        self, admin: ModelRegistry, person: Person, name: str, changed: str
    ) -> None:
        """After a change of tags, description or policy the same human can approve again."""
        governed(admin, name, PromotionRules(approvals=1))
        number = staged(admin, name)
        alice = person("alice")
        first = alice.approvals.approve(name, number, reason="as it is")
        assert admin.production.check(name, number).met
        if changed == "policy":
            admin.policies.put(name, PromotionRules(approvals=1, files=["*"]), reason="more", revision=2)
        else:
            value: Any = {"tags": {"a": "b"}, "description": "other"}[changed]
            admin.versions.update(name, number, force=True, reason="anew", **{changed: value})
        check = admin.production.check(name, number)
        assert missing(check) == ["approvals"]
        assert any("void" in finding.found and first.approver in finding.found for finding in check.findings)
        assert alice.approvals.approve(name, number, reason="as it is now").subject != first.subject
        assert admin.production.check(name, number).met
        reported = [decision.what for decision in admin.production.history(name)]
        assert (reported.count("approval.given"), reported.count("approval.refused")) == (2, 0)

    def test_a_refusal_blocks_the_promotion(self, admin: ModelRegistry, person: Person, name: str) -> None:
        """Under any policy, until the human who refused approves."""
        admin.models.create(name, "classification")
        number = staged(admin, name)
        alice = person("alice")
        word = alice.approvals.refuse(name, number, reason="it has seen the holdout")
        with pytest.raises(PolicyNotMet, match=f"refused by {word.approver}"):
            admin.production.promote(name, number, reason="ready")
        reported = next(admin.production.history(name))
        assert (reported.what, reported.by, reported.reason) == (
            "approval.refused",
            word.approver,
            "it has seen the holdout",
        )
        alice.approvals.approve(name, number, reason="it has not")
        admin.production.promote(name, number, reason="ready")


class TestOverride:
    def test_overriding_a_policy_needs_its_own_right(self, admin: ModelRegistry, person: Person, name: str) -> None:
        """Integration promotes, but only an admin overrides; the history lists what was overridden."""
        governed(admin, name, PromotionRules(metrics=[AUC], approvals=1))
        number = staged(admin, name, metrics={"auc": 0.5})
        alice = person("alice")
        with pytest.raises(Forbidden, match="override"):
            alice.production.promote(name, number, reason="now", override=True)
        with pytest.raises(InvalidRequest, match="reason"):
            admin.production.promote(name, number, reason="", override=True)
        admin.production.promote(name, number, reason="the other one is on fire", override=True)
        decision = next(admin.production.history(name))
        assert (decision.policy, decision.overridden) == (2, ["metric auc", "approvals"])

    def test_the_lifecycle_itself_cannot_be_overridden(self, registry: ModelRegistry, name: str) -> None:
        """A version outside staging cannot be promoted by an override."""
        registry.models.create(name, "classification")
        version_of(registry, name)
        with pytest.raises(IllegalTransition, match="illegal_transition"):
            registry.production.promote(name, 1, reason="now", override=True)


def test_the_event_records_the_policy_revision_and_the_compared_values(registry: ModelRegistry, name: str) -> None:
    """Numbers are stored exactly, so the decision can be recomputed from the event alone."""
    governed(registry, name, PromotionRules(metrics=[BETTER]))
    for auc in (0.1 + 0.2, 0.7):
        number = staged(registry, name, metrics={"auc": auc})
        registry.production.promote(name, number, reason="better")
    sequence = registry.production.at(name).sequence
    assert sequence is not None
    (event,) = registry.events.after(sequence - 1, limit=1)
    judged = event.data["judged"]
    (metric,) = judged["findings"]
    assert (judged["policy"], judged["overridden"]) == (2, [])
    assert (metric["rule"], metric["subject"], metric["met"]) == ("metric", "auc", True)
    assert metric["value"] == {"$decimal": "0.7"}
    assert metric["bound"] == {"$decimal": repr((0.1 + 0.2) - 0.01)}
    assert "version 1" in metric["wanted"]


def test_long_findings_are_stored_beside_their_event(registry: ModelRegistry, name: str) -> None:
    """64 rules with long names exceed an event's limit; the history still reads them."""
    names = [f"metric/{'x' * 100}/{number}" for number in range(64)]
    rules = [MetricRule(metric=metric, direction=Direction.AT_LEAST, than=1 / 3) for metric in names]
    governed(registry, name, PromotionRules(metrics=rules))
    number = staged(registry, name, metrics=dict.fromkeys(names, 2 / 3))
    registry.production.promote(name, number, reason="all are better")
    worse = staged(registry, name, metrics=dict.fromkeys(names, 0.0))
    registry.production.promote(name, worse, reason="none is, but it is fast", override=True)
    overridden, decision = (d for d in registry.production.history(name, page_size=9) if d.what == "version.promoted")
    assert overridden.overridden == [f"metric {metric}" for metric in names]
    assert (decision.policy, decision.overridden) == (2, [])
    (event,) = registry.events.after(decision.sequence - 1, limit=1)
    assert event.data["judged"]["findings"]["$part"].startswith("sha256:")
