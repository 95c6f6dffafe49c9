"""Check that a C++ library can follow the nodes of a tree safely: there are no cycles and no missing nodes."""

from collections.abc import Callable, Sequence
from typing import Final

MAX_DEPTH: Final = 2_000


class BadTree(ValueError):
    """The error that a tree would make a library read beyond its memory or loop endlessly."""


def require(condition: object, fault: str) -> None:
    """Raise BadTree with the message `fault` unless the condition is true."""
    if not condition:
        raise BadTree(fault)


def walk(children: Callable[[int], Sequence[int]], nodes: int) -> list[int]:
    """Return the nodes that can be reached from the root, node 0.

    Raises:
        BadTree: a child does not exist or has two parents.
    """
    seen = {0}
    pending = [0]
    while pending:
        for child in children(pending.pop()):
            require(0 <= child < nodes, "a node has a child that is not in the tree")
            require(child not in seen, "a node of a tree has two parents")
            seen.add(child)
            pending.append(child)
    return sorted(seen)


def depth_of(children: Callable[[int], Sequence[int]]) -> int:
    """Return the number of levels of a tree that `walk` has checked.

    Raises:
        BadTree: there are more than `MAX_DEPTH` levels, which could overflow the stack of a recursive library.
    """
    depth, level = 0, [0]
    while level:
        depth += 1
        require(depth <= MAX_DEPTH, f"a tree has more than {MAX_DEPTH} levels")
        level = [child for node in level for child in children(node)]
    return depth
