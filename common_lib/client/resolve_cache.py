"""Store the answers to resolves that a client receives, and serve them while they are fresh, or during an outage.

```
age      0 ─── fresh_s ─────── revalidate_s ─────────────────────── stale_s ───▶
         served        served, and refreshed    a request is sent;
                       in the background        served if it fails
```

Calls for the same path share one request (single-flight). If the last request failed a moment ago, a stored answer is
served at once and refreshed in the background, so that callers do not wait for a registry that hangs.

Only successful answers to resolves are stored. If the registry refuses a request because a version does not exist or is
recalled, the stored answer is removed and the caller gets the error. If the registry refuses the token, the stored
answer is served only to callers who allow this. An error of a proxy, such as its own 404, does not count as a refusal.

Source: RFC 9111 (HTTP Caching) and RFC 5861 (stale-while-revalidate, stale-if-error).
"""

import copy
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from common_lib.client.cache_file import CacheFile, StoredAnswer
from common_lib.client.freshness import AgeLimits, Entry
from common_lib.client.single_flight import Flight, FlightResult, SingleFlight
from common_lib.client.steps import CallSteps, CheckedSteps, Fetch, Refresh, Save, Wait
from common_lib.client.telemetry import Telemetry, notify
from common_lib.config import RegistryConfig, ResolveRules
from common_lib.deadline import remaining_s
from common_lib.errors import (
    DeadlineExceeded,
    Forbidden,
    InvalidConfiguration,
    RegistryError,
    RegistryUnavailable,
    RequestRefused,
    Unauthenticated,
)
from common_lib.operations.base import Answer, Operation
from common_lib.staleness import Provenance

_SAVE_INTERVAL_S: Final = 5.0
_MAX_ENTRIES: Final = 10_000
_OK: Final = 200
_NAME: Final = 4  # /v1/models/{name}
_CIRCUIT_OPEN: Final = "the circuit is open"
_REFRESHING: Final = "the answer is being refreshed in the background"
_DENIED: Final = (Unauthenticated, Forbidden)


class ResolveCache:
    """The stored answers of one client, shared by its threads and tasks, and saved in a file for later processes."""

    def __init__(
        self,
        rules: ResolveRules,
        telemetry: Telemetry,
        *,
        file: CacheFile | None = None,
        patience_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._default_limits = AgeLimits.of(rules)
        self._telemetry = telemetry
        self._file = file
        self._patience_s = patience_s
        self._clock = clock
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._flights = SingleFlight()
        # Paths that were refused or changed, and the time. They are written with each save, because another process may
        # have saved its older answer in the meantime.
        self._negative: dict[str, float] = {}
        self._has_unsaved = False
        self._saved_at = -math.inf
        self._entries: dict[str, Entry] = {}
        if file is not None:
            self._load(file.load())

    @classmethod
    def of(cls, config: RegistryConfig, telemetry: Telemetry) -> "ResolveCache | None":
        """Create the cache for a configuration; return None if `config.resolve` is None."""
        rules = config.resolve
        if rules is None:
            return None
        if isinstance(rules.persist, bool):
            file = CacheFile.default(config.url, config.token) if rules.persist else None
        else:
            file = CacheFile(rules.persist, config.url, config.token)
        return cls(rules, telemetry, file=file, patience_s=config.deadline_s)

    def copy_for_fork(self) -> "ResolveCache":
        """Return a copy for a forked process, with new locks and no flights, which belong to threads of the parent."""
        clone = copy.copy(self)
        clone._lock, clone._saving, clone._flights = threading.Lock(), threading.Lock(), SingleFlight()  # noqa: SLF001 - itself
        clone._entries, clone._negative = dict(self._entries), dict(self._negative)  # noqa: SLF001 - the same
        return clone

    def steps(
        self, operation: Operation[Any], fetch: Fetch, is_rejecting: Callable[[], bool] = lambda: False
    ) -> CallSteps:
        """Run one call: return a stored answer if it may be served at once, otherwise run the steps of `fetch`.

        While `is_rejecting()` is True, no answer is refreshed in the background: the circuits would reject every
        attempt, and to start a thread takes much longer than to serve an answer.

        Raises:
            RegistryUnavailable: the registry does not answer, and a stored answer is missing or too old.
        """
        if operation.route_class != "resolve":
            return (yield from self._bypass(operation, fetch))
        limits = self._limits_for(operation)
        entry = self._entries.get(operation.path)
        if entry is not None:
            now = self._clock()
            age_s = now - entry.fetched_at
            if limits.is_fresh(entry, age_s):
                return self._serve(entry, age_s, "")
            is_refreshing = operation.path in self._flights
            if limits.may_serve_without_waiting(entry, age_s, is_refreshing=is_refreshing, now=now):
                return (yield from self._serve_without_waiting(operation, entry, age_s, is_rejecting))
        return (yield from self._fetch_or_serve_stale(operation, fetch, limits))

    def refresh_steps(self, operation: Operation[Any], fetch: Fetch) -> CallSteps:
        """Fetch an answer in the background, after `steps` has yielded `Refresh`, and store it.

        Raises:
            RegistryUnavailable: the registry does not answer; the next caller starts another refresh.
        """
        flight, _ = self._flights.join(operation.path, self._clock())
        answer, _ = yield from self._fetch(operation, fetch, flight)
        return answer

    def abandon_refresh(self, operation: Operation[Any], flight: Flight) -> None:
        """End a refresh whose background work did not start, so that the next caller starts another refresh."""
        self._flights.end(operation.path, flight, None)

    def save(self) -> None:
        """Write the cache file, if the cache has a file and has changed since the last save."""
        # Waits for a save in progress, so that the end of the interpreter does not interrupt it.
        with self._saving:
            if self._file is None or not self._has_unsaved:
                return
            with self._lock:
                self._has_unsaved = False
                negative = dict(self._negative)
                # Entries that came from the file are not written: another process may have stored newer ones.
                fetched = [(path, entry) for path, entry in self._entries.items() if entry.source == "cache"]
            now = self._clock()
            self._file.save(
                {path: StoredAnswer(entry.answer.body, now - entry.fetched_at) for path, entry in fetched},
                {path: now - at for path, at in negative.items()},
            )

    def _bypass(self, operation: Operation[Any], fetch: Fetch) -> CallSteps:
        try:
            return (yield from fetch())
        finally:
            # Also after a failure: the registry may have made the change although its answer was lost.
            if operation.method != "GET":
                self._invalidate_model(operation.path)

    def _serve_without_waiting(
        self, operation: Operation[Any], entry: Entry, age_s: float, is_rejecting: Callable[[], bool]
    ) -> CallSteps:
        if is_rejecting():
            return self._serve(entry, age_s, entry.failure or _CIRCUIT_OPEN)
        flight, is_new = self._flights.join(operation.path, self._clock())
        if is_new:
            yield Refresh(operation, flight)
        return self._serve(entry, age_s, entry.failure, _REFRESHING)

    def _fetch_or_serve_stale(self, operation: Operation[Any], fetch: Fetch, limits: AgeLimits) -> CallSteps:
        """Return the registry's answer, or a stored one if the registry does not answer or refuses the token."""
        try:
            answer, error = yield from self._join_or_fetch(operation, fetch)
        except (RegistryUnavailable, InvalidConfiguration) as failure:
            stale = self._stale_answer(operation.path, limits, str(failure))
            if stale is None:
                raise
            return stale
        may_replace = (
            limits.serve_on_auth_failure if isinstance(error, _DENIED) else not isinstance(error, RequestRefused)
        )
        if error is None or not may_replace:
            return answer
        return self._stale_answer(operation.path, limits, str(error)) or answer

    def _join_or_fetch(self, operation: Operation[Any], fetch: Fetch) -> CheckedSteps:
        """Return the result of another call that is fetching the same path. Without such a call, fetch the path."""
        began = self._clock()
        remaining = remaining_s()
        patience_s = self._patience_s if remaining is None else min(self._patience_s, remaining)
        while True:
            flight, is_new = self._flights.join(operation.path, self._clock())
            if not is_new and not self._rules.fresh_s:
                # If `fresh_s` is 0, the answer of a flight that began before this call is too old.
                flight, is_new = self._flights.detached(self._clock()), True
            if is_new:
                return (yield from self._fetch(operation, lambda: fetch(began), flight))
            left_s = patience_s - (self._clock() - began)
            if left_s <= 0:
                raise DeadlineExceeded(f"{operation.path}: the deadline has passed")
            result: FlightResult = yield Wait(flight.result, left_s)
            if isinstance(result, RegistryError):
                # Raise a copy, because the traceback of an error grows each time the error is raised.
                raise copy.copy(result)
            if result is not None:
                return result

    def _fetch(self, operation: Operation[Any], fetch: Fetch, flight: Flight) -> CheckedSteps:
        result: FlightResult = None
        is_save_due = False
        try:
            answer = yield from fetch()
            result = (answer, _error_of(operation, answer))
            is_save_due = self._store(operation.path, flight, *result)
        except (RegistryUnavailable, InvalidConfiguration) as error:
            # The deadline of this call does not apply to the calls that wait for this flight.
            if not isinstance(error, DeadlineExceeded):
                result = error
                self._record_failure(operation.path, str(error))
            raise
        finally:
            self._flights.end(operation.path, flight, result)
        if is_save_due:
            yield Save()
        return result

    def _store(self, path: str, flight: Flight, answer: Answer, error: RegistryError | None) -> bool:
        """Store a successful answer; after a refusal, remove the stored one. Return whether to save the file now."""
        if isinstance(error, _DENIED) or not isinstance(error, RequestRefused | None):
            self._record_failure(path, str(error), is_denied=isinstance(error, _DENIED))
            return False
        with self._lock:
            if not self._flights.is_current(flight):
                return False
            self._entries.pop(path, None)
            if error is None:
                # Added at the end: the entry at the beginning, which is the oldest, is evicted first.
                self._entries[path] = Entry(answer, flight.began_at, "cache")
                self._negative.pop(path, None)
                if len(self._entries) > _MAX_ENTRIES:
                    self._entries.pop(next(iter(self._entries)))
            else:
                self._store_negative(path, flight.began_at)
            self._has_unsaved = True
            is_due = self._file is not None and self._clock() - self._saved_at >= _SAVE_INTERVAL_S
            if is_due:
                self._saved_at = self._clock()
            return is_due

    def _record_failure(self, path: str, reason: str, *, is_denied: bool = False) -> None:
        with self._lock:
            entry = self._entries.get(path)
            if entry is not None:
                is_denied = is_denied or entry.is_denied
                self._entries[path] = replace(entry, failed_at=self._clock(), failure=reason, is_denied=is_denied)

    def _limits_for(self, operation: Operation[Any]) -> AgeLimits:
        if operation.staleness is None and not operation.eager:
            return self._default_limits
        return AgeLimits.of(self._rules, operation.staleness, eager=operation.eager)

    def _stale_answer(self, path: str, limits: AgeLimits, reason: str) -> Answer | None:
        """Return the stored answer to serve after a failure; None if no answer is stored, or its age is not allowed."""
        entry = self._entries.get(path)
        if entry is None:
            return None
        age_s = self._clock() - entry.fetched_at
        return self._serve(entry, age_s, reason) if limits.may_serve_stale(entry, age_s) else None

    def _serve(self, entry: Entry, age_s: float, failure: str, reason_if_stale: str = "") -> Answer:
        """Return a stored answer with its provenance. After a failure, the answer is marked as stale at any age."""
        if failure:
            notify(self._telemetry, "stale", "resolve", age_s=round(age_s, 3), reason=failure)
        stale = age_s >= self._rules.fresh_s or bool(failure)
        reason = failure or (reason_if_stale if stale else "")
        provenance = Provenance(stale=stale, age_s=age_s, source=entry.source, reason=reason)
        return Answer(entry.answer.status, entry.answer.headers, entry.answer.body, provenance)

    def _invalidate_model(self, path: str) -> None:
        """Remove the stored answers of the model in `path`, because this client has changed the model."""
        segments = path.split("/")
        if segments[2:3] != ["models"] or len(segments) < _NAME:
            return
        prefix = "/".join(segments[:_NAME]) + "/"
        with self._lock:
            self._flights.invalidate(prefix)
            for stored in [stored for stored in self._entries if stored.startswith(prefix)]:
                self._entries.pop(stored)
                self._store_negative(stored, self._clock())
                self._has_unsaved = True

    def _store_negative(self, path: str, at: float) -> None:
        self._negative.pop(path, None)
        self._negative[path] = at
        if len(self._negative) > _MAX_ENTRIES:
            self._negative.pop(next(iter(self._negative)))

    def _load(self, answers: Mapping[str, StoredAnswer]) -> None:
        now = self._clock()
        for path, answer in answers.items():
            # An answer with a timestamp in the future may have any age, so it must be revalidated.
            age_s = self._rules.revalidate_s if answer.age_s is None else answer.age_s
            self._entries[path] = Entry(Answer(_OK, {}, answer.body), now - age_s, "disk-cache")


def _error_of(operation: Operation[Any], answer: Answer) -> RegistryError | None:
    """Return the error in an answer: a refusal, or an answer that is not from a registry. Return None for a success."""
    try:
        operation.result(answer)
    except RegistryError as error:
        return error
    return None
