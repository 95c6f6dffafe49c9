"""What every service imports to use the model registry; light, and loaded piece by piece as it is named.

Quick start:

    from common_lib import HttpRegistry, RegistryConfig

    with HttpRegistry(RegistryConfig(url="http://127.0.0.1:8321", token="mrg_…")) as registry:
        version = registry.resolve("models:/eurusd-direction/production")
        registry.download(version.reference, "models/eurusd-direction")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from common_lib.artifacts.cache import Cache
    from common_lib.artifacts.local_version import LocalVersion
    from common_lib.client.async_http_registry import AsyncHttpRegistry
    from common_lib.client.http_registry import HttpRegistry
    from common_lib.config import RegistryConfig
    from common_lib.errors import RegistryError
    from common_lib.operations.base import Operation
    from common_lib.registry import AsyncModelRegistry, ModelRegistry
    from common_lib.rules.access import PrincipalKind, Role
    from common_lib.rules.lifecycle import ModelStage, ModelType, Replaced
    from common_lib.staleness import FailClosed, KeepLastGood, ServeStale
    from common_lib.types.aliases import Alias
    from common_lib.types.artifacts import FileEntry, Manifest
    from common_lib.types.models import RegisteredModel
    from common_lib.types.principals import Grant, Principal
    from common_lib.types.versions import FieldSpec, Lineage, ModelVersion, Signature

_PLACES = {
    "Alias": "types.aliases",
    "AsyncHttpRegistry": "client.async_http_registry",
    "AsyncModelRegistry": "registry",
    "Cache": "artifacts.cache",
    "FailClosed": "staleness",
    "FieldSpec": "types.versions",
    "FileEntry": "types.artifacts",
    "Grant": "types.principals",
    "HttpRegistry": "client.http_registry",
    "KeepLastGood": "staleness",
    "Lineage": "types.versions",
    "LocalVersion": "artifacts.local_version",
    "Manifest": "types.artifacts",
    "ModelRegistry": "registry",
    "ModelStage": "rules.lifecycle",
    "ModelType": "rules.lifecycle",
    "ModelVersion": "types.versions",
    "Operation": "operations.base",
    "Principal": "types.principals",
    "PrincipalKind": "rules.access",
    "RegisteredModel": "types.models",
    "RegistryConfig": "config",
    "RegistryError": "errors",
    "Replaced": "rules.lifecycle",
    "Role": "rules.access",
    "ServeStale": "staleness",
    "Signature": "types.versions",
}

__all__ = [
    "Alias",
    "AsyncHttpRegistry",
    "AsyncModelRegistry",
    "Cache",
    "FailClosed",
    "FieldSpec",
    "FileEntry",
    "Grant",
    "HttpRegistry",
    "KeepLastGood",
    "Lineage",
    "LocalVersion",
    "Manifest",
    "ModelRegistry",
    "ModelStage",
    "ModelType",
    "ModelVersion",
    "Operation",
    "Principal",
    "PrincipalKind",
    "RegisteredModel",
    "RegistryConfig",
    "RegistryError",
    "Replaced",
    "Role",
    "ServeStale",
    "Signature",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
