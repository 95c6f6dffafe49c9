"""Enforces at run time, for both engines, the rule that a use case awaits its records only.

A use case that waits for a thread, a timer or the network would block other writes, because SQLite has one writer and
PostgreSQL a few connections. On SQLite, such a use case would never continue.
"""

from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


def refuse_waiting(use_case: "Coroutine[Any, Any, Any]") -> RuntimeError:
    """End a use case that waits for something other than its records, and return an error that lists the functions."""
    names = []
    inner: Any = use_case
    while hasattr(inner, "cr_await"):
        names.append(inner.__qualname__)
        inner = inner.cr_await
    use_case.close()
    return RuntimeError(f"a use case waited for something other than its records: {' > '.join(names)}")


class WatchedUseCase(Generic[T]):
    """A use case that may suspend only while `is_waiting` returns True, so only to wait for the database."""

    def __init__(self, use_case: "Coroutine[Any, Any, T]", is_waiting: Callable[[], bool]) -> None:
        self._use_case = use_case
        self._is_waiting = is_waiting

    def __await__(self) -> Generator[Any, Any, T]:
        step: Callable[[], Any] = partial(self._use_case.send, None)
        while True:
            try:
                awaited = step()
            except StopIteration as done:
                return cast("T", done.value)
            if not self._is_waiting():
                raise refuse_waiting(self._use_case)
            try:
                sent = yield awaited
            except BaseException as error:  # noqa: BLE001 - a cancellation is passed to the use case too
                step = partial(self._use_case.throw, error)
            else:
                step = partial(self._use_case.send, sent)
