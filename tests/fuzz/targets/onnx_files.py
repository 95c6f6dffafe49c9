"""ONNX graphs: changed numbers, lengths and messages of protobuf; those that pass the check run in a session."""

import random
from functools import cache
from typing import Any, Final

import numpy as np

from common_lib.errors import LoadRefused
from tests.fuzz.boosters import module
from tests.fuzz.child import in_child
from tests.fuzz.harness import Target
from tests.fuzz.loading import checks, loads
from tests.fuzz.mutators import FLOATS, NUMBERS, any_bytes, any_text, one_of

_SMALL: Final = 64


def use(content: bytes) -> None:
    """Open a session and run it once, and ignore an error of onnxruntime."""
    module("onnxruntime").set_default_logger_severity(4)
    session = loads("onnx")(content)
    inputs = session.get_inputs()
    if len(inputs) == 1 and inputs[0].type == "tensor(float)":
        shape = [side if isinstance(side, int) and 0 < side < _SMALL else 2 for side in inputs[0].shape or []]
        try:
            session.run(None, {inputs[0].name: np.ones(shape, np.float32)})
        except Exception as error:
            if not type(error).__module__.startswith("onnxruntime"):
                raise


@cache
def _seeds() -> list[bytes]:
    onnx = module("onnx")
    module("onnxruntime")
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [helper.make_node(kind, ["x", "w"], ["y"]) for kind in ("Add", "MatMul")]
    weights = helper.make_tensor("w", kinds.FLOAT, [3, 3], np.eye(3, dtype=np.float32).ravel().tolist())
    raw = helper.make_tensor("w", kinds.FLOAT, [3, 3], np.eye(3, dtype=np.float32).tobytes(), raw=True)
    trees = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_values=[0.5, 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights=[1.0, 2.0],
    )
    graphs = [([nodes[0]], [weights]), ([nodes[1]], [raw]), ([trees], [])]
    return [_model(helper, kinds, *graph) for graph in graphs]


def _model(helper: Any, kinds: Any, nodes: list[Any], weights: list[Any]) -> bytes:
    ends = [helper.make_tensor_value_info(name, kinds.FLOAT, [None, 3]) for name in "xy"]
    ends[1] = helper.make_tensor_value_info("y", kinds.FLOAT, None)
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    sets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(graph, opset_imports=sets, ir_version=8).SerializeToString())


def _message(chance: random.Random, case: bytes) -> bytes:
    """Change fields of messages at any depth, according to the descriptors of protobuf."""
    model = module("onnx").load_model_from_string(case)
    for _ in range(chance.choice((1, 1, 2, 4))):
        message = chance.choice(_messages(model))
        fields = message.DESCRIPTOR.fields
        used = [field for field, _ in message.ListFields()]
        field = chance.choice(used) if used and chance.random() < 0.8 else chance.choice(list(fields))
        _change(chance, message, field)
    return bytes(model.SerializePartialToString())


def _messages(message: Any) -> list[Any]:
    found = [message]
    for field, value in message.ListFields():
        if field.message_type:
            below = value if field.is_repeated else [value]
            found += [one for each in below for one in _messages(each)]
    return found


def _change(chance: random.Random, message: Any, field: Any) -> None:
    value = getattr(message, field.name)
    if field.is_repeated:
        way = chance.randrange(4)
        if way == 0 and value:
            del value[chance.randrange(len(value))]
        elif field.message_type:
            value.add().CopyFrom(chance.choice(value)) if len(value) and way < 3 else value.add()
        elif way == 1 and value:
            value.append(value[0])
        elif value:
            value[chance.randrange(len(value))] = _scalar(chance, field, value[0])
    elif field.message_type:
        message.ClearField(field.name) if chance.random() < 0.5 else value.SetInParent()
    else:
        setattr(message, field.name, _scalar(chance, field, value))


def _scalar(chance: random.Random, field: Any, value: Any) -> Any:
    if isinstance(value, bytes):
        return any_bytes(chance, value)
    if isinstance(value, str):
        return any_text(chance, value).encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return chance.choice(FLOATS)
    if field.enum_type:
        return chance.choice(field.enum_type.values).number
    number = chance.choice((*NUMBERS, value + 1, 3))
    bits = 31 if field.cpp_type == field.CPPTYPE_INT32 else 63
    return number if -(2**bits) <= number < 2**bits else -1


TARGETS: Final = [
    Target(
        name="load-onnx",
        seeds=_seeds,
        mutate=one_of(any_bytes, _message, _message),
        runner=in_child(checks("onnx"), f"{__name__}:use", warm=lambda: _seeds()[0]),
        refusals=(LoadRefused,),
    )
]
