"""Check an ONNX model and estimate its memory. The protobuf messages are read in place and no objects are created.

The field numbers are those of `onnx.proto3` of ONNX 1.19. The costs are the memory that onnxruntime 1.32 takes for a
message of each kind, measured on models with 50,000 such messages and rounded up.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from common_lib.loaders.budget import Budget
from common_lib.rules.containers import protobuf_fields

_LOCATION: Final = {13, 14}  # TensorProto.external_data and data_location
_DEPTH: Final = 100
_SESSION: Final = 16 * 2**20
_COPIES: Final = 4  # of the bytes, in messages, graph and kernels
_NAME: Final = 1_000
_FIELD: Final = 250  # any other field: a string, an entry of a map, a dimension
_PACKED: Final = 40  # a byte of packed numbers, each of which becomes 8 bytes in every copy


class BadModel(ValueError):
    """The error that a model cannot be read, or that its tensors are in other files."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A type of protobuf message: its memory in bytes, the fields with nested messages, and those of packed numbers."""

    cost: int
    nested: Mapping[int, str] = field(default_factory=dict)
    packed: frozenset[int] = frozenset()


_KINDS: Final[dict[str, _Kind]] = {
    "model": _Kind(0, {7: "graph", 20: "training", 25: "function", 8: "entry", 14: "entry"}),
    "training": _Kind(4_000, {1: "graph", 2: "graph", 3: "entry", 4: "entry"}),
    "graph": _Kind(
        4_000, {1: "node", 5: "tensor", 11: "value", 12: "value", 13: "value", 14: "entry", 15: "sparse", 16: "entry"}
    ),
    "function": _Kind(4_000, {7: "node", 9: "entry", 11: "attribute", 12: "value", 14: "entry"}),
    "node": _Kind(2_600, {5: "attribute", 9: "entry"}),
    "attribute": _Kind(
        1_000,
        {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 14: "type", 15: "type", 22: "sparse", 23: "sparse"},
        frozenset({7, 8}),
    ),
    "sparse": _Kind(1_000, {1: "tensor", 2: "tensor"}, frozenset({3})),
    "tensor": _Kind(2_000, {16: "entry"}, frozenset({1, 5, 7, 11})),
    "value": _Kind(400, {2: "type"}),
    "type": _Kind(100, {1: "tensor type", 4: "boxed type", 5: "boxed type", 8: "tensor type", 9: "boxed type"}),
    "boxed type": _Kind(100, {1: "type", 2: "type"}),
    "tensor type": _Kind(100, {2: "shape"}),
    "shape": _Kind(100, {1: "dimension"}),
    "dimension": _Kind(200),
    "entry": _Kind(300),
}


class Call(NamedTuple):
    """The domain and the name of the operator or function that a node calls."""

    domain: bytes
    name: bytes


@dataclass(slots=True)
class _Body:
    """The main graph or a function: its calls, and its memory without the memory of the called functions."""

    cost: int = 0
    calls: list[Call] = field(default_factory=list)


def check_model(content: bytes, budget: Budget) -> None:
    """Check that a model can be read and has no tensors in other files, and spend the memory that its load takes.

    Raises:
        BadModel: the model is damaged, nested too deeply, or has tensors in other files.
        OverBudget: the model exceeds the memory bound; a function is counted once for each call.
    """
    budget.spend((1 + _COPIES) * len(content) + _SESSION, "its bytes")
    bodies: dict[Call, _Body] = {}
    main = _Body()
    pending = [("model", 0, len(content), 0, main)]
    while pending:
        kind, start, end, depth, body = pending.pop()
        if depth > _DEPTH:
            raise BadModel(f"a {kind} in the model is nested too deeply")
        if kind == "function":
            body = bodies.setdefault(_named(content, start, end, name=1, domain=10), _Body())
        elif kind == "node":
            body.calls.append(_named(content, start, end, name=4, domain=7))
        about = _KINDS[kind]
        for number, wire, place, behind, truth in _fields(content, start, end, kind):
            if kind == "tensor" and number in _LOCATION and truth:
                raise BadModel("the model has tensors in other files, which are not covered by the digest of this file")
            nested = about.nested.get(number) if wire == 2 else None  # noqa: PLR2004 - length-delimited
            if nested:
                # Spent below, before the next message: so the list of pending messages is bounded too.
                spent = _KINDS[nested].cost
                pending.append((nested, place, behind, depth + 1, body))
            else:
                spent = _FIELD + (_PACKED * (behind - place) if number in about.packed else 0)
            body.cost += spent
            budget.spend(spent, f"its {nested or kind} messages")
    _spend_calls(main, bodies, budget)


def _spend_calls(main: _Body, bodies: Mapping[Call, _Body], budget: Budget) -> None:
    """Spend the memory of each function once for each call, because onnxruntime inlines functions."""
    totals: dict[Call, int] = {}

    def total(call: Call, above: frozenset[Call]) -> int:
        if call not in totals:
            if call in above or len(above) > _DEPTH:
                raise BadModel(f"the function {call.name!r:.100} calls itself, or its calls are nested too deeply")
            body = bodies[call]
            called = (total(one, above | {call}) for one in body.calls if one in bodies)
            totals[call] = body.cost + sum(called)
        return totals[call]

    budget.spend(sum(total(one, frozenset()) for one in main.calls if one in bodies), "its functions")


def _named(content: bytes, start: int, end: int, *, name: int, domain: int) -> Call:
    texts = {name: b"", domain: b""}
    for number, _, place, behind, _ in _fields(content, start, end, "name"):
        if number in texts:
            texts[number] = content[place:behind][:_NAME]
    return Call(texts[domain] if texts[domain] != b"ai.onnx" else b"", texts[name])


def _fields(content: bytes, start: int, end: int, kind: str) -> Iterator[tuple[int, int, int, int, bool]]:
    try:
        yield from protobuf_fields(content, start, end)
    except ValueError:
        raise BadModel(f"a {kind} in the model cannot be read") from None
