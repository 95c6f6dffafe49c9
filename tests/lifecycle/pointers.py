"""Two things of a model that many read and move at once, as they must behave if one did so after the other.

Both move by compare-and-set, so a refusal tells as much as a success: it must come from a state that refuses.
"""

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from common_lib import ModelRegistry
from common_lib.errors import ProductionChanged, RevisionMismatch, VersionNotFound
from tests.lifecycle.linearizability import Done

DONE = "done"


class Read(NamedTuple):
    """What is there? Answered by all that is: the versions in production, or where the alias points."""


class Promote(NamedTuple):
    """Put a version into production, in the place of another or of none."""

    version: int
    replacing: int | None


class Move(NamedTuple):
    """Point the alias at a version, if it still is at a revision."""

    version: int
    revision: int


class Lost(NamedTuple):
    """Refused, because of what somebody else did: by whom production was changed, if that was told."""

    winner: int | None = None


def production(state: tuple[int, ...], asked: Read | Promote) -> tuple[Hashable, Hashable]:
    """The state is the versions in production: one, or none before the first promotion."""
    there = state[0] if state else None
    if isinstance(asked, Read):
        return state, state
    if asked.replacing == there:
        return DONE, (asked.version,)
    return Lost(there), state


def alias(state: tuple[int, int], asked: Read | Move) -> tuple[Hashable, Hashable]:
    """The state is where the alias points, and its revision, which stays where nothing is changed."""
    version, revision = state
    if isinstance(asked, Read):
        return state, state
    if asked.revision == revision:
        return DONE, (asked.version, revision + (asked.version != version))
    return Lost(), state


def searched(registry: ModelRegistry, model: str) -> tuple[int, ...]:
    """By a search, which would tell of more than one."""
    return tuple(version.version for version in registry.versions.search(model, stage="production"))


def resolved(registry: ModelRegistry, model: str) -> tuple[int, ...]:
    """By the reference that services use."""
    try:
        return (registry.resolve(f"models:/{model}/production").version,)
    except VersionNotFound:
        return ()


def told(registry: ModelRegistry, model: str) -> tuple[int, ...]:
    """By what the timeline says of now."""
    version = registry.production.at(model).version
    return () if version is None else (version,)


def shown(registry: ModelRegistry, model: str) -> tuple[int, ...]:
    """By what the model itself shows."""
    version = registry.models.get(model).production_version
    return () if version is None else (version,)


View = Callable[[ModelRegistry, str], tuple[int, ...]]
VIEWS: tuple[View, ...] = (searched, resolved, told, shown)


class Pointers:
    """The production version and one alias of a model, through a registry; whatever is asked is recorded."""

    def __init__(self, model: str, named: str = "shadow") -> None:
        self.model = model
        self.named = named
        self.of_production: list[Done] = []
        self.of_alias: list[Done] = []

    def in_production(self, registry: ModelRegistry, view: View) -> tuple[int, ...]:
        """The versions in production."""
        with _recorded(self.of_production, Read()) as answer:
            answer.append(view(registry, self.model))
        seen: tuple[int, ...] = answer[0]
        return seen

    def promote(
        self, registry: ModelRegistry, asked: Promote, *, revision: int, reason: str
    ) -> ProductionChanged | None:
        """Promote, and return the refusal of one that lost."""
        with _recorded(self.of_production, asked) as answer:
            try:
                registry.versions.transition(
                    self.model,
                    asked.version,
                    "production",
                    reason=reason,
                    replacing=asked.replacing,
                    revision=revision,
                )
            except ProductionChanged as lost:
                answer.append(Lost(lost.winner.version if lost.winner else None))
                return lost
            answer.append(DONE)
        return None

    def pointed(self, registry: ModelRegistry) -> tuple[int, int]:
        """Where the alias points, and at which revision."""
        with _recorded(self.of_alias, Read()) as answer:
            found = registry.aliases.get(self.model, self.named)
            answer.append((found.version, found.revision))
        return found.version, found.revision

    def move(self, registry: ModelRegistry, asked: Move) -> bool:
        """Move the alias, and say whether it was."""
        with _recorded(self.of_alias, asked) as answer:
            try:
                registry.aliases.move(self.model, self.named, asked.version, revision=asked.revision)
            except RevisionMismatch:
                answer.append(Lost())
                return False
            answer.append(DONE)
        return True


@contextmanager
def _recorded(history: list[Done], asked: Hashable) -> Iterator[list[Any]]:
    began, answer = time.perf_counter(), list[Any]()
    yield answer
    history.append(Done(began, time.perf_counter(), asked, answer[0]))
