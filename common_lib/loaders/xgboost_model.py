"""Checks of a model of XGBoost: every index and every length that native code follows is within its bounds.

The fields are those that XGBoost 3 writes and reads: `src/learner.cc`, `src/gbm/gbtree_model.cc`,
`src/tree/tree_model.cc`, `src/tree/multi_target_tree_model.cc` and `src/data/cat_container.cc` of its sources.
"""

import re
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any, Final

from common_lib.loaders.budget import Budget
from common_lib.loaders.trees import depth_of, require, walk

_NONE: Final = -1
_NO_PARENT: Final = frozenset({-1, 2**31 - 1})
_INTEGER: Final = re.compile(r"-?[0-9]{1,10}$(?!\n)")
_SCORE: Final = re.compile(
    r"\[?-?[0-9.]{1,40}(?:[eE][+-]?[0-9]{1,3})?(?:,-?[0-9.]{1,40}(?:[eE][+-]?[0-9]{1,3})?)*\]?$(?!\n)"
)
_INDICES: Final = ("left_children", "right_children", "parents", "split_indices")
_NUMBERS: Final = ("split_conditions", "loss_changes", "sum_hessian")
_KINDS: Final = frozenset({"int", "float", "i", "q", "c"})
_CODES: Final[dict[type, str]] = {int: "bBhiq", float: "fd", str: ""}
_MAX_GROUPS: Final = 100_000
_MAX_CATEGORY: Final = 2**24
_NODE: Final = 160  # bytes that a node takes, with what explains it
_FEATURE: Final = 64


def check_model(model: Any, budget: Budget) -> None:
    """Refuse a model that native code would follow beyond its memory.

    Raises:
        BadTree: an index, a length or a number cannot be.
        OverBudget: it would take too much memory.
        KeyError, TypeError, ValueError, AttributeError: a field is missing or of another kind.
    """
    learner = model["learner"]
    shape = learner["learner_model_param"]
    features = _number(shape["num_feature"], 0, 2**32 - 1)
    classes, targets = (
        _number(shape["num_class"], 0, _MAX_GROUPS),
        _number(shape.get("num_target", "1"), 1, _MAX_GROUPS),
    )
    groups = max(classes, targets)
    budget.spend(features * _FEATURE, f"its {features} features")
    _check_learner(learner, features, classes, groups)
    booster = learner["gradient_booster"]
    kind = booster["name"]
    if kind == "gblinear":
        weights = booster["model"]["weights"]
        require(len(weights) == (features + 1) * groups and _floats(weights), "it has weights of another number")
        return
    require(kind in {"gbtree", "dart"}, "it is of an unknown kind")
    forest = (booster["gbtree"] if kind == "dart" else booster)["model"]
    _check_forest(forest, features, groups, budget)
    if kind == "dart":
        drop = booster["weight_drop"]
        require(len(drop) == len(forest["trees"]) and _floats(drop), "it has weights of another number")


def _check_learner(learner: Any, features: int, classes: int, groups: int) -> None:
    objective, shape = learner["objective"], learner["learner_model_param"]
    multiclass = objective.get("softmax_multiclass_param")
    named = _number(multiclass["num_class"], 0, _MAX_GROUPS) if multiclass is not None else classes
    require(named == classes, "its objective has another number of classes")
    require(multiclass is not None or not objective["name"].startswith("multi:"), "its objective has no classes")
    score = shape["base_score"]
    require(_SCORE.match(score) and score.count(",") in {0, groups - 1}, "its base scores are of another number")
    names, kinds = learner.get("feature_names", []), learner.get("feature_types", [])
    require(len(names) in {0, features} and _all_of(names, str), "it has names of another number than features")
    require(len(kinds) in {0, features} and set(kinds) <= _KINDS, "it has features of a kind that cannot be")
    require(_all_of(learner.get("attributes", {}).values(), str), "its attributes are not texts")


def _check_forest(forest: Any, features: int, groups: int, budget: Budget) -> None:
    trees, info, starts = forest["trees"], forest["tree_info"], forest.get("iteration_indptr")
    parameters = forest["gbtree_model_param"]
    require(len(trees) == len(info) == _number(parameters["num_trees"], 0, 2**31 - 1), "trees are missing")
    _number(parameters.get("num_parallel_tree", "1"), 1, 2**31 - 1)
    require(_within(info, 0, groups), "a tree is of no class")
    if starts is not None:
        ascending = _within(starts, 0, len(trees) + 1) and list(starts) == sorted(starts)
        require(ascending and starts[0] == 0 and starts[-1] == len(trees), "rounds are missing")
    widths = {max(_number(tree["tree_param"].get("size_leaf_vector", "1"), 0, _MAX_GROUPS), 1) for tree in trees}
    require(len(widths) <= 1 and widths <= {1, groups}, "a leaf has values of another number than targets")
    require(widths <= {1} or not any(info), "a tree is of no class")
    for number, tree in enumerate(trees):
        require(type(tree["id"]) is int and tree["id"] == number, "the trees are out of order")
        _check_tree(tree, features, max(widths), budget)
    if forest.get("cats"):
        _check_recoding(forest["cats"], features)


def _check_tree(tree: Any, features: int, width: int, budget: Budget) -> None:
    parameters = tree["tree_param"]
    nodes = _number(parameters["num_nodes"], 1, 2**31 - 2)
    budget.spend(nodes * _NODE * width, "its trees")
    removed = _number(parameters.get("num_deleted", "0"), 0, nodes - 1)
    require(all(len(tree[name]) == nodes for name in (*_INDICES, *_NUMBERS, "default_left")), "a tree lacks nodes")
    require(all(_floats(tree[name]) for name in _NUMBERS), "a tree has values that are not numbers")
    require(
        len(tree["base_weights"]) in {nodes, nodes * width} and _floats(tree["base_weights"]), "a tree lacks weights"
    )
    require(_flags(tree["default_left"]), "a split has no default")
    left, right, parents, split = (tree[name] for name in _INDICES)
    require(_within(left, _NONE, nodes) and _within(right, _NONE, nodes), "a child is not a node of its tree")
    _check_leaves(tree, left, right, width)
    reached = walk(lambda node: () if left[node] == _NONE else (left[node], right[node]), nodes)
    require(nodes - len(reached) == removed, "a node of a tree is never reached")
    budget.spend(depth_of(lambda node: () if left[node] == _NONE else (left[node], right[node])) ** 2 * 16, "its paths")
    require(parents[0] in _NO_PARENT and _within(parents[1:], 0, nodes), "a parent is not a node of its tree")
    inner = [node for node in reached if left[node] != _NONE]
    require(all(parents[left[node]] == node == parents[right[node]] for node in inner), "a parent has other children")
    require(
        _within(split, _NONE, 2**32) and _within([split[node] for node in inner], 0, features),
        "a split is on no feature",
    )
    _check_categories(tree, nodes, budget)


def _check_leaves(tree: Any, left: Sequence[int], right: Sequence[int], width: int) -> None:
    """Refuse a node with one child, and a leaf without values.

    A leaf of several values has, in the place of its right child, the number of its own values.
    """
    values = tree.get("leaf_weights", [])
    require(_floats(values), "a leaf has values that are not numbers")
    stored = len(values)
    for one, other in zip(left, right, strict=True):
        if one != _NONE or width == 1:
            require((one == _NONE) == (other == _NONE), "a node has one child")
        else:
            require(other >= 0 and (other + 1) * width <= stored, "a leaf has no values")


def _check_categories(tree: Any, nodes: int, budget: Budget) -> None:
    names = ("categories_nodes", "categories_segments", "categories_sizes")
    places, starts, sizes = (tree.get(name, []) for name in names)
    categories, kinds = tree.get("categories", []), tree.get("split_type") or []
    require(len(kinds) == nodes and _flags(kinds), "a split is of no kind")
    require(len(places) == len(starts) == len(sizes), "categories are missing")
    require(_within(places, 0, nodes) and list(places) == sorted(set(places)), "categories are of no node")
    require(_within(categories, 0, _MAX_CATEGORY), "a category cannot be")
    for start, size in zip(starts, sizes, strict=True):
        require(
            _all_of((start, size), int) and 0 <= start < start + size <= len(categories),
            "categories are beyond the end",
        )
        # Each split has a bit for every category up to its largest, and each of its values is read.
        budget.spend(max(categories[start : start + size]) // 8 + size, "its categories")
    require({node for node, kind in enumerate(kinds) if kind} == set(places), "categories are missing")


def _check_recoding(cats: Any, features: int) -> None:
    """Check the categories of a data frame, by which XGBoost recodes those of another one."""
    columns, segments, order = cats["enc"], cats["feature_segments"], cats["sorted_idx"]
    require(len(columns) in {0, features}, "its columns are of another number than features")
    counts = [_check_column(column) for column in columns]
    require(not columns or len(segments) == len(columns) + 1, "its columns lack categories")
    expected, total = list(accumulate(counts, initial=0)), sum(counts)
    require(
        _within(segments, 0, total + 1) and (list(segments) == expected or (not segments and total == 0)),
        "categories are missing",
    )
    require(_within(order, 0, max(total, 1)) and len(order) in {0, total}, "categories are out of order")
    for start, end in pairwise(expected):
        require(not order or sorted(order[start:end]) == list(range(end - start)), "categories are out of order")


def _check_column(column: Any) -> int:
    """Count the categories of a column."""
    values, offsets = column["values"], column.get("offsets")
    if offsets is None:
        require(type(column["type"]) is int and _all_of(values, int), "a category cannot be")
        return len(values)
    require(_within(values, -128, 256), "a category is not a text")
    require(_within(offsets, 0, len(values) + 1) and list(offsets) == sorted(offsets), "categories are out of order")
    require(offsets[0] == 0 and offsets[-1] == len(values) if offsets else not values, "categories are missing")
    return max(len(offsets) - 1, 0)


def _number(text: Any, least: int, most: int) -> int:
    """Read a number as XGBoost writes it in its parameters: as a text."""
    require(isinstance(text, str) and _INTEGER.match(text), "a number that must be whole is not")
    require(least <= int(text) <= most, f"the number {text} cannot be")
    return int(text)


def _within(values: Any, least: int, end: int) -> bool:
    return _all_of(values, int) and (not values or (min(values) >= least and max(values) < end))


def _floats(values: Any) -> bool:
    return _all_of(values, float)


def _flags(values: Any) -> bool:
    return set(values) <= {0, 1}


def _all_of(values: Any, kind: type) -> bool:
    if isinstance(values, array):
        return values.typecode in _CODES[kind]
    return isinstance(values, Iterable) and set(map(type, values)) <= {kind}
