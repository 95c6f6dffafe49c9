"""Graphs of ONNX by onnxruntime, whole in one file."""

from collections.abc import Sequence
from typing import Any

from common_lib.loaders.budget import Budget, bound_for
from common_lib.loaders.library import library
from common_lib.loaders.onnx_model import BadModel, check_model
from common_lib.rules.formats import BY_NAME


def fault(content: bytes, memory: int | None = None) -> str | None:
    """Say why it is not a model in one file: another format, or tensors in files elsewhere on this machine.

    Raises:
        OverBudget: it would take more memory than it may.
    """
    if reason := BY_NAME["onnx"].fault(content):
        return reason
    try:
        check_model(content, Budget(bound_for(len(content), memory)))
    except BadModel as error:
        return str(error)
    return None


def load(content: bytes, *, providers: Sequence[str] = ("CPUExecutionProvider",), fold_constants: bool = False) -> Any:
    """Return the `onnxruntime.InferenceSession` of the model.

    With `fold_constants` the session computes what depends on no input while it is made. That may take any amount of
    memory, which cannot be counted before, so it is for models of people that you know.
    """
    disabled = [] if fold_constants else ["ConstantFolding"]
    runtime = library("onnxruntime", extra="onnx")
    return runtime.InferenceSession(content, providers=list(providers), disabled_optimizers=disabled)
