"""One adapter for each service, with methods named in that service's terms. Each adapter is itself a model registry."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapters.analysis import Analysis
    from adapters.integration import Integration
    from adapters.strategy import Strategy
    from adapters.workbench import Workbench

__all__ = ["Analysis", "Integration", "Strategy", "Workbench"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{name.lower()}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
