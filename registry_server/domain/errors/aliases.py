"""Errors of aliases."""

from common_lib.rules import lifecycle
from common_lib.rules.codes import Code
from registry_server.domain.aliases import Alias
from registry_server.domain.errors.base import RegistryError


class AliasNotFound(RegistryError, code=Code.ALIAS_NOT_FOUND, field="alias"):
    """The model has no such alias."""

    remedy = "list the aliases of the model, or create this alias"

    def __init__(self, name: str, alias: str) -> None:
        super().__init__(alias, f"model {name!r} has no alias {alias!r}")


class AliasExists(RegistryError, code=Code.ALIAS_EXISTS, field="alias"):
    """The alias cannot be created, because it already points at a version."""

    remedy = "to move the alias, send its ETag as If-Match"

    def __init__(self, found: Alias) -> None:
        super().__init__(found.alias, f"alias {found.alias!r} already points at version {found.version}")


class TooManyAliases(RegistryError, code=Code.TOO_MANY_ENTRIES, field="alias"):
    """The model already has the maximum number of aliases."""

    remedy = "delete an alias that is not used, or mark versions with tags instead"

    def __init__(self, alias: Alias) -> None:
        super().__init__(alias.alias, f"model {alias.model!r} already has {lifecycle.MAX_ALIASES} aliases")


class ContradictoryPreconditions(RegistryError, code=Code.INVALID_IF_MATCH, field="If-Match"):
    """The request contains both If-None-Match (the alias must be new) and If-Match (the alias must exist)."""

    detail = "If-None-Match requires a new alias, but If-Match requires an existing alias"
    remedy = "send only one of these two headers"
