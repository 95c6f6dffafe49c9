"""Code that type checkers must accept with these types; it is only checked and never runs.

An unnecessary ignore is an error too, so each one proves that the type checkers refuse its line.
"""

from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any, assert_type

import httpx

from adapters import Analysis, Integration, Strategy, Workbench
from adapters.analysis import ProductionModel
from adapters.strategy import TradingModel
from common_lib import (
    Alias,
    AsyncHttpRegistry,
    AsyncModelRegistry,
    Grant,
    HttpRegistry,
    KeepLastGood,
    LocalVersion,
    Manifest,
    ModelRegistry,
    ModelStage,
    ModelType,
    ModelVersion,
    Operation,
    Principal,
    PrincipalKind,
    RegisteredModel,
    RegistryConfig,
    Role,
)
from common_lib.errors import Attempt, DigestMismatch, RegistryUnavailable, RequestRefused
from common_lib.operations import models, versions
from common_lib.operations.versions import Resolution
from common_lib.rules.artifacts import Presence
from common_lib.rules.comparison import VersionDiff
from common_lib.rules.fields import Scalar
from common_lib.rules.production import Decision, InProduction, Winner
from common_lib.rules.promotion import Check
from common_lib.rules.uploads import Upload
from common_lib.types.approvals import Approval
from common_lib.types.artifacts import Blob
from common_lib.types.base import Page
from common_lib.types.events import Event
from common_lib.types.policies import Policy, PromotionRules
from common_lib.types.principals import IssuedToken, Token


def results_of_blocking_calls(registry: ModelRegistry) -> None:
    """Infer the result type of each method from its operation."""
    assert_type(registry.models.get("eurusd"), RegisteredModel)
    assert_type(registry.models.create("eurusd", "forecasting"), RegisteredModel)
    assert_type(registry.models.create("eurusd", ModelType.FORECASTING, metadata={"days": 3}), RegisteredModel)
    assert_type(registry.models.update("eurusd", revision=1, owner="fx"), RegisteredModel)
    assert_type(registry.models.tombstone("eurusd", reason="wrong", force=True), RegisteredModel)
    assert_type(registry.versions.get("eurusd", 1), ModelVersion)
    assert_type(registry.versions.resolve("models:/eurusd/production"), ModelVersion)
    assert_type(registry.versions.transition("eurusd", 1, ModelStage.STAGING), ModelVersion)
    assert_type(registry.versions.manifest("eurusd", 1), Manifest)
    assert_type(registry.versions.recall("eurusd", 1, reason="leaks", revision=1), ModelVersion)
    assert_type(registry.versions.reinstate("eurusd", 1, reason="does not", force=True), ModelVersion)
    assert_type(registry.versions.diff("eurusd", 1, 2), VersionDiff)
    assert_type(registry.production.at("eurusd"), InProduction)
    assert_type(registry.production.at("eurusd", "2026-03-01T00:00:00Z"), InProduction)
    assert_type(registry.production.check("eurusd", 1), Check)
    assert_type(registry.production.promote("eurusd", 1, reason="better", replacing=None), ModelVersion)
    assert_type(registry.production.rollback("eurusd", reason="worse", replacing=2), ModelVersion)
    assert_type(registry.approvals.approve("eurusd", 1, reason="sound"), Approval)
    assert_type(registry.approvals.list_of_version("eurusd", 1), list[Approval])
    assert_type(registry.policies.get("eurusd"), Policy)
    assert_type(registry.policies.put("eurusd", PromotionRules(approvals=1), reason="two", revision=1), Policy)
    assert_type(registry.aliases.get("eurusd", "champion"), Alias)
    assert_type(registry.aliases.list_of_model("eurusd"), list[Alias])
    assert_type(registry.artifacts.get_blob("0" * 64), Blob)
    assert_type(registry.artifacts.check_presence(["0" * 64]), Presence)
    assert_type(registry.artifacts.begin_upload("0" * 64, 3), Upload)
    assert_type(registry.events.after(0), list[Event])
    assert_type(registry.principals.whoami(), Principal)
    assert_type(
        registry.principals.create("bot", PrincipalKind.SERVICE, [Grant(role=Role.STRATEGY, models="eurusd-*")]),
        Principal,
    )
    assert_type(registry.principals.issue_token("bot"), IssuedToken)


def flows_are_calls(registry: ModelRegistry) -> None:
    """Call an operation of several requests like any other, on the registry and on its resource."""
    assert_type(registry.resolve("models:/eurusd@champion"), ModelVersion)
    assert_type(registry.register("eurusd", Path("model"), framework="onnx", metrics={"auc": 0.5}), ModelVersion)
    assert_type(registry.fetch("models:/eurusd/1", local_files_only=True), LocalVersion)
    assert_type(registry.download("models:/eurusd/1", "folder"), ModelVersion)


def lists_are_iterators(registry: ModelRegistry) -> None:
    """Infer an iterator of values, not pages, for a search."""
    assert_type(registry.models.search(stage="production", tags={"team": "fx"}), Iterator[RegisteredModel])
    assert_type(registry.versions.search("eurusd"), Iterator[ModelVersion])
    assert_type(registry.production.history("eurusd"), Iterator[Decision])
    assert_type(registry.principals.tokens(), Iterator[Token])
    for model in registry.models.search():
        assert_type(model, RegisteredModel)
        assert_type(model.metadata["days"], Scalar)
        assert_type(model.production_version, int | None)


async def awaited_results_have_the_same_types(registry: AsyncModelRegistry) -> None:
    """Infer the same types for awaited calls of the asynchronous registry."""
    later: Coroutine[Any, Any, RegisteredModel] = registry.models.get("eurusd")
    assert_type(await later, RegisteredModel)
    assert_type(await registry.resolve("models:/eurusd/latest"), ModelVersion)
    assert_type(await registry.production.promote("eurusd", 1, reason="better"), ModelVersion)
    assert_type(registry.production.history("eurusd"), AsyncIterator[Decision])
    assert_type(await registry.register("eurusd", "model", framework="onnx"), ModelVersion)
    assert_type(await registry.download("models:/eurusd/1", "folder"), ModelVersion)
    assert_type(await registry.aliases.list_of_model("eurusd"), list[Alias])
    assert_type(await registry.aliases.delete("eurusd", "champion", force=True, reason="unused"), None)
    assert_type(registry.versions.search("eurusd"), AsyncIterator[ModelVersion])
    async for model in registry.models.search(order="-created_at"):
        assert_type(model, RegisteredModel)


def operations_have_the_type_of_their_result(registry: ModelRegistry) -> None:
    """Infer the result of `call` from the operation, for any registry."""
    assert_type(models.get("eurusd"), Operation[RegisteredModel])
    assert_type(registry.call(models.get("eurusd")), RegisteredModel)
    assert_type(registry.call(versions.search("eurusd")), Page[ModelVersion])
    assert_type(registry.call(versions.search("eurusd")).items, list[ModelVersion])
    assert_type(registry.call(versions.search("eurusd")).next_page_token, str | None)


async def adapters_are_registries(blocking: ModelRegistry, asynchronous: AsyncModelRegistry) -> None:
    """Pass an adapter where a registry is expected, so that adapters can be stacked."""
    workbench = Workbench(blocking)
    strategy = Strategy(workbench, Path("models"))
    analysis = Analysis(Integration(asynchronous))
    assert_type(workbench.ensure_model("eurusd", "forecasting"), RegisteredModel)
    assert_type(workbench.log_version("eurusd", "model", framework="onnx", metrics={}), ModelVersion)
    assert_type(strategy.trading_model("eurusd"), TradingModel)
    assert_type(strategy.models.get("eurusd"), RegisteredModel)
    assert_type(await analysis.production_models(), list[ProductionModel])
    assert_type(await analysis.production_model("eurusd"), Resolution)
    assert_type(strategy.trading_model("eurusd").age_s, float)
    Strategy(workbench, staleness=KeepLastGood())  # type: ignore[call-arg]
    Strategy(workbench, staleness="fail-closed")  # type: ignore[arg-type]
    Workbench(asynchronous)  # type: ignore[arg-type]
    Analysis(blocking)  # type: ignore[arg-type]


def clients_are_context_managers(transport: httpx.MockTransport) -> None:
    """Infer the client itself in a `with` block, and accept one httpx transport for both clients."""
    with HttpRegistry(RegistryConfig(url="http://127.0.0.1:8321"), transport=transport) as registry:
        assert_type(registry, HttpRegistry)
        assert_type(registry.models.get("eurusd"), RegisteredModel)
    AsyncHttpRegistry(transport=transport)
    HttpRegistry("http://127.0.0.1:8321")  # type: ignore[arg-type]
    RegistryConfig("http://127.0.0.1:8321")  # type: ignore[call-arg]


class Recorder(ModelRegistry):
    """A registry whose only own method is `call`, with a checked type."""

    def call(self, operation: Operation[Any]) -> Any:
        """Return the path of an operation without a request."""
        return operation.path


class Incomplete(ModelRegistry):
    """A registry without `call` is abstract."""


def a_registry_is_one_method(anything: Operation[Any]) -> None:
    """Use all methods of a class that implements `call`, and refuse to create one that does not."""
    assert_type(Recorder().models.get("eurusd"), RegisteredModel)
    Recorder().call(anything)
    Incomplete()  # type: ignore[abstract]


def wrong_arguments_are_refused(registry: ModelRegistry) -> None:
    """Refuse missing, superfluous, misnamed and ill-typed arguments."""
    registry.models.get()  # type: ignore[call-arg]
    registry.models.get(7)  # type: ignore[arg-type]
    registry.models.get("eurusd", 1)  # type: ignore[call-arg]
    registry.models.create("eurusd")  # type: ignore[call-arg]
    registry.models.create("eurusd", "forecasting", tags={"team": 7})  # type: ignore[dict-item]
    registry.models.search(order="version")  # type: ignore[arg-type]
    registry.models.search("forecasting")  # type: ignore[call-arg]
    registry.models.tombstone("eurusd", force=True)  # type: ignore[call-arg]
    registry.versions.get("eurusd", "1")  # type: ignore[arg-type]
    registry.versions.transition("eurusd", 1, "staging", revision="1")  # type: ignore[arg-type]
    registry.register("eurusd", "model")  # type: ignore[call-arg]
    registry.register("eurusd", "model", framework="onnx", metrics={"auc": "0.5"})  # type: ignore[dict-item]
    registry.principals.create("bot", "service", [{"role": "strategy", "models": "*"}])  # type: ignore[list-item]
    registry.experiments  # type: ignore[attr-defined]  # noqa: B018 - the attribute does not exist


def values_are_typed(version: ModelVersion, model: RegisteredModel) -> None:
    """Refuse incomplete values, unknown attributes and assignments to a reference."""
    assert_type(version.reference, str)
    assert_type(version.metrics, dict[str, float])
    version.reference = "models:/eurusd/2"  # type: ignore[misc]
    model.digest  # type: ignore[attr-defined]  # noqa: B018 - the attribute does not exist
    Grant()  # type: ignore[call-arg]
    Grant(role=Role.STRATEGY)  # type: ignore[call-arg]
    Grant(role="strategy", models="*")  # type: ignore[arg-type]


def attributes_of_errors_are_typed(refused: RequestRefused, down: RegistryUnavailable, bytes_: DigestMismatch) -> None:
    """Infer the types of the attributes of errors."""
    assert_type(refused.code, str)
    assert_type(refused.field, str | None)
    assert_type(refused.status, int | None)
    assert_type(refused.winner, Winner | None)
    assert_type(down.tried, tuple[Attempt, ...])
    assert_type(bytes_.expected, str)
