"""Aliases: free pointers to a version, such as `champion` or `shadow`."""

from common_lib.errors import AliasNotFound
from common_lib.operations.answers import about
from common_lib.operations.base import Flow, Operation, checked, given, nothing, path, query, reads, unsafe
from common_lib.rules.names import check_alias, check_model_name, check_new_alias
from common_lib.types.aliases import Alias, SetAlias

_alias = reads(Alias)
_aliases = reads(list[Alias])


def get(name: str, alias: str) -> Operation[Alias]:
    """The alias of that name.

    Raises:
        AliasNotFound: the model has no such alias.
    """
    return Operation("GET", _path(name, alias), about(_alias, model=name, alias=alias))


def of_model(name: str) -> Operation[list[Alias]]:
    """All aliases of a model, by name."""
    return Operation("GET", path("models", checked(check_model_name, name), "aliases"), _aliases)


def create(name: str, alias: str, version: int, *, reason: str = "") -> Operation[Alias]:
    """A new alias that points at a version.

    Raises:
        AlreadyExists: the alias exists; `move` moves it.
    """
    checked(check_new_alias, alias)
    headers = (*unsafe(), ("if-none-match", "*"))
    body = given(SetAlias, version=version, reason=reason)
    read = about(_alias, model=name, alias=alias, version=version)
    return Operation("PUT", _path(name, alias), read, "write", body=body, headers=headers)


def move(
    name: str, alias: str, version: int, *, reason: str = "", revision: int | None = None, force: bool = False
) -> Operation[Alias]:
    """The alias, pointing at another version, if it still is at that revision.

    `force` moves it whatever its revision is, or creates it, and needs a reason.

    Raises:
        AliasNotFound: the model has no such alias.
        RevisionMismatch: somebody moved it in between.
    """
    headers = unsafe(revision, force=force)
    body = given(SetAlias, version=version, reason=reason)
    read = about(_alias, model=name, alias=alias, version=version)
    return Operation("PUT", _path(name, alias), read, "write", body=body, headers=headers)


def set_alias(
    origin: str,  # noqa: ARG001 - every flow is told it
    /,
    name: str,
    alias: str,
    version: int,
    *,
    reason: str = "",
    revision: int | None = None,
    force: bool = False,
) -> Flow[Alias]:
    """The alias, pointing at the version, created if it was not there.

    Without `revision` it is moved from where it points just before; `force` needs a reason.

    Raises:
        RevisionMismatch, AlreadyExists: somebody moved or created it in between.
    """
    if revision is None and not force:
        try:
            seen: Alias = yield get(name, alias)
        except AliasNotFound:
            # Refused if somebody creates it in between.
            created: Alias = yield create(name, alias, version, reason=reason)
            return created
        revision = seen.revision
    moved: Alias = yield move(name, alias, version, reason=reason, revision=revision, force=force)
    return moved


def delete(
    name: str, alias: str, *, revision: int | None = None, force: bool = False, reason: str = ""
) -> Operation[None]:
    """Nothing: the alias is gone, the version it pointed at stays. `force` needs a reason."""
    headers = unsafe(revision, force=force)
    return Operation(
        "DELETE", _path(name, alias), nothing, "write", query=query(reason=reason or None), headers=headers
    )


def _path(name: str, alias: str) -> str:
    return path("models", checked(check_model_name, name), "aliases", checked(check_alias, alias))
