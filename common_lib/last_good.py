"""What an adapter was told last, for the time in which its registry gives no answer.

An adapter that holds one behaves the same on whatever registry it was given. It says with each resolve how old an
answer it takes, which a registry with a cache of its own obeys, and keeps the last answer for one that has none.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

from common_lib.errors import (
    Forbidden,
    InvalidConfiguration,
    ProtocolError,
    RegistryError,
    RegistryUnavailable,
    Unauthenticated,
)
from common_lib.operations.base import Answer, Flow, Operation
from common_lib.staleness import Provenance, Staleness

T = TypeVar("T")
_MOST: Final = 10_000
_DENIED: Final = (Unauthenticated, Forbidden)


class LastGood:
    """Answers to resolves, by path; for threads or tasks."""

    def __init__(self, staleness: Staleness, clock: Callable[[], float] = time.monotonic) -> None:
        self._staleness = staleness
        self._clock = clock
        self._kept: dict[str, tuple[Answer, float]] = {}

    def answer(self, operation: Operation[T]) -> Flow[T]:
        """The answer to one operation: that of the registry, or, of a resolve, the last one that is young enough.

        Raises:
            RegistryError: the registry's no, or why it gave no answer, if there is nothing to give instead.
        """
        if operation.route_class != "resolve":
            if operation.method != "GET":
                self._kept.clear()
            passed: T = yield operation
            return passed
        read = operation.read
        staleness = operation.staleness or self._staleness

        def both(told: Answer) -> Any:
            # The answer itself is wanted too; it is read here, so that what is none is found out below.
            return told, read(told)

        answer: Answer
        found: T
        try:
            answer, found = yield replace(operation, staleness=staleness, read=both)
        except RegistryError as error:
            kept = self._instead(operation.path, error, staleness)
            if kept is None:
                raise
            return read(kept)
        self._keep(operation.path, answer)
        return found

    def _keep(self, path: str, answer: Answer) -> None:
        kept = self._kept
        kept.pop(path, None)
        kept[path] = (answer, self._clock() - answer.provenance.age_s)
        while len(kept) > _MOST:
            kept.pop(next(iter(kept)), None)

    def _instead(self, path: str, error: RegistryError, staleness: Staleness) -> Answer | None:
        """What is given in the place of that error, if it is no decision of the registry that has to be told."""
        told = isinstance(error, RegistryUnavailable | ProtocolError)
        if not told and not (staleness.serve_on_auth_failure and isinstance(error, _DENIED)):
            self._kept.pop(path, None)
            return None
        if (found := self._kept.get(path)) is None:
            return None
        answer, at = found
        age_s = max(0.0, self._clock() - at)
        if age_s > staleness.max_age_s:
            return None
        return replace(answer, provenance=Provenance(stale=True, age_s=age_s, source="cache", reason=str(error)))


def last_good_for(staleness: Any, adapter: str) -> LastGood:
    """The memory of an adapter, for the policy that it was given.

    Raises:
        InvalidConfiguration: that is none.
    """
    if not isinstance(staleness, Staleness):
        raise InvalidConfiguration(
            f"{adapter} takes staleness=FailClosed(), ServeStale() or KeepLastGood(max_age_s=…), not {staleness!r:.50}"
        )
    return LastGood(staleness)
