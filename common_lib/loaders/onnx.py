"""Loader for ONNX models by onnxruntime. A model must be complete in one file."""

from collections.abc import Sequence
from typing import Any

from common_lib.loaders.budget import Budget, bound_for
from common_lib.loaders.library import library
from common_lib.loaders.onnx_model import BadModel, check_model
from common_lib.rules.formats import BY_NAME


def fault(content: bytes, memory: int | None = None) -> str | None:
    """Return why the bytes are not a complete model in one file, or None; tensors in other files are refused.

    Raises:
        OverBudget: the model exceeds the memory bound.
    """
    if reason := BY_NAME["onnx"].fault(content):
        return reason
    try:
        check_model(content, Budget(bound_for(len(content), memory)))
    except BadModel as error:
        return str(error)
    return None


def load(content: bytes, *, providers: Sequence[str] = ("CPUExecutionProvider",), fold_constants: bool = False) -> Any:
    """Create the `onnxruntime.InferenceSession` of the model.

    With `fold_constants` the session computes constant parts of the graph when it is created. That may take any amount
    of memory, which cannot be counted before: use it only for models from people you know.
    """
    disabled = [] if fold_constants else ["ConstantFolding"]
    runtime = library("onnxruntime", extra="onnx")
    return runtime.InferenceSession(content, providers=list(providers), disabled_optimizers=disabled)
