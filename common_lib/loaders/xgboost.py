"""Loader for XGBoost boosters in JSON or UBJSON. All of the model is checked before XGBoost reads it.

XGBoost does not check the lengths in UBJSON or the child indices of a tree, and a wrong value can crash the process.
The old binary format of XGBoost is refused.
"""

from typing import Any

from common_lib.loaders import ubjson
from common_lib.loaders.budget import Budget, bound_for
from common_lib.loaders.json_document import parse
from common_lib.loaders.library import library
from common_lib.loaders.trees import BadTree
from common_lib.loaders.xgboost_model import check_model
from common_lib.rules.formats import BY_NAME


def fault(content: bytes, memory: int | None = None) -> str | None:
    """Return why the bytes are not a valid booster, or None if they are valid.

    Raises:
        OverBudget: the booster exceeds the memory bound.
    """
    as_json = content[1:2] != b"L"
    if reason := BY_NAME["xgboost-json" if as_json else "xgboost-ubj"].fault(content):
        return reason
    try:
        budget = Budget(bound_for(len(content), memory))
        check_model(parse(content, budget) if as_json else ubjson.parse(content, budget), budget)
    except BadTree as error:
        return str(error)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        return f"the file is not a valid XGBoost model: {type(error).__name__}: {error!s:.200}"
    return None


def load(content: bytes) -> Any:
    """Return the `xgboost.Booster`, even if the model was saved from a wrapper such as `XGBClassifier`."""
    booster = library("xgboost", extra="xgboost").Booster()
    booster.load_model(bytearray(content))
    # The library finds some contradictions only at the first use. This use turns them into a refusal.
    booster.num_features()
    return booster
