"""Formats of models: detection by file name and media type, and checks whether the bytes can have that format.

Checks look at bytes and never deserialise them. Reading a safe format can only build data; a file in an unsafe format
can run code while it is read.
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
    """A format: its loader, the suffixes and the media type that declare it, and a check of its bytes.

    `vaguer` are compatible, more general media types, such as `application/zip` of a skops file; `other` are suffixes
    that fit its media type, but alone mean another format. `fault` returns why bytes cannot have the format, or None.
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
    """The declared type of a file: the name of a loader, and the format if the registry knows it."""

    loader: str
    format: Format | None


def declared(path: str, media_type: str) -> Declaration | None:
    """Return the declaration in the name and media type of a file; None if neither belongs to a model.

    A format of a third party declares itself by `application/vnd.<loader>` or the suffix `.<loader>`.

    Raises:
        RuleViolation: name and media type contradict each other.

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
                why=f"does not match the file name {path!r}, which is a {by_suffix.name} name",
                remedy=f"register it as {by_suffix.media_type}, or under a name of its real format",
            )
        return Declaration(by_suffix.loader, by_suffix)
    if by_type:
        if _generic(by_type) or "." not in path.rpartition("/")[2]:
            return Declaration(by_type.loader, by_type)
        raise RuleViolation(
            Code.INVALID_MANIFEST,
            field="path",
            value=path,
            why=f"is not the name of a {by_type.name} file, but its media type is {media_type}",
            remedy=f"name it {' or '.join('*' + suffix for suffix in by_type.suffixes)}",
        )
    return _of_third_party(path, media_type)


def is_document(declaration: Declaration) -> bool:
    """Return whether a file is JSON or text, which accompany a model more often than they are one."""
    return declaration.format is not None and _generic(declaration.format)


def media_type_of(path: str) -> str | None:
    """Return the media type of a file name, the same on every machine; None if it is not the name of a model file.

    >>> media_type_of("weights/layer-1.safetensors")
    'application/vnd.safetensors'
    """
    found = _by_suffix(path)
    return found.media_type if found else None


def resemblance(content: bytes) -> str:
    """Describe in words the format that bytes seem to have, for an error message."""
    for what, looks in _LOOKS:
        if looks(content):
            return what
    return "no known format"


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
    return f"the archive holds {foreign[0]!r}" if foreign else None


def _safetensors(content: bytes) -> str | None:
    if len(content) < 8:  # noqa: PLR2004 - the length of the length
        return "it is shorter than the length of a header"
    (length,) = struct.unpack("<Q", content[:8])
    if not len(b"{}") <= length <= min(MAX_SAFETENSORS_HEADER, len(content) - 8):
        return f"its header would have {length} bytes, of {len(content) - 8} that there are"
    return None if content[8:9] == b"{" else "its header is not a JSON object"


def _onnx(content: bytes) -> str | None:
    try:
        kinds = {(number, wire) for number, wire, *_ in protobuf_fields(content, 0, len(content))}
    except ValueError:
        return "it is not a protobuf message"
    if not kinds <= _ONNX_MODEL:
        return "it has fields that no ONNX model has"
    return None if {(1, 0), (7, 2)} <= kinds else "it has no graph of an ONNX model"


# onnx.proto, message ModelProto: number and wire type of each field.
_ONNX_MODEL: Final = {(1, 0), (5, 0), *((number, 2) for number in (2, 3, 4, 6, 7, 8, 14, 20, 25, 26))}


def _xgboost_json(content: bytes) -> str | None:
    # A buffer that begins otherwise makes XGBoost fall back to another of its formats.
    good = re.match(rb'\{\s*"', content) and b'"learner"' in content
    return None if good else "it does not begin as a JSON model of XGBoost"


def _xgboost_ubj(content: bytes) -> str | None:
    good = re.match(rb"\{L\x00{7}[\x01-\x40][a-z]", content) and b"learner" in content
    return None if good else "it does not begin as a UBJSON model of XGBoost"


def _lightgbm(content: bytes) -> str | None:
    return None if re.match(rb"tree\nversion=v[34]\n", content) else "it does not begin as a LightGBM model"


def _json(content: bytes) -> str | None:
    return None if re.match(rb'[ \t\r\n]*[\[{"0-9tfn-]', content) else "it does not begin as JSON"


def _text(content: bytes) -> str | None:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "it is not UTF-8"
    return "it holds a NUL" if b"\x00" in content else None


def _pickle(content: bytes) -> str | None:
    return None if _is_pickle(content) or content[-1:] == b"." else "it is not a pickle"


def _joblib(content: bytes) -> str | None:
    return None if _is_pickle(content) or content.startswith(_COMPRESSED) else "it is not a file of joblib"


def _torch(content: bytes) -> str | None:
    return None if _is_torch_zip(content) or content.startswith(_TORCH_LEGACY) else "it is not a file of torch"


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
    ("no bytes at all", lambda content: not content),
    ("a file of torch", lambda content: _torch(content) is None),
    ("a pickle", _is_pickle),
    ("an array of numpy", lambda content: content.startswith(b"\x93NUMPY")),
    ("a file of skops", lambda content: _skops(content) is None),
    ("a ZIP archive", lambda content: content.startswith(b"PK")),
    ("a compressed file, as joblib writes them", lambda content: content.startswith(_COMPRESSED)),
    ("a file of safetensors", lambda content: _safetensors(content) is None),
    ("a model of XGBoost", lambda content: _xgboost_ubj(content) is None or _xgboost_json(content) is None),
    ("a model of LightGBM", lambda content: _lightgbm(content) is None),
    ("a model of ONNX", lambda content: _onnx(content) is None),
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
