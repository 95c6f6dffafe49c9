"""Saved models load unchanged, and damaged files are refused, with real models."""

import contextlib
import io
import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from common_lib.artifacts.loading import convert, load
from common_lib.errors import LibraryMissing, LoadRefused, NoSafeFormat
from common_lib.loaders import library, ubjson
from common_lib.loaders.saving import save_model
from common_lib.rules.formats import BY_NAME, FORMATS, media_type_of
from tests.support.local_versions import make_local_version

RANDOM = np.random.default_rng(7)
X = RANDOM.normal(size=(80, 3))
Y = (X[:, 0] > 0).astype(int)
THREE = Y + (X[:, 1] > 0)
MIXED = np.column_stack([X, RANDOM.integers(0, 5, 80)])


def module(name: str) -> Any:
    """Import a library, or skip the test if it is missing; LightGBM also needs libgomp of the system."""
    return pytest.importorskip(name, exc_type=(ImportError, OSError))  # type: ignore[arg-type]


def reloaded(value: Any, folder: Path, **options: Any) -> Any:
    """Save a value, register it under its name, and load it again."""
    file = save_model(value, folder / "saved")
    assert media_type_of(file.path.name) == file.media_type
    return load(make_local_version(folder / "version", {file.path.name: file.path.read_bytes()}), **options)


class Own(LogisticRegression):
    """An estimator that skops does not know."""


def test_scikit_learn_becomes_skops(tmp_path: Path) -> None:
    """The loaded pipeline makes the same predictions."""
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    again = reloaded(model, tmp_path)
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))


def test_untrusted_types_are_named_and_not_built(tmp_path: Path) -> None:
    """The caller passes the names of the types it trusts."""
    model = Own().fit(X, Y)
    name = f"{Own.__module__}.Own"
    file = save_model(model, tmp_path)
    made = make_local_version(tmp_path / "v", {"model.skops": file.path.read_bytes()})
    with pytest.raises(LoadRefused, match=r"Own") as refused:
        load(made)
    assert "trusted_types" in refused.value.remedy
    for wrong in (True, name, [Own], 7):
        with pytest.raises(LoadRefused):
            load(made, trusted_types=wrong)


def boosters(name: str) -> list[tuple[bytes, Any]]:
    """Train models of every kind of a library; yield the bytes and the data to predict on."""
    if name == "xgboost":
        xgb = module("xgboost")
        small = {"n_estimators": 3, "max_depth": 2, "n_jobs": 1}
        kinds = ["q", "q", "q", "c"]
        models = [
            xgb.XGBClassifier(**small).fit(X, Y),
            xgb.XGBClassifier(**small).fit(X, THREE),
            xgb.XGBRegressor(**small, enable_categorical=True, feature_types=kinds).fit(MIXED, MIXED[:, 3] % 2),
            xgb.XGBRegressor(**small, booster="dart").fit(X, Y),
            xgb.XGBRegressor(n_estimators=3, n_jobs=1, booster="gblinear").fit(X, Y),
            xgb.XGBRegressor(**small, multi_strategy="multi_output_tree").fit(X, X[:, :2]),
        ]
        return [(bytes(model.get_booster().save_raw(raw)), model) for model in models for raw in ("ubj", "json")]
    lgb = module("lightgbm")
    small = {"n_estimators": 2, "num_leaves": 4, "min_child_samples": 2, "n_jobs": 1, "verbose": -1}
    by_group = {"min_data_per_group": 1, "cat_smooth": 0}
    trained = [
        lgb.LGBMClassifier(**small).fit(X, Y),
        lgb.LGBMClassifier(**small).fit(X, THREE),
        lgb.LGBMRegressor(**small, **by_group).fit(MIXED, MIXED[:, 3] % 2, categorical_feature=[3]),
        lgb.LGBMRegressor(**small, linear_tree=True).fit(X, X[:, 1]),
        lgb.LGBMRegressor(**small, boosting_type="rf", bagging_freq=1, bagging_fraction=0.5).fit(X, X[:, 1]),
    ]
    return [(model.booster_.model_to_string().encode(), model) for model in trained]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_xgboost_becomes_ubjson(tmp_path: Path) -> None:
    """Every kind of booster makes the same predictions, also from JSON."""
    xgb = module("xgboost")
    for number, (content, model) in enumerate(boosters("xgboost")):
        booster = model.get_booster()
        data = xgb.DMatrix(MIXED if booster.num_features() == 4 else X, feature_types=booster.feature_types)
        folder = tmp_path / str(number)
        name = "model.ubj" if content[1:2] == b"L" else "model.xgb.json"
        for again in (reloaded(model, folder), load(make_local_version(folder / "v", {name: content}))):
            assert np.array_equal(again.predict(data), booster.predict(data))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_lightgbm_becomes_text(tmp_path: Path) -> None:
    """Every kind of booster makes the same predictions."""
    for number, (_, model) in enumerate(boosters("lightgbm")):
        booster = model.booster_
        data = MIXED if booster.num_feature() == 4 else X
        assert np.allclose(reloaded(model, tmp_path / str(number)).predict(data), booster.predict(data), rtol=1e-12)


def test_arrays_become_safetensors(tmp_path: Path) -> None:
    """The memory layout does not matter; without a copy, safetensors writes transposed arrays scrambled."""
    module("safetensors")
    table = RANDOM.normal(size=(3, 4))
    arrays = {
        "rows": table,
        "columns": np.asfortranarray(table),
        "turned": table.T[::-1],
        "big": table.astype(">f8"),
        "none": np.empty((0, 3), np.int8),
    }
    again = reloaded(arrays, tmp_path)
    assert again.keys() == arrays.keys()
    assert all(np.array_equal(again[name], arrays[name]) for name in arrays)


def onnx_bytes() -> bytes:
    """Make an ONNX graph: y = x + x."""
    onnx = module("onnx")
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["x", "x"], ["y"])], "g", info[:1], info[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def test_onnx_stays_onnx(tmp_path: Path) -> None:
    """A session computes what the graph defines."""
    onnx = module("onnx")
    module("onnxruntime")
    session = reloaded(onnx.load_model_from_string(onnx_bytes()), tmp_path)
    (answer,) = session.run(None, {"x": np.array([1, 2], np.float32)})
    assert answer.tolist() == [2.0, 4.0]


def test_onnx_with_tensors_elsewhere_is_refused(tmp_path: Path) -> None:
    """They could be in any file of this machine, which the digest does not cover."""
    onnx = module("onnx")
    model = onnx.load_model_from_string(onnx_bytes())
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../etc/passwd")
    model.graph.initializer.append(tensor)
    with pytest.raises(LoadRefused, match="other files"):
        load(make_local_version(tmp_path, {"model.onnx": model.SerializeToString()}))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    )
)
def test_json_is_saved_without_loss(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    """A value that JSON cannot hold without loss is refused."""
    assert reloaded(value, tmp_path_factory.mktemp("json")) == value


def test_text_keeps_its_lines(tmp_path: Path) -> None:
    """Line ends of other systems are preserved."""
    assert reloaded("a\r\nb\n\u00e9", tmp_path) == "a\r\nb\n\u00e9"


@pytest.mark.parametrize(
    "value",
    [
        *((1, 2), {1: 2}, {"a": (1,)}, float("nan"), b"bytes", object(), lambda: None, {1, 2}, "a\x00b", "\ud800"),
        *(np.ones(2), np.float64(1), {"a": np.array([object()])}, {"a": np.array(["x"])}, {1: np.ones(2)}),
        *(LogisticRegression, type("Local", (BaseEstimator,), {"__getstate__": lambda self: 1 / 0})()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_object_without_a_safe_format_is_not_saved(tmp_path: Path, value: Any) -> None:
    """It is not saved as a pickle either, and no file is left."""
    with pytest.raises(NoSafeFormat) as refused:
        save_model(value, tmp_path)
    assert refused.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    """The existing file may still be needed."""
    save_model("one", tmp_path)
    with pytest.raises(NoSafeFormat):
        save_model("two", tmp_path)
    assert (tmp_path / "model.txt").read_text() == "one"


def test_a_legacy_model_is_converted_once_it_is_trusted(tmp_path: Path) -> None:
    """Pickle and joblib files, plain and compressed, become skops."""
    joblib = module("joblib")
    model = LogisticRegression().fit(X, Y)
    files = {"model.pkl": pickle.dumps(model)}
    for compress in (0, 3):
        made = io.BytesIO()
        joblib.dump(model, made, compress=compress)
        files[f"model-{compress}.joblib"] = made.getvalue()
    for name, content in files.items():
        made_of = make_local_version(tmp_path / name, {name: content})
        with pytest.raises(LoadRefused):
            convert(made_of, tmp_path / "out", trust=set())
        file = convert(made_of, tmp_path / f"{name}-out", trust={made_of.version.digest})
        assert (file.framework, file.format) == ("scikit-learn", "skops")
        again = load(make_local_version(tmp_path / f"{name}-again", {file.path.name: file.path.read_bytes()}))
        assert np.array_equal(again.predict(X), model.predict(X))
    safe = make_local_version(tmp_path / "safe", {"model.json": b"{}"})
    with pytest.raises(LoadRefused, match="only pickle, joblib and torch files can be converted"):
        convert(safe, tmp_path / "safe-out", trust={safe.version.digest})


def test_a_state_dict_of_torch_is_converted(tmp_path: Path) -> None:
    """It becomes safetensors."""
    torch = module("torch")
    made, state = io.BytesIO(), {"w": torch.ones(2, 2), "b": torch.zeros(2, dtype=torch.bfloat16)}
    torch.save(state, made)
    old = make_local_version(tmp_path / "v", {"model.pt": made.getvalue()})
    assert convert(old, tmp_path / "out", trust={old.version.digest}).format == "safetensors"


def test_the_one_model_file_is_found(tmp_path: Path) -> None:
    """Documents beside it do not count; if there are several, the caller names one."""
    one = make_local_version(tmp_path / "1", {"model.json": b'{"a": 1}', "LICENSE": b"x", "picture.png": b"x"})
    assert load(one) == {"a": 1}
    content = save_model(LogisticRegression().fit(X, Y), tmp_path).path.read_bytes()
    beside = make_local_version(tmp_path / "2", {"model.skops": content, "about.json": b"{}", "notes.txt": b"x"})
    assert isinstance(load(beside), LogisticRegression)
    assert load(beside, file="notes.txt") == "x"
    several = make_local_version(tmp_path / "3", {"a.json": b"1", "b.json": b"2"})
    with pytest.raises(LoadRefused, match=r"'a\.json', 'b\.json'"):
        load(several)
    assert load(several, file="b.json") == 2
    for file in ("c.json", "../b.json", ""):
        with pytest.raises(LoadRefused):
            load(several, file=file)
    with pytest.raises(LoadRefused, match="no file of the version is a model"):
        load(make_local_version(tmp_path / "4", {"LICENSE": b"x"}))


def test_links_into_a_cache_are_followed(tmp_path: Path) -> None:
    """The target is hashed, and a changed one is refused."""
    made = make_local_version(tmp_path / "v", {"model.json": b"[1]"})
    (made.folder / "model.json").rename(tmp_path / "blob")
    (made.folder / "model.json").symlink_to(tmp_path / "blob")
    assert load(made) == [1]
    (tmp_path / "blob").write_bytes(b"[2]")
    with pytest.raises(LoadRefused):
        load(made)


def test_options_are_the_loaders_own(tmp_path: Path) -> None:
    """An option that the loader does not have is refused, and so is a string as the list of loaders."""
    made = make_local_version(tmp_path, {"model.json": b"{}"})
    with pytest.raises(LoadRefused, match="does not accept these options"):
        load(made, trusted_types=[])
    with pytest.raises(LoadRefused):
        load(made, loaders="json")


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is missing, or it lacks a system library."""
    for error in (ImportError("No module"), OSError("libgomp.so.1: cannot open shared object file")):
        monkeypatch.setattr(library, "import_module", lambda name, error=error: (_ for _ in ()).throw(error))
        with pytest.raises(LibraryMissing, match=r"model-registry-service\[lightgbm\]") as missing:
            library.library("lightgbm", extra="lightgbm")
        again = pickle.loads(pickle.dumps(missing.value))  # noqa: S301 - our own bytes
        assert (str(again), again.extra) == (str(missing.value), "lightgbm")


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', "NaN", "[1,]", "[" * 100_000, "1" * 5_000, '"\xff', "\ufeff1"])
def test_json_with_two_meanings_is_refused(tmp_path: Path, text: str) -> None:
    """Different readers would return different values."""
    with pytest.raises(LoadRefused):
        load(make_local_version(tmp_path, {"model.json": text.encode("latin-1" if "\xff" in text else "utf-8")}))


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Cut the bytes, flip bits, or change digits."""
    made = bytearray(content)
    way = chance.randrange(3)
    if way == 0:
        return content[: chance.randrange(len(content))]
    digits = [place for place, byte in enumerate(made[:4000]) if 48 <= byte < 58]
    for _ in range(chance.choice([1, 1, 2, 5])):
        if way == 1 or not digits:
            made[chance.randrange(len(made))] ^= 1 << chance.randrange(8)
        else:
            made[chance.choice(digits)] = 48 + chance.randrange(10)
    return bytes(made)


def valid_files() -> dict[str, Callable[[], list[bytes]]]:
    """Make valid bytes of a format, on demand because its library may be missing."""

    def of(value: Any) -> list[bytes]:
        import tempfile  # noqa: PLC0415 - a folder for what is read at once

        with tempfile.TemporaryDirectory() as folder:
            return [save_model(value, folder).path.read_bytes()]

    return {
        "skops": lambda: of(LogisticRegression().fit(X, Y)),
        "safetensors": lambda: module("safetensors") and of({"a": X}),
        "onnx": lambda: module("onnxruntime") and [onnx_bytes()],
        "xgboost-ubj": lambda: [content for content, _ in boosters("xgboost") if content[1:2] == b"L"],
        "xgboost-json": lambda: [content for content, _ in boosters("xgboost") if content[1:2] != b"L"],
        "lightgbm": lambda: [content for content, _ in boosters("lightgbm")],
        "json": lambda: [json.dumps({"a": [1.5, "x"]}).encode()],
        "text": lambda: [b"text"],
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", valid_files())
def test_a_damaged_file_is_refused_or_loads(tmp_path: Path, name: str) -> None:
    """It never raises another error or crashes the process, even with the right digest."""
    contents, chance = valid_files()[name](), random.Random(name)
    suffix = BY_NAME[name].suffixes[0]
    refused = 0
    for number in range(150):
        made = make_local_version(tmp_path / str(number), {f"model{suffix}": damaged(chance.choice(contents), chance)})
        try:
            load(made)
        except LoadRefused:
            refused += 1
    assert refused or name == "text"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=300), form=st.sampled_from(FORMATS))
def test_random_bytes_are_refused_or_load(tmp_path_factory: pytest.TempPathFactory, content: bytes, form: Any) -> None:
    """They are declared as each format in turn."""
    made = make_local_version(tmp_path_factory.mktemp("random"), {f"model{form.suffixes[0]}": content})
    with contextlib.suppress(LoadRefused, LibraryMissing):
        load(made)


@given(st.binary(max_size=100))
def test_invalid_ubjson_is_a_value_error(content: bytes) -> None:
    """No other error is raised."""
    for attempt in (content, b"{L" + content, b"[$d#L" + content):
        try:
            ubjson.parse(attempt)
        except ValueError:
            continue
