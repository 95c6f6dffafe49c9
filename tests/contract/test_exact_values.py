"""Parameters, metadata, metrics, tags and rules: the registry returns exactly the value it got, or refuses it."""

import datetime as dt
import json
import math
import uuid
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from common_lib import ModelRegistry
from common_lib.errors import InvalidRequest
from common_lib.rules.promotion import Direction
from common_lib.types.policies import MetricRule, PromotionRules
from tests.support.steps import version_of

np = pytest.importorskip("numpy")


class Whole(IntEnum):
    """An integer enum."""

    THREE = 3


class Word(StrEnum):
    """A text enum."""

    GINI = "gini"


class Mixed(str, Enum):  # noqa: UP042 - this is what older code has
    """A text whose `str` is another text."""

    RED = "red"


class Loud(str):
    """A text whose `__str__` returns another text."""

    __slots__ = ()

    def __str__(self) -> str:
        return "loud"


class Odd(float):
    """A number of a class that the registry does not know."""

    __slots__ = ()


# What is given, and what comes back.
EXACT: dict[str, tuple[Any, Any]] = {
    "none": (None, None),
    "yes": (True, True),
    "one": (1, 1),
    "one as float": (1.0, 1.0),
    "zero as negative float": (-0.0, -0.0),
    "1e16": (1e16, 1e16),
    "1e22": (1e22, 1e22),
    "1e308": (1e308, 1e308),
    "smallest": (5e-324, 5e-324),
    "a third": (1 / 3, 1 / 3),
    "53 bits and one": (2**53 + 1, 2**53 + 1),
    "63 bits": (2**63 - 1, 2**63 - 1),
    "negative": (-(2**63), -(2**63)),
    "text of a number": ("0.5", "0.5"),
    "text of a word": ("true", "true"),
    "empty": ("", ""),
    "IntEnum": (Whole.THREE, 3),
    "StrEnum": (Word.GINI, "gini"),
    "mixed enum": (Mixed.RED, "red"),
    "subclass of str": (Loud("quiet"), "quiet"),
    "subclass of float": (Odd(0.25), 0.25),
    "np.int64": (np.int64(2**53 + 1), 2**53 + 1),
    "np.int8": (np.int8(-7), -7),
    "np.uint64": (np.uint64(2**63), 2**63),
    "np.bool_": (np.bool_(True), True),
    "np.float32": (np.float32(0.1), float(np.float32(0.1))),
    "np.float16": (np.float16(0.1), float(np.float16(0.1))),
    "np.float64": (np.float64(0.1), 0.1),
    "np.str_": (np.str_("adam"), "adam"),
    "0-d array": (np.array(2**53 + 1), 2**53 + 1),
    "0-d array of bool": (np.array(False), False),
    "Decimal": (Decimal("0.5"), 0.5),
    "Fraction": (Fraction(3, 4), 0.75),
}
REFUSED: dict[str, Any] = {
    "Decimal": Decimal("0.1000000000000000000001"),
    "Decimal of a tenth": Decimal("0.1"),
    "Decimal NaN": Decimal("NaN"),
    "Decimal sNaN": Decimal("sNaN"),
    "Decimal infinity": Decimal("Infinity"),
    "large Decimal": Decimal("1e400"),
    "Fraction": Fraction(1, 3),
    "large Fraction": Fraction(10**400),
    "nan": math.nan,
    "inf": math.inf,
    "np.nan": np.float32("nan"),
    "huge": 10**5_000,
    "complex": 1j,
    "np.complex128": np.complex128(1),
    "np.datetime64": np.datetime64("2026-03-01", "ns"),
    "np.timedelta64": np.timedelta64(1, "ns"),
    "np.bytes_": np.bytes_(b"x"),
    "array": np.array([1]),
    "bytes": b"x",
    "list": [1],
    "tuple": (1,),
    "set": {1},
    "dict": {"a": 1},
    "date": dt.date(2026, 3, 1),
    "datetime": dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
    "uuid": uuid.UUID(int=0),
    "path": Path("x"),
    "object": object(),
    "class": int,
    "enum": Enum("Colour", "RED").RED,  # type: ignore[attr-defined]
}


def same(given: Any, found: Any) -> bool:
    """Return True for equal values of one type; the sign of a zero counts."""
    return type(given) is type(found) and given == found and str(given) == str(found)


def test_values_with_an_exact_json_form_are_preserved(registry: ModelRegistry, name: str) -> None:
    """As parameters and as metadata, after a change too, for every reader."""
    given = {key.replace(" ", "-") + "-v": value for key, (value, _) in EXACT.items()}
    wanted = {key.replace(" ", "-") + "-v": value for key, (_, value) in EXACT.items()}
    registry.models.create(name, "regression", metadata=given)
    version = version_of(registry, name, parameters=given)
    registry.models.update(name, metadata={"a": 1}, force=True, reason="test")
    registry.models.update(name, metadata=given, force=True, reason="test")
    for found in (
        version.parameters,
        registry.versions.get(name, 1).parameters,
        registry.resolve(f"models:/{name}/latest").parameters,
        next(registry.versions.search(name)).parameters,
        registry.models.get(name).metadata,
    ):
        assert found.keys() == wanted.keys()
        assert {key: (wanted[key], value) for key, value in found.items() if not same(wanted[key], value)} == {}


@pytest.mark.parametrize("kind", REFUSED)
def test_values_without_an_exact_json_form_are_refused(
    model_registry: ModelRegistry, name: str, kind: str, tmp_path: Path
) -> None:
    """The error names field, value and remedy; no request is sent."""
    value = REFUSED[kind]
    file = tmp_path / "model.bin"
    file.write_bytes(b"weights")
    model_registry.models.create(name, "regression")
    for field, act in (
        ("parameters.depth", lambda: model_registry.register(name, file, framework="x", parameters={"depth": value})),
        ("metrics.depth", lambda: model_registry.register(name, file, framework="x", metrics={"depth": value})),
        ("metadata.depth", lambda: model_registry.models.create("other", "regression", metadata={"depth": value})),
        ("metadata.depth", lambda: model_registry.models.update(name, revision=1, metadata={"depth": value})),
        ("tags.depth", lambda: model_registry.models.update(name, revision=1, tags={"depth": value})),
        ("tags.depth", lambda: list(model_registry.models.search(tags={"depth": value}))),
    ):
        with pytest.raises(InvalidRequest) as refused:
            act()
        assert refused.value.field == field
        assert field in str(refused.value)
        assert refused.value.remedy
        assert refused.value.status is None
        assert refused.value.value is value


@pytest.mark.parametrize("value", [True, np.bool_(True), "0.5", np.str_("0.5"), None, 2**53 + 1, np.int64(2**53 + 1)])
def test_a_metric_that_a_float_cannot_hold_is_refused(model_registry: ModelRegistry, name: str, value: Any) -> None:
    """Texts and booleans are not metrics, and a large integer would be rounded silently."""
    model_registry.models.create(name, "regression")
    with pytest.raises(
        InvalidRequest, match=r"metrics\.rmse is .*that is (not a number|not exactly equal to any float)"
    ):
        version_of(model_registry, name, metrics={"rmse": value})
    assert list(model_registry.versions.search(name)) == []


def test_metrics_come_back_as_floats(registry: ModelRegistry, name: str) -> None:
    """Numbers of every numeric type become floats."""
    registry.models.create(name, "regression")
    given = {
        "int": 2**53,
        "np": np.float32(0.1),
        "int8": np.int8(3),
        "decimal": Decimal("1.5"),
        "e": 1e16,
        "array": np.array(2.5),
    }
    found = version_of(registry, name, metrics=given).metrics
    assert {key: (type(value), value) for key, value in found.items()} == {
        key: (float, float(value)) for key, value in given.items()
    }
    assert registry.versions.get(name, 1).metrics == found


@pytest.mark.parametrize("mapping", [{1: "x"}, {None: "x"}, {True: "x"}, {b"a": "x"}, [("a", "x")], "a=x", 3])
def test_a_mapping_with_keys_other_than_text_is_refused(model_registry: ModelRegistry, name: str, mapping: Any) -> None:
    """Keys are not converted to text silently."""
    model_registry.models.create(name, "regression")
    for field in ("parameters", "metrics", "tags"):
        with pytest.raises(InvalidRequest, match=f"^{field} is "):
            version_of(model_registry, name, **{field: mapping})
    with pytest.raises(InvalidRequest, match=r"^metadata is "):
        model_registry.models.update(name, revision=1, metadata=mapping)


@pytest.mark.parametrize("value", [True, "0.5", 2**53 + 1, Decimal("0.1"), Fraction(1, 3), math.nan, math.inf, 1j, [1]])
def test_the_numbers_of_a_policy_are_exact(value: Any) -> None:
    """A rounded bound would let other versions pass."""
    for field in ("than", "tolerance"):
        with pytest.raises(InvalidRequest, match=field):
            MetricRule(**{"metric": "rmse", "direction": Direction.AT_MOST, field: value})
    with pytest.raises(InvalidRequest, match="approvals"):
        PromotionRules(approvals=value)


def test_a_policy_accepts_numpy_numbers(model_registry: ModelRegistry, name: str) -> None:
    """They are returned with the same value."""
    model_registry.models.create(name, "regression")
    rule = MetricRule(metric="rmse", direction=Direction.AT_MOST, than=np.float32(0.1), tolerance=np.int64(1))
    rules = PromotionRules(metrics=[rule], approvals=np.int64(2))
    found = model_registry.policies.put(name, rules, reason="test", revision=1).rules
    assert found == rules
    assert json.loads(found.model_dump_json())["metrics"][0]["than"] == float(np.float32(0.1))
    assert (type(found.metrics[0].tolerance), type(found.approvals)) == (float, int)


def test_stored_parameters_rebuild_the_estimator(model_registry: ModelRegistry, name: str) -> None:
    """The parameters of a library's estimator are enough to create an equal one."""
    ensemble = pytest.importorskip("sklearn.ensemble")
    given = {
        "n_estimators": np.int64(7),
        "max_depth": np.int32(3),
        "bootstrap": np.bool_(False),
        "min_samples_leaf": np.float64(0.25),
        "criterion": np.str_("entropy"),
        "max_leaf_nodes": None,
    }
    model_registry.models.create(name, "classification")
    version = version_of(model_registry, name, parameters=given)
    forest = ensemble.RandomForestClassifier(**version.parameters).fit([[0], [1], [2], [3]], [0, 1, 0, 1])
    assert len(forest.estimators_) == 7
