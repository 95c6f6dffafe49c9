"""Checks that a C++ library can walk a tree safely: all children are nodes of the tree, each with one parent."""

from collections.abc import Callable, Sequence
from typing import Final

MAX_DEPTH: Final = 2_000


class BadTree(ValueError):
    """A tree that would make a library read beyond its memory or loop for ever."""


def require(condition: object, fault: str) -> None:
    """Raise BadTree with this fault unless a condition holds."""
    if not condition:
        raise BadTree(fault)


def walk(children: Callable[[int], Sequence[int]], nodes: int) -> list[int]:
    """Return the nodes that can be reached from node 0.

    Raises:
        BadTree: a child is not a node of the tree, or has two parents.
    """
    seen = {0}
    pending = [0]
    while pending:
        for child in children(pending.pop()):
            require(0 <= child < nodes, "a child is not a node of its tree")
            require(child not in seen, "a node has two parents")
            seen.add(child)
            pending.append(child)
    return sorted(seen)


def depth_of(children: Callable[[int], Sequence[int]]) -> int:
    """Count the levels of a tree that `walk` has accepted.

    Raises:
        BadTree: there are too many levels for a library that recurses at each level.
    """
    depth, level = 0, [0]
    while level:
        depth += 1
        require(depth <= MAX_DEPTH, f"a tree has more than {MAX_DEPTH} levels")
        level = [child for node in level for child in children(node)]
    return depth
