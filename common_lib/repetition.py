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
    repeat: Callable[[Any], Any] | None = getattr(error, "repeat", None)
    if repeat is None:
        raise InvalidRequest(
            f"{type(error).__name__} is not the error of a call that can be repeated",
            code="invalid_request",
            remedy="repeat a RegistryUnavailable as it was raised; after anything else, decide again",
        )
    return repeat


def chained(begin: Callable[[Any], T]) -> Callable[[Any], T]:
    """Return what repeats a call by `begin`, and from then on by repeating what that has begun."""
    newest = [begin]

    def repeat(registry: Any) -> T:
        try:
            return newest[0](registry)
        except REPEATABLE as error:
            newest[0] = error.repeat or newest[0]
            raise

    return repeat


class Recording(Generic[T]):
    """One run of a flow, with the replies to its steps, so that another run can go on where it stopped.

    All runs that repeat one call share the writes that were sent, by their place among its writes: whichever of their
    errors is repeated, and however often, each write goes out under one key.
    """

    def __init__(
        self,
        build: Callable[[], Flow[T]],
        replies: list[tuple[bool, Any]] | None = None,
        sent: dict[int, Operation[Any]] | None = None,
    ) -> None:
        self._build = build
        self._replayed = replies or []
        self._sent = {} if sent is None else sent
        self._writes = 0
        self._replies: list[tuple[bool, Any]] = []
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
            return Recording(self._build, sent=self._sent)
        return Recording(self._build, self._replies[:-1], self._sent)

    def _same(self, step: Any) -> Any:
        # Built anew it has another key: what is repeated is the operation that was sent before.
        if not _is_write(step):
            return step
        before = self._sent.setdefault(self._writes, step)
        return before if (step.method, step.path) == (before.method, before.path) else step

    def _remember(self, step: Any, reply: Any, *, failed: bool) -> None:
        self._replies.append((failed, reply))
        if not _is_write(step):
            return
        self._has_written = True
        if failed and not isinstance(reply, REPEATABLE):
            # It was refused, so nothing was done: decided anew, it is another write.
            self._sent.pop(self._writes, None)
        self._writes += 1


def _is_write(step: Any) -> bool:
    return isinstance(step, Operation) and step.idempotency_key is not None
