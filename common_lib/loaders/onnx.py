"""Graphs of ONNX by onnxruntime, whole in one file."""

from collections.abc import Sequence
from typing import Any, Final

from common_lib.loaders.library import library
from common_lib.rules.containers import protobuf_fields
from common_lib.rules.formats import BY_NAME

# onnx.proto: the fields by which one message leads to another, from the model down to each tensor.
_BELOW: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_LOCATION: Final = {13, 14}  # TensorProto.external_data and data_location
_DEPTH: Final = 100


def fault(content: bytes) -> str | None:
    """Why it is no model in one file: another format, or tensors that stand in files elsewhere on this machine."""
    if reason := BY_NAME["onnx"].fault(content):
        return reason
    pending = [("model", content, 0)]
    while pending:
        kind, message, depth = pending.pop()
        found = protobuf_fields(message)
        if found is None or depth > _DEPTH:
            return f"it has a {kind} that cannot be read"
        if kind == "tensor" and any(number in _LOCATION and value for number, _, value in found):
            return "it has tensors in other files, which the digest of this one does not cover"
        pending += [(_BELOW[kind][number], value, depth + 1) for number, _, value in found if number in _BELOW[kind]]
    return None


def load(content: bytes, *, providers: Sequence[str] = ("CPUExecutionProvider",)) -> Any:
    """The `onnxruntime.InferenceSession` of the model."""
    return library("onnxruntime", extra="onnx").InferenceSession(content, providers=list(providers))
