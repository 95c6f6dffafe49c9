"""A model of one registered model in memory: it implements the documented behaviour independently of the server.

What is refused raises `Refused` with the stable code, and with who won where a race was lost. A test asks this and a
registry the same and compares.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

# The principals: two humans and two services. Rights are only a small part of these tests.
ANN, BOB, ROBOT, GUEST = "ann", "bob", "robot", "guest"
HUMANS = {ANN, BOB}
ADMINS = {ANN, ROBOT}
LEGAL = {
    "development": {"staging", "archived"},
    "staging": {"production", "archived"},
    "production": {"archived"},
    "archived": {"staging"},
}


class Refused(Exception):
    """The stable code of a refusal; `winner` is (version, by, reason) if another principal was faster."""

    def __init__(self, code: str, winner: tuple[int | None, str, str] | None = None) -> None:
        self.code = code
        self.winner = winner
        super().__init__(code)


class Rules(NamedTuple):
    """The conditions of a promotion (accuracy, approvals, a tag), and whether a resolve skips recalled versions."""

    accuracy: float | None = None
    beside_incumbent: bool = False
    approvals: int = 0
    tag: str | None = None
    skip_recalled: bool = False

    @property
    def measured(self) -> bool:
        """True if the rules name the metric."""
        return self.accuracy is not None or self.beside_incumbent


class Act(NamedTuple):
    """The principal, the reason and the expected revision (a number or "force") of a write."""

    by: str
    reason: str
    revision: int | str


@dataclass
class Version:
    """One version; `decided` names the principal whose decision made the current revision, if it was a decision."""

    author: str
    accuracy: float | None
    stage: str = "development"
    revision: int = 1
    tags: frozenset[str] = frozenset()
    recalled: bool = False
    tombstoned: bool = False
    verdicts: dict[str, tuple[str, object]] = field(default_factory=dict)
    decided: tuple[str, str] | None = None

    def move(self, act: Act | None = None, **changed: object) -> None:
        """Change fields and increment the revision; with `act` the change is a decision."""
        for name, value in changed.items():
            setattr(self, name, value)
        self.revision += 1
        self.decided = (act.by, act.reason) if act else None


class Model:
    """A registered model: versions, aliases, policy, and the targets of rollbacks."""

    def __init__(self) -> None:
        self.versions: dict[int, Version] = {}
        self.aliases: dict[str, tuple[int, int]] = {}
        self.rules, self.rules_revision = Rules(), 1
        self.production: int | None = None
        # The versions that were in production, in order, without those rolled back.
        self.way: list[int] = []
        # Every change of production: version, principal and reason.
        self.tenures: list[tuple[int | None, str, str]] = []

    def register(self, by: str, accuracy: float | None) -> int:
        """Register a version."""
        _require(by in ADMINS, "forbidden")
        number = len(self.versions) + 1
        self.versions[number] = Version(by, accuracy)
        return number

    def retag(self, act: Act, number: int, tags: frozenset[str]) -> None:
        """Replace the tags; equal tags do not change the revision."""
        version = self._expected(act, number)
        if tags != version.tags:
            version.move(tags=tags)

    def transition(
        self, act: Act, number: int, to: str, *, replacing: int | None = None, override: bool = False
    ) -> None:
        """Move a version to another stage."""
        # Rights are checked first, also those that the body requires: no response reveals more than the caller may see.
        _require(act.by != GUEST and (not override or act.by in ADMINS), "forbidden")
        version = self._expected(act, number)
        _require(to in LEGAL[version.stage], "illegal_transition")
        _require(act.reason or to == "staging", "reason_required")
        _require(to == "archived" or not version.recalled, "version_recalled")
        if to == "production":
            self._expect_production(act, replacing)
            _require(override or self.fulfils(number), "policy_not_met")
            self._enter(act, number, [*self.way, number])
        else:
            left = version.stage == "production"
            version.move(act, stage=to)
            if left:
                self._begin(act, None)

    def rollback(self, act: Act, *, replacing: int | None) -> None:
        """Roll back to the last version that can be in production again."""
        _require(act.by != GUEST, "forbidden")
        _require(act.reason, "reason_required")
        self._expect_production(act, replacing)
        way = self._way_back()
        _require(way, "nothing_to_return_to")
        self._enter(act, way[-1], way)

    def recall(self, act: Act, number: int) -> None:
        """Recall a version."""
        version = self._live(act, number)
        _require(act.reason, "reason_required")
        self._check_revision(act, number)
        _require(not version.recalled, "version_recalled")
        version.move(act, recalled=True)

    def reinstate(self, act: Act, number: int) -> None:
        """Reinstate a version."""
        version = self._live(act, number)
        _require(act.reason, "reason_required")
        self._check_revision(act, number)
        _require(version.recalled, "illegal_transition")
        version.move(act, recalled=False)

    def tombstone(self, act: Act, number: int) -> None:
        """Tombstone a version."""
        version = self._expected(act, number)
        _require(act.reason, "reason_required")
        _require(version.stage != "production", "version_in_production")
        _require(number not in {pointed for pointed, _ in self.aliases.values()}, "version_aliased")
        version.move(act, tombstoned=True)

    def point(self, act: Act, alias: str, number: int) -> None:
        """Move an alias; only force creates a missing one, and the same version does not change the revision."""
        self._check_pointed(act, number)
        _require(alias in self.aliases or act.revision == "force", "alias_not_found")
        _check_force(act)
        if alias not in self.aliases:
            self.aliases[alias] = (number, 1)
            return
        pointed, revision = self.aliases[alias]
        _require(act.revision in {"force", revision}, "revision_mismatch")
        if pointed != number:
            self.aliases[alias] = (number, revision + 1)

    def name(self, act: Act, alias: str, number: int) -> None:
        """Create an alias."""
        self._check_pointed(act, number)
        _require(alias not in self.aliases, "alias_exists")
        self.aliases[alias] = (number, 1)

    def unname(self, act: Act, alias: str) -> None:
        """Delete an alias."""
        _require(act.by != GUEST, "forbidden")
        _require(alias in self.aliases, "alias_not_found")
        _check_force(act)
        _require(act.revision in {"force", self.aliases[alias][1]}, "revision_mismatch")
        del self.aliases[alias]

    def say(self, act: Act, number: int, verdict: str) -> None:
        """Approve or refuse a version."""
        version = self._live(act, number)
        _require(act.by in HUMANS, "human_required")
        _require(act.by != version.author, "self_approval")
        _require(not version.recalled, "version_recalled")
        _require(act.reason, "reason_required")
        word = (verdict, self._subject(version))
        _require(version.verdicts.get(act.by) != word, "already_decided")
        version.verdicts[act.by] = word

    def govern(self, act: Act, rules: Rules) -> None:
        """Replace the policy; equal rules do not change the revision."""
        _require(act.by in ADMINS, "forbidden")
        _check_force(act)
        _require(act.revision in {"force", self.rules_revision}, "revision_mismatch")
        _require(act.reason, "reason_required")
        usable = [version for version in self.versions.values() if not version.tombstoned]
        unknown = usable and all(version.accuracy is None for version in usable)
        _require(not (rules.measured and unknown), "invalid_policy")
        if rules != self.rules:
            self.rules, self.rules_revision = rules, self.rules_revision + 1

    def fulfils(self, number: int) -> bool:
        """Return whether the rules are met and no refusal is valid."""
        version, rules = self.versions[number], self.rules
        valid = [verdict for verdict, subject in version.verdicts.values() if subject == self._subject(version)]
        return (
            (rules.accuracy is None or _at_least(version.accuracy, rules.accuracy))
            and (not rules.beside_incumbent or self._beside_incumbent(version))
            and valid.count("approved") >= rules.approvals
            and "refused" not in valid
            and (rules.tag is None or rules.tag in version.tags)
        )

    def check(self, number: int) -> bool:
        """Return whether a promotion would succeed now."""
        version = self.get(number)
        _require(not version.tombstoned, "tombstoned")
        return version.stage == "staging" and not version.recalled and self.fulfils(number)

    def get(self, number: int) -> Version:
        """Return a version, tombstoned or not."""
        _require(number in self.versions, "version_not_found")
        return self.versions[number]

    def resolve(self, selector: str) -> int:
        """Resolve a selector: a number, `@alias`, `latest` or a stage."""
        if selector == "production":
            return self._usable(self.production, [*self._way_back()[-1:]])
        if selector.startswith("@"):
            return self._usable(self.aliases.get(selector[1:], (None, 0))[0], [])
        if selector.isdigit():
            return self._usable(int(selector), [])
        there = self._of(lambda version: selector in {"latest", version.stage})
        return self._usable(there[-1] if there else None, [one for one in there if not self.versions[one].recalled])

    def was(self, tenure: int) -> int:
        """Resolve the version of a tenure; the time before the first has none."""
        number = self.tenures[tenure][0] if tenure >= 0 else None
        return self._usable(number, [])

    def _usable(self, number: int | None, instead: list[int]) -> int:
        if number in self.versions and self.versions[number].recalled and self.rules.skip_recalled and instead:
            number = instead[-1]
        _require(number in self.versions and not self.versions[number].tombstoned, "version_not_found")
        _require(not self.versions[number].recalled, "version_recalled")
        return number

    def _of(self, condition: Callable[[Version], bool]) -> list[int]:
        return [number for number, version in self.versions.items() if not version.tombstoned and condition(version)]

    def _way_back(self) -> list[int]:
        way = self.way if self.production is None else self.way[:-1]
        able = self._of(lambda version: version.stage == "archived" and not version.recalled)
        while way and way[-1] not in able:
            way = way[:-1]
        return way

    def _enter(self, act: Act, number: int, way: list[int]) -> None:
        if self.production is not None:
            self.versions[self.production].move(act, stage="archived")
        self.versions[number].move(act, stage="production")
        self.way = way
        self._begin(act, number)

    def _begin(self, act: Act, number: int | None) -> None:
        self.production = number
        self.tenures.append((number, act.by, act.reason))

    def _live(self, act: Act, number: int) -> Version:
        _require(act.by != GUEST, "forbidden")
        version = self.get(number)
        _require(not version.tombstoned, "tombstoned")
        return version

    def _expected(self, act: Act, number: int) -> Version:
        version = self._live(act, number)
        self._check_revision(act, number)
        return version

    def _check_revision(self, act: Act, number: int) -> None:
        _check_force(act)
        version = self.versions[number]
        if act.revision not in {"force", version.revision}:
            raise Refused("revision_mismatch", (number, *version.decided) if version.decided else None)

    def _check_pointed(self, act: Act, number: int) -> None:
        _require(act.by != GUEST, "forbidden")
        _require(number in self.versions and not self.versions[number].tombstoned, "version_not_found")

    def _expect_production(self, act: Act, replacing: int | None) -> None:
        if act.revision != "force" and replacing != self.production:
            raise Refused("production_changed", self.tenures[-1] if self.tenures else None)

    def _beside_incumbent(self, version: Version) -> bool:
        if self.production is None:
            return version.accuracy is not None
        incumbent = self.versions[self.production].accuracy
        return incumbent is not None and _at_least(version.accuracy, incumbent)

    def _subject(self, version: Version) -> object:
        return version.tags, self.rules_revision


def _check_force(act: Act) -> None:
    _require(act.revision != "force" or act.reason, "reason_required")


def _at_least(value: float | None, bound: float) -> bool:
    return value is not None and value >= bound


def _require(condition: object, code: str) -> None:
    if not condition:
        raise Refused(code)
