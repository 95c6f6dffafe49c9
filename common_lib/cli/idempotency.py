"""A registry that repeats a change whose outcome is unknown, with the idempotency key of the first attempt."""

from dataclasses import replace
from typing import Any, TypeVar

from common_lib.client.http_registry import HttpRegistry
from common_lib.operations.base import Operation, validate
from common_lib.rules.names import check_idempotency_key

T = TypeVar("T")


class KeyedRegistry(HttpRegistry):
    """A registry that sends its first change with the idempotency key that the user passed.

    Raises:
        InvalidRequest: `key` is not a valid idempotency key.
    """

    def __init__(self, *args: Any, key: str, **options: Any) -> None:
        self._key: str | None = validate(check_idempotency_key, key)
        super().__init__(*args, **options)

    def call(self, operation: Operation[T]) -> T:
        """Send an operation. The first change is sent with the given key."""
        if self._key is not None and operation.idempotency_key is not None:
            headers = [pair for pair in operation.headers if pair[0] != "idempotency-key"]
            operation = replace(operation, headers=(*headers, ("idempotency-key", self._key)))
            self._key = None
        return super().call(operation)
