"""What references meant when they were last asked for: answers that are fresh, or better than none.

```
age      0 ─── fresh_s ─────── revalidate_s ─────────────────────── stale_s ───▶
         from memory   from memory, and asked    the registry is asked;
                       for in the background     from memory if it does not answer
```

Who asks for what somebody asks for already waits for that answer. What was asked for in vain a moment ago is told from
memory and asked for in the background, so that nobody waits for a registry that hangs.

Only what is resolved is kept, and only answers of success. A refusal by the registry is never covered up: what is gone
or out of use is told and forgotten; what is forbidden is told, unless the caller keeps its last good answer through it.
What somebody else on the way says, such as the 404 of a proxy, is no refusal.

Source: RFC 9111 (HTTP Caching) and RFC 5861 (stale-while-revalidate, stale-if-error).
"""

import copy
import math
import threading
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Final

from common_lib.client.policy import Pause, Send, Steps
from common_lib.client.questions import Outcome, Question, Questions, Said
from common_lib.client.snapshot import Kept, SnapshotFile
from common_lib.client.telemetry import Telemetry, isolated
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
from common_lib.staleness import Provenance, Staleness

_SAVED_EVERY_S: Final = 5.0
_MOST: Final = 10_000
_OK: Final = 200
_NAME: Final = 4  # /v1/models/{name}
_CIRCUIT_OPEN: Final = "its circuit is open"
_ASKED_AGAIN: Final = "not asked for just now; it is asked for in the background"
_DENIED: Final = (Unauthenticated, Forbidden)


@dataclass(frozen=True, slots=True)
class Refresh:
    """Ask again in the background, by `ResolveCache.refreshing`."""

    operation: Operation[Any]
    question: Question


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until somebody else's question has ended, or so many seconds; the reply is its outcome, if there is one."""

    outcome: "Future[Outcome]"
    seconds: float


@dataclass(frozen=True, slots=True)
class Save:
    """Write the snapshot in the background."""


CallSteps = Generator[Send | Pause | Refresh | Wait | Save, Any, Answer]
SaidSteps = Generator[Send | Pause | Refresh | Wait | Save, Any, Said]


@dataclass(frozen=True, slots=True)
class _Entry:
    answer: Answer
    at: float
    source: str
    # When the registry was last asked in vain, and what came of it; `denied` stays until it answers again.
    vain_at: float | None = None
    reason: str = ""
    denied: bool = False


@dataclass(frozen=True, slots=True)
class _Limits:
    """The rules, as far as a caller accepts them."""

    fresh_s: float
    revalidate_s: float
    stale_s: float
    serve_on_auth_failure: bool


class ResolveCache:
    """The answers of one client, shared by its threads or tasks, and by its next process through a file."""

    def __init__(
        self,
        rules: ResolveRules,
        telemetry: Telemetry,
        *,
        file: SnapshotFile | None = None,
        patience_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._usual = _Limits(rules.fresh_s, rules.revalidate_s, rules.stale_s, rules.serve_on_auth_failure)
        self._telemetry = telemetry
        self._file = file
        self._patience_s = patience_s
        self._clock = clock
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._questions = Questions()
        # When we heard a refusal, or made a change: told with each save, as another process may have saved in between.
        self._gone: dict[str, float] = {}
        self._unsaved = False
        self._saved_at = -math.inf
        self._entries: dict[str, _Entry] = {}
        if file is not None:
            self._take_over(file.load())

    @classmethod
    def of(cls, config: RegistryConfig, telemetry: Telemetry) -> "ResolveCache | None":
        """The cache that a configuration asks for."""
        rules = config.resolve
        if rules is None:
            return None
        if isinstance(rules.snapshot, bool):
            file = SnapshotFile.default(config.url, config.token) if rules.snapshot else None
        else:
            file = SnapshotFile(rules.snapshot, config.url, config.token)
        return cls(rules, telemetry, file=file, patience_s=config.deadline_s)

    def forked(self) -> "ResolveCache":
        """The same in a process that was forked off: there nobody asks, and nobody holds a lock."""
        twin = copy.copy(self)
        twin._lock, twin._saving, twin._questions = threading.Lock(), threading.Lock(), Questions()  # noqa: SLF001 - itself
        twin._entries, twin._gone = dict(self._entries), dict(self._gone)  # noqa: SLF001 - the same
        return twin

    def steps(
        self, operation: Operation[Any], ask: Callable[..., Steps], is_rejected: Callable[[], bool] = lambda: False
    ) -> CallSteps:
        """The steps of one call: none if the answer is fresh, those of `ask` if it must be asked for.

        While `is_rejected` says that nothing would be sent, nothing is asked in the background either: a thread that
        learns nothing would make a millisecond of the microseconds that an answer takes in an outage.

        Raises:
            RegistryUnavailable: there is no answer, and none that is young enough is kept.
        """
        if operation.route_class != "resolve":
            return (yield from self._passed(operation, ask))
        path = operation.path
        limits = self._usual if operation.staleness is None else self._accepted(operation.staleness)
        if operation.eager:
            limits = replace(limits, revalidate_s=limits.fresh_s)
        entry = self._entries.get(path)
        if entry is not None:
            age = self._clock() - entry.at
            if age < limits.fresh_s and not entry.denied:
                return self._told(entry, age, "")
            if self._need_not_wait(path, entry, age, limits):
                if is_rejected():
                    return self._told(entry, age, entry.reason or _CIRCUIT_OPEN)
                question, is_new = self._questions.begun(path, self._clock())
                if is_new:
                    yield Refresh(operation, question)
                return self._told(entry, age, entry.reason, _ASKED_AGAIN)
        return (yield from self._answered(operation, ask, limits))

    def refreshing(self, operation: Operation[Any], ask: Callable[..., Steps]) -> CallSteps:
        """The steps of a refresh in the background, which `steps` has begun.

        Raises:
            RegistryUnavailable: there is no answer; the next who wants one begins another refresh.
        """
        question, _ = self._questions.begun(operation.path, self._clock())
        answer, _ = yield from self._led(operation, ask, question)
        return answer

    def give_up(self, operation: Operation[Any], question: Question) -> None:
        """End a refresh that never began, so that the next caller begins another one; one that has ended stays so."""
        self._questions.end(operation.path, question, None)

    def save(self) -> None:
        """Write the file, if there is one and anything that it does not say."""
        # Behind whoever saves already: at the end of the interpreter that thread must not be cut off.
        with self._saving:
            if self._file is None or not self._unsaved:
                return
            with self._lock:
                self._unsaved = False
                gone = dict(self._gone)
                # What came from the file is left to whoever has heard it since.
                heard = [(path, entry) for path, entry in self._entries.items() if entry.source == "cache"]
            now = self._clock()
            self._file.save(
                {path: Kept(entry.answer.body, now - entry.at) for path, entry in heard},
                {path: now - at for path, at in gone.items()},
            )

    def _passed(self, operation: Operation[Any], ask: Callable[..., Steps]) -> CallSteps:
        try:
            return (yield from ask())
        finally:
            # Also if no answer came: it may have been done all the same.
            if operation.method != "GET":
                self._forget_model(operation.path)

    def _answered(self, operation: Operation[Any], ask: Callable[..., Steps], limits: _Limits) -> CallSteps:
        """The registry's answer, or what is kept if it has none."""
        try:
            answer, said = yield from self._shared(operation, ask)
        except (RegistryUnavailable, InvalidConfiguration) as error:
            kept = self._kept(operation.path, limits, str(error))
            if kept is None:
                raise
            return kept
        if said is None or (isinstance(said, RequestRefused) and not isinstance(said, _DENIED)):
            return answer
        if isinstance(said, _DENIED) and not limits.serve_on_auth_failure:
            return answer
        return self._kept(operation.path, limits, str(said)) or answer

    def _shared(self, operation: Operation[Any], ask: Callable[..., Steps]) -> SaidSteps:
        """The answer to a question that is asked once, however many have it."""
        began = self._clock()
        travelling_s = remaining_s()
        patience_s = self._patience_s if travelling_s is None else min(self._patience_s, travelling_s)
        while True:
            question, ours = self._questions.begun(operation.path, self._clock())
            if not ours and not self._rules.fresh_s:
                # Where nothing is fresh, the answer to a question asked before is too old.
                question, ours = self._questions.alone(self._clock()), True
            if ours:
                return (yield from self._led(operation, lambda: ask(began), question))
            left_s = patience_s - (self._clock() - began)
            if left_s <= 0:
                raise DeadlineExceeded(f"{operation.path}: the deadline is over")
            outcome: Outcome = yield Wait(question.outcome, left_s)
            if isinstance(outcome, RegistryError):
                # A copy: the traceback of one that is raised again and again would grow.
                raise copy.copy(outcome)
            if outcome is not None:
                return outcome

    def _led(self, operation: Operation[Any], ask: Callable[..., Steps], question: Question) -> SaidSteps:
        outcome: Outcome = None
        due = False
        try:
            answer = yield from ask()
            outcome = (answer, _meaning(operation, answer))
            due = self._take(operation.path, question, *outcome)
        except RegistryUnavailable as error:
            # That one caller had no time left says nothing to others.
            if not isinstance(error, DeadlineExceeded):
                outcome = error
                self._asked_in_vain(operation.path, str(error))
            raise
        except InvalidConfiguration as error:
            outcome = error
            self._asked_in_vain(operation.path, str(error))
            raise
        finally:
            self._questions.end(operation.path, question, outcome)
        if due:
            yield Save()
        return outcome

    def _take(self, path: str, question: Question, answer: Answer, said: RegistryError | None) -> bool:
        """Keep what was answered, forget what was refused; whether it is time to save."""
        if isinstance(said, _DENIED) or not isinstance(said, RequestRefused | None):
            self._asked_in_vain(path, str(said), denied=isinstance(said, _DENIED))
            return False
        with self._lock:
            if not self._questions.is_current(question):
                return False
            self._entries.pop(path, None)
            if said is None:
                # Behind all others: what was not asked for longest is the first to go.
                self._entries[path] = _Entry(answer, question.at, "cache")
                self._gone.pop(path, None)
                if len(self._entries) > _MOST:
                    self._entries.pop(next(iter(self._entries)))
            else:
                self._refuse(path, question.at)
            self._unsaved = True
            due = self._file is not None and self._clock() - self._saved_at >= _SAVED_EVERY_S
            if due:
                self._saved_at = self._clock()
            return due

    def _asked_in_vain(self, path: str, reason: str, *, denied: bool = False) -> None:
        with self._lock:
            entry = self._entries.get(path)
            if entry is not None:
                denied = denied or entry.denied
                self._entries[path] = replace(entry, vain_at=self._clock(), reason=reason, denied=denied)

    def _accepted(self, staleness: Staleness) -> _Limits:
        rules, max_age_s = self._rules, staleness.max_age_s
        revalidate_s = min(rules.revalidate_s, max(rules.fresh_s, max_age_s))
        return _Limits(
            rules.fresh_s, revalidate_s, max_age_s, rules.serve_on_auth_failure or staleness.serve_on_auth_failure
        )

    def _need_not_wait(self, path: str, entry: _Entry, age: float, limits: _Limits) -> bool:
        """Whether what is kept is told at once, and asked for in the background."""
        if entry.denied and not limits.serve_on_auth_failure:
            return False
        if age < limits.revalidate_s:
            return True
        if entry.vain_at is None or age > limits.stale_s:
            return False
        return path in self._questions or self._clock() - entry.vain_at < limits.fresh_s

    def _kept(self, path: str, limits: _Limits, reason: str) -> Answer | None:
        entry = self._entries.get(path)
        if entry is None or (entry.denied and not limits.serve_on_auth_failure):
            return None
        age = self._clock() - entry.at
        return self._told(entry, age, reason) if age <= limits.stale_s else None

    def _told(self, entry: _Entry, age: float, reason: str, otherwise: str = "") -> Answer:
        if reason:
            isolated(self._telemetry, "stale", "resolve", age_s=round(age, 3), reason=reason)
        stale = age >= self._rules.fresh_s or bool(reason)
        known = Provenance(stale=stale, age_s=age, source=entry.source, reason=reason or (otherwise if stale else ""))
        return Answer(entry.answer.status, entry.answer.headers, entry.answer.body, known)

    def _forget_model(self, path: str) -> None:
        """Ask again for what a change of ours may have moved."""
        segments = path.split("/")
        if segments[2:3] != ["models"] or len(segments) < _NAME:
            return
        prefix = "/".join(segments[:_NAME]) + "/"
        with self._lock:
            self._questions.outdate(prefix)
            for known in [known for known in self._entries if known.startswith(prefix)]:
                self._entries.pop(known)
                self._refuse(known, self._clock())
                self._unsaved = True

    def _refuse(self, path: str, at: float) -> None:
        self._gone.pop(path, None)
        self._gone[path] = at
        if len(self._gone) > _MOST:
            self._gone.pop(next(iter(self._gone)))

    def _take_over(self, known: Mapping[str, Kept]) -> None:
        now = self._clock()
        for path, kept in known.items():
            # What comes from the future by the clock of this machine may be of any age: it is asked for first.
            age = self._rules.revalidate_s if kept.age_s is None else kept.age_s
            self._entries[path] = _Entry(Answer(_OK, {}, kept.body), now - age, "snapshot")


def _meaning(operation: Operation[Any], answer: Answer) -> RegistryError | None:
    """The error that an answer stands for: a refusal by the registry, or that it is none of a registry."""
    try:
        operation.result(answer)
    except RegistryError as said:
        return said
    return None
