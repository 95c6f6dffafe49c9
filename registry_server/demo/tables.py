"""The tables that the demo prints with rich; they fit 80 columns and are readable without colours."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

from rich import box
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from adapters.analysis import ProductionModel
from common_lib import ModelStage, ModelVersion, Principal
from common_lib.types.events import Event
from registry_server.demo.services import MODELS, Forecast, Promotion, Refusal
from registry_server.demo.training import DIRECTION, VOLATILITY

_DIGITS: Final = 8  # of a digest: enough to compare by eye
_FIGURES: Final[Mapping[str, Mapping[str, str]]] = {
    DIRECTION: {"accuracy": "accuracy", "always_down_accuracy": "always down", "yesterday_accuracy": "as yesterday"},
    VOLATILITY: {"rmse": "RMSE", "naive_rmse": "last value", "training_mean_rmse": "past mean"},
}
_STYLES: Final = {ModelStage.STAGING: "yellow", ModelStage.PRODUCTION: "bold green", ModelStage.ARCHIVED: "dim"}
_SUBJECTS: Final = (
    (r"models/([^/]+)/versions/(\d+)", r"\1 v\2"),
    (r"models/([^/]+)/aliases/([^/]+)", r"\1 @\2"),
    (r"models/([^/]+)", r"\1"),
    (r"(blob|token)s/([0-9a-f]{8}).*", r"\1 \2"),
    (r"principals/(.+)", r"principal \1"),
)


def principals(found: Iterable[Principal]) -> Table:
    """Return a table of principals with their roles and models."""
    table = _table("principal", "kind", "role", "models")
    for principal in found:
        roles = ", ".join(grant.role for grant in principal.grants)
        table.add_row(principal.name, principal.kind, roles, ", ".join(grant.models for grant in principal.grants))
    return table


def registered(versions: Sequence[ModelVersion]) -> Table:
    """Return a table of the versions of one model: metrics on the holdout, those of naive rules, and lineage."""
    model = versions[0].model
    figures = _FIGURES[model]
    numbers = [Column(title.replace(" ", "\n"), justify="right") for title in figures.values()]
    table = _table("", "inputs over days", *numbers, "files", "data", "parent")
    table.title = Text.assemble((model, "bold cyan"), f"  {MODELS[model].question}")
    for version in versions:
        lineage = version.lineage
        table.add_row(
            _number(version),
            _inputs(version),
            *(f"{version.metrics[name]:.3f}" for name in figures),
            _short(version.digest),
            _short(lineage.data_digest) if lineage and lineage.data_digest else "",
            f"v{lineage.parent.rpartition('/')[2]}" if lineage and lineage.parent else "",
        )
    return table


def refusal(refused: Refusal) -> Padding:
    """Return the attempt that was refused, with status, code, message and remedy of the error."""
    error = refused.error
    message = f"{error.status} {error.code}: {error.detail}\n→ {error.remedy}"
    return Padding(Text.assemble((f"Refused: {refused.attempt}\n", "red"), message), (0, 2))


def promotions(done: Iterable[Promotion]) -> Table:
    """Return a table of promotions in their order, with the stages of all versions after each promotion."""
    table = _table("promoted", "reason", "versions afterwards")
    for promotion in done:
        stages = [_stage(version, promotion) for version in promotion.versions]
        table.add_row(_name(promotion.version), promotion.reason, Text("\n").join(stages), end_section=True)
    return table


def production(models: Iterable[ProductionModel]) -> Table:
    """Return a table of the versions in production: their metrics, the metrics of naive rules, and their skill."""
    table = _table("in production", "on the holdout", "verdict")
    for found in models:
        figures = _FIGURES[found.model.name].items()
        lines = [f"{found.version.metrics[name]:.3f} {title}" for name, title in figures]
        table.add_row(_name(found.version), "\n".join(lines), found.version.description, end_section=True)
    return table


def forecasts(found: Iterable[Forecast]) -> Table:
    """Return a table of the loaded versions and their predictions for the next day."""
    table = _table("loaded", "verified files", "prediction")
    for forecast in found:
        files = f"{_short(forecast.version.digest)}, {forecast.version.size / 1000:.0f} kB"
        table.add_row(_name(forecast.version), files, forecast.prediction.statement)
    return table


def log(events: Iterable[Event]) -> Table:
    """Return a table of the event log: who did what, when, to what, and why."""
    table = _table(Column("", justify="right"), "time (UTC)", "actor", "event", "subject, reason")
    for event in events:
        reason = f"\n“{event.data['reason']}”" if event.data["reason"] else ""
        table.add_row(
            str(int(event.sequence)),
            f"{event.time:%H:%M:%S.%f}"[:-3],
            event.actor,
            event.type.removeprefix("registry."),
            Text.assemble(_subject(event.subject), (reason, "italic")),
        )
    return table


def _table(*columns: str | Column) -> Table:
    return Table(
        *columns, box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="dim", title_justify="left"
    )


def _number(version: ModelVersion) -> str:
    return f"v{version.version}"


def _name(version: ModelVersion) -> Text:
    return Text.assemble((version.model, "cyan"), " ", _number(version))


def _stage(version: ModelVersion, promotion: Promotion) -> Text:
    alias = f" @{promotion.alias.alias}" if promotion.alias.version == version.version else ""
    return Text(f"{_number(version)} {version.stage}{alias}", _STYLES.get(version.stage, ""))


def _inputs(version: ModelVersion) -> str:
    # log_return_1, log_return_5, log_volatility_22 → return 1 5, then volatility 22 on a line of its own
    specs = version.signature.inputs if version.signature else []
    names = [spec.name.removeprefix("log_").rpartition("_") for spec in specs]
    kinds = groupby(names, key=lambda name: name[0])
    return "\n".join(" ".join([kind, *(days for _, _, days in of_kind)]) for kind, of_kind in kinds)


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:_DIGITS]


def _subject(key: str) -> str:
    for pattern, template in _SUBJECTS:
        if match := re.fullmatch(pattern, key):
            return match.expand(template)
    return key
