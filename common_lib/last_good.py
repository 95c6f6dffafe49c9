"""Store the last good answers of an adapter, and serve them while its registry does not answer.

An adapter with a `LastGood` behaves the same on every registry. Each of its resolves contains the greatest age of an
answer that it accepts. A registry with its own cache obeys this age; for a registry without a cache, `LastGood` stores
the answers.
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
_MAX_ENTRIES: Final = 10_000
_DENIED: Final = (Unauthenticated, Forbidden)


class LastGood:
    """The last good answers of an adapter to resolves, by path. Threads or tasks may share one instance."""

    def __init__(self, staleness: Staleness, clock: Callable[[], float] = time.monotonic) -> None:
        self._staleness = staleness
        self._clock = clock
        self._entries: dict[str, tuple[Answer, float]] = {}

    def fetch(self, operation: Operation[T]) -> Flow[T]:
        """Return the result of an operation. If the operation is a resolve, return the last good result in an outage.

        Raises:
            RegistryError: the registry refused the request, or did not answer and no stored answer may be served.
        """
        if operation.route_class != "resolve":
            if operation.method != "GET":
                self._entries.clear()
            unchanged: T = yield operation
            return unchanged
        read = operation.read
        staleness = operation.staleness or self._staleness

        def read_with_answer(answer: Answer) -> Any:
            # If the answer cannot be read, this raises, so that the answer is not stored.
            return answer, read(answer)

        answer: Answer
        found: T
        try:
            answer, found = yield replace(operation, staleness=staleness, read=read_with_answer)
        except RegistryError as error:
            stale = self._stale_answer(operation.path, error, staleness)
            if stale is None:
                raise
            return read(stale)
        self._store(operation.path, answer)
        return found

    def _store(self, path: str, answer: Answer) -> None:
        entries = self._entries
        entries.pop(path, None)
        entries[path] = (answer, self._clock() - answer.provenance.age_s)
        while len(entries) > _MAX_ENTRIES:
            entries.pop(next(iter(entries)), None)

    def _stale_answer(self, path: str, error: RegistryError, staleness: Staleness) -> Answer | None:
        """Return the answer to serve instead of an error, or None. After a refusal, remove the stored answer."""
        is_outage = isinstance(error, RegistryUnavailable | ProtocolError)
        if not is_outage and not (staleness.serve_on_auth_failure and isinstance(error, _DENIED)):
            self._entries.pop(path, None)
            return None
        if (entry := self._entries.get(path)) is None:
            return None
        answer, fetched_at = entry
        age_s = max(0.0, self._clock() - fetched_at)
        if age_s > staleness.max_age_s:
            return None
        return replace(answer, provenance=Provenance(stale=True, age_s=age_s, source="cache", reason=str(error)))


def last_good_for(staleness: Any, adapter: str) -> LastGood:
    """Create the `LastGood` of an adapter with the given staleness.

    Raises:
        InvalidConfiguration: `staleness` is not a `Staleness`.
    """
    if not isinstance(staleness, Staleness):
        raise InvalidConfiguration(
            f"{adapter}: staleness is {staleness!r:.50}: pass FailClosed(), ServeStale() or KeepLastGood(max_age_s=…)"
        )
    return LastGood(staleness)
