"""Loader for ONNX models, which onnxruntime executes. All tensors of a model must be in the model file itself."""

from collections.abc import Sequence
from typing import Any

from common_lib.loaders.budget import Budget, bound_for
from common_lib.loaders.library import library
from common_lib.loaders.onnx_model import BadModel, check_model
from common_lib.rules.formats import BY_NAME


def fault(content: bytes, memory: int | None = None) -> str | None:
    """Return why the bytes are not a valid model, or None. A model with tensors in other files is not valid.

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

    With `fold_constants` onnxruntime computes the constant parts of the graph when it creates the session. This can
    take any amount of memory, which the memory bound does not cover: use it only if you trust the model's author.
    """
    disabled = [] if fold_constants else ["ConstantFolding"]
    runtime = library("onnxruntime", extra="onnx")
    return runtime.InferenceSession(content, providers=list(providers), disabled_optimizers=disabled)
