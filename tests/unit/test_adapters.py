"""An adapter says at once, and in a sentence, that it was given the other kind of registry."""

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
def test_a_blocking_adapter_takes_a_blocking_registry_only(adapter: Any, more: list[Path], wrong: Any) -> None:
    """Whatever answers `call` will do, another adapter too."""
    adapter(adapter(Blocking(), *more), *more)
    with pytest.raises(InvalidConfiguration) as refused:
        adapter(wrong, *more)
    assert str(refused.value) == (
        f"{adapter.__name__} is blocking: give it a registry such as HttpRegistry(), not {type(wrong).__name__}"
    )


@pytest.mark.parametrize("wrong", [Blocking(), None, "http://127.0.0.1:8321"])
@pytest.mark.parametrize("adapter", [Integration, Analysis])
def test_an_asynchronous_adapter_takes_an_asynchronous_registry_only(adapter: Any, wrong: Any) -> None:
    """A blocking one would stop the event loop, and then fail at the first `await`."""
    adapter(adapter(Asynchronous()))
    with pytest.raises(InvalidConfiguration) as refused:
        adapter(wrong)
    given = type(wrong).__name__
    assert str(refused.value) == (
        f"{adapter.__name__} is asynchronous: give it a registry such as AsyncHttpRegistry(), not {given}"
    )
