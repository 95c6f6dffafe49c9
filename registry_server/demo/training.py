"""Two registered models of EUR/USD, three versions each, trained on daily rates and evaluated on held-out days.

`eurusd-direction` predicts whether the next trading day's rate is higher than today's, by logistic regression;
`eurusd-volatility` forecasts the log of the next day's absolute log return, by ridge regression. A version is fitted
only on the rates before `HOLDOUT_FROM`; all days from then on are the holdout. The recipes differ in their kind of
input. They were not selected by their score on the holdout: after such a selection the score would be too good.
"""

import datetime as dt
import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from registry_server.demo.data import FeatureRow, Floats, Rates, as_date, feature_matrix, log_moves, log_returns

DIRECTION: Final = "eurusd-direction"
VOLATILITY: Final = "eurusd-volatility"
HOLDOUT_FROM: Final = dt.date(2023, 1, 1)
_COIN: Final = 0.5
_ERRORS: Final = 2  # standard errors for a significant difference: about 95 % if the days are independent
_BASELINES: Final = {
    "naive": "the last value",
    "training_mean": "the mean of the training days",
    "holdout_mean": "the mean of the holdout",
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """The recipe of a version: model, names of the features, and L2 penalty (`alpha` of Ridge, 1/`C` if logistic)."""

    model: str
    features: tuple[str, ...]
    penalty: float


RECIPES: Final = (
    Recipe(DIRECTION, ("log_return_1",), 1.0),
    Recipe(DIRECTION, ("log_return_1", "log_return_5", "log_return_22"), 1.0),
    Recipe(
        DIRECTION, ("log_return_1", "log_return_5", "log_return_22", "log_volatility_5", "log_volatility_22"), 100.0
    ),
    Recipe(VOLATILITY, ("log_volatility_1",), 1.0),
    Recipe(VOLATILITY, ("log_volatility_1", "log_volatility_5", "log_volatility_22"), 1.0),
    Recipe(VOLATILITY, ("log_volatility_1", "log_volatility_5", "log_volatility_22", "log_volatility_66"), 1.0),
)


@dataclass(frozen=True, slots=True, eq=False)
class TrainedVersion:
    """A fitted estimator with the metadata to register.

    `data_digest` is the SHA-256 of the training inputs and targets as little-endian doubles, row by row. It may differ
    on another processor, which may round logarithms differently. `trained_through` is the day of the newest rate that
    influenced the fit.
    """

    model: str
    estimator: Pipeline
    feature_names: tuple[str, ...]
    parameters: dict[str, str | int | float | bool]
    metrics: dict[str, float]
    data_digest: str
    trained_through: dt.date
    verdict: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """A prediction for the first trading day after `as_of`: a `value` in the unit of the model, and a sentence.

    The unit is the probability of a higher rate (`eurusd-direction`) or the log of the absolute log return.
    """

    model: str
    as_of: dt.date
    value: float
    statement: str


@dataclass(frozen=True, slots=True)
class _Examples:
    """Aligned rows: inputs of day t, today's outcome (the naive forecast), and outcome and date of day t+1."""

    inputs: Floats
    today: Floats
    targets: Floats
    target_dates: NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class _Task:
    """The functions that differ between the two models."""

    outcome: Callable[[Floats], Floats]
    solver: Callable[[float, int], LogisticRegression | Ridge]
    score: Callable[[Pipeline, _Examples, _Examples], dict[str, float]]
    verdict: Callable[[Mapping[str, float]], str]
    predict: Callable[[Pipeline, Floats], float]
    statement: Callable[[float], str]


def train_all(rates: Rates, *, seed: int) -> tuple[TrainedVersion, ...]:
    """Train all six versions, in the order of `RECIPES`, in well under a second."""
    return tuple(train(recipe, rates, seed=seed) for recipe in RECIPES)


def train(recipe: Recipe, rates: Rates, *, seed: int) -> TrainedVersion:
    """Fit one version on the rates before `HOLDOUT_FROM`, and score it on the days from then on.

    The same rates and seed give the same coefficients. These solvers use no random numbers; the seed is passed on and
    recorded for solvers that use them.
    """
    task = _TASKS[recipe.model]
    past = _examples(recipe, rates.before(HOLDOUT_FROM), since=dt.date.min)
    holdout = _examples(recipe, rates, since=HOLDOUT_FROM)
    estimator = make_pipeline(StandardScaler(), task.solver(recipe.penalty, seed)).fit(past.inputs, past.targets)
    metrics = task.score(estimator, past, holdout)
    return TrainedVersion(
        model=recipe.model,
        estimator=estimator,
        feature_names=recipe.features,
        parameters={
            "estimator": type(estimator[-1]).__name__,
            "penalty": recipe.penalty,
            "seed": seed,
            "holdout_from": HOLDOUT_FROM.isoformat(),
            "training_n": len(past.targets),
        },
        metrics=metrics,
        data_digest=hashlib.sha256(np.column_stack([past.inputs, past.targets]).astype("<f8").tobytes()).hexdigest(),
        trained_through=as_date(past.target_dates[-1]),
        verdict=task.verdict(metrics),
    )


def predict(model: str, estimator: Pipeline, row: FeatureRow) -> Prediction:
    """Predict the day after `row.as_of` with `estimator`, a version of `model`."""
    task = _TASKS[model]
    value = task.predict(estimator, np.array([row.values]))
    return Prediction(model, row.as_of, value, f"{task.statement(value)} on the first trading day after {row.as_of}.")


def save(estimator: Pipeline, path: Path) -> None:
    """Save the estimator as one skops file, which contains data and names of types, but no code."""
    skops.io.dump(estimator, path)


def direction_verdict(metrics: Mapping[str, float]) -> str:
    """Return the verdict on a classifier.

    It has skill if its accuracy is above the best naive rule, and more than two standard errors above a coin.
    """
    accuracy, error = metrics["accuracy"], metrics["accuracy_standard_error"]
    rules = {"always down": metrics["always_down_accuracy"], "as yesterday": metrics["yesterday_accuracy"]}
    best = max(rules, key=lambda rule: rules[rule])
    beaten, above = accuracy > rules[best], accuracy - _COIN > _ERRORS * error
    near = abs(accuracy - _COIN) <= _ERRORS * error
    place = "within" if near else "more than"
    side = "of" if near else "above" if above else "below"
    return (
        f"{'Some skill' if above and beaten else 'No skill'}: accuracy {accuracy:.3f} ± {error:.3f} on "
        f"{metrics['holdout_n']:.0f} held-out days is {place} {_ERRORS} standard errors {side} a coin"
        f"{' and' if above == beaten else ', though'} {'better' if beaten else 'not better'} than the best naive rule, "
        f"“{best}” ({rules[best]:.3f})."
    )


def volatility_verdict(metrics: Mapping[str, float]) -> str:
    """Return the verdict on a forecast, which has skill if it beats the last value and the mean of the training days.

    It beats another forecast if its mean squared error is lower by more than two standard errors of the difference.
    The metrics `<baseline>_t` are these differences, in standard errors. Source: F. X. Diebold and R. S. Mariano,
    "Comparing Predictive Accuracy", Journal of Business & Economic Statistics 13(3), 1995, for one step ahead.
    """
    comparisons = []
    for key, name in _BASELINES.items():
        t = metrics[f"{key}_t"]
        verb = "beats" if t > _ERRORS else "is worse than" if t < -_ERRORS else "does not clearly beat"
        comparisons.append(f"{verb} {name} ({metrics[f'{key}_rmse']:.3f})")
    skill = min(metrics["naive_t"], metrics["training_mean_t"]) > _ERRORS
    return (
        f"{'Some skill' if skill else 'No skill'}: RMSE {metrics['rmse']:.3f} on {metrics['holdout_n']:.0f} held-out "
        f"days {', '.join(comparisons[:-1])} and {comparisons[-1]}, which is known only afterwards."
    )


def _examples(recipe: Recipe, rates: Rates, *, since: dt.date) -> _Examples:
    inputs = feature_matrix(recipe.features, rates)[:-1]
    outcomes = _TASKS[recipe.model].outcome(log_returns(rates))
    today = np.concatenate([[np.nan], outcomes[:-1]])
    usable = np.isfinite(inputs).all(axis=1) & np.isfinite(today) & (rates.dates[1:] >= np.datetime64(since, "D"))
    return _Examples(inputs[usable], today[usable], outcomes[usable], rates.dates[1:][usable])


def _score_direction(estimator: Pipeline, _past: _Examples, holdout: _Examples) -> dict[str, float]:
    higher = holdout.targets == 1
    probability = np.asarray(estimator.predict_proba(holdout.inputs)[:, 1])
    accuracy = float(np.mean((probability > _COIN) == higher))
    return {
        "accuracy": accuracy,
        "accuracy_standard_error": math.sqrt(accuracy * (1 - accuracy) / len(higher)),
        "always_down_accuracy": float(np.mean(~higher)),
        "yesterday_accuracy": float(np.mean((holdout.today == 1) == higher)),
        "log_loss": float(-np.mean(np.log(np.where(higher, probability, 1 - probability)))),
        "coin_log_loss": math.log(2),
        "holdout_n": float(len(higher)),
    }


def _score_volatility(estimator: Pipeline, past: _Examples, holdout: _Examples) -> dict[str, float]:
    truth = holdout.targets
    squares = (np.asarray(estimator.predict(holdout.inputs)) - truth) ** 2
    metrics = {"rmse": math.sqrt(squares.mean()), "holdout_n": float(len(truth))}
    # The mean of the holdout is the best constant forecast there, but it is known only afterwards.
    forecasts = {"naive": holdout.today, "training_mean": past.targets.mean(), "holdout_mean": truth.mean()}
    for key, forecast in forecasts.items():
        theirs = (forecast - truth) ** 2
        gain = theirs - squares
        metrics[f"{key}_rmse"] = math.sqrt(theirs.mean())
        metrics[f"{key}_t"] = float(gain.mean() / (gain.std(ddof=1) / math.sqrt(len(gain))))
    return metrics


_TASKS: Final = {
    DIRECTION: _Task(
        outcome=lambda returns: (returns > 0).astype(np.float64),
        solver=lambda penalty, seed: LogisticRegression(C=1 / penalty, random_state=seed),
        score=_score_direction,
        verdict=direction_verdict,
        predict=lambda estimator, inputs: float(estimator.predict_proba(inputs)[0, 1]),
        statement=lambda value: f"EUR/USD is higher with probability {value:.3f}",
    ),
    VOLATILITY: _Task(
        outcome=log_moves,
        solver=lambda penalty, seed: Ridge(alpha=penalty, random_state=seed),
        score=_score_volatility,
        verdict=volatility_verdict,
        predict=lambda estimator, inputs: float(estimator.predict(inputs)[0]),
        statement=lambda value: f"EUR/USD moves by {math.exp(value):.2%} (geometric mean)",
    ),
}
