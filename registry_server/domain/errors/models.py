"""Errors of models."""

from common_lib.rules.codes import Code
from registry_server.domain.base import Tombstone
from registry_server.domain.errors.base import RegistryError


class ModelNotFound(RegistryError, code=Code.MODEL_NOT_FOUND, field="name"):
    """The model does not exist, or the caller may not read it."""

    detail = "model {value!r} does not exist, or you may not read it"
    remedy = "check the name and its upper and lower case; `registry models list` shows the models that you may read"


class ModelExists(RegistryError, code=Code.MODEL_EXISTS, field="name"):
    """Another model has the same name, or a name that differs only in upper and lower case."""

    remedy = "use the existing model, or choose another name (not only in another case); names are never reused"

    def __init__(self, name: str, existing: str | None) -> None:
        super().__init__(name, f"model {existing!r} already exists")


class ModelInProduction(RegistryError, code=Code.VERSION_IN_PRODUCTION, field="production_version"):
    """The model cannot be tombstoned, because one of its versions is in production."""

    remedy = "archive this version, then repeat the request"

    def __init__(self, name: str, version: int) -> None:
        super().__init__(version, f"version {version} of {name!r} is in production")


class ModelTombstoned(RegistryError, code=Code.TOMBSTONED, field="name"):
    """The model was tombstoned and cannot change."""

    remedy = "create a model with a new name"

    def __init__(self, name: str, tombstone: Tombstone) -> None:
        super().__init__(name, f"model {name!r} was tombstoned: {tombstone.reason}")
