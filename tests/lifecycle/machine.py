"""A registry and a pure model of it that receive the same requests, step by step."""

import hashlib
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from common_lib import FileEntry, ModelRegistry
from common_lib.errors import RequestRefused
from common_lib.rules.lifecycle import OnRecall
from common_lib.rules.promotion import Direction
from common_lib.types.policies import MetricRule, PromotionRules
from tests.lifecycle.model import ANN, BOB, GUEST, ROBOT, Act, Model, Refused, Rules

CONTENT = b"weights"
_FILE = FileEntry(path="model.bin", size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
_MICROSECOND = timedelta(microseconds=1)
# Most requests should succeed; the others should cover every refusal.
BY = st.sampled_from([ANN] * 5 + [BOB] * 4 + [ROBOT] * 4 + [GUEST])
REASON = st.sampled_from(["it is better"] * 4 + ["it is worse"] * 4 + [""])
SEEN = st.sampled_from(["right"] * 8 + ["before", "after", "force"])
NUMBER = st.integers(1, 5)
ALIAS = st.sampled_from(["champion", "shadow"])
TAGS = st.sampled_from([frozenset[str](), frozenset({"ready"}), frozenset({"team"})])
ACCURACY = st.sampled_from([None, 0.4, 0.5, 0.6])
RULES = st.sampled_from(
    [
        Rules(),
        Rules(skip_recalled=True),
        Rules(accuracy=0.5),
        Rules(beside_incumbent=True, skip_recalled=True),
        Rules(approvals=1),
        Rules(approvals=2),
        Rules(tag="ready"),
    ]
)


class Machine(RuleBasedStateMachine):
    """The registry and its model. A subclass provides the registries; each example uses its own registered model."""

    registries: Mapping[str, ModelRegistry]

    def __init__(self) -> None:
        super().__init__()
        self.expected = Model()
        self.named = f"model-{uuid.uuid4().hex[:12]}"
        self.since: list[datetime] = []

    @initialize(versions=st.lists(st.tuples(st.sampled_from([ANN, ROBOT]), ACCURACY), min_size=1, max_size=3))
    def begin(self, versions: list[tuple[str, float | None]]) -> None:
        """Create a model with a few versions."""
        self.began = self.registries[ANN].models.create(self.named, "regression").created_at
        for by, accuracy in versions:
            self.register(by, accuracy)

    @precondition(lambda self: len(self.expected.versions) < 5)
    @rule(by=BY, accuracy=ACCURACY)
    def register(self, by: str, accuracy: float | None) -> None:
        """Register another version."""
        metrics = {} if accuracy is None else {"accuracy": accuracy}
        self._both(
            lambda: self.expected.register(by, accuracy),
            lambda: self.registries[by].versions.create(self.named, [_FILE], framework="test", metrics=metrics).version,
        )

    @rule(
        by=BY, number=NUMBER, to=st.sampled_from(["staging"] * 3 + ["archived", "development"]), why=REASON, seen=SEEN
    )
    def transition(self, by: str, number: int, to: str, why: str, seen: str) -> None:
        """Move a version to a stage other than production."""
        act = self._act(by, why, seen, self._revision(number))
        self._both(
            lambda: self.expected.transition(act, number, to),
            lambda: self.registries[by].versions.transition(self.named, number, to, reason=why, **_basis(act)),
        )

    @rule(
        by=BY,
        number=NUMBER,
        why=REASON,
        seen=SEEN,
        replacing=st.sampled_from(["right"] * 5 + ["wrong"]),
        over=st.booleans(),
    )
    def promote(self, by: str, number: int, why: str, seen: str, replacing: str, *, over: bool) -> None:
        """Promote a version."""
        act = self._act(by, why, seen, self._revision(number))
        there = self._replacing(replacing)
        self._both(
            lambda: self.expected.transition(act, number, "production", replacing=there, override=over),
            lambda: self.registries[by].versions.transition(
                self.named, number, "production", reason=why, replacing=there, override=over, **_basis(act)
            ),
        )

    @rule(number=NUMBER)
    def stage_and_promote(self, number: int) -> None:
        """Promote a version without mistakes, so that there is a long history for rollbacks."""
        self.transition(ROBOT, number, "staging", "it is better", "right")
        self.promote(ANN, number, "it is better", "right", "right", over=True)

    @rule(
        by=BY,
        why=REASON,
        replacing=st.sampled_from(["right"] * 4 + ["wrong"]),
        force=st.sampled_from([False, False, True]),
    )
    def rollback(self, by: str, why: str, replacing: str, *, force: bool) -> None:
        """Roll back."""
        there = self._replacing(replacing)
        act = Act(by, why, "force" if force else 0)
        self._both(
            lambda: self.expected.rollback(act, replacing=there),
            lambda: self.registries[by].production.rollback(self.named, reason=why, replacing=there, force=force),
        )

    @rule(what=st.sampled_from(["recall", "reinstate", "tombstone"]), by=BY, number=NUMBER, why=REASON, seen=SEEN)
    def block(self, what: str, by: str, number: int, why: str, seen: str) -> None:
        """Recall, reinstate or tombstone a version."""
        act = self._act(by, why, seen, self._revision(number))
        self._both(
            lambda: getattr(self.expected, what)(act, number),
            lambda: getattr(self.registries[by].versions, what)(self.named, number, reason=why, **_basis(act)),
        )

    @rule(by=BY, number=NUMBER, tags=TAGS, why=REASON, seen=SEEN)
    def retag(self, by: str, number: int, tags: frozenset[str], why: str, seen: str) -> None:
        """Change the tags of a version."""
        act = self._act(by, why, seen, self._revision(number))
        given = dict.fromkeys(tags, "yes")
        self._both(
            lambda: self.expected.retag(act, number, tags),
            lambda: self.registries[by].versions.update(self.named, number, tags=given, reason=why, **_basis(act)),
        )

    @rule(by=BY, number=NUMBER, verdict=st.sampled_from(["approved", "approved", "refused"]), why=REASON)
    def say(self, by: str, number: int, verdict: str, why: str) -> None:
        """Approve or refuse a version."""
        approvals = self.registries[by].approvals
        decide = approvals.approve if verdict == "approved" else approvals.refuse
        self._both(
            lambda: self.expected.say(Act(by, why, 0), number, verdict),
            lambda: decide(self.named, number, reason=why),
        )

    @rule(by=BY, rules=RULES, why=REASON, seen=SEEN)
    def govern(self, by: str, rules: Rules, why: str, seen: str) -> None:
        """Change the policy."""
        act = self._act(by, why, seen, self.expected.rules_revision)
        self._both(
            lambda: self.expected.govern(act, rules),
            lambda: self.registries[by].policies.put(self.named, _sent(rules), reason=why, **_basis(act)),
        )

    @rule(
        what=st.sampled_from(["name", "point", "point", "unname"]),
        by=BY,
        alias=ALIAS,
        number=NUMBER,
        why=REASON,
        seen=SEEN,
    )
    def alias(self, what: str, by: str, alias: str, number: int, *, why: str, seen: str) -> None:
        """Create, move or delete an alias."""
        act = self._act(by, why, seen, self.expected.aliases.get(alias, (0, 1))[1])
        aliases = self.registries[by].aliases
        sent: dict[str, Callable[[], object]] = {
            "name": lambda: aliases.create(self.named, alias, number),
            "point": lambda: aliases.move(self.named, alias, number, reason=why, **_basis(act)),
            "unname": lambda: aliases.delete(self.named, alias, reason=why, **_basis(act)),
        }
        about = (act, alias) if what == "unname" else (act, alias, number)
        self._both(lambda: getattr(self.expected, what)(*about), sent[what])
        found = self.registries[GUEST].aliases.list_of_model(self.named)
        assert {one.alias: (one.version, one.revision) for one in found} == self.expected.aliases

    @rule(
        selector=st.sampled_from(["production", "production", "latest", "staging", "archived", "@shadow", "@champion"])
        | NUMBER.map(str)
    )
    def resolve(self, selector: str) -> None:
        """Resolve a reference."""
        place = selector if selector.startswith("@") else f"/{selector}"
        self._both(
            lambda: self.expected.resolve(selector),
            lambda: self.registries[GUEST].resolve(f"models:/{self.named}{place}").version,
        )

    @rule(number=NUMBER)
    def check(self, number: int) -> None:
        """Check a promotion, and which version it would replace."""
        self._both(
            lambda: (self.expected.check(number), self.expected.production),
            lambda: (
                (found := self.registries[GUEST].production.check(self.named, number)).met,
                found.replacing,
            ),
        )

    @precondition(lambda self: self.since)
    @rule(place=st.integers(0, 99), before=st.booleans())
    def as_of(self, place: int, *, before: bool) -> None:
        """Query production at the begin of a tenure, or a microsecond before."""
        tenure = place % len(self.since)
        moment = self.since[tenure] - before * _MICROSECOND
        held = tenure - before
        found = self.registries[GUEST].production.at(self.named, moment)
        assert (found.version, found.by, found.reason) == (
            self.expected.tenures[held] if held >= 0 else (None, None, "")
        )
        self._both(
            lambda: self.expected.was(held),
            lambda: (
                self.registries[GUEST].resolve(f"models:/{self.named}/production?as_of={moment.isoformat()}").version
            ),
        )

    @rule(moment=st.sampled_from(["before", "future"]))
    def as_of_nowhere(self, moment: str) -> None:
        """Query production before the model existed, and tomorrow."""
        requested = self.began - _MICROSECOND if moment == "before" else self.began + timedelta(days=1)
        self._both(
            lambda: _refuse("as_of_out_of_range"), lambda: self.registries[GUEST].production.at(self.named, requested)
        )

    @invariant()
    def versions_are_as_expected(self) -> None:
        """Compare all versions and the version in production."""
        found = self.registries[GUEST].versions.search(self.named, order="version", tombstoned=True)
        assert {
            one.version: (one.stage, one.revision, one.recall is not None, one.tombstone is not None) for one in found
        } == {
            number: (one.stage, one.revision, one.recalled, one.tombstoned)
            for number, one in self.expected.versions.items()
        }

    def _both(self, expected: Callable[[], Any], request: Callable[[], Any]) -> None:
        """Send a request to the model and to the registry, and compare the results or the refusals."""
        wanted, refusal = _outcome(expected)
        got, actual_refusal = _outcome(request)
        assert actual_refusal == refusal
        assert wanted is None or wanted == got
        self._look_at_production()

    def _look_at_production(self) -> None:
        if len(self.since) < len(self.expected.tenures):
            found = self.registries[GUEST].production.at(self.named)
            assert (found.version, found.by, found.reason) == self.expected.tenures[-1]
            assert not self.since or self.since[-1] < found.since
            self.since.append(found.since)

    def _act(self, by: str, why: str, seen: str, revision: int) -> Act:
        return Act(
            by, why, {"right": revision, "before": max(1, revision - 1), "after": revision + 1}.get(seen, "force")
        )

    def _revision(self, number: int) -> int:
        return self.expected.versions[number].revision if number in self.expected.versions else 1

    def _replacing(self, which: str) -> int | None:
        there = self.expected.production
        return there if which == "right" else None if there else 1


def _outcome(ask: Callable[[], Any]) -> tuple[Any, tuple[str, tuple[int | None, str, str] | None] | None]:
    """Return the result, or the code of the refusal and the winner."""
    try:
        return ask(), None
    except Refused as refused:
        return None, (refused.code, refused.winner)
    except RequestRefused as refused:
        won = refused.winner
        return None, (refused.code, None if won is None else (won.version, won.by, won.reason))


def _basis(act: Act) -> dict[str, Any]:
    return {"force": True} if act.revision == "force" else {"revision": act.revision}


def _sent(rules: Rules) -> PromotionRules:
    at_least = Direction.AT_LEAST
    metrics = [] if rules.accuracy is None else [MetricRule(metric="accuracy", direction=at_least, than=rules.accuracy)]
    metrics += [MetricRule(metric="accuracy", direction=at_least)] * rules.beside_incumbent
    return PromotionRules(
        metrics=metrics,
        approvals=rules.approvals,
        tags={} if rules.tag is None else {rules.tag: None},
        on_recall=OnRecall.SKIP if rules.skip_recalled else OnRecall.REFUSE,
    )


def _refuse(code: str) -> None:
    raise Refused(code)
