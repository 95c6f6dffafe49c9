"""Formats of model files: how names and media types declare them, and checks of the bytes.

A check never deserialises a file. Loading a file in a safe format only builds data; a file in an unsafe format can run
code while it is loaded.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from common_lib.rules.codes import Code
from common_lib.rules.containers import protobuf_fields, zip_names
from common_lib.rules.violation import RuleViolation

UNDECLARED: Final = "application/octet-stream"
MAX_SAFETENSORS_HEADER: Final = 100_000_000  # the limit of the safetensors library itself
_THIRD_PARTY: Final = re.compile(r"application/vnd\.([a-z0-9][a-z0-9-]{0,63})$(?!\n)")
_SUFFIX: Final = re.compile(r"\.([a-z0-9][a-z0-9-]{0,63})$(?!\n)")


@dataclass(frozen=True, slots=True)
class Format:
    """A format of model files: its loader, its file suffixes, its media type, and a check of its bytes.

    `vaguer` contains more general media types that are also accepted, such as `application/zip` for a skops file.
    `other` contains suffixes that are accepted together with the media type, but alone declare another format. `fault`
    returns the reason why bytes cannot have the format, or None.
    """

    name: str
    loader: str
    media_type: str
    suffixes: tuple[str, ...]
    fault: Callable[[bytes], str | None]
    safe: bool = True
    vaguer: frozenset[str] = frozenset()
    other: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Declaration:
    """The declared type of a model file. `format` is None if the loader comes from a third party."""

    loader: str
    format: Format | None


def declared(path: str, media_type: str) -> Declaration | None:
    """Return the type that the name and media type of a file declare; None if it is not a model file.

    `application/vnd.<loader>` or the suffix `.<loader>` declares the format of a third party's loader.

    Raises:
        RuleViolation: the name and the media type declare different formats.

    >>> declared("model.skops", "application/octet-stream").loader
    'skops'
    """
    by_suffix, by_type = _by_suffix(path), _BY_MEDIA_TYPE.get(media_type)
    if by_type and (by_type is by_suffix or path.lower().endswith(by_type.other)):
        return Declaration(by_type.loader, by_type)
    if by_suffix:
        if media_type != UNDECLARED and media_type not in by_suffix.vaguer:
            raise RuleViolation(
                Code.INVALID_MANIFEST,
                field="media_type",
                value=media_type,
                why=f"the media type does not match {path!r}, which is the name of a {by_suffix.name} file",
                remedy=f"register the file as {by_suffix.media_type}, or with the suffix of its real format",
            )
        return Declaration(by_suffix.loader, by_suffix)
    if by_type:
        if _generic(by_type) or "." not in path.rpartition("/")[2]:
            return Declaration(by_type.loader, by_type)
        raise RuleViolation(
            Code.INVALID_MANIFEST,
            field="path",
            value=path,
            why=f"the media type is {media_type}, but this is not the name of a {by_type.name} file",
            remedy=f"rename the file to {' or '.join('*' + suffix for suffix in by_type.suffixes)}",
        )
    return _of_third_party(path, media_type)


def is_document(declaration: Declaration) -> bool:
    """Return whether a file is JSON or text; such a file usually describes a model and is not the model itself."""
    return declaration.format is not None and _generic(declaration.format)


def media_type_of(path: str) -> str | None:
    """Return the media type that the suffix of a file name declares; None if it is not the suffix of a model file.

    >>> media_type_of("weights/layer-1.safetensors")
    'application/vnd.safetensors'
    """
    found = _by_suffix(path)
    return found.media_type if found else None


def resemblance(content: bytes) -> str:
    """Return the format that bytes seem to have, in words for an error message."""
    for what, looks in _LOOKS:
        if looks(content):
            return what
    return "a file of an unknown format"


def runs_code(content: bytes) -> bool:
    """Return whether bytes clearly have a format that can run code while it is read."""
    return _is_pickle(content) or _is_torch_zip(content) or content.startswith(b"\x93NUMPY")


def _by_suffix(path: str) -> Format | None:
    lower = path.lower()
    found = [(len(suffix), form) for form in FORMATS for suffix in form.suffixes if lower.endswith(suffix)]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _generic(form: Format) -> bool:
    return form.name in {"json", "text"}


def _of_third_party(path: str, media_type: str) -> Declaration | None:
    named = _THIRD_PARTY.match(media_type) or (media_type == UNDECLARED and _SUFFIX.search(path.lower()))
    # A third party's declaration never selects one of our own loaders.
    if not named or named[1] in {form.loader for form in FORMATS}:
        return None
    return Declaration(named[1], None)


def _skops(content: bytes) -> str | None:
    names = zip_names(content)
    if names is None:
        return "it is not a plain ZIP archive"
    if "schema.json" not in names:
        return "the archive has no schema.json"
    foreign = sorted(name for name in names if name.lower().endswith((".pkl", ".pickle", ".joblib", ".pt")))
    return f"the archive contains {foreign[0]!r}, which may be a pickle" if foreign else None


def _safetensors(content: bytes) -> str | None:
    if len(content) < 8:  # noqa: PLR2004 - the length of the length
        return "it is too short for the 8 bytes that contain the length of its header"
    (length,) = struct.unpack("<Q", content[:8])
    if not len(b"{}") <= length <= min(MAX_SAFETENSORS_HEADER, len(content) - 8):
        return f"the length of its header is not valid: {length} bytes, but {len(content) - 8} follow"
    return None if content[8:9] == b"{" else "its header is not a JSON object"


def _onnx(content: bytes) -> str | None:
    try:
        kinds = {(number, wire) for number, wire, *_ in protobuf_fields(content, 0, len(content))}
    except ValueError:
        return "it is not a protobuf message"
    if not kinds <= _ONNX_MODEL:
        return "it has fields that an ONNX model does not have"
    return None if {(1, 0), (7, 2)} <= kinds else "it lacks the version or the graph of an ONNX model"


# onnx.proto, message ModelProto: number and wire type of each field.
_ONNX_MODEL: Final = {(1, 0), (5, 0), *((number, 2) for number in (2, 3, 4, 6, 7, 8, 14, 20, 25, 26))}


def _xgboost_json(content: bytes) -> str | None:
    # A buffer that begins otherwise makes XGBoost fall back to another of its formats.
    good = re.match(rb'\{\s*"', content) and b'"learner"' in content
    return None if good else "it does not begin like a JSON model of XGBoost"


def _xgboost_ubj(content: bytes) -> str | None:
    good = re.match(rb"\{L\x00{7}[\x01-\x40][a-z]", content) and b"learner" in content
    return None if good else "it does not begin like a UBJSON model of XGBoost"


def _lightgbm(content: bytes) -> str | None:
    return None if re.match(rb"tree\nversion=v[34]\n", content) else "it does not begin like a LightGBM model"


def _json(content: bytes) -> str | None:
    return None if re.match(rb'[ \t\r\n]*[\[{"0-9tfn-]', content) else "it does not begin like JSON"


def _text(content: bytes) -> str | None:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "it is not UTF-8"
    return "it contains a NUL character" if b"\x00" in content else None


def _pickle(content: bytes) -> str | None:
    return None if _is_pickle(content) or content[-1:] == b"." else "it is not a pickle"


def _joblib(content: bytes) -> str | None:
    return None if _is_pickle(content) or content.startswith(_COMPRESSED) else "it is not a joblib file"


def _torch(content: bytes) -> str | None:
    return None if _is_torch_zip(content) or content.startswith(_TORCH_LEGACY) else "it is not a torch file"


_COMPRESSED: Final = (
    b"\x1f\x8b",
    b"x\x01",
    b"x\x5e",
    b"x\x9c",
    b"x\xda",
    b"BZh",
    b"\xfd7zXZ",
    b"]\x00",
    b"\x04\x22M\x18",
)
_TORCH_LEGACY: Final = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"


def _is_pickle(content: bytes) -> bool:
    return re.match(rb"\x80[\x02-\x05]", content) is not None


def _is_torch_zip(content: bytes) -> bool:
    return content.startswith(b"PK\x03\x04") and b"/data.pkl" in content


_LOOKS: Final[tuple[tuple[str, Callable[[bytes], object]], ...]] = (
    ("an empty file", lambda content: not content),
    ("a torch file", lambda content: _torch(content) is None),
    ("a pickle", _is_pickle),
    ("a numpy array", lambda content: content.startswith(b"\x93NUMPY")),
    ("a skops file", lambda content: _skops(content) is None),
    ("a ZIP archive", lambda content: content.startswith(b"PK")),
    ("a compressed joblib file", lambda content: content.startswith(_COMPRESSED)),
    ("a safetensors file", lambda content: _safetensors(content) is None),
    ("an XGBoost model", lambda content: _xgboost_ubj(content) is None or _xgboost_json(content) is None),
    ("a LightGBM model", lambda content: _lightgbm(content) is None),
    ("an ONNX model", lambda content: _onnx(content) is None),
    ("JSON", lambda content: _json(content) is None),
    ("text", lambda content: _text(content) is None),
)

FORMATS: Final = (
    Format("skops", "skops", "application/vnd.skops", (".skops",), _skops, vaguer=frozenset({"application/zip"})),
    Format("safetensors", "safetensors", "application/vnd.safetensors", (".safetensors",), _safetensors),
    Format("onnx", "onnx", "application/vnd.onnx", (".onnx",), _onnx),
    Format("xgboost-ubj", "xgboost", "application/vnd.xgboost+ubj", (".ubj",), _xgboost_ubj),
    Format(
        *("xgboost-json", "xgboost", "application/vnd.xgboost+json", (".xgb.json",), _xgboost_json),
        vaguer=frozenset({"application/json"}),
        other=(".json",),
    ),
    Format(
        *("lightgbm", "lightgbm", "text/vnd.lightgbm", (".lgb.txt", ".lgb"), _lightgbm),
        vaguer=frozenset({"text/plain"}),
        other=(".txt",),
    ),
    Format("json", "json", "application/json", (".json",), _json),
    Format("text", "text", "text/plain", (".txt",), _text),
    Format("pickle", "pickle", "application/vnd.python.pickle", (".pkl", ".pickle"), _pickle, safe=False),
    Format("joblib", "joblib", "application/vnd.joblib", (".joblib", ".joblib.gz", ".joblib.z"), _joblib, safe=False),
    Format("torch", "torch", "application/vnd.pytorch", (".pt", ".pth"), _torch, safe=False),
)
_BY_MEDIA_TYPE: Final = {form.media_type: form for form in FORMATS}
BY_NAME: Final = {form.name: form for form in FORMATS}
