"""The rule that a use case awaits its records only, kept at run time by both engines.

SQLite has one writer and PostgreSQL a few connections: a use case that waits for a thread, a timer or the network keeps
all others from writing, and on SQLite it could not go on at all.
"""

from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


def refuse_waiting(use_case: "Coroutine[Any, Any, Any]") -> RuntimeError:
    """End a use case that waits for something other than its records, and return an error that names the functions."""
    names = []
    within: Any = use_case
    while hasattr(within, "cr_await"):
        names.append(within.__qualname__)
        within = within.cr_await
    use_case.close()
    return RuntimeError(f"a use case waited for something other than its records: {' > '.join(names)}")


class Watched(Generic[T]):
    """A use case whose every wait must be one of its connection, as `waits` says."""

    def __init__(self, use_case: "Coroutine[Any, Any, T]", waits: Callable[[], bool]) -> None:
        self._use_case = use_case
        self._waits = waits

    def __await__(self) -> Generator[Any, Any, T]:
        step: Callable[[], Any] = partial(self._use_case.send, None)
        while True:
            try:
                awaited = step()
            except StopIteration as done:
                return cast("T", done.value)
            if not self._waits():
                raise refuse_waiting(self._use_case)
            try:
                sent = yield awaited
            except BaseException as error:  # noqa: BLE001 - a cancellation too belongs to the use case
                step = partial(self._use_case.throw, error)
            else:
                step = partial(self._use_case.send, sent)
