"""Aliases: set, move, list, delete."""

import msgspec

from common_lib.rules import lifecycle, names
from common_lib.rules.codes import Code
from common_lib.rules.violation import RuleViolation
from registry_server.core import changes, models
from registry_server.core.ports import Database, Records
from registry_server.core.rights import Caller, Right
from registry_server.core.writes import Outcome, WriteRequest
from registry_server.domain.aliases import Alias, SetAlias
from registry_server.domain.errors import Conflict, InvalidRequest, NotFound, RevisionMismatch


def key(model: str, alias: str) -> str:
    """The key of an alias in events."""
    return f"{models.key(model)}/aliases/{alias}"


async def get(database: Database, caller: Caller, name: str, alias: str) -> Alias:
    """The alias of that name."""
    await models.get(database, caller, name)
    return await _load(database.read, name, alias)


async def list_all(database: Database, caller: Caller, name: str) -> list[Alias]:
    """All aliases of a model, by name."""
    await models.get(database, caller, name)
    return await database.read.aliases.list_of_model(name)


async def put(records: Records, request: WriteRequest, name: str, alias: str, command: SetAlias) -> Outcome[Alias]:
    """Point an alias at a version; a new one needs `If-None-Match: *`, one that exists its revision."""
    names.check_alias(alias)
    await models.get_for_update(records, request, Right.ALIAS, name)
    names.check_text("reason", command.reason, names.REASON_LENGTH)
    version = await records.versions.find(name, command.version)
    if version is None or version.tombstone is not None:
        raise NotFound(
            f"model {name!r} has no usable version {command.version}",
            remedy="list its versions to see the numbers there are",
            field="version",
            value=command.version,
            code="version_not_found",
        )
    if request.if_none_match is not None and request.if_match is not None:
        raise InvalidRequest(
            "If-None-Match is for an alias that is new and If-Match for one that is there",
            remedy="send one of them",
            field="If-Match",
            value=request.if_match,
            code="invalid_if_match",
        )
    found = await records.aliases.find(name, alias)
    if found is None:
        return await _create(
            records, request, Alias(name, alias, command.version, 1, request.caller.name, request.at), command
        )
    if request.if_none_match == "*":
        raise Conflict(
            f"alias {alias!r} points at version {found.version} of {name!r} already",
            remedy="send its ETag as If-Match to move it",
            field="alias",
            value=alias,
            code="alias_exists",
        )
    request.check_revision(found.revision, command.reason)
    if found.version == command.version:
        return Outcome(found, None)
    after = Alias(name, alias, command.version, found.revision + 1, request.caller.name, request.at)
    if not await records.aliases.update(found, after):
        raise RevisionMismatch("somebody moved the alias in between", remedy="read it again", field="If-Match")
    step = (key(name, alias), found, after)
    return Outcome(after, changes.changed("alias.moved", step, reason=command.reason, forced=request.forced))


async def delete(records: Records, request: WriteRequest, name: str, alias: str, reason: str) -> Outcome[None]:
    """Remove an alias; the version it pointed at stays."""
    await models.get_for_update(records, request, Right.ALIAS, name)
    found = await _load(records, name, alias)
    request.check_revision(found.revision, reason)
    if not await records.aliases.delete(found):
        raise RevisionMismatch("somebody moved the alias in between", remedy="read it again", field="If-Match")
    change = changes.removed("alias.deleted", key(name, alias), found, reason=reason, forced=request.forced)
    return Outcome(None, change, status=204)


async def _create(records: Records, request: WriteRequest, alias: Alias, command: SetAlias) -> Outcome[Alias]:
    names.check_new_alias(alias.alias)
    if request.if_none_match != "*":
        if request.if_match is not None and not request.forced:
            raise _missing(alias.model, alias.alias)
        request.check_revision(0, command.reason)
    if len(await records.aliases.list_of_model(alias.model)) >= lifecycle.MAX_ALIASES:
        raise RuleViolation(
            Code.TOO_MANY_ENTRIES,
            field="alias",
            value=alias.alias,
            why=f"would be one more than the {lifecycle.MAX_ALIASES} aliases that model {alias.model!r} has",
            remedy="delete one that is not used, or mark versions by tags",
        )
    if not await records.aliases.insert(alias):
        raise RevisionMismatch("somebody set the alias in between", remedy="read it again", field="If-None-Match")
    change = changes.created("alias.set", key(alias.model, alias.alias), alias, reason=command.reason)
    return Outcome(alias, msgspec.structs.replace(change, forced=request.forced), status=201)


async def _load(records: Records, name: str, alias: str) -> Alias:
    found = await records.aliases.find(name, names.check_alias(alias))
    if found is None:
        raise _missing(name, alias)
    return found


def _missing(name: str, alias: str) -> NotFound:
    return NotFound(
        f"model {name!r} has no alias {alias!r}",
        remedy="list its aliases, or set this one",
        field="alias",
        value=alias,
        code="alias_not_found",
    )
