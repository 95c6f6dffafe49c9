"""One adapter for each service; its methods use the terms of that service. Each adapter is also a complete registry."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapters.analysis import Analysis, ProductionModel
    from adapters.integration import Integration
    from adapters.strategy import Strategy, TradingModel
    from adapters.workbench import Workbench

_PLACES = {
    "Analysis": "analysis",
    "Integration": "integration",
    "ProductionModel": "analysis",
    "Strategy": "strategy",
    "TradingModel": "strategy",
    "Workbench": "workbench",
}

__all__ = ["Analysis", "Integration", "ProductionModel", "Strategy", "TradingModel", "Workbench"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
