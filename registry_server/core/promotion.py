"""Whether a version may be promoted: its facts are gathered, and the rules that client and server share judge them."""

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from common_lib.rules import canonical, promotion
from common_lib.rules.promotion import LIFECYCLE, Facts, Incumbent, Word
from common_lib.rules.violation import RuleViolation
from registry_server.core import models, policies, versions
from registry_server.core.ports import Database, Records
from registry_server.core.rights import Caller, Right
from registry_server.core.writes import WriteRequest
from registry_server.domain.errors import Conflict, RegistryError
from registry_server.domain.policies import Policy
from registry_server.domain.promotion import Check, Finding
from registry_server.domain.versions import ModelVersion

# Of what an approval is said: whatever can never change, and whatever may but for stage, recall and tombstone.
_SUBJECT = ("digest", "framework", "description", "parameters", "metrics", "signature", "lineage", "tags")
# Files by pattern, as they were found before a transaction began.
FilesFound = Mapping[str, promotion.Finding]


async def check(database: Database, caller: Caller, name: str, version: int, now: datetime) -> Check:
    """What a promotion of a version would come to now; nothing is changed.

    Raises:
        Conflict: the version or its model was taken out of use.
    """
    found, incumbent, governing = await versions.to_judge(database, caller, name, version)
    versions.refuse_tombstoned(found)
    policy = governing or await policies.of(database.read, name)
    if incumbent is None:  # a model in production has no tombstone
        models.refuse_tombstoned(await models.get(database, caller, name))
    files = await _find_files(database.read, policy, found)
    findings = await _findings(database.read, policy, found, incumbent, at=now, files=files)
    return Check(
        model=name,
        version=version,
        stage=found.stage,
        at=now,
        policy=policy.revision,
        replacing=None if incumbent is None else incumbent.version,
        met=all(finding.met for finding in findings),
        findings=[Finding(*finding) for finding in findings],
    )


async def foresee(database: Database, caller: Caller, name: str, version: int) -> FilesFound:
    """Find the files that the policy of a model wants, before the transaction of a promotion begins.

    Ten thousand files and 64 patterns take a good part of a second, which no other request may wait for. The files of a
    version never change, so the transaction has only to look at what was found here. Nothing is refused here: the
    transaction does that, behind the first answer to the same Idempotency-Key.
    """
    try:
        caller.require(Right.PROMOTE, name)
        found, _, policy = await versions.to_judge(database, caller, name, version)
    except (RegistryError, RuleViolation):
        return {}
    return {} if policy is None else await _find_files(database.read, policy, found)


async def judge(
    records: Records,
    request: WriteRequest,
    version: ModelVersion,
    incumbent: ModelVersion | None,
    *,
    override: bool,
    files: FilesFound,
) -> dict[str, Any]:
    """What the event of a promotion says of how it was judged: the policy's revision, and each rule with its values.

    Raises:
        Conflict: the policy is not met, and nobody overrides it.
        Forbidden: the caller must not override it.
    """
    if override:
        request.caller.require(Right.OVERRIDE, version.model)
    policy = await policies.of(records, version.model)
    findings = await _findings(records, policy, version, incumbent, at=request.at, files=files)
    missing = [finding for finding in findings if not finding.met]
    if missing and (not override or any(finding.rule in LIFECYCLE for finding in missing)):
        told = "; ".join(f"{_named(finding)}: wanted {finding.wanted}, found {finding.found}" for finding in missing)
        raise Conflict(
            f"version {version.version} does not meet revision {policy.revision} of the policy: {told}",
            remedy="mend what is missing, as its check lists it, or ask somebody with the right to override",
            field="version",
            value=version.version,
            code="policy_not_met",
        )
    by_policy = [Finding(*finding) for finding in findings if finding.rule not in LIFECYCLE]
    overridden = [_named(finding) for finding in missing]
    judged = {"policy": policy.revision, "findings": msgspec.to_builtins(by_policy), "overridden": overridden}
    return {"judged": judged}


def subject_of(version: ModelVersion, policy: Policy) -> str:
    """The digest of what is approved: the facts of a version, and the policy that it is held against."""
    facts = msgspec.to_builtins({name: getattr(version, name) for name in _SUBJECT})
    whole = facts | {"model": version.model, "version": version.version, "policy": policy.revision}
    return f"sha256:{hashlib.sha256(canonical.encode_with_decimals(whole)).hexdigest()}"


async def _find_files(read: Records, policy: Policy, version: ModelVersion) -> FilesFound:
    if not policy.rules.files:
        return {}
    paths = await read.versions.list_paths(version.model, version.version)
    return await asyncio.to_thread(promotion.find_files, policy.rules.files, paths)


async def _findings(
    records: Records,
    policy: Policy,
    version: ModelVersion,
    incumbent: ModelVersion | None,
    *,
    at: datetime,
    files: FilesFound,
) -> list[promotion.Finding]:
    said = await records.approvals.list_of_version(version.model, version.version)
    if new := [pattern for pattern in policy.rules.files if pattern not in files]:
        # The policy was set after `foresee` had read it: rare, and bounded by the linear search for patterns.
        paths = await records.versions.list_paths(version.model, version.version)
        files = {**files, **promotion.find_files(new, paths)}
    subject = subject_of(version, policy) if said else ""
    facts = Facts(
        stage=version.stage,
        recalled=version.recall is not None,
        author=version.created_by,
        metrics=version.metrics,
        signature=version.signature,
        tags=version.tags,
        files=files,
        incumbent=Incumbent(incumbent.version, incumbent.metrics, incumbent.signature) if incumbent else None,
        words=[Word(word.approver, word.verdict, word.subject != subject) for word in said],
        at=at,
    )
    return promotion.judge(policy.rules, facts)


def _named(finding: promotion.Finding) -> str:
    """The rule of a finding, with what it is about."""
    return f"{finding.rule} {finding.subject}".strip()
