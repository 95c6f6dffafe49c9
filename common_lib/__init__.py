"""The public names of the client library. Each name is imported only when it is first used.

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
    from common_lib.client.resilience import CircuitState
    from common_lib.client.telemetry import Telemetry
    from common_lib.config import BreakerRules, RegistryConfig, ResolveRules
    from common_lib.errors import *
    from common_lib.operations.base import Answer, Operation, Sink, Source
    from common_lib.operations.versions import Resolution
    from common_lib.registry import AsyncModelRegistry, ModelRegistry
    from common_lib.rules.access import PrincipalKind, Role
    from common_lib.rules.artifacts import Presence
    from common_lib.rules.collection import Collection
    from common_lib.rules.comparison import Change, Difference, Part, VersionDiff
    from common_lib.rules.lifecycle import ModelStage, ModelType, OnRecall, Replaced, Verdict
    from common_lib.rules.production import Decision, InProduction, StageChange, Winner
    from common_lib.rules.promotion import Check, Direction, Finding
    from common_lib.rules.uploads import Upload
    from common_lib.rules.windows import Weekday
    from common_lib.staleness import FailClosed, KeepLastGood, Provenance, ServeStale, Staleness
    from common_lib.types.aliases import Alias
    from common_lib.types.approvals import Approval
    from common_lib.types.artifacts import Blob, FileEntry, Manifest, Verification
    from common_lib.types.base import Page, Tombstone
    from common_lib.types.events import Event
    from common_lib.types.models import RegisteredModel
    from common_lib.types.policies import ChangeHours, ChangeWindows, MetricRule, Policy, PromotionRules
    from common_lib.types.principals import Grant, IssuedToken, Principal, Token
    from common_lib.types.versions import FieldSpec, Lineage, ModelVersion, Recall, Signature

# For each module, the public names that it defines.
_MODULES = {
    "artifacts.cache": "Cache",
    "artifacts.local_version": "LocalVersion",
    "client.async_http_registry": "AsyncHttpRegistry",
    "client.http_registry": "HttpRegistry",
    "client.resilience": "CircuitState",
    "client.telemetry": "Telemetry",
    "config": "BreakerRules RegistryConfig ResolveRules",
    "errors": (
        "AliasNotFound AlreadyDecided AlreadyExists AnswerTimedOut Attempt BlobDamaged BlobNotFound BytesMissing "
        "CircuitOpen Conflict ConnectionFailed DeadlineExceeded DecisionNotAllowed DigestMismatch FileNotFound "
        "Forbidden FormatRefused IdempotencyKeyReused IllegalTransition InUse InvalidConfiguration InvalidRequest "
        "LibraryMissing LoadRefused LocalDiskFailed ModelNotFound NoSafeFormat NotCached NotFound "
        "NothingToReturnTo PolicyNotMet PrincipalNotFound ProductionChanged ProtocolError RateLimited "
        "RegistryClosed RegistryError RegistryUnavailable RequestInFlight RequestRefused RevisionMismatch "
        "RevisionRequired ServerFailed TokenNotFound Tombstoned TooLarge TooManyCalls Unauthenticated "
        "UploadNotFound UploadOutOfStep VersionNotFound VersionRecalled "
    ),
    "operations.base": "Answer Operation Sink Source",
    "operations.versions": "Resolution",
    "registry": "AsyncModelRegistry ModelRegistry",
    "rules.access": "PrincipalKind Role",
    "rules.artifacts": "Presence",
    "rules.collection": "Collection",
    "rules.comparison": "Change Difference Part VersionDiff",
    "rules.lifecycle": "ModelStage ModelType OnRecall Replaced Verdict",
    "rules.production": "Decision InProduction StageChange Winner",
    "rules.promotion": "Check Direction Finding",
    "rules.uploads": "Upload",
    "rules.windows": "Weekday",
    "staleness": "FailClosed KeepLastGood Provenance ServeStale Staleness",
    "types.aliases": "Alias",
    "types.approvals": "Approval",
    "types.artifacts": "Blob FileEntry Manifest Verification",
    "types.base": "Page Tombstone",
    "types.events": "Event",
    "types.models": "RegisteredModel",
    "types.policies": "ChangeHours ChangeWindows MetricRule Policy PromotionRules",
    "types.principals": "Grant IssuedToken Principal Token",
    "types.versions": "FieldSpec Lineage ModelVersion Recall Signature",
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names.split()}

# fmt: off
__all__ = [
    "Alias", "AliasNotFound", "AlreadyDecided", "AlreadyExists", "Answer", "AnswerTimedOut", "Approval",
    "AsyncHttpRegistry", "AsyncModelRegistry", "Attempt", "Blob", "BlobDamaged", "BlobNotFound", "BreakerRules",
    "BytesMissing", "Cache", "Change", "ChangeHours", "ChangeWindows", "Check", "CircuitOpen", "CircuitState",
    "Collection", "Conflict", "ConnectionFailed", "DeadlineExceeded", "Decision", "DecisionNotAllowed", "Difference",
    "DigestMismatch", "Direction", "Event", "FailClosed", "FieldSpec", "FileEntry", "FileNotFound", "Finding",
    "Forbidden", "FormatRefused", "Grant", "HttpRegistry", "IdempotencyKeyReused", "IllegalTransition", "InProduction",
    "InUse", "InvalidConfiguration", "InvalidRequest", "IssuedToken", "KeepLastGood", "LibraryMissing", "Lineage",
    "LoadRefused", "LocalDiskFailed", "LocalVersion", "Manifest", "MetricRule", "ModelNotFound", "ModelRegistry",
    "ModelStage", "ModelType", "ModelVersion", "NoSafeFormat", "NotCached", "NotFound", "NothingToReturnTo", "OnRecall",
    "Operation", "Page", "Part", "Policy", "PolicyNotMet", "Presence", "Principal", "PrincipalKind",
    "PrincipalNotFound", "ProductionChanged", "PromotionRules", "ProtocolError", "Provenance", "RateLimited", "Recall",
    "RegisteredModel", "RegistryClosed", "RegistryConfig", "RegistryError", "RegistryUnavailable", "Replaced",
    "RequestInFlight", "RequestRefused", "Resolution", "ResolveRules", "RevisionMismatch", "RevisionRequired", "Role",
    "ServeStale", "ServerFailed", "Signature", "Sink", "Source", "StageChange", "Staleness", "Telemetry", "Token",
    "TokenNotFound", "Tombstone", "Tombstoned", "TooLarge", "TooManyCalls", "Unauthenticated", "Upload",
    "UploadNotFound", "UploadOutOfStep", "Verdict", "Verification", "VersionDiff", "VersionNotFound", "VersionRecalled",
    "Weekday", "Winner",
]
# fmt: on


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
