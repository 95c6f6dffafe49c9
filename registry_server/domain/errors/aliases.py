"""Errors of aliases."""

from common_lib.rules import lifecycle
from common_lib.rules.codes import Code
from registry_server.domain.aliases import Alias
from registry_server.domain.errors.base import RegistryError


class AliasNotFound(RegistryError):
    """The model has no such alias."""

    code = Code.ALIAS_NOT_FOUND
    field = "alias"
    remedy = "list the aliases of the model, or set this one"

    def __init__(self, name: str, alias: str) -> None:
        super().__init__(alias, f"model {name!r} has no alias {alias!r}")


class AliasExists(RegistryError):
    """The alias cannot be created, because it already points at a version."""

    code = Code.ALIAS_EXISTS
    field = "alias"
    remedy = "send its ETag as If-Match to move it"

    def __init__(self, found: Alias) -> None:
        super().__init__(found.alias, f"alias {found.alias!r} already points at version {found.version}")


class TooManyAliases(RegistryError):
    """The model has as many aliases as it may have."""

    code = Code.TOO_MANY_ENTRIES
    field = "alias"
    remedy = "delete an alias that is not used, or mark versions by tags"

    def __init__(self, alias: Alias) -> None:
        super().__init__(alias.alias, f"model {alias.model!r} already has {lifecycle.MAX_ALIASES} aliases")


class ContradictoryPreconditions(RegistryError):
    """The request says both that the alias is new and that it exists."""

    code = Code.INVALID_IF_MATCH
    field = "If-Match"
    detail = "If-None-Match says that the alias is new, but If-Match says that it exists"
    remedy = "send only one of the two headers"
