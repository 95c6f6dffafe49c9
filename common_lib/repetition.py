"""Repeat a call that failed: the same request under the same key, so that the registry does it once.

When no answer to a write comes, the client does not know whether it was done. Called anew, it would be sent under a
new key, and be done twice. So the error carries what was sent, and `registry.retry(error)` sends the same again. A
call of several requests goes on where it stopped: earlier answers are remembered, and not asked for again.
"""

from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Final, Generic, TypeVar

from common_lib.errors import InvalidRequest, ProtocolError, RegistryError, RegistryUnavailable, RequestInFlight
from common_lib.operations.base import Flow, Operation

T = TypeVar("T")
# After these the same call may succeed, or it is not known whether it has.
REPEATABLE: Final = (RegistryUnavailable, ProtocolError, RequestInFlight)
_ADVICE: Final = (
    "it is not known whether it was done: registry.retry(error) repeats the same request under the same key, {key!r}, "
    "and so it is done once"
)


def note(error: RegistryError, operation: Operation[Any], *, answered: bool = False) -> None:
    """Let an error carry the operation that failed and how to repeat it, and say so if it may have been done."""
    key = operation.idempotency_key
    error.operation = operation
    error.repeat = lambda registry: registry.call(operation)
    if key is None:
        # Nothing was to be done, or bytes were sent that go by their digest.
        error.outcome_unknown = False
        return
    error.idempotency_key = key
    error.outcome_unknown = answered or error.outcome_unknown or isinstance(error, RequestInFlight)
    if error.outcome_unknown:
        error.advice = _ADVICE.format(key=key)


def repeat_of(error: RegistryError) -> Callable[[Any], Any]:
    """Return what repeats the call that raised the error, by the registry that it is given.

    Raises:
        InvalidRequest: the error is of something that repeating cannot mend, or comes from another process.
    """
    if error.repeat is None:
        raise InvalidRequest(
            f"{type(error).__name__} is not the error of a call that can be repeated",
            code="invalid_request",
            remedy="repeat a RegistryUnavailable as it was raised; after anything else, decide again",
        )
    return error.repeat


class Recording(Generic[T]):
    """One run of a flow, with the replies to its steps, so that another run can go on where it stopped."""

    def __init__(
        self,
        build: Callable[[], Flow[T]],
        replies: list[tuple[bool, Any]] | None = None,
        instead: Operation[Any] | None = None,
    ) -> None:
        self._build = build
        self._replayed = replies or []
        self._instead = instead
        self._replies: list[tuple[bool, Any]] = []
        self._last: Any = None
        self._has_written = False

    def steps(self) -> Flow[T]:
        """Run the flow: first on the replies of the run before, then on those of the registry."""
        flow: Generator[Any, Any, T] = self._build()
        known = deque(self._replayed)
        try:
            step = next(flow)
            while True:
                if known:
                    failed, reply = known.popleft()
                else:
                    step = self._same(step)
                    try:
                        failed, reply = False, (yield step)
                    except Exception as error:  # noqa: BLE001 - the flow decides
                        failed, reply = True, error
                self._remember(step, reply, failed=failed)
                step = flow.throw(reply) if failed else flow.send(reply)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        finally:
            flow.close()

    def again(self) -> "Recording[T]":
        """Return the run that repeats this one: from its last step on, or, as long as nothing was written, anew."""
        if not self._has_written:
            return Recording(self._build)
        failed_write = self._last if _is_write(self._last) else None
        return Recording(self._build, self._replies[:-1], failed_write)

    def _same(self, step: Any) -> Any:
        # Built anew it has another key: what is repeated is the operation that was sent before.
        instead, self._instead = self._instead, None
        if instead is not None and _is_write(step) and (step.method, step.path) == (instead.method, instead.path):
            return instead
        return step

    def _remember(self, step: Any, reply: Any, *, failed: bool) -> None:
        self._last = step
        self._replies.append((failed, reply))
        self._has_written = self._has_written or _is_write(step)


def _is_write(step: Any) -> bool:
    return isinstance(step, Operation) and step.idempotency_key is not None
