"""Operations on aliases, which are movable pointers to versions, such as `champion` or `shadow`."""

from common_lib.errors import AliasNotFound
from common_lib.operations.answers import about
from common_lib.operations.base import (
    Flow,
    Operation,
    ignore_body,
    json_reader,
    path,
    query,
    request_body,
    validate,
    write_headers,
)
from common_lib.rules.names import check_alias, check_model_name, check_new_alias
from common_lib.types.aliases import Alias, SetAlias

_alias = json_reader(Alias)
_aliases = json_reader(list[Alias])


def get(name: str, alias: str) -> Operation[Alias]:
    """Get an alias of a model.

    Raises:
        AliasNotFound: the model has no such alias.
    """
    return Operation("GET", _path(name, alias), about(_alias, model=name, alias=alias))


def list_of_model(name: str) -> Operation[list[Alias]]:
    """List all aliases of a model, sorted by name."""
    return Operation("GET", path("models", validate(check_model_name, name), "aliases"), _aliases)


def create(name: str, alias: str, version: int, *, reason: str = "") -> Operation[Alias]:
    """Create an alias that points at a version.

    Raises:
        AlreadyExists: the alias already exists; call `move` to change its version.
    """
    validate(check_new_alias, alias)
    headers = (*write_headers(), ("if-none-match", "*"))
    body = request_body(SetAlias, version=version, reason=reason)
    read = about(_alias, model=name, alias=alias, version=version)
    return Operation("PUT", _path(name, alias), read, "write", body=body, headers=headers)


def move(
    name: str, alias: str, version: int, *, reason: str = "", revision: int | None = None, force: bool = False
) -> Operation[Alias]:
    """Point an alias at another version, if the alias still has the given revision.

    With `force` and a reason, the alias is moved at any revision, and created if it does not exist.

    Raises:
        AliasNotFound: the model has no such alias.
        RevisionMismatch: somebody moved the alias in the meantime.
    """
    headers = write_headers(revision, force=force)
    body = request_body(SetAlias, version=version, reason=reason)
    read = about(_alias, model=name, alias=alias, version=version)
    return Operation("PUT", _path(name, alias), read, "write", body=body, headers=headers)


def set_alias(
    origin: str,  # noqa: ARG001 - every flow takes it
    /,
    name: str,
    alias: str,
    version: int,
    *,
    reason: str = "",
    revision: int | None = None,
    force: bool = False,
) -> Flow[Alias]:
    """Point an alias at a version, and create the alias if the model does not have it.

    Without `revision`, the client first reads the current revision of the alias. `force` needs a reason.

    Raises:
        RevisionMismatch, AlreadyExists: somebody moved or created the alias in the meantime.
    """
    if revision is None and not force:
        try:
            seen: Alias = yield get(name, alias)
        except AliasNotFound:
            # The registry refuses it if somebody creates the alias in the meantime.
            created: Alias = yield create(name, alias, version, reason=reason)
            return created
        revision = seen.revision
    moved: Alias = yield move(name, alias, version, reason=reason, revision=revision, force=force)
    return moved


def delete(
    name: str, alias: str, *, revision: int | None = None, force: bool = False, reason: str = ""
) -> Operation[None]:
    """Delete an alias, but not the version that it points at. `force` needs a reason."""
    headers = write_headers(revision, force=force)
    conditions = query(reason=reason or None)
    return Operation("DELETE", _path(name, alias), ignore_body, "write", query=conditions, headers=headers)


def _path(name: str, alias: str) -> str:
    return path("models", validate(check_model_name, name), "aliases", validate(check_alias, alias))
