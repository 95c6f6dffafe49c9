"""The base class of all errors of the library, and errors of the client's settings and state."""

from collections.abc import Callable, Collection
from typing import Any, ClassVar, Final

from common_lib.rules.codes import Code

# Which class is raised for an error code and for an HTTP status; the classes enter themselves.
BY_CODE: Final[dict[str, Any]] = {}
BY_STATUS: Final[dict[int, Any]] = {}


class RegistryError(Exception):
    """The base class of all errors of this library.

    `retryable` is true if the same call may succeed later without a change. After a write without a response,
    `outcome_unknown` is true. `registry.retry(error)` then repeats the request with the same `idempotency_key`, so the
    registry executes it only once; a new call of the same method could execute it twice.
    """

    retryable: ClassVar[bool] = False
    outcome_unknown: bool = False
    idempotency_key: str | None = None
    # What to do, in the words of this library; a command line has its own words.
    advice: str = ""
    operation: Any = None
    repeat: Callable[[Any], Any] | None = None

    def __init_subclass__(cls, *, codes: Collection[Code] = (), status: int | None = None) -> None:
        """Register the class as the one to raise for these error codes, and for this HTTP status."""
        BY_CODE.update(dict.fromkeys(codes, cls))
        if status is not None:
            BY_STATUS[status] = cls

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}; {self.advice}" if self.advice else text

    def __reduce__(self) -> tuple[Any, ...]:
        # An error of a worker process is pickled and must arrive unchanged; only how to repeat it cannot be sent.
        fields = {name: value for name, value in self.__dict__.items() if name not in {"operation", "repeat"}}
        return _rebuild, (type(self), self.args, fields)


def _rebuild(kind: type[RegistryError], args: tuple[Any, ...], fields: dict[str, Any]) -> RegistryError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class InvalidConfiguration(RegistryError):
    """A setting of the client is wrong."""


class RegistryClosed(RegistryError):
    """The client was closed before or during the call; create another client."""
