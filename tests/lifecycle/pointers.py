"""Two pointers of a model (production and an alias) that many clients read and move, as sequential objects.

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
    """A read of the versions in production, or of the alias."""


class Promote(NamedTuple):
    """A promotion of a version, in place of another or of none."""

    version: int
    replacing: int | None


class Move(NamedTuple):
    """A move of the alias to a version, if it has that revision."""

    version: int
    revision: int


class Lost(NamedTuple):
    """A refusal because another writer was faster, with the winner if the error names one."""

    winner: int | None = None


def production(state: tuple[int, ...], request: Read | Promote) -> tuple[Hashable, Hashable]:
    """Apply a request to the versions in production: one, or none before the first promotion."""
    there = state[0] if state else None
    if isinstance(request, Read):
        return state, state
    if request.replacing == there:
        return DONE, (request.version,)
    return Lost(there), state


def alias(state: tuple[int, int], request: Read | Move) -> tuple[Hashable, Hashable]:
    """Apply a request to the alias: its version and its revision, which an unchanged move keeps."""
    version, revision = state
    if isinstance(request, Read):
        return state, state
    if request.revision == revision:
        return DONE, (request.version, revision + (request.version != version))
    return Lost(), state


def by_search(registry: ModelRegistry, model: str) -> tuple[int, ...]:
    """Read production by a search, which would return more than one version."""
    return tuple(version.version for version in registry.versions.search(model, stage="production"))


def by_reference(registry: ModelRegistry, model: str) -> tuple[int, ...]:
    """Read production by the reference that services use."""
    try:
        return (registry.resolve(f"models:/{model}/production").version,)
    except VersionNotFound:
        return ()


def by_timeline(registry: ModelRegistry, model: str) -> tuple[int, ...]:
    """Read production from the timeline."""
    version = registry.production.at(model).version
    return () if version is None else (version,)


def by_model(registry: ModelRegistry, model: str) -> tuple[int, ...]:
    """Read production from the model."""
    version = registry.models.get(model).production_version
    return () if version is None else (version,)


View = Callable[[ModelRegistry, str], tuple[int, ...]]
VIEWS: tuple[View, ...] = (by_search, by_reference, by_timeline, by_model)


class Pointers:
    """The production version and one alias of a model, through a registry; every request is recorded."""

    def __init__(self, model: str, named: str = "shadow") -> None:
        self.model = model
        self.named = named
        self.of_production: list[Done] = []
        self.of_alias: list[Done] = []

    def in_production(self, registry: ModelRegistry, view: View) -> tuple[int, ...]:
        """Read the versions in production."""
        with _recorded(self.of_production, Read()) as answer:
            answer.append(view(registry, self.model))
        seen: tuple[int, ...] = answer[0]
        return seen

    def promote(
        self, registry: ModelRegistry, request: Promote, *, revision: int, reason: str
    ) -> ProductionChanged | None:
        """Promote, and return the refusal if another writer was faster."""
        with _recorded(self.of_production, request) as answer:
            try:
                registry.versions.transition(
                    self.model,
                    request.version,
                    "production",
                    reason=reason,
                    replacing=request.replacing,
                    revision=revision,
                )
            except ProductionChanged as lost:
                answer.append(Lost(lost.winner.version if lost.winner else None))
                return lost
            answer.append(DONE)
        return None

    def pointed(self, registry: ModelRegistry) -> tuple[int, int]:
        """Read the version and the revision of the alias."""
        with _recorded(self.of_alias, Read()) as answer:
            found = registry.aliases.get(self.model, self.named)
            answer.append((found.version, found.revision))
        return found.version, found.revision

    def move(self, registry: ModelRegistry, request: Move) -> bool:
        """Move the alias, and return whether that succeeded."""
        with _recorded(self.of_alias, request) as answer:
            try:
                registry.aliases.move(self.model, self.named, request.version, revision=request.revision)
            except RevisionMismatch:
                answer.append(Lost())
                return False
            answer.append(DONE)
        return True


@contextmanager
def _recorded(history: list[Done], request: Hashable) -> Iterator[list[Any]]:
    began, answer = time.perf_counter(), list[Any]()
    yield answer
    history.append(Done(began, time.perf_counter(), request, answer[0]))
