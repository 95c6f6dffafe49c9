"""What every tree must be, so that a library of C++ may walk it: children within it, each reached once."""

from collections.abc import Callable, Sequence
from typing import Final

MAX_DEPTH: Final = 2_000


class BadTree(ValueError):
    """A tree that a library would read beyond its memory, or walk for ever."""


def require(condition: object, fault: str) -> None:
    """Refuse a model by name of its fault.

    Raises:
        BadTree: the condition does not hold.
    """
    if not condition:
        raise BadTree(fault)


def walk(children: Callable[[int], Sequence[int]], nodes: int) -> list[int]:
    """The nodes that are reached from node 0.

    Raises:
        BadTree: a child is no node of the tree, or has two parents.
    """
    seen = {0}
    pending = [0]
    while pending:
        for child in children(pending.pop()):
            require(0 <= child < nodes, "a child is no node of its tree")
            require(child not in seen, "a node has two parents")
            seen.add(child)
            pending.append(child)
    return sorted(seen)


def depth_of(children: Callable[[int], Sequence[int]]) -> int:
    """Count the levels of a tree that `walk` has accepted.

    Raises:
        BadTree: they are more than a library can descend, for it calls itself at each level.
    """
    depth, level = 0, [0]
    while level:
        depth += 1
        require(depth <= MAX_DEPTH, f"a tree has more than {MAX_DEPTH} levels")
        level = [child for node in level for child in children(node)]
    return depth
