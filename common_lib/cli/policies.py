"""The command group `registry policy`, which shows and sets the policy of a model."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from common_lib.cli import options, show
from common_lib.cli.paths import PathType
from common_lib.cli.session import Session, with_session
from common_lib.errors import InvalidRequest

if TYPE_CHECKING:
    from rich.table import Table

    from common_lib.types.policies import Policy, PromotionRules


@click.group()
def policy() -> None:
    """Manage policies: the rules that a version must meet before it can be promoted."""


@policy.command("show")
@click.argument("name")
@with_session
def show_policy(session: Session, *, name: str) -> None:
    """Show the policy of a model."""
    found = session.registry.policies.get(name)
    session.output(found, lambda: _fields(found))


@policy.command("set")
@click.argument("name")
@click.argument("file", type=PathType(exists=True, dir_okay=False))
@options.required_reason_option
@options.change_options
@with_session
def set_policy(session: Session, *, name: str, file: Path, reason: str, revision: int | None, force: bool) -> None:
    """Replace the rules of a model's policy with the rules in a JSON file. Earlier approvals become invalid.

    The file contains a JSON object like `rules` in the output of `registry policy show NAME --json`, with the fields
    metrics, signature, approvals, tags, files, windows and on_recall.
    """
    registry = session.registry.policies
    rules = _rules(file)
    basis = options.precondition(revision, force, lambda: registry.get(name))
    after = registry.put(name, rules, reason=reason, **basis)
    session.output(after, lambda: _fields(after))


def _rules(file: Path) -> "PromotionRules":
    from common_lib.types.policies import PromotionRules  # noqa: PLC0415 - imports pydantic, which is slow

    try:
        return PromotionRules.from_json(file.read_bytes())
    except InvalidRequest as error:
        raise click.UsageError(f"{file} does not contain the rules of a policy: {error.detail}") from None


def _fields(found: "Policy") -> "Table":
    rules, windows = found.rules, found.rules.windows
    has_rules = rules.model_dump(exclude={"on_recall"}, exclude_defaults=True)
    zone = windows.zone if windows else ""
    metrics = [(rule.metric, _bound(rule.direction, rule.than, rule.tolerance)) for rule in rules.metrics]
    rows: list[tuple[str, show.Cell]] = [
        ("model", show.text(found.model, "bold")),
        ("revision", f"{found.revision}, {show.time(found.updated_at)} by {found.updated_by}"),
        *((f"metric {name}", bound) for name, bound in metrics),
        ("signature", "compatible with that of the version in production" if rules.signature else ""),
        ("approvals", f"{rules.approvals} by humans other than the author" if rules.approvals else ""),
        ("tags", " ".join(key if value is None else f"{key}={value}" for key, value in rules.tags.items())),
        ("files", " ".join(rules.files)),
        *(
            ("window", f"{', '.join(hours.days)} {hours.since}-{hours.until} {zone}")
            for hours in (windows.hours if windows else ())
        ),
        ("closed", " ".join(windows.closed) if windows else ""),
        ("rules", "" if has_rules else "none: any version in staging can be promoted"),
        ("on recall", str(rules.on_recall)),
    ]
    return show.fields(rows)


def _bound(direction: str, than: float | None, tolerance: float) -> str:
    sign, slack = ("≥", "-") if direction == "at_least" else ("≤", "+")
    bound = "that of the version in production" if than is None else show.number(than)
    return f"{sign} {bound}" + (f" {slack} {show.number(tolerance)}" if tolerance else "")
