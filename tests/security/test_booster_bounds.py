"""Every index and length that native code follows in a booster is checked before the library gets it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common_lib.artifacts.loading import load
from common_lib.errors import LoadRefused
from tests.fuzz.boosters import lightgbm_models, xgboost_models
from tests.fuzz.ubjson_writer import write_ubjson
from tests.support.local_versions import make_local_version

HUGE = (-1, -2, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 10**30)


def model(kind: int) -> Any:
    """Return a small model of the fuzzer by its number: 0 binary, 1 three classes, 2 categorical, 3 dart and others."""
    return json.loads(xgboost_models("json")[kind])


def forest(made: Any) -> Any:
    """Return the part of a model that holds its trees."""
    booster = made["learner"]["gradient_booster"]
    return booster.get("gbtree", booster)["model"]


def assert_refused(folder: Path, made: Any, *, as_ubj: bool = True) -> None:
    """Fail unless the check of this project, not the library, refuses a model, as JSON and as UBJSON."""
    forms = {"model.xgb.json": json.dumps(made).encode()} | ({"model.ubj": write_ubjson(made)} if as_ubj else {})
    for name, content in forms.items():
        with pytest.raises(LoadRefused) as error:
            load(make_local_version(folder / name, {name: content}))
        assert "cannot read it" not in error.value.why


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["json", "ubj"])
def test_valid_models_of_every_kind_load(tmp_path: Path, form: str) -> None:
    """Models with pruned trees, data frame categories, several targets, dart and linear boosters load."""
    name = {"json": "model.xgb.json", "ubj": "model.ubj"}[form]
    for number, content in enumerate(xgboost_models(form)):
        assert load(make_local_version(tmp_path / str(number), {name: content})).num_features()


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("name", ["parents", "left_children", "right_children", "split_indices"])
def test_an_index_beyond_its_tree_is_refused(tmp_path: Path, name: str, value: int) -> None:
    """The check covers the root and inner nodes, in JSON and, for 32-bit numbers, in UBJSON."""
    children = forest(model(0))["trees"][0]["left_children"]
    for node in [node for node, child in enumerate(children) if child != -1]:
        if name == "parents" and node == 0 and value in {-1, 2**31 - 1}:
            continue  # these values are valid: they mark the root
        made = model(0)
        forest(made)["trees"][0][name][node] = value
        assert_refused(tmp_path / str(node), made, as_ubj=-(2**31) <= value < 2**31)


CHANGES: dict[str, Callable[[Any], object]] = {
    "a wrong parent": lambda m: forest(m)["trees"][0]["parents"].__setitem__(3, 0),
    "a root with a parent": lambda m: forest(m)["trees"][0]["parents"].__setitem__(0, 1),
    "a child that is its own parent": lambda m: forest(m)["trees"][0]["left_children"].__setitem__(1, 1),
    "only one child": lambda m: forest(m)["trees"][0]["right_children"].__setitem__(0, -1),
    "an unreachable node": lambda m: forest(m)["trees"][0]["tree_param"].update(num_deleted="1"),
    "more nodes than values": lambda m: forest(m)["trees"][0]["tree_param"].update(num_nodes="2147483646"),
    "fewer nodes than values": lambda m: forest(m)["trees"][0]["tree_param"].update(num_nodes="1"),
    "a number of nodes with an underscore": lambda m: forest(m)["trees"][0]["tree_param"].update(num_nodes="1_5"),
    "leaves of several values": lambda m: forest(m)["trees"][0]["tree_param"].update(size_leaf_vector="2147483647"),
    "no weights": lambda m: forest(m)["trees"][0].update(base_weights=[]),
    "no defaults": lambda m: forest(m)["trees"][0].update(default_left=[]),
    "a default that is not a flag": lambda m: forest(m)["trees"][0]["default_left"].__setitem__(0, 7),
    "no sums": lambda m: forest(m)["trees"][0]["sum_hessian"].pop(),
    "an unknown kind of split": lambda m: forest(m)["trees"][0]["split_type"].__setitem__(0, 2),
    "no kinds of splits": lambda m: forest(m)["trees"][1].pop("split_type"),
    "a split on missing categories": lambda m: forest(m)["trees"][0]["split_type"].__setitem__(0, 1),
    "a tree of an unknown class": lambda m: forest(m)["tree_info"].__setitem__(0, 1),
    "a tree of class -1": lambda m: forest(m)["tree_info"].__setitem__(0, -1),
    "rounds beyond the trees": lambda m: forest(m)["iteration_indptr"].__setitem__(2, 2**31 - 1),
    "decreasing rounds": lambda m: forest(m)["iteration_indptr"].__setitem__(1, -1),
    "no parallel trees": lambda m: forest(m)["gbtree_model_param"].update(num_parallel_tree="0"),
    "a number of trees that is too large": lambda m: forest(m)["gbtree_model_param"].update(num_trees="3"),
    "trees out of order": lambda m: forest(m)["trees"][0].update(id=2**31 - 1),
    "no features": lambda m: m["learner"]["learner_model_param"].update(num_feature="0"),
    "features below zero": lambda m: m["learner"]["learner_model_param"].update(num_feature="-1"),
    "more classes than trees": lambda m: m["learner"]["learner_model_param"].update(num_class="2147483647"),
    "no targets": lambda m: m["learner"]["learner_model_param"].update(num_target="0"),
    "too many base scores": lambda m: m["learner"]["learner_model_param"].update(base_score="[1E0,2E0]"),
    "too few feature names": lambda m: m["learner"].update(feature_names=["a"]),
    "too few feature types": lambda m: m["learner"].update(feature_types=["q"]),
    "columns of a data frame without categories": lambda m: forest(m)["cats"].update(feature_segments=[0, 5]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_impossible_number_or_length_is_refused(tmp_path: Path, change: str) -> None:
    """The check refuses it before the library can fail or crash the process."""
    made = model(0)
    CHANGES[change](made)
    assert_refused(tmp_path, made)


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        (2, "categories_nodes", [2**31 - 1]),
        (2, "categories_segments", [2**62]),
        (2, "categories_segments", [-1]),
        (2, "categories_sizes", [2**31 - 1]),
        (2, "categories_sizes", [0]),
        (2, "categories_sizes", [-5]),
        (2, "categories", [2**31 - 1] * 3),
        (2, "categories", [-1] * 3),
        (6, "leaf_weights", [0.5]),
        (6, "base_weights", [0.5]),
        (6, "right_children", [2**30] * 7),
    ],
)
def test_categories_and_leaves_of_several_values_are_within_their_arrays(
    tmp_path: Path, kind: int, name: str, values: list[Any]
) -> None:
    """The check covers positions that depend on the length of another array."""
    made = model(kind - 1 if kind == 6 else kind)
    assert name in forest(made)["trees"][0]
    forest(made)["trees"][0][name] = values
    assert_refused(tmp_path, made)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("feature_segments", [0, 3, 2**31 - 1, 8]),
        ("feature_segments", []),
        ("sorted_idx", [0, 1, 2, 0, 1, 2, 3, 2**31 - 1]),
        ("sorted_idx", [0, 0, 0, 0, 0, 0, 0, 0]),
        ("enc", []),
    ],
)
def test_categories_of_a_data_frame_are_within_their_arrays(tmp_path: Path, name: str, values: list[Any]) -> None:
    """XGBoost uses them to recode the categories of another data frame."""
    made = model(-1)
    assert made["learner"]["feature_names"] == ["colour", "size", "x"]
    forest(made)["cats"][name] = values
    assert_refused(tmp_path, made)
    made = model(-1)
    forest(made)["cats"]["enc"][0]["offsets"][1] = 2**31 - 1
    assert_refused(tmp_path / "offsets", made)


@pytest.mark.parametrize(("kind", "name"), [(3, "weight_drop"), (4, "weights")])
def test_the_number_of_weights_must_match(tmp_path: Path, kind: int, name: str) -> None:
    """The check covers the weights of dropped trees and of a linear model."""
    made = model(kind)
    booster = made["learner"]["gradient_booster"]
    holder = booster if name in booster else booster["model"]
    holder[name].pop()
    assert_refused(tmp_path, made)


def test_a_duplicate_key_is_refused(tmp_path: Path) -> None:
    """Different parsers could use different values of a duplicate key."""
    content = xgboost_models("json")[0].replace(b'"parents":', b'"parents":[],"parents":', 1)
    with pytest.raises(LoadRefused, match="twice"):
        load(make_local_version(tmp_path, {"model.xgb.json": content}))


def chain(levels: int) -> Any:
    """Build a tree of the given number of levels, in which each left child has two children."""
    made = model(0)
    tree, nodes = forest(made)["trees"][0], 2 * levels - 1
    inner = [node for node in range(nodes) if node % 2 or node == 0][: levels - 1]
    left = {node: (1 if node == 0 else node + 2) for node in inner}
    tree["left_children"] = [left.get(node, -1) for node in range(nodes)]
    tree["right_children"] = [left[node] + 1 if node in left else -1 for node in range(nodes)]
    tree["parents"] = [2**31 - 1, *([0] * (nodes - 1))]
    for node, child in left.items():
        tree["parents"][child] = tree["parents"][child + 1] = node
    for name in ("split_indices", "default_left", "split_type"):
        tree[name] = [0] * nodes
    for name in ("split_conditions", "loss_changes", "sum_hessian", "base_weights"):
        tree[name] = [1.0] * nodes
    tree["tree_param"]["num_nodes"] = str(nodes)
    return made


def test_a_tree_is_not_deeper_than_the_stack(tmp_path: Path) -> None:
    """The libraries recurse at each level; a tree of 100 levels is accepted and a much deeper one is refused."""
    content = json.dumps(chain(100)).encode()
    assert load(make_local_version(tmp_path / "fine", {"model.xgb.json": content})).num_features() == 3
    assert_refused(tmp_path, chain(3_000))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("objective=binary sigmoid:1", "objective="),
        ("feature_infos=[", "feature_infos=[-1. ["),
        ("feature_infos=[", "feature_infos=\x01"),
        ("feature_names=Column_0", "feature_names="),
        ("left_child=", "left_child=7 "),
        ("num_leaves=", "num_leaves=9"),
        ("split_feature=", "split_feature=99 "),
        ("num_cat=0", "num_cat=5"),
        ("max_feature_idx=2", "max_feature_idx=1"),
    ],
)
def test_lines_of_lightgbm_are_within_their_arrays(tmp_path: Path, old: str, new: str) -> None:
    """An objective without a name and an incomplete range, which would crash the process, are refused too."""
    content = lightgbm_models()[0].decode()
    assert old in content
    with pytest.raises(LoadRefused) as error:
        load(make_local_version(tmp_path, {"model.lgb.txt": content.replace(old, new, 1).encode()}))
    assert "cannot read it" not in error.value.why
