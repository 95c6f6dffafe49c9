"""Check whether a version meets the rules of a policy, so that it may be promoted.

Rules and signatures are mappings with the fields of `PromotionRules` and `Signature`.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from common_lib.rules import facts as limits
from common_lib.rules import names, signatures, windows
from common_lib.rules.codes import Code
from common_lib.rules.fields import AnswerBody, Count, ModelName, Moment, VersionNumber
from common_lib.rules.lifecycle import ModelStage, Verdict
from common_lib.rules.patterns import Paths
from common_lib.rules.references import format_moment
from common_lib.rules.violation import RuleViolation

MAX_RULES: Final = 64
MAX_APPROVALS: Final = 16
MAX_STARS: Final = 8


class Direction(StrEnum):
    """Direction of a bound: whether the bound is the minimum or the maximum of a metric."""

    AT_LEAST = "at_least"
    AT_MOST = "at_most"


class Incumbent(NamedTuple):
    """The version that is in production now, with the values that a new version is compared with."""

    version: int
    metrics: Mapping[str, float]
    signature: Mapping[str, Any] | None


class GivenVerdict(NamedTuple):
    """The verdict of a human about the version; `void` if the version or the policy has changed since."""

    by: str
    verdict: Verdict
    void: bool


@dataclass(frozen=True, slots=True)
class Finding(AnswerBody):
    """The result of one promotion rule for a version: `wanted` is required, `found` is what the version has."""

    rule: str
    subject: str
    met: bool
    wanted: str
    found: str
    value: float | None
    bound: float | None


@dataclass(frozen=True, slots=True)
class Check(AnswerBody):
    """The result of checking whether a version can be promoted now; `replacing` is the version in production."""

    model: ModelName
    version: VersionNumber
    stage: ModelStage
    at: Moment
    policy: Count
    replacing: VersionNumber | None
    met: bool
    findings: list[Finding]


class Facts(NamedTuple):
    """The data about a version that its promotion depends on, read at the time `at`."""

    stage: ModelStage
    recalled: bool
    author: str
    metrics: Mapping[str, float]
    signature: Mapping[str, Any] | None
    tags: Mapping[str, str]
    files: Sequence[str] | Mapping[str, Finding]  # paths, or the result of `find_files`
    incumbent: Incumbent | None
    verdicts: Sequence[GivenVerdict]
    at: datetime


# These rules come from the lifecycle, not from the policy: nobody can override them.
LIFECYCLE: Final = frozenset({"stage", "recall"})


def judge(rules: Mapping[str, Any], facts: Facts) -> list[Finding]:
    """Return one finding for each rule; the first two are about the stage and the recall of the version."""
    recalled = "recalled" if facts.recalled else "not recalled"
    return [
        _finding("stage", "", "in staging", f"in {facts.stage}", met=facts.stage is ModelStage.STAGING),
        _finding("recall", "", "not recalled", recalled, met=not facts.recalled),
        *(_judge_metric(**rule, facts=facts) for rule in rules["metrics"]),
        *(_judge_signature(facts) if rules["signature"] else ()),
        *_judge_approvals(rules["approvals"], facts),
        *(_judge_tag(key, value, facts.tags) for key, value in rules["tags"].items()),
        *_judge_files(rules["files"], facts.files),
        *(_judge_window(rules["windows"], facts.at) if rules["windows"] else ()),
    ]


def find_files(patterns: Sequence[str], paths: Sequence[str]) -> dict[str, Finding]:
    """Return the finding for each file pattern; it depends only on the paths of the version, which never change."""
    files, findings = Paths(paths), {}
    for pattern in patterns:
        matching = files.find_matching(pattern)
        found = "absent" if not matching else matching[0] if len(matching) == 1 else f"{len(matching)} files"
        findings[pattern] = _finding("file", pattern, "present", found, met=bool(matching))
    return findings


def check_rules(rules: Mapping[str, Any], known: frozenset[str] | None) -> None:
    """Check that rules are well formed, and that each metric is in `known`, unless `known` is None.

    Raises:
        RuleViolation: `invalid_policy`; `field` is the wrong rule.
    """
    names.check_tags({key: value or "" for key, value in rules["tags"].items()})
    named = [rule["metric"] for rule in rules["metrics"]]
    names.check_keys("rules.metrics", dict.fromkeys(named), limit=MAX_RULES)
    # A metric may have a number and the incumbent as bounds on one side, but not two numbers.
    kinds = [
        f"{rule['metric']} {rule['direction']} {'the incumbent' * (rule['than'] is None)}".strip()
        for rule in rules["metrics"]
    ]
    limits.check_unique("rules.metrics", kinds, "two rules have this metric and direction", code=Code.INVALID_POLICY)
    limits.check_unique("rules.files", rules["files"], "this pattern is listed twice", code=Code.INVALID_POLICY)
    for place, rule in enumerate(rules["metrics"]):
        if known is not None and rule["metric"] not in known:
            there = ", ".join(sorted(known)[:10]) or "no metrics"
            raise RuleViolation(
                Code.INVALID_POLICY,
                field=f"rules.metrics[{place}].metric",
                value=rule["metric"],
                why="no version of this model has this metric",
                remedy=f"the versions have {there}; correct the name, or register a version with this metric first",
            )
    for place, pattern in enumerate(rules["files"]):
        try:
            names.check_artifact_path(pattern.replace("*", "x"))
        except RuleViolation as violation:
            raise RuleViolation(
                Code.INVALID_POLICY,
                field=f"rules.files[{place}]",
                value=pattern,
                why="this pattern cannot match the path of a file",
                remedy=violation.remedy,
            ) from None
        if (stars := pattern.count("*")) > MAX_STARS:
            raise RuleViolation(
                Code.INVALID_POLICY,
                field=f"rules.files[{place}]",
                value=pattern,
                why=f"the pattern contains `*` {stars} times, which makes the check slow",
                remedy=f"use `*` at most {MAX_STARS} times",
            )
    if rules["windows"] is not None:
        windows.check_windows(rules["windows"])


def _finding(
    rule: str,
    subject: str,
    wanted: str,
    found: str,
    *,
    met: bool,
    value: float | None = None,
    bound: float | None = None,
) -> Finding:
    return Finding(rule, subject, met, wanted, found, value, bound)


def _judge_metric(metric: str, direction: Direction, than: float | None, tolerance: float, facts: Facts) -> Finding:
    value, bound, against = facts.metrics.get(metric), than, ""
    if than is None and facts.incumbent is not None:
        bound = facts.incumbent.metrics.get(metric)
        against = f" of version {facts.incumbent.version}"
    at_least = direction == Direction.AT_LEAST
    sign = "≥" if at_least else "≤"
    slack = f" {'-' if at_least else '+'} {tolerance!r}" if tolerance else ""
    found = "absent" if value is None else repr(value)
    if bound is None:
        first = facts.incumbent is None and than is None
        wanted = (
            "any value, because no version is in production to compare with"
            if first
            else f"{sign} the value{against}, which lacks this metric"
        )
        return _finding("metric", metric, wanted, found, met=first and value is not None, value=value)
    limit = bound - tolerance if at_least else bound + tolerance
    # A limit beyond the largest double could not be written as JSON.
    limit = max(-sys.float_info.max, min(limit, sys.float_info.max))
    good = value is not None and (value >= limit if at_least else value <= limit)
    wanted = f"{sign} {bound!r}{against}{slack}"
    return _finding("metric", metric, wanted, found, met=good, value=value, bound=limit)


def _judge_signature(facts: Facts) -> Iterator[Finding]:
    if facts.signature is None:
        yield _finding("signature", "", met=False, wanted="a signature", found="absent")
    elif facts.incumbent is None or facts.incumbent.signature is None:
        yield _finding(
            "signature", "", met=True, wanted="a signature (production has none to compare with)", found="present"
        )
    else:
        problem = signatures.find_incompatibility(facts.signature, facts.incumbent.signature)
        wanted = f"compatible with the signature of version {facts.incumbent.version}"
        yield _finding("signature", "", wanted, problem or "compatible", met=not problem)


def _judge_approvals(needed: int, facts: Facts) -> Iterator[Finding]:
    valid = [given for given in facts.verdicts if not given.void and given.by != facts.author]
    approved = sorted(given.by for given in valid if given.verdict is Verdict.APPROVED)
    if needed:
        void = sorted(given.by for given in facts.verdicts if given.void and given.verdict is Verdict.APPROVED)
        lost = f"; void, because the version or the policy has changed since: {', '.join(void)}" if void else ""
        wanted = f"{needed} by humans other than {facts.author}"
        found = f"{len(approved)}{': ' if approved else ''}{', '.join(approved)}{lost}"
        yield _finding("approvals", "", wanted, found, met=len(approved) >= needed)
    for given in valid:
        if given.verdict is Verdict.REFUSED:
            yield _finding("refusal", given.by, met=False, wanted="no refusal", found=f"refused by {given.by}")


def _judge_tag(key: str, wanted: str | None, tags: Mapping[str, str]) -> Finding:
    met = key in tags and wanted in {None, tags[key]}
    return _finding("tag", key, wanted or "any value", tags.get(key, "absent"), met=met)


def _judge_files(patterns: Sequence[str], files: Sequence[str] | Mapping[str, Finding]) -> list[Finding]:
    found = files if isinstance(files, Mapping) else find_files(patterns, files)
    return [found[pattern] for pattern in patterns]


def _judge_window(allowed: Mapping[str, Any], at: datetime) -> Iterator[Finding]:
    met = windows.is_open(allowed, at)
    opens = None if met else windows.next_opening(allowed, at)
    found = "open" if met else f"closed, opens at {format_moment(opens)}" if opens else "closed"
    yield _finding("window", allowed["zone"], "an open change window", found, met=met)
