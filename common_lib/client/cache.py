"""What references meant when they were last asked for: answers that are fresh, or better than none.

```
age      0 ─── fresh_s ─────── revalidate_s ─────────────────────── stale_s ───▶
         from memory   from memory, and asked    the registry is asked;
                       for in the background     from memory if it does not answer
```

Only what is resolved is kept, and only answers of success. A refusal is never covered up: what is gone, recalled or
forbidden is told at once, unless `through_denial` lets a last good answer outlive an expired token.

Source: RFC 9111 (HTTP Caching) and RFC 5861 (stale-while-revalidate, stale-if-error).
"""

import contextlib
import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from common_lib.client.policy import Pause, Send, Steps
from common_lib.client.telemetry import Telemetry, isolated
from common_lib.config import ResolveRules
from common_lib.errors import RegistryUnavailable
from common_lib.operations.base import Answer, Operation

_DENIED: Final = frozenset({401, 403})
_SAVED_EVERY_S: Final = 5.0
_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Refresh:
    """Ask again in the background; the answer goes into the cache and nowhere else."""

    operation: Operation[Any]


@dataclass(frozen=True, slots=True)
class _Entry:
    answer: Answer
    at: float
    source: str


class ResolveCache:
    """The answers of one client, shared by its threads or tasks, and by its next process through a file."""

    def __init__(
        self,
        rules: ResolveRules,
        telemetry: Telemetry,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._telemetry = telemetry
        self._clock = clock
        self._wall = wall
        self._lock = threading.Lock()
        self._refreshing: dict[str, int] = {}
        # Counts what we changed ourselves: an answer that was asked for before that is not kept.
        self._changes = 0
        self._saved_at = clock()
        self._entries = self._loaded()

    def steps(
        self, operation: Operation[Any], ask: Callable[[], Steps]
    ) -> Generator[Send | Pause | Refresh, Any, Answer]:
        """The steps of one call: none if the answer is fresh, those of `ask` if it must be asked for.

        Raises:
            RegistryUnavailable: there is no answer, and none that is young enough is kept.
        """
        if operation.route_class != "resolve":
            answer = yield from ask()
            if operation.method != "GET":
                self._forget_model(operation.path)
            return answer
        entry = self._entries.get(operation.path)
        age = self._age(entry)
        if entry is not None and age < self._rules.fresh_s:
            return self._told(entry, "")
        if entry is not None and age < self._rules.revalidate_s:
            if self._begin_refresh(operation.path):
                yield Refresh(operation)
            return self._told(entry, "")
        return (yield from self._asked(operation, ask, entry))

    def refreshed(self, operation: Operation[Any], answer: Answer | None) -> None:
        """Take what a refresh in the background brought, or that it brought nothing."""
        with self._lock:
            changes = self._refreshing.pop(operation.path, self._changes)
        if answer is not None:
            self._take(operation.path, answer, changes)

    def save(self) -> None:
        """Write the file, whole or not at all, if there is one to be."""
        if self._rules.snapshot is None:
            return
        now, wall = self._clock(), self._wall()
        entries = {
            path: {
                "at": wall - (now - entry.at),
                "body": entry.answer.body.decode(),
                "headers": dict(entry.answer.headers),
            }
            for path, entry in list(self._entries.items())
        }
        text = json.dumps(entries)
        whole = f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}"
        place = self._rules.snapshot
        new = place.parent / f".{place.name}.{uuid.uuid4().hex}"
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(whole)
                file.flush()
                os.fsync(file.fileno())
            new.replace(place)

    def _asked(
        self, operation: Operation[Any], ask: Callable[[], Steps], entry: _Entry | None
    ) -> Generator[Send | Pause, Any, Answer]:
        changes = self._changes
        try:
            answer = yield from ask()
        except RegistryUnavailable as error:
            if entry is None or self._age(entry) > self._rules.stale_s:
                raise
            return self._told(entry, str(error))
        kept = self._rules.through_denial and answer.status in _DENIED
        if kept and entry is not None and self._age(entry) <= self._rules.stale_s:
            return self._told(entry, f"status {answer.status}")
        self._take(operation.path, answer, changes)
        return answer

    def _take(self, path: str, answer: Answer, changes: int) -> None:
        if answer.status == 200:  # noqa: PLR2004 - the one that has a body to keep
            with self._lock:
                if changes != self._changes:
                    return
                if len(self._entries) >= _MOST:
                    self._entries.pop(next(iter(self._entries)))
                self._entries[path] = _Entry(answer, self._clock(), "cache")
                due = self._clock() - self._saved_at >= _SAVED_EVERY_S
                if due:
                    self._saved_at = self._clock()
            if due:
                self.save()
        else:
            self._entries.pop(path, None)

    def _told(self, entry: _Entry, reason: str) -> Answer:
        age = self._age(entry)
        stale = bool(reason) or age >= self._rules.fresh_s
        if reason:
            isolated(self._telemetry, "stale", "resolve", age_s=round(age, 3), reason=reason)
        facts = {"age": f"{age:.3f}", "x-source": entry.source, "x-stale": str(stale).lower(), "x-stale-reason": reason}
        return replace(entry.answer, headers={**entry.answer.headers, **facts})

    def _age(self, entry: _Entry | None) -> float:
        return 0.0 if entry is None else max(0.0, self._clock() - entry.at)

    def _begin_refresh(self, path: str) -> bool:
        with self._lock:
            if path in self._refreshing:
                return False
            self._refreshing[path] = self._changes
            return True

    def _forget_model(self, path: str) -> None:
        """Ask again for what a change of ours may have moved."""
        segments = path.split("/")
        if segments[2:3] != ["models"] or len(segments) < 4:  # noqa: PLR2004 - /v1/models/{name}
            return
        prefix = "/".join(segments[:4]) + "/"
        with self._lock:
            self._changes += 1
            for known in [known for known in self._entries if known.startswith(prefix)]:
                self._entries.pop(known, None)

    def _loaded(self) -> dict[str, _Entry]:
        place: Path | None = self._rules.snapshot
        if place is None:
            return {}
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            digest, _, text = place.read_text("utf-8").partition("\n")
            if hashlib.sha256(text.encode()).hexdigest() == digest:
                now, wall = self._clock(), self._wall()
                return {
                    path: _Entry(
                        Answer(200, kept["headers"], kept["body"].encode()),
                        now - max(0.0, wall - kept["at"]),
                        "snapshot",
                    )
                    for path, kept in json.loads(text).items()
                }
        return {}
