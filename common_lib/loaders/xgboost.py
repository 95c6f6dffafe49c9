"""Boosters of XGBoost, from its JSON or UBJSON, examined before the library sees them.

The library checks neither the lengths of UBJSON nor the children of a tree, and ends the process on false ones. Its
old binary format is not read.
"""

import json
from typing import Any, Final

from common_lib.loaders import ubjson
from common_lib.loaders.library import library
from common_lib.loaders.trees import BadTree, require, walk
from common_lib.rules.formats import BY_NAME

_NONE: Final = -1
_NO_PARENT: Final = 2**31 - 1
_OF_NODES: Final = (
    *("left_children", "right_children", "parents", "split_indices", "split_conditions", "default_left"),
    *("loss_changes", "sum_hessian"),
)
_MAX_GROUPS: Final = 100_000


def fault(content: bytes) -> str | None:
    """Why it is no booster whose trees can be walked."""
    as_json = content[1:2] != b"L"
    if reason := BY_NAME["xgboost-json" if as_json else "xgboost-ubj"].fault(content):
        return reason
    try:
        _check(json.loads(content.decode("utf-8")) if as_json else ubjson.parse(content))
    except BadTree as error:
        return str(error)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        return f"it is no model of XGBoost: {type(error).__name__}: {error!s:.200}"
    return None


def load(content: bytes) -> Any:
    """The `xgboost.Booster`; the wrappers for scikit-learn are not rebuilt."""
    booster = library("xgboost", extra="xgboost").Booster()
    booster.load_model(bytearray(content))
    return booster


def _check(model: Any) -> None:
    learner = model["learner"]
    shape = learner["learner_model_param"]
    features, groups = int(shape["num_feature"]), max(int(shape["num_class"]), int(shape.get("num_target", 1)), 1)
    require(0 <= features < 2**32 and groups <= _MAX_GROUPS, "its numbers of features or classes cannot be")
    objective = learner["objective"]
    classes = objective.get("softmax_multiclass_param", {}).get("num_class", shape["num_class"])
    require(int(classes) == int(shape["num_class"]), "its objective has another number of classes")
    booster = learner["gradient_booster"]
    if booster["name"] == "gblinear":
        require(len(booster["model"]["weights"]) == (features + 1) * groups, "it has weights of another number")
        return
    dart = booster["name"] == "dart"
    require(dart or booster["name"] == "gbtree", "it is of an unknown kind")
    forest = (booster["gbtree"] if dart else booster)["model"]
    _check_forest(forest, features, groups)
    require(not dart or len(booster["weight_drop"]) == len(forest["trees"]), "it has weights of another number")


def _check_forest(forest: Any, features: int, groups: int) -> None:
    trees, info, starts = forest["trees"], forest["tree_info"], forest.get("iteration_indptr")
    require(len(trees) == len(info) == int(forest["gbtree_model_param"]["num_trees"]), "trees are missing")
    require(all(_whole(group) and 0 <= group < groups for group in info), "a tree is of no class")
    if starts is not None:
        require(starts == sorted(starts) and starts[:1] == [0] and starts[-1] == len(trees), "rounds are missing")
    for number, tree in enumerate(trees):
        require(tree.get("id", number) == number, "the trees are out of order")
        _check_tree(tree, features, groups)


def _check_tree(tree: Any, features: int, groups: int) -> None:
    nodes = int(tree["tree_param"]["num_nodes"])
    require(nodes >= 1, "a tree has no nodes")
    require(all(len(tree[name]) == nodes for name in _OF_NODES), "a tree has values of another number than nodes")
    require(len(tree.get("split_type") or [0] * nodes) == nodes, "a tree has splits of another number than nodes")
    width = max(int(tree["tree_param"].get("size_leaf_vector", 1)), 1)
    require(width in {1, groups}, "a leaf has values of another number than targets")
    require(len(tree["base_weights"]) in {nodes, nodes * width}, "a tree has weights of another number than nodes")
    left, right, parents = tree["left_children"], tree["right_children"], tree["parents"]
    require(
        all(_whole(place) and _NONE <= place < nodes for place in [*left, *right]), "a child is no node of its tree"
    )
    near = (parent == _NO_PARENT or _NONE <= parent < nodes for parent in parents)
    require(all(map(_whole, parents)) and all(near), "a parent is no node of its tree")
    _check_leaves(tree, width)
    reached = walk(lambda node: () if left[node] == _NONE else (left[node], right[node]), nodes)
    inner = [node for node in reached if left[node] != _NONE]
    split = tree["split_indices"]
    require(all(_whole(split[node]) and 0 <= split[node] < features for node in inner), "a split is on no feature")
    _check_categories(tree, nodes)


def _check_leaves(tree: Any, width: int) -> None:
    """A leaf has no children; one of several values says in the place of the right one which of them are its own."""
    values = len(tree.get("leaf_weights", []))
    for left, right in zip(tree["left_children"], tree["right_children"], strict=True):
        if left != _NONE:
            require(right != _NONE, "a node has one child")
        elif width == 1:
            require(right == _NONE, "a node has one child")
        else:
            require(right >= 0 and (right + 1) * width <= values, "a leaf has no values")


def _check_categories(tree: Any, nodes: int) -> None:
    names = ("categories_nodes", "categories_segments", "categories_sizes")
    places, starts, sizes = (tree.get(name, []) for name in names)
    categories = tree.get("categories", [])
    require(len(places) == len(starts) == len(sizes), "categories are missing")
    require(places == sorted(set(places)), "categories are out of order")
    for place, start, size in zip(places, starts, sizes, strict=True):
        require(all(map(_whole, (place, start, size))) and 0 <= place < nodes, "categories are of no node")
        require(0 <= start <= start + size <= len(categories), "categories are beyond the end")
    require(all(_whole(one) and 0 <= one < 2**24 for one in categories), "a category cannot be")
    kinds = tree.get("split_type") or []
    require({node for node, kind in enumerate(kinds) if kind} <= set(places), "categories are missing")


def _whole(number: object) -> bool:
    return type(number) is int
