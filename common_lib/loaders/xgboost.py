"""Boosters of XGBoost, from its JSON or UBJSON, examined before the library sees them.

The library checks neither the lengths of UBJSON nor the children of a tree, and ends the process on false ones. Its
old binary format is not read.
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
    """Say why it is not a booster whose trees can be walked.

    Raises:
        OverBudget: it would take more memory than it may.
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
        return f"it is no model of XGBoost: {type(error).__name__}: {error!s:.200}"
    return None


def load(content: bytes) -> Any:
    """Return the `xgboost.Booster`; the wrappers for scikit-learn are not rebuilt."""
    booster = library("xgboost", extra="xgboost").Booster()
    booster.load_model(bytearray(content))
    # The library looks at some contradictions only when a booster is first used: here they are still a refusal.
    booster.num_features()
    return booster
