"""Loader for LightGBM boosters in text form. All of the text is checked before LightGBM reads it.

LightGBM does not check the sizes and child indices in the text, and a wrong value can crash the process.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from common_lib.loaders.budget import Budget, bound_for
from common_lib.loaders.library import library
from common_lib.loaders.trees import BadTree, depth_of, require, walk
from common_lib.rules.formats import BY_NAME

# Possessive quantifiers, because backtracking would take 200 times the memory of the text.
_NUMBERS: Final = re.compile(r" *+(?:-?(?:[0-9][0-9.]*+(?:e[+-]?[0-9]++)?+|inf|nan)(?: ++|$))*+$(?!\n)")
_INTEGER: Final = re.compile(r"-?[0-9]{1,10}$(?!\n)")
# LightGBM reads beyond the end of a section of parameters that is cut off.
_END: Final = re.compile(
    r"end of trees\n(?:\nfeature_importances:\n(?:[^\n=]+=[0-9.e+-]+\n)*)?"
    r"\nparameters:\n(?:\[[a-z0-9_]+: [^\n]*\]\n)*\nend of parameters\n(?:\npandas_categorical:[^\n]*\n)?$(?!\n)"
)
_OBJECTIVE: Final = re.compile(r"[a-z0-9_]+(?: [a-z0-9_]+(?::[^ ]+)?)*$(?!\n)")
_NUMBER_IN_RANGE: Final = r"-?(?:[0-9][0-9.]*+(?:e[+-]?[0-9]++)?+|inf|nan)"
_RANGE: Final = re.compile(rf"(?:none|\[{_NUMBER_IN_RANGE}:{_NUMBER_IN_RANGE}\]|-?[0-9]+(?::-?[0-9]+)*+)$(?!\n)")
_OF_SPLITS: Final = (
    *("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child"),
    *("internal_value", "internal_weight", "internal_count"),
)
_OF_LEAVES: Final = ("leaf_value", "leaf_weight", "leaf_count")
_LINEAR: Final = ("leaf_const", "num_features", "leaf_features", "leaf_coeff")
_SINGLE: Final = ("num_leaves", "num_cat", "is_linear", "shrinkage")
_TREE_KEYS: Final = frozenset((*_OF_SPLITS, *_OF_LEAVES, *_LINEAR, *_SINGLE, "Tree", "cat_boundaries", "cat_threshold"))
_HEADER_FLAGS: Final = frozenset({"tree", "average_output"})
_CATEGORICAL: Final = 1  # the lowest bit of decision_type
_COPIES: Final = 5  # of the text: bytes, a string, the parts of it, and two in the library
_NUMBER: Final = 24  # bytes that a number takes in a booster
_CHECKED: Final = 160  # bytes that a number takes while its tree is checked
_MAX: Final = 10_000_000
Fields = dict[str, str]


def fault(content: bytes, memory: int | None = None) -> str | None:
    """Return why the bytes are not a valid booster, or None if they are valid.

    Raises:
        OverBudget: the booster exceeds the memory bound.
    """
    if reason := BY_NAME["lightgbm"].fault(content):
        return reason
    try:
        _check(content, Budget(bound_for(len(content), memory)))
    except BadTree as error:
        return str(error)
    except (KeyError, IndexError, ValueError) as error:
        return f"the file is not a valid LightGBM model: {type(error).__name__}: {error!s:.200}"
    return None


def load(content: bytes) -> Any:
    """Return the `lightgbm.Booster`, even if the model was saved from a wrapper such as `LGBMClassifier`."""
    return library("lightgbm", extra="lightgbm").Booster(params={"verbosity": -1}, model_str=content.decode("utf-8"))


def _check(content: bytes, budget: Budget) -> None:
    budget.spend(_COPIES * len(content) + _NUMBER * content.count(b" "), "its text")
    require(content.isascii() or content.decode("utf-8"), "the text is not UTF-8")
    head, _, rest = content.partition(b"\n\n")
    header = _parse_fields(head, _HEADER_FLAGS)
    sizes = [int(size) for size in header["tree_sizes"].split()]
    classes, each = _parse_whole(header["num_class"]), _parse_whole(header["num_tree_per_iteration"])
    features = _parse_whole(header["max_feature_idx"]) + 1
    require(0 < classes == each < _MAX and 0 < features < _MAX, "the number of classes or features is invalid")
    names, ranges = header["feature_names"].split(" "), header["feature_infos"].split(" ")
    require(
        len(names) == len(ranges) == features,
        "the number of feature names or ranges differs from the number of features",
    )
    require(all(name.isprintable() and name for name in names), "the name of a feature is invalid")
    # LightGBM reads beyond the end of a range that is cut off.
    require(all(map(_RANGE.match, ranges)), "the range of a feature is invalid")
    require(len(sizes) % each == 0, "the number of trees is not a multiple of the number of classes")
    objective = header.get("objective", "regression")  # absent if a custom objective was used
    require(_OBJECTIVE.match(objective), "the objective is invalid")
    named = re.search(r"num_class:([0-9]+)", objective)
    require(named is None or int(named[1]) == classes, "the objective has another number of classes than the model")
    place, largest = 0, 0
    for number, size in enumerate(sizes):
        require(0 < size <= len(rest) - place, "a tree ends beyond the end of the file")
        block = rest[place : place + size].rstrip(b"\n")
        numbers = block.count(b" ")
        budget.spend(max(numbers - largest, 0) * _CHECKED, "its largest tree")
        largest = max(numbers, largest)
        _check_tree(_parse_fields(block, frozenset()), number, features)
        place += size
    require(
        _END.match(rest[place:].decode("utf-8")), "the text after the trees is not in the form that LightGBM writes"
    )


def _parse_fields(block: bytes, flags: frozenset[str]) -> Fields:
    found: Fields = {}
    for line in block.decode("utf-8").split("\n"):
        key, equals, value = line.partition("=")
        require(key not in found and (equals or key in flags), f"the line {line!r:.80} is invalid or occurs twice")
        found[key] = value
    return found


def _check_tree(tree: Fields, number: int, features: int) -> None:
    require(
        tree.keys() <= _TREE_KEYS and tree["Tree"] == str(number), "a tree has an unknown field or a wrong tree number"
    )
    require(all(map(_NUMBERS.match, tree.values())), "a value in a tree is not a number")
    leaves, categories = _parse_whole(tree["num_leaves"]), _parse_whole(tree["num_cat"])
    require(0 < leaves < _MAX and 0 <= categories < _MAX, "the number of leaves or categories of a tree is invalid")
    require(tree["is_linear"] in {"0", "1"}, "the field is_linear of a tree is neither 0 nor 1")
    require(len(tree["leaf_value"].split()) == leaves, "a tree does not have one value for each leaf")
    if leaves > 1:
        _check_splits(tree, leaves, features)
    if tree["is_linear"] == "1":
        _check_linear(tree, leaves, features)


def _check_splits(tree: Fields, leaves: int, features: int) -> None:
    of_splits = all(len(tree[name].split()) == leaves - 1 for name in _OF_SPLITS)
    of_leaves = all(len(tree[name].split()) in {0, leaves} for name in _OF_LEAVES)
    require(of_splits and of_leaves, "a tree does not have one value for each split or leaf")
    left, right = _parse_integers(tree["left_child"]), _parse_integers(tree["right_child"])
    # A negative child is the complement of a leaf's number. Here, leaves are numbered after the splits.
    both = [[child if child >= 0 else leaves - 1 + ~child for child in side] for side in (left, right)]
    require(all(child < leaves - 1 for child in [*left, *right]), "a node has a child that is not in the tree")
    reached = walk(lambda node: (both[0][node], both[1][node]) if node < leaves - 1 else (), 2 * leaves - 1)
    require(len(reached) == 2 * leaves - 1, "a node of a tree cannot be reached from its root")
    depth_of(lambda node: (both[0][node], both[1][node]) if node < leaves - 1 else ())
    require(
        all(0 <= one < features for one in _parse_integers(tree["split_feature"])),
        "a split uses a feature that does not exist",
    )
    _check_categories(tree)


def _check_categories(tree: Fields) -> None:
    count = _parse_whole(tree["num_cat"])
    kinds, thresholds = _parse_integers(tree["decision_type"]), tree["threshold"].split()
    require(all(0 <= kind < 16 for kind in kinds), "the decision_type of a split is invalid")  # noqa: PLR2004 - four bits
    categorical = [_parse_whole(thresholds[split]) for split, kind in enumerate(kinds) if kind & _CATEGORICAL]
    require(all(0 <= place < count for place in categorical), "a split uses categories that are not in the tree")
    if count:
        bounds, words = _parse_integers(tree["cat_boundaries"]), tree["cat_threshold"].split()
        good = bounds == sorted(bounds) and bounds[0] == 0 and bounds[-1] == len(words) and len(bounds) == count + 1
        require(
            good and all(0 <= word < 2**32 for word in map(_parse_whole, words)),
            "the positions of the categories of a tree are invalid",
        )


def _check_linear(tree: Fields, leaves: int, features: int) -> None:
    counts, named = _parse_integers(tree["num_features"]), _parse_integers(tree["leaf_features"])
    coefficients = tree["leaf_coeff"].split()
    require(len(tree["leaf_const"].split()) == leaves == len(counts), "a tree does not have one value for each leaf")
    good = min(counts) >= 0 and sum(counts) == len(named) == len(coefficients)
    require(good and all(0 <= one < features for one in named), "a leaf uses a feature that does not exist")


def _parse_integers(text: str) -> Sequence[int]:
    return [_parse_whole(number) for number in text.split()]


def _parse_whole(text: str) -> int:
    require(_INTEGER.match(text), f"{text!r:.40} is not a whole number")
    return int(text)
