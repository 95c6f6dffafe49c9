"""The demo's models learn from the past only, report their skill honestly, and are stored as skops files."""

import datetime as dt
import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.preprocessing import FunctionTransformer
from skops.io.exceptions import UntrustedTypesFoundException

from registry_server.demo.data import FeatureRow, Rates, euro_rates, feature_matrix, next_row
from registry_server.demo.training import (
    DIRECTION,
    HOLDOUT_FROM,
    RECIPES,
    VOLATILITY,
    Recipe,
    TrainedVersion,
    direction_verdict,
    predict,
    save,
    train,
    train_all,
    volatility_verdict,
)

SEED = 20230101
FEATURES = sorted({name for recipe in RECIPES for name in recipe.features})


def random_walk(days: int) -> Rates:
    """Return a synthetic rate with moves of half a percent on every weekday from 2020 on."""
    moves = np.random.default_rng(SEED).normal(0, 0.005, days)
    return Rates(np.busday_offset("2020-01-01", np.arange(days), roll="forward"), 1.1 * np.exp(np.cumsum(moves)))


def tampered(rates: Rates, chosen: NDArray[np.bool_], factors: NDArray[np.float64]) -> Rates:
    """Return the same rates, multiplied by one factor each on the chosen days."""
    values = rates.values.copy()
    values[chosen] *= factors
    return Rates(rates.dates, values)


def coefficients(version: TrainedVersion) -> list[NDArray[np.float64]]:
    """Return everything that was fitted: the scaler's mean and scale, the coefficients and the intercept."""
    scaler, solver = version.estimator[0], version.estimator[-1]
    return [scaler.mean_, scaler.scale_, np.ravel(solver.coef_), np.ravel(solver.intercept_)]


@pytest.fixture(scope="module")
def rates() -> Rates:
    """Provide the real rates."""
    return euro_rates("USD")


@pytest.fixture(scope="module")
def versions(rates: Rates) -> tuple[TrainedVersion, ...]:
    """Provide the six versions of the real rates."""
    return train_all(rates, seed=SEED)


def test_rates_begin_with_the_euro_in_time_order(rates: Rates) -> None:
    """The first rate is 1.1789 dollars on 4 January 1999; weekends and Christmas have none."""
    assert (rates.dates[0], rates.values[0]) == (np.datetime64("1999-01-04"), 1.1789)
    assert np.all(np.is_busday(rates.dates))
    assert np.datetime64("2023-12-25") not in rates.dates
    assert rates.last_date > HOLDOUT_FROM


def test_an_unknown_currency_is_refused_by_name() -> None:
    """The error names the requested currency and the available ones."""
    with pytest.raises(ValueError, match=r"'XYZ'.*USD, JPY"):
        euro_rates("XYZ")


@pytest.mark.parametrize(
    ("dates", "values"),
    [
        (["2024-01-02", "2024-01-02"], [1.0, 1.0]),
        (["2024-01-03", "2024-01-02"], [1.0, 1.0]),
        (["2024-01-02", "2024-01-03"], [1.0, math.nan]),
        (["2024-01-02", "2024-01-03"], [1.0, 0.0]),
        (["2024-01-02", "2024-01-03"], [1.0]),
    ],
)
def test_rates_out_of_order_or_not_positive_are_refused(dates: list[str], values: list[float]) -> None:
    """A repeated day, a day out of order, a missing, a zero and a superfluous rate are errors, not data."""
    with pytest.raises(ValueError, match=r"; (sort|leave|give)"):
        Rates(np.array(dates, dtype="datetime64[D]"), np.array(values))


def test_features_are_computed_as_their_names_say() -> None:
    """A return over 2 days is the log of the ratio; a volatility is the log of the root mean square return."""
    rates = Rates(np.arange("2024-01-01", "2024-01-04", dtype="datetime64[D]"), np.array([1.0, 1.1, 1.21]))
    matrix = feature_matrix(["log_return_2", "log_volatility_2"], rates)
    assert np.isnan(matrix[:2]).all()
    assert matrix[2] == pytest.approx([math.log(1.21), math.log(math.log(1.1))])


@pytest.mark.parametrize("name", ["log_return_0", "log_return_-1", "log_return_", "return_1", "", "log_return_1\n"])
def test_an_unknown_feature_is_refused_by_name(name: str) -> None:
    """The error lists the available features."""
    with pytest.raises(ValueError, match=re.escape(repr(name)) + ".*log_return_<days>"):
        feature_matrix([name], random_walk(30))


def test_too_few_rates_for_a_feature_are_refused() -> None:
    """A return over 22 days needs 23 rates."""
    with pytest.raises(ValueError, match="needs 23 rates, there are 22"):
        next_row(["log_return_22"], random_walk(22))


@settings(deadline=None)
@given(st.integers(1, 98), st.lists(st.floats(0.5, 2.0), min_size=100, max_size=100))
def test_later_rates_never_change_earlier_features(day: int, factors: list[float]) -> None:
    """Features of a day are the same bits for any later rates."""
    rates = random_walk(100)
    later = np.arange(100) > day
    changed = tampered(rates, later, np.array(factors)[later])
    before = feature_matrix(FEATURES, rates)[: day + 1]
    after = feature_matrix(FEATURES, changed)[: day + 1]
    assert before.tobytes() == after.tobytes()


@pytest.mark.parametrize("names", [recipe.features for recipe in RECIPES])
def test_the_prediction_uses_the_same_features_as_the_training(names: tuple[str, ...], rates: Rates) -> None:
    """A strategy that knows the rates of a day gets the inputs of the full table for that day."""
    past = rates.before(dt.date(2024, 7, 1))
    row = next_row(names, past)
    assert row == FeatureRow(dt.date(2024, 6, 28), names, tuple(feature_matrix(names, rates)[len(past) - 1].tolist()))


@settings(deadline=None, max_examples=10)
@given(st.sampled_from(RECIPES), st.integers(0, 2**32 - 1))
def test_holdout_rates_never_change_the_fitted_model(recipe: Recipe, noise: int) -> None:
    """Scaler, coefficients, digest and last training day are the same bits for any rates from 2023 on."""
    rates = random_walk(1_000)
    holdout = rates.dates >= np.datetime64(HOLDOUT_FROM, "D")
    factors = np.random.default_rng(noise).uniform(0.5, 2.0, holdout.sum())
    honest, changed = (train(recipe, each, seed=SEED) for each in (rates, tampered(rates, holdout, factors)))
    for ours, theirs in zip(coefficients(honest), coefficients(changed), strict=True):
        assert ours.tobytes() == theirs.tobytes()
    assert (honest.data_digest, honest.trained_through) == (changed.data_digest, changed.trained_through)
    assert honest.metrics != changed.metrics


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: f"{recipe.model}-{len(recipe.features)}")
def test_the_training_ends_with_the_last_rate_before_the_holdout(recipe: Recipe) -> None:
    """Another rate on that day changes the digest."""
    rates = random_walk(1_000)
    honest = train(recipe, rates, seed=SEED)
    last = rates.dates == np.datetime64(honest.trained_through, "D")
    assert honest.trained_through == dt.date(2022, 12, 30)
    assert train(recipe, tampered(rates, last, np.array([2.0])), seed=SEED).data_digest != honest.data_digest


def test_the_demo_trains_two_models_of_three_versions(versions: tuple[TrainedVersion, ...]) -> None:
    """Each version has its own inputs and training data, and finite metrics."""
    assert [version.model for version in versions] == [DIRECTION] * 3 + [VOLATILITY] * 3
    assert len({(version.model, version.feature_names) for version in versions}) == 6
    assert len({version.data_digest for version in versions}) == 6
    for version in versions:
        assert all(math.isfinite(value) for value in version.metrics.values())
        assert re.fullmatch("[0-9a-f]{64}", version.data_digest)
        assert version.parameters["seed"] == SEED


def test_training_twice_gives_the_same_version(rates: Rates, versions: tuple[TrainedVersion, ...]) -> None:
    """The same rates and seed give the same coefficients, digest and figures."""
    for first, second in zip(versions, train_all(rates, seed=SEED), strict=True):
        assert first.data_digest == second.data_digest
        assert first.metrics == second.metrics
        assert all(a.tobytes() == b.tobytes() for a, b in zip(coefficients(first), coefficients(second), strict=True))


def test_metrics_of_direction_agree_with_an_independent_count(
    rates: Rates, versions: tuple[TrainedVersion, ...]
) -> None:
    """Accuracy and naive rules are shares of the holdout days, counted one by one."""
    version = versions[0]
    higher = np.diff(rates.values, prepend=np.inf) > 0
    days = range(len(rates.before(HOLDOUT_FROM)), len(rates))
    rows = feature_matrix(version.feature_names, rates)
    right = [(predict(DIRECTION, version.estimator, _row(rows[t - 1])).value > 0.5) == higher[t] for t in days]
    assert version.metrics["holdout_n"] == len(days)
    assert version.metrics["accuracy"] == pytest.approx(np.mean(right))
    assert version.metrics["always_down_accuracy"] == pytest.approx(np.mean([not higher[t] for t in days]))
    assert version.metrics["yesterday_accuracy"] == pytest.approx(np.mean([higher[t] == higher[t - 1] for t in days]))


def test_metrics_of_volatility_agree_with_an_independent_sum(
    rates: Rates, versions: tuple[TrainedVersion, ...]
) -> None:
    """The errors are those of the forecast, of today's value and of the holdout's own mean."""
    version = versions[4]
    truth = feature_matrix(["log_volatility_1"], rates)[:, 0]
    holdout = np.arange(len(rates.before(HOLDOUT_FROM)), len(rates))
    rows = feature_matrix(version.feature_names, rates)
    forecast = [predict(VOLATILITY, version.estimator, _row(rows[t - 1])).value for t in holdout]
    assert version.metrics["rmse"] == pytest.approx(np.sqrt(np.mean((truth[holdout] - forecast) ** 2)))
    assert version.metrics["naive_rmse"] == pytest.approx(np.sqrt(np.mean((truth[holdout] - truth[holdout - 1]) ** 2)))
    assert version.metrics["holdout_mean_rmse"] == pytest.approx(np.std(truth[holdout]))


def test_verdicts_follow_from_the_metrics(versions: tuple[TrainedVersion, ...]) -> None:
    """The sentence of a version is computed from its metrics."""
    for version in versions:
        verdict = direction_verdict if version.model == DIRECTION else volatility_verdict
        assert version.verdict == verdict(version.metrics)


@pytest.mark.parametrize(
    ("accuracy", "always_down", "words"),
    [
        (0.49, 0.51, "No skill: accuracy 0.490 ± 0.016 on 979 held-out days is within 2 standard errors of a coin and"),
        (
            0.52,
            0.51,
            "within 2 standard errors of a coin, though better than the best naive rule, “always down” (0.510)",
        ),
        (0.52, 0.49, "within 2 standard errors of a coin, though better than the best naive rule, “as yesterday” (0.5"),
        (0.40, 0.51, "more than 2 standard errors below a coin and not better than the best naive rule, “always down”"),
        (0.60, 0.70, "more than 2 standard errors above a coin, though not better than the best naive rule"),
        (0.60, 0.51, "Some skill: accuracy 0.600 ± 0.016 on 979 held-out days is more than 2 standard errors above a"),
    ],
)
def test_direction_has_skill_only_above_a_coin_and_the_best_naive_rule(
    accuracy: float, always_down: float, words: str
) -> None:
    """Skill needs both; in a falling market, always predicting a fall scores well."""
    error = {"accuracy_standard_error": 0.016, "holdout_n": 979.0}
    naive = {"always_down_accuracy": always_down, "yesterday_accuracy": 0.505}
    verdict = direction_verdict({"accuracy": accuracy, **error, **naive})
    assert words in verdict
    assert verdict.startswith("Some skill") == (accuracy == 0.6 and always_down < 0.6)


@pytest.mark.parametrize(
    ("naive_t", "training_mean_t", "holdout_mean_t", "words"),
    [
        (
            12.0,
            4.5,
            -0.6,
            "Some skill: RMSE 1.120 on 979 held-out days beats the last value (1.590), beats the mean of",
        ),
        (12.0, 4.5, -0.6, "does not clearly beat the mean of the holdout (1.110), which is known only afterwards."),
        (12.0, 1.9, -0.6, "No skill: RMSE 1.120"),
        (-3.0, 4.5, -0.6, "is worse than the last value (1.590)"),
        (12.0, 4.5, 2.1, "and beats the mean of the holdout (1.110)"),
    ],
)
def test_volatility_has_skill_only_against_known_baselines(
    naive_t: float, training_mean_t: float, holdout_mean_t: float, words: str
) -> None:
    """Last value and training mean count; the holdout mean is an oracle and is only reported."""
    gains = {"naive_t": naive_t, "training_mean_t": training_mean_t, "holdout_mean_t": holdout_mean_t}
    errors = {"rmse": 1.12, "naive_rmse": 1.59, "training_mean_rmse": 1.17, "holdout_mean_rmse": 1.11}
    assert words in volatility_verdict({"holdout_n": 979.0, **gains, **errors})


def test_a_prediction_states_its_date_and_meaning(rates: Rates, versions: tuple[TrainedVersion, ...]) -> None:
    """Its date is the last known day; a probability is between 0 and 1; the sentence names the day."""
    for version in versions:
        prediction = predict(version.model, version.estimator, next_row(version.feature_names, rates))
        assert (prediction.model, prediction.as_of) == (version.model, rates.last_date)
        assert prediction.statement.endswith(f"after {rates.last_date}.")
        assert 0 < (prediction.value if version.model == DIRECTION else math.exp(prediction.value)) < 1


def test_a_saved_version_predicts_the_same_without_trusting_any_type(
    tmp_path: Path, rates: Rates, versions: tuple[TrainedVersion, ...]
) -> None:
    """Save and load is a round trip with an empty list of trusted types."""
    for number, version in enumerate(versions):
        path = tmp_path / f"{number}.skops"
        save(version.estimator, path)
        row = next_row(version.feature_names, rates)
        again = skops.io.load(path, trusted=[])
        assert predict(version.model, again, row) == predict(version.model, version.estimator, row)


def test_a_file_with_another_type_is_not_loaded(tmp_path: Path) -> None:
    """Naming the type as trusted loads it."""
    path = tmp_path / "model.skops"
    stranger: Any = FunctionTransformer(func=itertools.count)
    save(stranger, path)
    types = skops.io.get_untrusted_types(file=path)
    with pytest.raises(UntrustedTypesFoundException):
        skops.io.load(path, trusted=[])
    assert isinstance(skops.io.load(path, trusted=list(types)), FunctionTransformer)


def _row(values: NDArray[np.float64]) -> FeatureRow:
    return FeatureRow(dt.date.max, (), tuple(values.tolist()))
