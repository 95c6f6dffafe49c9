"""The work of the four services in the demo, done with their adapters.

These functions return results and do not print.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from adapters import Analysis, Integration, Strategy, Workbench
from adapters.analysis import ProductionModel
from common_lib import Alias, Cache, FieldSpec, ModelRegistry, ModelStage, ModelType, ModelVersion, Signature
from common_lib.errors import RequestRefused
from common_lib.rules.promotion import Direction
from common_lib.types.events import Event
from common_lib.types.policies import MetricRule, PromotionRules
from registry_server.demo.data import Rates, next_row
from registry_server.demo.training import DIRECTION, VOLATILITY, Prediction, TrainedVersion, predict, save, train_all

_CHAMPION: Final = "champion"
_FILE: Final = "model.skops"
_MARKET: Final = {"market": "EUR/USD"}
_SEED: Final = 20230101


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model of the demo; the smaller the `loss` of a version, the better it is."""

    type: ModelType
    question: str
    output: FieldSpec
    metric: str
    loss: Callable[[Mapping[str, float]], float]


MODELS: Final = {
    DIRECTION: ModelSpec(
        ModelType.CLASSIFICATION,
        "Is EUR/USD higher on the next trading day than today?",
        FieldSpec(name="probability_higher", dtype="float64"),
        "accuracy",
        lambda metrics: 1 - metrics["accuracy"],
    ),
    VOLATILITY: ModelSpec(
        ModelType.FORECASTING,
        "How far does EUR/USD move on the next trading day?",
        FieldSpec(name="log_absolute_return", dtype="float64"),
        "rmse",
        lambda metrics: metrics["rmse"],
    ),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that the registry refused, and its error."""

    attempt: str
    error: RequestRefused


@dataclass(frozen=True, slots=True)
class Promotion:
    """A promotion by integration, and all versions of the model after it."""

    version: ModelVersion
    reason: str
    alias: Alias
    versions: tuple[ModelVersion, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """The prediction of a production model, loaded from verified files, for the next trading day."""

    version: ModelVersion
    prediction: Prediction


def register(workbench: Workbench, rates: Rates, folder: Path) -> list[ModelVersion]:
    """Train all versions of both models, save them with skops, and register them with metrics and lineage."""
    for name, spec in MODELS.items():
        workbench.ensure_model(name, spec.type, description=spec.question, tags=_MARKET)
    versions: list[ModelVersion] = []
    for trained in train_all(rates, seed=_SEED):
        parent = versions[-1].reference if versions and versions[-1].model == trained.model else None
        file = folder / str(len(versions)) / _FILE
        file.parent.mkdir(parents=True)
        save(trained.estimator, file)
        versions.append(_log(workbench, trained, file, parent))
    return versions


def request_promotions(workbench: Workbench, versions: Iterable[ModelVersion]) -> list[ModelVersion]:
    """Move the best two versions of each model to staging."""
    chosen = [version for _, of_model in groupby(versions, key=_model) for version in _worst_first(of_model)[-2:]]
    return [workbench.request_promotion(version, reason=_figure(version)) for version in chosen]


def set_policies(admin: ModelRegistry) -> None:
    """Set a policy for each model: a version must not be worse than the one in production on the model's metric."""
    for name, spec in MODELS.items():
        direction = Direction.AT_LEAST if spec.metric == "accuracy" else Direction.AT_MOST
        rules = PromotionRules(metrics=[MetricRule(metric=spec.metric, direction=direction)])
        admin.policies.put(name, rules, reason=f"{spec.metric} must not get worse", revision=1)


def promote_without_right(workbench: Workbench, version: ModelVersion) -> Refusal:
    """Try to promote a version as the workbench that registered it and lacks the right; return the refusal."""
    try:
        workbench.versions.transition(
            version.model, version.version, ModelStage.PRODUCTION, reason="it is mine", revision=version.revision
        )
    except RequestRefused as error:
        return Refusal(f"workbench promotes its own {version.model} v{version.version}", error)
    raise AssertionError("the registry allowed the workbench to promote a version, without the right to promote")


async def promote_unstaged(integration: Integration) -> Refusal:
    """Try to promote a version that never was in staging, as integration; return the refusal."""
    fresh = await integration.resolve(f"models:/{DIRECTION}/{ModelStage.DEVELOPMENT}")
    try:
        await integration.promote(fresh, reason="it cannot wait")
    except RequestRefused as error:
        return Refusal(f"alice promotes {fresh.model} v{fresh.version} past staging", error)
    raise AssertionError("the registry let a version past staging")


async def promote(integration: Integration) -> list[Promotion]:
    """Promote the two candidates of each model. The better candidate is promoted last, so it replaces the other one."""
    done = []
    for name in MODELS:
        incumbent = None
        for candidate in _worst_first(await integration.candidates(name)):
            reason = _reason(candidate, incumbent)
            incumbent = await integration.promote(candidate, reason=reason)
            alias = await integration.point(_CHAMPION, incumbent, reason="follows production")
            versions = tuple([version async for version in integration.versions.search(name, order="version")])
            done.append(Promotion(incumbent, reason, alias, versions))
    return done


async def production_models(analysis: Analysis) -> list[ProductionModel]:
    """Return the production models of this market."""
    return await analysis.production_models(tags=_MARKET)


def forecast(strategy: Strategy, rates: Rates, cache: Cache) -> list[Forecast]:
    """Let the production version of each model predict the trading day after the newest rate."""
    return [_forecast(strategy, name, rates, cache) for name in MODELS]


def audit(registry: ModelRegistry) -> list[Event]:
    """Return the whole event log."""
    log = registry.events.after(0)
    while page := registry.events.after(int(log[-1].sequence)):
        log += page
    return log


def has_skill(version: ModelVersion) -> bool:
    """Return whether a version has skill, according to the verdict that its training has written to its description."""
    return not version.description.startswith("No skill")


def _log(workbench: Workbench, trained: TrainedVersion, file: Path, parent: str | None) -> ModelVersion:
    inputs = [FieldSpec(name=name, dtype="float64") for name in trained.feature_names]
    return workbench.log_version(
        trained.model,
        file,
        framework="scikit-learn",
        metrics=trained.metrics,
        parameters=trained.parameters | {"trained_through": trained.trained_through.isoformat()},
        signature=Signature(inputs=inputs, outputs=[MODELS[trained.model].output]),
        data_digest=f"sha256:{trained.data_digest}",
        parent=parent,
        description=trained.verdict,
    )


def _forecast(strategy: Strategy, name: str, rates: Rates, cache: Cache) -> Forecast:
    version = strategy.resolve(f"models:/{name}/production")
    signature = version.signature
    if signature is None:
        raise ValueError(f"{version.reference} has no signature; register it with the names of its inputs")
    # The names of the inputs come from the registry: strategy execution does not import the training code.
    row = next_row([spec.name for spec in signature.inputs], rates)
    # Only types that skops itself trusts are loaded.
    estimator = strategy.load(version.reference, cache=cache, trusted_types=())
    return Forecast(version, predict(name, estimator, row))


def _model(version: ModelVersion) -> str:
    return version.model


def _worst_first(versions: Iterable[ModelVersion]) -> list[ModelVersion]:
    return sorted(versions, key=lambda version: MODELS[version.model].loss(version.metrics), reverse=True)


def _figure(version: ModelVersion) -> str:
    metric = MODELS[version.model].metric
    return f"{metric} {version.metrics[metric]:.3f}"


def _reason(candidate: ModelVersion, incumbent: ModelVersion | None) -> str:
    if incumbent is None:
        return f"first, with {_figure(candidate)}"
    return f"{_figure(candidate)}; v{incumbent.version}: {_figure(incumbent)}"
