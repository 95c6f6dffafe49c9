"""Save a trained object in a format that does not run code when it is loaded."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from common_lib.errors import NoSafeFormat, RegistryError
from common_lib.loaders.library import library
from common_lib.rules.formats import BY_NAME


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A saved file: its path, the framework to register it with, its media type and its format."""

    path: Path
    framework: str
    media_type: str
    format: str


@dataclass(frozen=True, slots=True)
class _Encoded:
    framework: str
    format: str
    content: bytes


def save_model(estimator: Any, folder: str | os.PathLike[str], *, name: str = "model") -> SavedModel:
    """Write an object to a new file in `folder`. The format depends on the object's type and is never pickle.

    The formats are skops for scikit-learn, UBJSON for XGBoost, text for LightGBM, protobuf for ONNX, safetensors for a
    dict of arrays or tensors, plain text for a string, and JSON for other values that JSON can store without loss.

    Raises:
        NoSafeFormat: no safe format can store the object, or the file already exists.
        LibraryMissing: the library that writes the format is not installed.
    """
    encoded = _encoded(estimator)
    form = BY_NAME[encoded.format]
    path = Path(folder) / f"{name}{form.suffixes[0]}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(encoded.content)
    except OSError as error:
        raise NoSafeFormat(
            str(path), why=f"the file cannot be written: {error}", remedy="save into an empty folder"
        ) from error
    return SavedModel(path, encoded.framework, form.media_type, form.name)


def _encoded(estimator: Any) -> _Encoded:
    kind = type(estimator)
    try:
        for ancestor in kind.__mro__:
            encode = _BY_PACKAGE.get(ancestor.__module__.partition(".")[0])
            if encode:
                return encode(estimator)
        if isinstance(estimator, dict) and estimator and all(map(_is_tensor, estimator.values())):
            return _tensors(estimator)
        return _plain(estimator)
    except RegistryError:
        raise
    except Exception as error:
        raise NoSafeFormat(
            f"{kind.__module__}.{kind.__qualname__}",
            why=f"the object cannot be written in a safe format: {type(error).__name__}: {error!s:.400}",
            remedy="remove parts of the object that are not data, such as functions and open files",
        ) from error


def _sklearn(estimator: Any) -> _Encoded:
    content = library("skops.io", extra="skops").dumps(estimator)
    return _Encoded("scikit-learn", "skops", content)


def _xgboost(estimator: Any) -> _Encoded:
    booster = estimator.get_booster() if hasattr(estimator, "get_booster") else estimator
    return _Encoded("xgboost", "xgboost-ubj", bytes(booster.save_raw("ubj")))


def _lightgbm(estimator: Any) -> _Encoded:
    booster = estimator.booster_ if hasattr(estimator, "booster_") else estimator
    return _Encoded("lightgbm", "lightgbm", booster.model_to_string().encode())


def _onnx(estimator: Any) -> _Encoded:
    return _Encoded("onnx", "onnx", estimator.SerializeToString())


def _numpy(estimator: Any) -> _Encoded:
    raise _unfit(estimator, "it is an array without a name", 'save a dict, such as {"weights": array}')


def _torch(estimator: Any) -> _Encoded:
    raise _unfit(estimator, "is code", "save module.state_dict()")


def _is_tensor(value: Any) -> bool:
    return any(
        f"{ancestor.__module__}.{ancestor.__qualname__}" in {"numpy.ndarray", "torch.Tensor"}
        for ancestor in type(value).__mro__
    )


def _tensors(named: dict[str, Any]) -> _Encoded:
    if not all(isinstance(name, str) for name in named):
        raise _unfit(named, "the name of an array is not a string", "use a string as the name of each array")
    if all(hasattr(value, "detach") for value in named.values()):
        # safetensors refuses tensors that share memory, so each is copied.
        copies = {name: value.detach().cpu().clone().contiguous() for name, value in named.items()}
        return _Encoded("torch", "safetensors", library("safetensors.torch", extra="safetensors").save(copies))
    safetensors = library("safetensors.numpy", extra="safetensors")
    # The library writes the memory of an array as it is: without this copy, a transposed array would be scrambled.
    rows = {name: value.copy(order="C") for name, value in named.items()}
    return _Encoded("numpy", "safetensors", safetensors.save(rows))


def _plain(value: Any) -> _Encoded:
    if isinstance(value, str):
        if "\x00" in value:
            raise _unfit(value, "holds a NUL character", "remove it")
        return _Encoded("text", "text", value.encode("utf-8"))
    try:
        text = json.dumps(value, allow_nan=False)
        same = _is_same(json.loads(text), value)
    except (TypeError, ValueError, RecursionError):
        same, text = False, ""
    if not same:
        raise _unfit(
            value,
            "objects of this type cannot be saved in a safe format",
            "pass an estimator of scikit-learn, XGBoost or LightGBM, an ONNX model, a dict of arrays, JSON or a string",
        )
    return _Encoded("json", "json", text.encode("utf-8"))


def _is_same(read: Any, value: Any) -> bool:
    """Return whether a value that was read from JSON equals the original; JSON changes tuples and non-string keys."""
    if type(read) is not type(value):
        return False
    if isinstance(value, dict):
        return read.keys() == value.keys() and all(_is_same(read[key], value[key]) for key in value)
    if isinstance(value, list):
        return len(read) == len(value) and all(map(_is_same, read, value))
    return bool(read == value)


def _unfit(value: Any, why: str, remedy: str) -> NoSafeFormat:
    return NoSafeFormat(f"{type(value).__module__}.{type(value).__qualname__}", why=why, remedy=remedy)


_BY_PACKAGE: Final[dict[str, Callable[[Any], _Encoded]]] = {
    "sklearn": _sklearn,
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "onnx": _onnx,
    "numpy": _numpy,
    "torch": _torch,
}
