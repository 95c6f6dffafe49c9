"""Policies: get, set."""

import msgspec

from common_lib.rules import lifecycle, promotion
from registry_server.core import changes, models
from registry_server.core.ports import Database, Records
from registry_server.core.rights import Caller, Right, no_model
from registry_server.core.writes import Outcome, WriteRequest
from registry_server.domain.errors import RevisionMismatch
from registry_server.domain.policies import Policy, PromotionRules, SetPolicy


def key(model: str) -> str:
    """The key of a policy in events."""
    return f"{models.key(model)}/policy"


async def get(database: Database, caller: Caller, name: str) -> Policy:
    """The policy of a model."""
    await models.get(database, caller, name)
    return await of(database.read, name)


async def of(records: Records, name: str) -> Policy:
    """The policy of a model: the one that was set, or the one that every model begins with."""
    found = await records.policies.find(name)
    if found is not None:
        return found
    model = await records.models.find(name)
    if model is None:
        raise no_model(name)
    return Policy(name, PromotionRules(), 1, model.created_by, model.created_at)


async def put(records: Records, request: WriteRequest, name: str, command: SetPolicy) -> Outcome[Policy]:
    """Give a model other rules; what is in production stays there."""
    await models.live(records, request, Right.GOVERN, name)
    before = await of(records, name)
    request.check_revision(before.revision, command.reason)
    lifecycle.check_reason(command.reason, "a policy")
    promotion.check_rules(command.rules, await records.versions.list_metrics(name))
    if command.rules == before.rules:
        return Outcome(before, None)
    after = Policy(name, command.rules, before.revision + 1, request.caller.name, request.at)
    if not await records.policies.put(after):
        raise RevisionMismatch("somebody set the policy in between", remedy="read it again", field="If-Match")
    if before.revision == 1:
        change = changes.created("policy.set", key(name), after, reason=command.reason)
        return Outcome(after, msgspec.structs.replace(change, forced=request.forced))
    step = (key(name), before, after)
    return Outcome(after, changes.changed("policy.set", step, reason=command.reason, forced=request.forced))
