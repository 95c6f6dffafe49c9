"""Check an XGBoost model: each index and length that XGBoost's C++ code uses must be within its bounds.

The fields are those of XGBoost 3; its source files `src/learner.cc`, `src/gbm/gbtree_model.cc`,
`src/tree/tree_model.cc`, `src/tree/multi_target_tree_model.cc` and `src/data/cat_container.cc` read and write them.
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
_NODE: Final = 160  # bytes that a node takes
_FEATURE: Final = 64


def check_model(model: Any, budget: Budget) -> None:
    """Check a parsed model so that XGBoost's C++ code never reads out of bounds; spend the memory that its load takes.

    Raises:
        BadTree: an index, a length or a number is out of range.
        OverBudget: the model exceeds the memory bound.
        KeyError, TypeError, ValueError, AttributeError: a field is missing or has another type.
    """
    learner = model["learner"]
    shape = learner["learner_model_param"]
    features = _parse_number(shape["num_feature"], 0, 2**32 - 1)
    classes, targets = (
        _parse_number(shape["num_class"], 0, _MAX_GROUPS),
        _parse_number(shape.get("num_target", "1"), 1, _MAX_GROUPS),
    )
    groups = max(classes, targets)
    budget.spend(features * _FEATURE, f"its {features} features")
    _check_learner(learner, features, classes, groups)
    booster = learner["gradient_booster"]
    kind = booster["name"]
    if kind == "gblinear":
        weights = booster["model"]["weights"]
        require(
            len(weights) == (features + 1) * groups and _are_floats(weights),
            "the number of weights in the model is wrong",
        )
        return
    require(kind in {"gbtree", "dart"}, "the type of the booster is unknown")
    forest = (booster["gbtree"] if kind == "dart" else booster)["model"]
    _check_forest(forest, features, groups, budget)
    if kind == "dart":
        drop = booster["weight_drop"]
        require(len(drop) == len(forest["trees"]) and _are_floats(drop), "the number of weights in the model is wrong")


def _check_learner(learner: Any, features: int, classes: int, groups: int) -> None:
    objective, shape = learner["objective"], learner["learner_model_param"]
    multiclass = objective.get("softmax_multiclass_param")
    named = _parse_number(multiclass["num_class"], 0, _MAX_GROUPS) if multiclass is not None else classes
    require(named == classes, "the objective has another number of classes than the model")
    require(
        multiclass is not None or not objective["name"].startswith("multi:"),
        "the objective does not state the number of classes",
    )
    score = shape["base_score"]
    require(_SCORE.match(score) and score.count(",") in {0, groups - 1}, "the number of base scores is wrong")
    names, kinds = learner.get("feature_names", []), learner.get("feature_types", [])
    require(len(names) in {0, features} and _have_type(names, str), "the model does not have one name for each feature")
    require(len(kinds) in {0, features} and set(kinds) <= _KINDS, "a feature has an unknown type")
    require(_have_type(learner.get("attributes", {}).values(), str), "the attributes of the model are not strings")


def _check_forest(forest: Any, features: int, groups: int, budget: Budget) -> None:
    trees, info, starts = forest["trees"], forest["tree_info"], forest.get("iteration_indptr")
    parameters = forest["gbtree_model_param"]
    require(
        len(trees) == len(info) == _parse_number(parameters["num_trees"], 0, 2**31 - 1), "the number of trees is wrong"
    )
    _parse_number(parameters.get("num_parallel_tree", "1"), 1, 2**31 - 1)
    require(_is_within(info, 0, groups), "the class of a tree is invalid")
    if starts is not None:
        ascending = _is_within(starts, 0, len(trees) + 1) and list(starts) == sorted(starts)
        require(
            ascending and starts[0] == 0 and starts[-1] == len(trees),
            "the start positions of the boosting rounds are invalid",
        )
    widths = {max(_parse_number(tree["tree_param"].get("size_leaf_vector", "1"), 0, _MAX_GROUPS), 1) for tree in trees}
    require(len(widths) <= 1 and widths <= {1, groups}, "a leaf does not have one value for each target")
    require(widths <= {1} or not any(info), "the class of a tree is invalid")
    for number, tree in enumerate(trees):
        require(type(tree["id"]) is int and tree["id"] == number, "the trees are out of order")
        _check_tree(tree, features, max(widths), budget)
    if forest.get("cats"):
        _check_recoding(forest["cats"], features)


def _check_tree(tree: Any, features: int, width: int, budget: Budget) -> None:
    parameters = tree["tree_param"]
    nodes = _parse_number(parameters["num_nodes"], 1, 2**31 - 2)
    budget.spend(nodes * _NODE * width, "its trees")
    removed = _parse_number(parameters.get("num_deleted", "0"), 0, nodes - 1)
    require(
        all(len(tree[name]) == nodes for name in (*_INDICES, *_NUMBERS, "default_left")),
        "an array of a tree does not have one value for each node",
    )
    require(all(_are_floats(tree[name]) for name in _NUMBERS), "a value in a tree is not a number")
    require(
        len(tree["base_weights"]) in {nodes, nodes * width} and _are_floats(tree["base_weights"]),
        "a tree does not have valid weights for all nodes",
    )
    require(_are_flags(tree["default_left"]), "a split does not have a valid default direction")
    left, right, parents, split = (tree[name] for name in _INDICES)
    require(
        _is_within(left, _NONE, nodes) and _is_within(right, _NONE, nodes), "a node has a child that is not in the tree"
    )
    _check_leaves(tree, left, right, width)
    reached = walk(lambda node: () if left[node] == _NONE else (left[node], right[node]), nodes)
    require(nodes - len(reached) == removed, "a node of a tree cannot be reached from its root")
    budget.spend(depth_of(lambda node: () if left[node] == _NONE else (left[node], right[node])) ** 2 * 16, "its paths")
    require(
        parents[0] in _NO_PARENT and _is_within(parents[1:], 0, nodes), "a node has a parent that is not in the tree"
    )
    inner = [node for node in reached if left[node] != _NONE]
    require(
        all(parents[left[node]] == node == parents[right[node]] for node in inner),
        "the parent of a node does not have that node as a child",
    )
    require(
        _is_within(split, _NONE, 2**32) and _is_within([split[node] for node in inner], 0, features),
        "a split uses a feature that does not exist",
    )
    _check_categories(tree, nodes, budget)


def _check_leaves(tree: Any, left: Sequence[int], right: Sequence[int], width: int) -> None:
    """Raise BadTree for a node with one child, or a leaf without values.

    If leaves have several values, the right child of a leaf is not a node but the position of its values.
    """
    values = tree.get("leaf_weights", [])
    require(_are_floats(values), "a value of a leaf is not a number")
    stored = len(values)
    for one, other in zip(left, right, strict=True):
        if one != _NONE or width == 1:
            require((one == _NONE) == (other == _NONE), "a node has only one child")
        else:
            require(other >= 0 and (other + 1) * width <= stored, "a leaf has no values")


def _check_categories(tree: Any, nodes: int, budget: Budget) -> None:
    names = ("categories_nodes", "categories_segments", "categories_sizes")
    places, starts, sizes = (tree.get(name, []) for name in names)
    categories, kinds = tree.get("categories", []), tree.get("split_type") or []
    require(len(kinds) == nodes and _are_flags(kinds), "the split_type of a node is invalid")
    require(len(places) == len(starts) == len(sizes), "a tree has incomplete lists of categories")
    require(
        _is_within(places, 0, nodes) and list(places) == sorted(set(places)),
        "the node of a list of categories is invalid",
    )
    require(_is_within(categories, 0, _MAX_CATEGORY), "a category is invalid")
    for start, size in zip(starts, sizes, strict=True):
        require(
            _have_type((start, size), int) and 0 <= start < start + size <= len(categories),
            "the position of a list of categories is invalid",
        )
        # A split takes one bit for each category up to its largest, and one byte for each value.
        budget.spend(max(categories[start : start + size]) // 8 + size, "its categories")
    require({node for node, kind in enumerate(kinds) if kind} == set(places), "a split has no list of categories")


def _check_recoding(cats: Any, features: int) -> None:
    """Check the categories of the training data; XGBoost uses them to recode the data of a prediction."""
    columns, segments, order = cats["enc"], cats["feature_segments"], cats["sorted_idx"]
    require(len(columns) in {0, features}, "the number of columns with categories differs from the number of features")
    counts = [_check_column(column) for column in columns]
    require(
        not columns or len(segments) == len(columns) + 1,
        "the start positions of the categories of the columns are missing",
    )
    expected, total = list(accumulate(counts, initial=0)), sum(counts)
    require(
        _is_within(segments, 0, total + 1) and (list(segments) == expected or (not segments and total == 0)),
        "the number of categories of a column is wrong",
    )
    require(
        _is_within(order, 0, max(total, 1)) and len(order) in {0, total}, "the sorted order of categories is invalid"
    )
    for start, end in pairwise(expected):
        require(
            not order or sorted(order[start:end]) == list(range(end - start)),
            "the sorted order of categories is invalid",
        )


def _check_column(column: Any) -> int:
    """Check the categories of a column and return their number."""
    values, offsets = column["values"], column.get("offsets")
    if offsets is None:
        require(type(column["type"]) is int and _have_type(values, int), "a category is invalid")
        return len(values)
    require(_is_within(values, -128, 256), "a category is not a string")
    require(
        _is_within(offsets, 0, len(values) + 1) and list(offsets) == sorted(offsets),
        "categories of a column are out of order",
    )
    require(
        offsets[0] == 0 and offsets[-1] == len(values) if offsets else not values, "categories of a column are missing"
    )
    return max(len(offsets) - 1, 0)


def _parse_number(text: Any, least: int, most: int) -> int:
    """Parse a whole number from `least` to `most` in the parameters of a model, where XGBoost writes it as a string."""
    require(isinstance(text, str) and _INTEGER.match(text), f"{text!r:.40} is not a whole number")
    require(least <= int(text) <= most, f"the number {text} is out of range")
    return int(text)


def _is_within(values: Any, least: int, end: int) -> bool:
    return _have_type(values, int) and (not values or (min(values) >= least and max(values) < end))


def _are_floats(values: Any) -> bool:
    return _have_type(values, float)


def _are_flags(values: Any) -> bool:
    return set(values) <= {0, 1}


def _have_type(values: Any, kind: type) -> bool:
    if isinstance(values, array):
        return values.typecode in _CODES[kind]
    return isinstance(values, Iterable) and set(map(type, values)) <= {kind}
