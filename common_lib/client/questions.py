"""What is being asked just now, so that it is asked once, however many want the answer."""

import contextlib
import threading
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

from common_lib.errors import RegistryError
from common_lib.operations.base import Answer

# An answer with the error that it stands for, or why there was none; nothing says that nobody knows.
Said = tuple[Answer, RegistryError | None]
Outcome = Said | RegistryError | None


@dataclass(frozen=True, slots=True)
class Question:
    """Asked at a time of the client's clock; its answer says nothing of what we change meanwhile."""

    at: float
    changes: int
    outcome: "Future[Outcome]" = field(default_factory=Future)


class Questions:
    """The questions of one client, by path."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes = 0
        self._asked: dict[str, Question] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._asked

    def begun(self, path: str, at: float) -> tuple[Question, bool]:
        """The question about it, and whether it is a new one, to be asked by us."""
        with self._lock:
            question = self._asked.get(path)
            if question is not None:
                return question, False
            question = self._asked[path] = Question(at, self._changes)
            return question, True

    def alone(self, at: float) -> Question:
        """A question that nobody else waits for."""
        return Question(at, self._changes)

    def end(self, path: str, question: Question, outcome: Outcome) -> None:
        """Tell those who wait."""
        with self._lock:
            if self._asked.get(path) is question:
                del self._asked[path]
        with contextlib.suppress(InvalidStateError):
            # Given up already, because the event loop of the caller has ended.
            question.outcome.set_result(outcome)

    def outdate(self, prefix: str) -> None:
        """After a change of ours: who asks below that path from now on asks anew."""
        with self._lock:
            self._changes += 1
            for path in [path for path in self._asked if path.startswith(prefix)]:
                del self._asked[path]

    def is_current(self, question: Question) -> bool:
        """Whether nothing was changed since it was asked."""
        return question.changes == self._changes
