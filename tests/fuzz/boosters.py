"""Small valid models of XGBoost and LightGBM of every kind; they are the same in each run."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CORPUS = Path(__file__).parent / "corpus"
RANDOM = np.random.default_rng(7)
X = RANDOM.normal(size=(60, 3))
Y = (X[:, 0] + 0.7 * X[:, 1] * X[:, 2] > 0).astype(int)
THREE = Y + (X[:, 1] > 0)
MIXED = np.column_stack([X, RANDOM.integers(0, 5, 60)])


def module(name: str) -> Any:
    """Import a library, or skip the test; LightGBM also needs the system library libgomp."""
    return pytest.importorskip(name, exc_type=(ImportError, OSError))  # type: ignore[arg-type]


@cache
def xgboost_models(form: str) -> list[bytes]:
    """Train boosters of every kind; `form` is `json` or `ubj`."""
    xgb = module("xgboost")
    small = {"n_estimators": 2, "max_depth": 3, "n_jobs": 1, "random_state": 7}
    kinds = ["q", "q", "q", "c"]
    models = [
        xgb.XGBClassifier(**small).fit(X, Y),
        xgb.XGBClassifier(**small).fit(X, THREE),
        xgb.XGBRegressor(**small, enable_categorical=True, feature_types=kinds).fit(MIXED, MIXED[:, 3] % 2),
        xgb.XGBRegressor(**small, booster="dart", rate_drop=0.5).fit(X, Y),
        xgb.XGBRegressor(n_estimators=2, n_jobs=1, booster="gblinear").fit(X, Y),
        xgb.XGBRegressor(**small, multi_strategy="multi_output_tree").fit(X, X[:, :2]),
        xgb.XGBRegressor(**small, num_parallel_tree=2, objective="reg:quantileerror", quantile_alpha=[0.2, 0.8]).fit(
            X, Y
        ),
        xgb.XGBRanker(**small).fit(X, Y, qid=np.arange(60) // 10),
        xgb.XGBRegressor(**small, objective="count:poisson").fit(X, Y),
        xgb.XGBRegressor(**{**small, "max_depth": 4}, tree_method="exact", gamma=1).fit(X, Y),  # with pruned nodes
    ]
    boosters = [model.get_booster() for model in models]
    # A model trained on a pandas data frame, with its categories; pandas itself is not needed here.
    boosters.append(xgb.Booster(model_file=CORPUS / "categories.xgb.json"))
    return [bytes(booster.save_raw(form)) for booster in boosters]


@cache
def lightgbm_models() -> list[bytes]:
    """Train boosters of every kind."""
    lgb = module("lightgbm")
    small = {"n_estimators": 2, "num_leaves": 4, "min_child_samples": 2, "n_jobs": 1, "verbose": -1, "seed": 7}
    by_group = {"min_data_per_group": 1, "cat_smooth": 0}
    trained = [
        lgb.LGBMClassifier(**small).fit(X, Y),
        lgb.LGBMClassifier(**small).fit(X, THREE),
        lgb.LGBMRegressor(**small, **by_group).fit(MIXED, MIXED[:, 3] % 2, categorical_feature=[3]),
        lgb.LGBMRegressor(**small, linear_tree=True).fit(X, X[:, 1]),
        lgb.LGBMRegressor(**small, boosting_type="rf", bagging_freq=1, bagging_fraction=0.5).fit(X, X[:, 1]),
        lgb.LGBMRegressor(**small, objective="quantile", boosting_type="dart").fit(X, X[:, 1]),
    ]
    return [model.booster_.model_to_string().encode() for model in trained]
