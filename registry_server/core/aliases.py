"""Use cases for aliases: get, list, put and delete them."""

import msgspec

from common_lib.rules import lifecycle, names
from registry_server.core import changes, models
from registry_server.core.ports import Database
from registry_server.core.rights import Caller, Right
from registry_server.core.writes import Outcome, WriteRequest
from registry_server.domain import errors
from registry_server.domain.aliases import Alias, SetAlias
from registry_server.queries import Records


def key(model: str, alias: str) -> str:
    """Return the key that identifies an alias in events."""
    return f"{models.key(model)}/aliases/{alias}"


async def get(database: Database, caller: Caller, name: str, alias: str) -> Alias:
    """Return the alias with that name."""
    await models.get(database, caller, name)
    return await _get(database.read, name, alias)


async def list_of_model(database: Database, caller: Caller, name: str) -> list[Alias]:
    """Return all aliases of a model, sorted by name."""
    await models.get(database, caller, name)
    return await database.read.aliases.list_of_model(name)


async def put(records: Records, request: WriteRequest, name: str, alias: str, command: SetAlias) -> Outcome[Alias]:
    """Point an alias at a version.

    A new alias needs `If-None-Match: *`; an existing alias needs its revision in If-Match.
    """
    names.check_alias(alias)
    await models.get_for_update(records, request, Right.ALIAS, name)
    names.check_text("reason", command.reason, names.REASON_LENGTH)
    version = await records.versions.find(name, command.version)
    if version is None or version.tombstone is not None:
        raise errors.VersionNotUsable(name, command.version)
    if request.if_none_match is not None and request.if_match is not None:
        raise errors.ContradictoryPreconditions(request.if_match)
    found = await records.aliases.find(name, alias)
    if found is None:
        return await _create(
            records, request, Alias(name, alias, command.version, 1, request.caller.name, request.at), command
        )
    if request.if_none_match == "*":
        raise errors.AliasExists(found)
    request.check_revision(found.revision, command.reason)
    if found.version == command.version:
        return Outcome(found, None)
    after = Alias(name, alias, command.version, found.revision + 1, request.caller.name, request.at)
    if not await records.aliases.update(found, after):
        raise errors.ChangedMeanwhile("alias")
    step = (key(name, alias), found, after)
    return Outcome(after, changes.changed("alias.moved", step, reason=command.reason, forced=request.forced))


async def delete(records: Records, request: WriteRequest, name: str, alias: str, reason: str) -> Outcome[None]:
    """Delete an alias; its version does not change."""
    await models.get_for_update(records, request, Right.ALIAS, name)
    found = await _get(records, name, alias)
    request.check_revision(found.revision, reason)
    if not await records.aliases.delete(found):
        raise errors.ChangedMeanwhile("alias")
    change = changes.removed("alias.deleted", key(name, alias), found, reason=reason, forced=request.forced)
    return Outcome(None, change, status=204)


async def _create(records: Records, request: WriteRequest, alias: Alias, command: SetAlias) -> Outcome[Alias]:
    names.check_new_alias(alias.alias)
    if request.if_none_match != "*":
        if request.if_match is not None and not request.forced:
            raise errors.AliasNotFound(alias.model, alias.alias)
        request.check_revision(0, command.reason)
    if len(await records.aliases.list_of_model(alias.model)) >= lifecycle.MAX_ALIASES:
        raise errors.TooManyAliases(alias)
    if not await records.aliases.insert(alias):
        raise errors.ChangedMeanwhile("alias")
    change = changes.created("alias.set", key(alias.model, alias.alias), alias, reason=command.reason)
    return Outcome(alias, msgspec.structs.replace(change, forced=request.forced), status=201)


async def _get(records: Records, name: str, alias: str) -> Alias:
    found = await records.aliases.find(name, names.check_alias(alias))
    if found is None:
        raise errors.AliasNotFound(name, alias)
    return found
