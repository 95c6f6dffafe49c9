"""What a model's policy asks of a version before it may go to production: facts in, findings out."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from common_lib.rules import facts as limits
from common_lib.rules import names, signatures, windows
from common_lib.rules.codes import Code
from common_lib.rules.lifecycle import ModelStage, OnRecall, Verdict
from common_lib.rules.patterns import Paths
from common_lib.rules.references import written
from common_lib.rules.signatures import Signature
from common_lib.rules.violation import RuleViolation
from common_lib.rules.windows import Windows

MAX_RULES: Final = 64
MAX_APPROVALS: Final = 16
MAX_STARS: Final = 8


class Direction(StrEnum):
    """Whether a metric must not be smaller or not be larger than its bound."""

    AT_LEAST = "at_least"
    AT_MOST = "at_most"


class MetricRule(Protocol):
    """What a metric must be: not worse than `than`, or than the incumbent's if that is None, but for `tolerance`."""

    @property
    def metric(self) -> str:
        """The name of the metric."""

    @property
    def direction(self) -> Direction:
        """Which side of the bound is the good one."""

    @property
    def than(self) -> float | None:
        """The bound."""

    @property
    def tolerance(self) -> float:
        """How much worse it may be."""


class Rules(Protocol):
    """What a promotion must fulfil."""

    @property
    def metrics(self) -> Sequence[MetricRule]:
        """What metrics must be there, and how good."""

    @property
    def signature(self) -> bool:
        """Whether the version must be able to take the incumbent's place unnoticed."""

    @property
    def approvals(self) -> int:
        """How many humans other than the author must have approved."""

    @property
    def tags(self) -> Mapping[str, str | None]:
        """What tags must be there; None is any value."""

    @property
    def files(self) -> Sequence[str]:
        """What files must be there, as patterns with `*`."""

    @property
    def windows(self) -> Windows | None:
        """When it may be done."""

    @property
    def on_recall(self) -> OnRecall:
        """What moving references mean while their version is recalled."""


class Incumbent(NamedTuple):
    """What is in production now."""

    version: int
    metrics: Mapping[str, float]
    signature: Signature | None


class Word(NamedTuple):
    """What a human said of the version; void if what it was said of has changed since."""

    by: str
    verdict: Verdict
    void: bool


class Facts(NamedTuple):
    """What is known of a version when it is judged, and when that is."""

    stage: ModelStage
    recalled: bool
    author: str
    metrics: Mapping[str, float]
    signature: Signature | None
    tags: Mapping[str, str]
    files: "Sequence[str] | Mapping[str, Finding]"  # paths, or what `find_files` found for each pattern already
    incumbent: Incumbent | None
    words: Sequence[Word]
    at: datetime


class Finding(NamedTuple):
    """One rule held against the facts: what was wanted, what was found, and for metrics the very numbers."""

    rule: str
    subject: str
    met: bool
    wanted: str
    found: str
    value: float | None = None
    bound: float | None = None


# These hold by the lifecycle and not by the policy: nobody can override them.
LIFECYCLE: Final = frozenset({"stage", "recall"})


def judge(rules: Rules, facts: Facts) -> list[Finding]:
    """Each rule that concerns the version, met or not, those of the lifecycle first."""
    return [
        Finding("stage", "", facts.stage is ModelStage.STAGING, "in staging", f"in {facts.stage}"),
        Finding("recall", "", not facts.recalled, "not recalled", "recalled" if facts.recalled else "not recalled"),
        *(_metric(rule, facts) for rule in rules.metrics),
        *_signature(rules, facts),
        *_words(rules, facts),
        *(_tag(key, value, facts.tags) for key, value in rules.tags.items()),
        *_files(rules.files, facts.files),
        *_window(rules, facts.at),
    ]


def find_files(patterns: Sequence[str], paths: Sequence[str]) -> dict[str, Finding]:
    """Hold file patterns against the paths of a version; these never change, so this may be done beforehand."""
    files, findings = Paths(paths), {}
    for pattern in patterns:
        fitting = files.fitting(pattern)
        found = "absent" if not fitting else fitting[0] if len(fitting) == 1 else f"{len(fitting)} files"
        findings[pattern] = Finding("file", pattern, bool(fitting), "there", found)
    return findings


def check_rules(rules: Rules, known: frozenset[str] | None) -> None:
    """Rules are well formed and can be met; `known` are the metrics that versions of the model have, None if none is.

    Raises:
        RuleViolation: `invalid_policy`, naming the rule.
    """
    names.check_tags({key: value or "" for key, value in rules.tags.items()})
    named = [rule.metric for rule in rules.metrics]
    names.check_keys("rules.metrics", dict.fromkeys(named), limit=MAX_RULES)
    # At least 0.6, and not worse than the incumbent, are two rules about one metric; two numbers on one side are not.
    kinds = [
        f"{rule.metric} {rule.direction} {'the incumbent' * (rule.than is None)}".strip() for rule in rules.metrics
    ]
    limits.check_unique("rules.metrics", kinds, "is the subject of two rules", code=Code.INVALID_POLICY)
    limits.check_unique("rules.files", rules.files, "is listed twice", code=Code.INVALID_POLICY)
    for place, rule in enumerate(rules.metrics):
        if known is not None and rule.metric not in known:
            there = ", ".join(sorted(known)[:10]) or "no metrics"
            raise RuleViolation(
                Code.INVALID_POLICY,
                field=f"rules.metrics[{place}].metric",
                value=rule.metric,
                why="no version of this model has this metric",
                remedy=f"the versions have {there}; correct the name, or register a version with this metric first",
            )
    for place, pattern in enumerate(rules.files):
        try:
            names.check_artifact_path(pattern.replace("*", "x"))
        except RuleViolation as violation:
            raise RuleViolation(
                Code.INVALID_POLICY,
                field=f"rules.files[{place}]",
                value=pattern,
                why="cannot match the path of a file",
                remedy=violation.remedy,
            ) from None
        if (stars := pattern.count("*")) > MAX_STARS:
            raise RuleViolation(
                Code.INVALID_POLICY,
                field=f"rules.files[{place}]",
                value=pattern,
                why=f"contains `*` {stars} times, and each one costs time for each file",
                remedy=f"use `*` at most {MAX_STARS} times",
            )
    if rules.windows is not None:
        windows.check_windows(rules.windows)


def _metric(rule: MetricRule, facts: Facts) -> Finding:
    value, bound, against = facts.metrics.get(rule.metric), rule.than, ""
    if rule.than is None and facts.incumbent is not None:
        bound = facts.incumbent.metrics.get(rule.metric)
        against = f" of version {facts.incumbent.version}"
    sign = "≥" if rule.direction is Direction.AT_LEAST else "≤"
    slack = f" {'-' if rule.direction is Direction.AT_LEAST else '+'} {rule.tolerance!r}" if rule.tolerance else ""
    found = "absent" if value is None else repr(value)
    if bound is None:
        first = facts.incumbent is None and rule.than is None
        wanted = "there, with no incumbent to compare with" if first else f"{sign} that{against}, which has none"
        return Finding("metric", rule.metric, first and value is not None, wanted, found, value)
    limit = bound - rule.tolerance if rule.direction is Direction.AT_LEAST else bound + rule.tolerance
    # Beyond the largest double there is no number that JSON knows, and no metric either.
    limit = max(-sys.float_info.max, min(limit, sys.float_info.max))
    good = value is not None and (value >= limit if rule.direction is Direction.AT_LEAST else value <= limit)
    return Finding("metric", rule.metric, good, f"{sign} {bound!r}{against}{slack}", found, value, limit)


def _signature(rules: Rules, facts: Facts) -> Iterator[Finding]:
    if not rules.signature:
        return
    if facts.signature is None:
        yield Finding("signature", "", met=False, wanted="a signature", found="absent")
    elif facts.incumbent is None or facts.incumbent.signature is None:
        yield Finding("signature", "", met=True, wanted="a signature, with none to compare it with", found="there")
    else:
        told = signatures.difference(facts.signature, facts.incumbent.signature)
        wanted = f"compatible with that of version {facts.incumbent.version}"
        yield Finding("signature", "", not told, wanted, told or "compatible")


def _words(rules: Rules, facts: Facts) -> Iterator[Finding]:
    valid = [word for word in facts.words if not word.void and word.by != facts.author]
    given = sorted(word.by for word in valid if word.verdict is Verdict.APPROVED)
    if rules.approvals:
        void = sorted(word.by for word in facts.words if word.void and word.verdict is Verdict.APPROVED)
        lost = f"; void since what was approved has changed: {', '.join(void)}" if void else ""
        wanted = f"{rules.approvals} by humans other than {facts.author}"
        found = f"{len(given)}{': ' if given else ''}{', '.join(given)}{lost}"
        yield Finding("approvals", "", len(given) >= rules.approvals, wanted, found)
    for word in valid:
        if word.verdict is Verdict.REFUSED:
            yield Finding("refusal", word.by, met=False, wanted="no refusal", found=f"refused by {word.by}")


def _tag(key: str, wanted: str | None, tags: Mapping[str, str]) -> Finding:
    met = key in tags and wanted in {None, tags[key]}
    return Finding("tag", key, met, wanted or "any value", tags.get(key, "absent"))


def _files(patterns: Sequence[str], files: Sequence[str] | Mapping[str, Finding]) -> list[Finding]:
    found = files if isinstance(files, Mapping) else find_files(patterns, files)
    return [found[pattern] for pattern in patterns]


def _window(rules: Rules, at: datetime) -> Iterator[Finding]:
    if rules.windows is None:
        return
    met = windows.is_open(rules.windows, at)
    opens = None if met else windows.next_opening(rules.windows, at)
    found = "open" if met else f"closed, opens at {written(opens)}" if opens else "closed"
    yield Finding("window", rules.windows.zone, met, "an open window", found)
