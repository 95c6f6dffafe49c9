"""XGBoost boosters as JSON and UBJSON: those that pass the check are loaded and used in a child process."""

import json
import random
from functools import cache
from typing import Any, Final

import numpy as np

from common_lib.errors import LoadRefused
from common_lib.loaders import ubjson
from common_lib.loaders.budget import Budget
from tests.fuzz.boosters import module, xgboost_models
from tests.fuzz.child import in_child
from tests.fuzz.harness import Target
from tests.fuzz.loading import checks, loads
from tests.fuzz.mutators import NUMBERS, any_bytes, any_json, near, one_of
from tests.fuzz.ubjson_writer import write_ubjson

_ROWS: Final = np.random.default_rng(3).integers(-1, 6, (5, 64)).astype(np.float32)
_ROWS[2] = np.nan


def use_json(content: bytes) -> None:
    """Load JSON by the public function and use the booster."""
    _use(loads("xgboost-json")(content))


def use_ubj(content: bytes) -> None:
    """Load UBJSON by the public function and use the booster."""
    _use(loads("xgboost-ubj")(content))


def _use(booster: Any) -> None:
    """Call all functions that walk trees: each kind of prediction, dumps, importances, slices and a second save."""
    xgb = module("xgboost")
    columns = booster.num_features()
    if columns > _ROWS.shape[1]:
        return
    data = xgb.DMatrix(_ROWS[:, :columns], feature_types=booster.feature_types, enable_categorical=True)
    for options in (
        {},
        {"output_margin": True},
        {"pred_leaf": True},
        {"pred_contribs": True},
        {"approx_contribs": True},
    ):
        _tried(lambda options=options: booster.predict(data, validate_features=False, **options))
    _tried(lambda: booster.inplace_predict(_ROWS[:, :columns], validate_features=False))
    _tried(lambda: booster.get_dump(with_stats=True))
    _tried(lambda: booster.get_score(importance_type="gain"))
    _tried(lambda: booster[0:1].predict(data, validate_features=False))
    _tried(lambda: booster.save_raw("ubj"))
    _tried(booster.get_categories)


def _tried(act: Any) -> None:
    """Call a function and ignore an error of the library; only the end of the process is a failure."""
    try:
        act()
    except (module("xgboost").core.XGBoostError, ValueError, NotImplementedError, IndexError):
        return


def change_tree(chance: random.Random, model: Any) -> Any:
    """Change a number or the length of an array that native code follows."""
    made = json.loads(json.dumps(model))
    booster = made["learner"]["gradient_booster"]
    forest = booster.get("gbtree", booster)["model"]
    holders = [forest, forest.get("cats", {}), *forest.get("cats", {}).get("enc", []), *forest.get("trees", []) * 3]
    holders += [
        made["learner"],
        made["learner"]["learner_model_param"],
        *([booster] if "weight_drop" in booster else []),
    ]
    holder = chance.choice([one for one in holders if one])
    if chance.random() < 0.15 and "tree_param" in holder:
        holder = holder["tree_param"]
    key = chance.choice(sorted(holder))
    value = holder[key]
    if isinstance(value, list) and value and key not in {"trees", "enc"}:
        place = chance.randrange(len(value))
        way = chance.randrange(6)
        if way == 0:
            del value[place]
        elif way == 1:
            value.insert(place, value[place])
        elif way == 2 and isinstance(value[place], int):
            value[place] = chance.choice((len(value), len(value) - 1, *value))
        else:
            value[place] = near(chance, value[place]) if way == 3 else chance.choice(NUMBERS)
    elif not isinstance(value, dict | list):
        holder[key] = near(chance, value)
    return made


def _as_json(chance: random.Random, case: bytes) -> bytes:
    return json.dumps(chance.choice((change_tree, change_tree, any_json))(chance, json.loads(case))).encode()


def _as_ubj(chance: random.Random, case: bytes) -> bytes:
    model = chance.choice((change_tree, change_tree, any_json))(chance, json.loads(_json_of(case)))
    return write_ubjson(model, chance if chance.random() < 0.2 else None)


@cache
def _json_of(case: bytes) -> str:
    return json.dumps(ubjson.parse(case, Budget(2**30)), default=list)


TARGETS: Final = [
    Target(
        name=f"load-xgboost-{form}",
        seeds=lambda form=form: xgboost_models(form),
        mutate=one_of(any_bytes, tree, tree, tree),
        runner=in_child(
            checks(f"xgboost-{form}"), f"{__name__}:use_{form}", warm=lambda form=form: xgboost_models(form)[0]
        ),
        refusals=(LoadRefused,),
    )
    for form, tree in (("json", _as_json), ("ubj", _as_ubj))
]
