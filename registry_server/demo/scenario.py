"""The scenario of the demo: an admin creates principals, four services do their work, an auditor reads the log."""

import asyncio
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console, RenderableType
from rich.text import Text

from adapters import Analysis, Integration, Strategy, Workbench
from adapters.analysis import ProductionModel
from common_lib import AsyncHttpRegistry, Cache, Grant, HttpRegistry, PrincipalKind, RegistryConfig, Role
from common_lib.cli import show
from registry_server.demo import services, tables
from registry_server.demo.data import Rates, euro_rates
from registry_server.demo.training import HOLDOUT_FROM

_MODELS: Final = "eurusd-*"
_TOKEN_DAYS: Final = 1


class _Principal(NamedTuple):
    name: str
    kind: PrincipalKind
    role: Role
    models: str


PRINCIPALS: Final = (
    _Principal("workbench", PrincipalKind.SERVICE, Role.WORKBENCH, _MODELS),
    _Principal("alice", PrincipalKind.HUMAN, Role.INTEGRATION, _MODELS),
    _Principal("analysis", PrincipalKind.SERVICE, Role.ANALYSIS, _MODELS),
    _Principal("strategy", PrincipalKind.SERVICE, Role.STRATEGY, _MODELS),
    _Principal("auditor", PrincipalKind.HUMAN, Role.AUDITOR, "*"),
)


def run(screen: Console, admin: RegistryConfig, folder: Path) -> None:
    """Run all steps on an empty registry.

    Each service has its own token; the files of all services are written to `folder`.
    """
    rates = euro_rates("USD")
    configs = _admin(screen, admin)
    _workbench(screen, configs[Role.WORKBENCH], rates, folder / "workbench")
    with HttpRegistry(admin) as registry:
        services.set_policies(registry)
    _integration(screen, configs[Role.INTEGRATION])
    _analysis(screen, configs[Role.ANALYSIS])
    _strategy(screen, configs[Role.STRATEGY], rates, folder / "strategy")
    _auditor(screen, configs[Role.AUDITOR])


def _admin(screen: Console, admin: RegistryConfig) -> dict[Role, RegistryConfig]:
    _heading(screen, "Admin", "Each principal gets its own token, and only the role that it needs.")
    configs = {}
    principals = []
    with HttpRegistry(admin) as registry:
        for principal in PRINCIPALS:
            grant = Grant(role=principal.role, models=principal.models)
            principals.append(registry.principals.create(principal.name, principal.kind, [grant]))
            issued = registry.principals.issue_token(principal.name, valid_days=_TOKEN_DAYS)
            configs[principal.role] = RegistryConfig(url=admin.url, token=issued.secret or "")
    _print(screen, tables.principals(principals))
    return configs


def _workbench(screen: Console, config: RegistryConfig, rates: Rates, folder: Path) -> None:
    with HttpRegistry(config) as registry, screen.status("ML workbench trains …"):
        workbench = Workbench(registry)
        versions = services.register(workbench, rates, folder)
        staged = services.request_promotions(workbench, versions)
        refusal = services.promote_without_right(workbench, staged[-1])
    _heading(
        screen,
        "ML workbench",
        f"It trains on the {len(rates.before(HOLDOUT_FROM)):,} daily rates of the European Central Bank before "
        f"{HOLDOUT_FROM}, evaluates each version and naive rules on the {versions[0].metrics['holdout_n']:.0f} days "
        "since then, and registers it.",
    )
    for _, of_model in groupby(versions, key=lambda version: version.model):
        _print(screen, tables.registered(list(of_model)))
    chosen = ", ".join(f"{version.model} v{version.version}" for version in staged)
    _print_text(
        screen,
        f"The best two of each model go to staging: {chosen}. They were chosen on the holdout, so their figures are a "
        "little too good.",
    )
    _print(screen, tables.refusal(refusal))


def _integration(screen: Console, config: RegistryConfig) -> None:
    async def promote() -> tuple[services.Refusal, list[services.Promotion]]:
        async with AsyncHttpRegistry(config) as registry:
            integration = Integration(registry)
            return await services.promote_unstaged(integration), await services.promote(integration)

    refusal, promotions = asyncio.run(promote())
    _heading(
        screen,
        "ML integration",
        "Alice, a human, promotes the versions in staging, the better one last, because the admin's policy refuses a "
        "version that is worse than the one in production. Each promotion archives the previous version in the same "
        "transaction; then Alice points the alias champion at the new one.",
    )
    _print(screen, tables.refusal(refusal))
    _print(screen, tables.promotions(promotions))


def _analysis(screen: Console, config: RegistryConfig) -> None:
    async def list_production() -> list[ProductionModel]:
        async with AsyncHttpRegistry(config) as registry:
            return await services.production_models(Analysis(registry))

    found = asyncio.run(list_production())
    _heading(screen, "Analysis engine", "It lists the models in production and their figures.")
    _print(screen, tables.production(found))


def _strategy(screen: Console, config: RegistryConfig, rates: Rates, folder: Path) -> None:
    with HttpRegistry(config) as registry:
        forecasts = services.forecast(Strategy(registry), rates, Cache(folder))
    _heading(
        screen,
        "Strategy execution",
        "It downloads the production versions, verifies every byte against the manifest, loads only types that skops "
        f"trusts, and forecasts the trading day after the newest rate, that of {rates.last_date}.",
    )
    _print(screen, tables.forecasts(forecasts))
    for forecast in forecasts:
        if not services.has_skill(forecast.version):
            _print_text(screen, f"{forecast.version.model} has no skill on held-out days: do not trade on it.")


def _auditor(screen: Console, config: RegistryConfig) -> None:
    with HttpRegistry(config) as registry:
        events = services.audit(registry)
    _heading(
        screen,
        "Auditor",
        f"The log has {show.count(len(events), 'event')}: who did what, when, and why. Refused requests are not in it.",
    )
    _print(screen, tables.log(events))


def _heading(screen: Console, title: str, sentence: str) -> None:
    screen.rule(Text(title, "bold"), align="left", style="dim")
    _print_text(screen, sentence)


def _print_text(screen: Console, sentence: str) -> None:
    _print(screen, Text(sentence))


def _print(screen: Console, renderable: RenderableType) -> None:
    screen.print(renderable)
    screen.print()
