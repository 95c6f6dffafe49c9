"""The demo in six acts: the admin lets everybody in, each service does its work, the auditor reads the log."""

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


class _Part(NamedTuple):
    name: str
    kind: PrincipalKind
    role: Role
    models: str


_CAST: Final = (
    _Part("workbench", PrincipalKind.SERVICE, Role.WORKBENCH, _MODELS),
    _Part("alice", PrincipalKind.HUMAN, Role.INTEGRATION, _MODELS),
    _Part("analysis", PrincipalKind.SERVICE, Role.ANALYSIS, _MODELS),
    _Part("strategy", PrincipalKind.SERVICE, Role.STRATEGY, _MODELS),
    _Part("auditor", PrincipalKind.HUMAN, Role.AUDITOR, "*"),
)


def play(screen: Console, admin: RegistryConfig, folder: Path) -> None:
    """All acts on an empty registry, each service under its own token; `folder` takes the files of the services."""
    rates = euro_rates("USD")
    configs = _admin(screen, admin)
    _workbench(screen, configs[Role.WORKBENCH], rates, folder / "workbench")
    with HttpRegistry(admin) as registry:
        services.govern(registry)
    _integration(screen, configs[Role.INTEGRATION])
    _analysis(screen, configs[Role.ANALYSIS])
    _strategy(screen, configs[Role.STRATEGY], rates, folder / "strategy")
    _auditor(screen, configs[Role.AUDITOR])


def _admin(screen: Console, admin: RegistryConfig) -> dict[Role, RegistryConfig]:
    _heading(screen, "Admin", "Everybody gets a token of their own, and the least role that will do.")
    configs = {}
    principals = []
    with HttpRegistry(admin) as registry:
        for part in _CAST:
            grant = Grant(role=part.role, models=part.models)
            principals.append(registry.principals.create(part.name, part.kind, [grant]))
            issued = registry.principals.issue_token(part.name, valid_days=_TOKEN_DAYS)
            configs[part.role] = RegistryConfig(url=admin.url, token=issued.secret or "")
    _show(screen, tables.principals(principals))
    return configs


def _workbench(screen: Console, config: RegistryConfig, rates: Rates, folder: Path) -> None:
    with HttpRegistry(config) as registry, screen.status("ML workbench trains …"):
        workbench = Workbench(registry)
        versions = services.register(workbench, rates, folder)
        staged = services.request_promotions(workbench, versions)
        refusal = services.overreach(workbench, staged[-1])
    _heading(
        screen,
        "ML workbench",
        f"It trains on the {len(rates.before(HOLDOUT_FROM)):,} daily rates of the European Central Bank before "
        f"{HOLDOUT_FROM}, measures each version on the {versions[0].metrics['holdout_n']:.0f} days since, beside "
        "naive rules, and registers it.",
    )
    for _, of_model in groupby(versions, key=lambda version: version.model):
        _show(screen, tables.registered(list(of_model)))
    chosen = ", ".join(f"{version.model} v{version.version}" for version in staged)
    _say(
        screen,
        f"The better two of each go to staging: {chosen}. Being chosen on the holdout flatters their figures a little.",
    )
    _show(screen, tables.refusal(refusal))


def _integration(screen: Console, config: RegistryConfig) -> None:
    async def act() -> tuple[services.Refusal, list[services.Promotion]]:
        async with AsyncHttpRegistry(config) as registry:
            integration = Integration(registry)
            return await services.hurry(integration), await services.promote(integration)

    refusal, promotions = asyncio.run(act())
    _heading(
        screen,
        "ML integration",
        "Alice, a human, promotes what waits in staging, the better version last: the admin's policy lets no version "
        "replace a better one. The version before it is archived in the same instant, and the alias champion follows.",
    )
    _show(screen, tables.refusal(refusal))
    _show(screen, tables.promotions(promotions))


def _analysis(screen: Console, config: RegistryConfig) -> None:
    async def act() -> list[ProductionModel]:
        async with AsyncHttpRegistry(config) as registry:
            return await services.review(Analysis(registry))

    found = asyncio.run(act())
    _heading(screen, "Analysis engine", "It asks what is in production, and what that is worth.")
    _show(screen, tables.production(found))


def _strategy(screen: Console, config: RegistryConfig, rates: Rates, folder: Path) -> None:
    with HttpRegistry(config) as registry:
        made = services.forecast(Strategy(registry), rates, Cache(folder))
    _heading(
        screen,
        "Strategy execution",
        "It fetches what is in production, checks every byte against the manifest, loads it with skops, trusting no "
        f"type that skops does not, and looks one trading day beyond the newest rate, that of {rates.last_date}.",
    )
    _show(screen, tables.forecasts(made))
    for forecast in made:
        if not services.has_skill(forecast.version):
            _say(screen, f"{forecast.version.model} has shown no skill on days it never saw: no position rests on it.")


def _auditor(screen: Console, config: RegistryConfig) -> None:
    with HttpRegistry(config) as registry:
        events = services.audit(registry)
    _heading(
        screen,
        "Auditor",
        f"The log has {show.count(len(events), 'event')}: who did what, when, and why. What was refused is no event.",
    )
    _show(screen, tables.log(events))


def _heading(screen: Console, who: str, does: str) -> None:
    screen.rule(Text(who, "bold"), align="left", style="dim")
    _say(screen, does)


def _say(screen: Console, sentence: str) -> None:
    _show(screen, Text(sentence))


def _show(screen: Console, part: RenderableType) -> None:
    screen.print(part)
    screen.print()
