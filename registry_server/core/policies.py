"""Use cases for policies: get and put the policy of a model, and evaluate its rules for one version."""

import asyncio
from collections.abc import Mapping
from datetime import datetime

import msgspec

from common_lib.rules import lifecycle, promotion
from common_lib.rules.promotion import Facts, Finding, GivenVerdict, Incumbent
from registry_server.core import changes, models
from registry_server.core.ports import Database
from registry_server.core.rights import Caller, Right
from registry_server.core.writes import Outcome, WriteRequest
from registry_server.domain import errors
from registry_server.domain.approvals import subject_digest
from registry_server.domain.policies import Policy, PromotionRules, SetPolicy
from registry_server.domain.versions import ModelVersion
from registry_server.queries import Records

# The findings about files by pattern, found before the transaction began.
PolicyFiles = Mapping[str, Finding]


def key(model: str) -> str:
    """Return the key that identifies a policy in events."""
    return f"{models.key(model)}/policy"


async def get(database: Database, caller: Caller, name: str) -> Policy:
    """Return the policy of a model."""
    await models.get(database, caller, name)
    return await get_effective(database.read, name)


async def get_effective(records: Records, name: str) -> Policy:
    """Return the stored policy of a model, or an empty policy if none was stored yet."""
    found = await records.policies.find(name)
    if found is not None:
        return found
    model = await records.models.find(name)
    if model is None:
        raise errors.ModelNotFound(name)
    return Policy(name, PromotionRules(), 1, model.created_by, model.created_at)


async def put(records: Records, request: WriteRequest, name: str, command: SetPolicy) -> Outcome[Policy]:
    """Replace the policy of a model; the version in production stays in production."""
    await models.get_for_update(records, request, Right.GOVERN, name)
    before = await get_effective(records, name)
    request.check_revision(before.revision, command.reason)
    lifecycle.check_reason(command.reason, "a policy")
    promotion.check_rules(msgspec.to_builtins(command.rules), await records.versions.list_metrics(name))
    if command.rules == before.rules:
        return Outcome(before, None)
    after = Policy(name, command.rules, before.revision + 1, request.caller.name, request.at)
    if not await records.policies.put(after):
        raise errors.ChangedMeanwhile("policy")
    if before.revision == 1:
        change = changes.created("policy.set", key(name), after, reason=command.reason)
        return Outcome(after, msgspec.structs.replace(change, forced=request.forced))
    step = (key(name), before, after)
    return Outcome(after, changes.changed("policy.set", step, reason=command.reason, forced=request.forced))


async def evaluate(
    records: Records,
    policy: Policy,
    version: ModelVersion,
    incumbent: ModelVersion | None,
    *,
    at: datetime,
    files: PolicyFiles,
) -> list[Finding]:
    """Compare a version with each rule of a policy, and return one finding for each rule."""
    approvals = await records.approvals.list_of_version(version.model, version.version)
    if missing := [pattern for pattern in policy.rules.files if pattern not in files]:
        # The policy was set after `find_files` had read it: rare, and the linear search for patterns bounds the time.
        paths = await records.versions.list_paths(version.model, version.version)
        files = {**files, **promotion.find_files(missing, paths)}
    subject = subject_digest(version, policy) if approvals else ""
    facts = Facts(
        stage=version.stage,
        recalled=version.recall is not None,
        author=version.created_by,
        metrics=version.metrics,
        signature=msgspec.to_builtins(version.signature),
        tags=version.tags,
        files=files,
        incumbent=None if incumbent is None else _to_incumbent(incumbent),
        verdicts=[GivenVerdict(each.approver, each.verdict, each.subject != subject) for each in approvals],
        at=at,
    )
    return promotion.judge(msgspec.to_builtins(policy.rules), facts)


async def find_files(read: Records, policy: Policy, version: ModelVersion) -> PolicyFiles:
    """Search, in a thread, for the files of a version that match the patterns of a policy."""
    if not policy.rules.files:
        return {}
    paths = await read.versions.list_paths(version.model, version.version)
    return await asyncio.to_thread(promotion.find_files, policy.rules.files, paths)


def _to_incumbent(version: ModelVersion) -> Incumbent:
    return Incumbent(version.version, version.metrics, msgspec.to_builtins(version.signature))


def format_rule(finding: Finding) -> str:
    """Return the name of a finding's rule and the subject of the finding."""
    return f"{finding.rule} {finding.subject}".strip()
