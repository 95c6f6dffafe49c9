"""Use cases for production: promote, roll back, check a promotion, and get the version in production at some time."""

from datetime import datetime
from typing import Any

import msgspec

from common_lib.rules import lifecycle, names
from common_lib.rules.lifecycle import ModelStage
from common_lib.rules.production import Decision, InProduction
from common_lib.rules.promotion import LIFECYCLE, Check
from common_lib.rules.violation import RuleViolation
from registry_server.core import models, pages, policies, timeline, versions
from registry_server.core.policies import PolicyFiles
from registry_server.core.ports import Database
from registry_server.core.rights import Caller, Right
from registry_server.core.writes import Outcome, WriteRequest
from registry_server.domain import errors
from registry_server.domain.base import Page
from registry_server.domain.pages import Window
from registry_server.domain.production import RollbackRequest
from registry_server.domain.versions import ModelVersion, TransitionRequest
from registry_server.queries import Records


async def promote(
    records: Records,
    request: WriteRequest,
    name: str,
    version: int,
    command: TransitionRequest,
    *,
    files: PolicyFiles | None = None,
) -> Outcome[ModelVersion]:
    """Move a version from staging to production, and archive the version that it replaces in the same transaction.

    `files` is the result of `find_policy_files`; without it the transaction itself searches for the files.

    Raises:
        ProductionChanged: the version in production is not the one that the caller expects.
        PolicyNotMet: the policy is not met.
        RightMissing: the caller lacks a right.
        VersionRecalled: the version is recalled.
        RevisionMismatch: the version has changed since the caller read it.
        RuleViolation: the version is not in staging, or the reason is missing.
    """
    found = await versions.get_for_update(records, request, Right.PROMOTE, name, version)
    await versions.check_revision(records, request, found, command.reason)
    lifecycle.check_transition(found.stage, ModelStage.PRODUCTION, command.reason)
    versions.check_not_recalled(found)
    incumbent = await _get_incumbent(records, request, name, command.replacing)
    basis = await _check_policy(records, request, found, incumbent, override=command.override, files=files or {})
    return await _enter_production(
        records, request, "version.promoted", found, incumbent, reason=command.reason, basis=basis
    )


async def roll_back(
    records: Records, request: WriteRequest, name: str, command: RollbackRequest
) -> Outcome[ModelVersion]:
    """Put the previous version into production again, and archive the version that it replaces in the same transaction.

    Raises:
        ProductionChanged: the version in production is not the one that the caller expects.
        NothingToReturnTo: no version that was in production before can be used now.
    """
    await models.get_for_update(records, request, Right.PROMOTE, name)
    lifecycle.check_reason(command.reason, "a rollback")
    names.check_text("reason", command.reason, names.REASON_LENGTH)
    incumbent = await _get_incumbent(records, request, name, command.replacing)
    if incumbent is not None and request.if_match is not None:
        await versions.check_revision(records, request, incumbent, command.reason)
    elif request.if_match is not None:
        request.check_revision(0, command.reason)
    previous = await timeline.find_rollback(records, name)
    if previous is None:
        raise errors.NothingToReturnTo(name)
    tenure, found = previous
    basis = {"restored": tenure.sequence}
    return await _enter_production(
        records, request, "version.rolled_back", found, incumbent, reason=command.reason, basis=basis
    )


async def check(database: Database, caller: Caller, name: str, version: int, now: datetime) -> Check:
    """Evaluate the policy as a promotion of the version would do now, but change nothing.

    Raises:
        VersionTombstoned, ModelTombstoned: the version or its model has a tombstone.
    """
    found, incumbent, stored_policy = await versions.get_for_promotion(database, caller, name, version)
    versions.check_not_tombstoned(found)
    policy = stored_policy or await policies.get_effective(database.read, name)
    if incumbent is None:  # a model in production has no tombstone
        models.check_not_tombstoned(await models.get(database, caller, name))
    files = await policies.find_files(database.read, policy, found)
    findings = await policies.evaluate(database.read, policy, found, incumbent, at=now, files=files)
    return Check(
        model=name,
        version=version,
        stage=found.stage,
        at=now,
        policy=policy.revision,
        replacing=None if incumbent is None else incumbent.version,
        met=all(finding.met for finding in findings),
        findings=findings,
    )


async def find_policy_files(database: Database, caller: Caller, name: str, version: int) -> PolicyFiles:
    """Find the files that the policy of a model requires, before the transaction of a promotion begins.

    The search of ten thousand files for 64 patterns can take most of a second, and no other request may wait for that.
    The files of a version never change, so the transaction can rely on this result. This function does not refuse a
    promotion. Only the transaction does, after it has looked for a stored answer to the same Idempotency-Key.
    """
    try:
        caller.check_right(Right.PROMOTE, name)
        found, _, policy = await versions.get_for_promotion(database, caller, name, version)
    except (errors.RegistryError, RuleViolation):
        return {}
    return {} if policy is None else await policies.find_files(database.read, policy, found)


async def get(database: Database, caller: Caller, name: str, moment: datetime | None, now: datetime) -> InProduction:
    """Return the version in production at `moment` (by default, now), and the decision that put it into production."""
    model = await models.get(database, caller, name)
    if moment is None:
        tenure = await database.read.timeline.find_last(name)
        moment = now if tenure is None else max(now, tenure.since)
    else:
        tenure = await timeline.find_tenure(database, model, moment, now)
    if tenure is None:
        return InProduction(name, moment, None, model.created_at, None, None, None, "")
    decision = await timeline.get_decision(database.read, tenure.sequence)
    return InProduction(
        name, moment, tenure.version, tenure.since, tenure.sequence, decision.what, decision.by, decision.reason
    )


async def list_decisions(
    database: Database, caller: Caller, name: str, *, limit: int, page_token: str | None
) -> Page[Decision]:
    """Return one page of the decisions about a model, newest first."""
    await models.get(database, caller, name)
    scope = ("decisions", name)
    window = pages.window(limit, page_token, scope, tuple[pages.LogSequence])

    async def fetch(part: Window) -> list[Decision]:
        events = await database.read.timeline.list_decisions(name, part)
        return [await timeline.to_decision(database.read, event) for event in events]

    return await pages.collect(fetch, window, scope, lambda row: (row.sequence,))


async def _get_incumbent(
    records: Records, request: WriteRequest, name: str, replacing: int | None
) -> ModelVersion | None:
    """Return the version in production, or None. It must be the version that the caller expects, which is `replacing`.

    Raises:
        ProductionChanged: another version is in production, or no version.
    """
    incumbent = await records.versions.find_in_production(name)
    number = None if incumbent is None else incumbent.version
    if number == replacing or request.forced:
        return incumbent
    winner = await timeline.find_incumbent_decision(records, name)
    raise errors.ProductionChanged(name, number, replacing, winner)


async def _check_policy(
    records: Records,
    request: WriteRequest,
    version: ModelVersion,
    incumbent: ModelVersion | None,
    *,
    override: bool,
    files: PolicyFiles,
) -> dict[str, Any]:
    """Evaluate the policy of a promotion, and return what its event records: revision, findings, overridden rules.

    Raises:
        PolicyNotMet: the policy is not met and not overridden.
        RightMissing: the caller lacks the right to override the policy.
    """
    if override:
        request.caller.check_right(Right.OVERRIDE, version.model)
    policy = await policies.get_effective(records, version.model)
    findings = await policies.evaluate(records, policy, version, incumbent, at=request.at, files=files)
    missing = [finding for finding in findings if not finding.met]
    if missing and (not override or any(finding.rule in LIFECYCLE for finding in missing)):
        shortfall = "; ".join(
            f"{policies.format_rule(finding)}: wanted {finding.wanted}, found {finding.found}" for finding in missing
        )
        raise errors.PolicyNotMet(version.version, policy.revision, shortfall)
    of_policy = [finding for finding in findings if finding.rule not in LIFECYCLE]
    overridden = [policies.format_rule(finding) for finding in missing]
    return {"judged": {"policy": policy.revision, "findings": msgspec.to_builtins(of_policy), "overridden": overridden}}


async def _enter_production(
    records: Records,
    request: WriteRequest,
    event: str,
    version: ModelVersion,
    incumbent: ModelVersion | None,
    *,
    reason: str,
    basis: dict[str, Any],
) -> Outcome[ModelVersion]:
    """Put a version into production and archive the version that it replaces; record both in one event."""
    edits = [(version, versions.with_next_revision(request, version, stage=ModelStage.PRODUCTION))]
    if incumbent is not None:
        edits.append((incumbent, versions.with_next_revision(request, incumbent, stage=ModelStage.ARCHIVED)))
    return await versions.store(records, request, event, *edits, reason=reason, basis=basis)
