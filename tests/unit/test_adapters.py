"""An adapter refuses a registry of the other kind at once, with a clear error."""

from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from adapters import Analysis, Integration, Strategy, Workbench
from common_lib import AsyncModelRegistry, ModelRegistry, Operation
from common_lib.errors import InvalidConfiguration

T = TypeVar("T")


class Blocking(ModelRegistry):
    def call(self, operation: Operation[T]) -> T:
        """Answer nothing."""
        raise NotImplementedError


class Asynchronous(AsyncModelRegistry):
    def call(self, operation: Operation[T]) -> Awaitable[T]:
        """Answer nothing."""
        raise NotImplementedError


@pytest.mark.parametrize("wrong", [Asynchronous(), None, "http://127.0.0.1:8321"])
@pytest.mark.parametrize(("adapter", "more"), [(Workbench, []), (Strategy, [Path("models")])])
def test_a_blocking_adapter_accepts_only_a_blocking_registry(adapter: Any, more: list[Path], wrong: Any) -> None:
    """Any object that implements `call`, also another adapter."""
    adapter(adapter(Blocking(), *more), *more)
    with pytest.raises(InvalidConfiguration) as refused:
        adapter(wrong, *more)
    assert str(refused.value) == (
        f"{adapter.__name__} is blocking: pass a registry such as HttpRegistry(), not {type(wrong).__name__}"
    )


@pytest.mark.parametrize("wrong", [Blocking(), None, "http://127.0.0.1:8321"])
@pytest.mark.parametrize("adapter", [Integration, Analysis])
def test_an_asynchronous_adapter_accepts_only_an_asynchronous_registry(adapter: Any, wrong: Any) -> None:
    """A blocking registry would stop the event loop and fail at the first `await`."""
    adapter(adapter(Asynchronous()))
    with pytest.raises(InvalidConfiguration) as refused:
        adapter(wrong)
    given = type(wrong).__name__
    assert str(refused.value) == (
        f"{adapter.__name__} is asynchronous: pass a registry such as AsyncHttpRegistry(), not {given}"
    )
