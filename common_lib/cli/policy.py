"""`registry policy`."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from common_lib.cli import show
from common_lib.cli.paths import PathType
from common_lib.cli.session import Session, connected
from common_lib.cli.values import based_on, change_options
from common_lib.errors import InvalidRequest

if TYPE_CHECKING:
    from rich.table import Table

    from common_lib.types.policies import Policy, PromotionRules


@click.group()
def policy() -> None:
    """What a version must fulfil before it may go to production."""


@policy.command("show")
@click.argument("name")
@connected
def show_policy(session: Session, *, name: str) -> None:
    """The policy of a model."""
    found = session.registry.policies.get(name)
    session.answer(found, lambda: _whole(found))


@policy.command("set")
@click.argument("name")
@click.argument("file", type=PathType(exists=True, dir_okay=False))
@click.option("--reason", required=True, help="Why; kept in the audit log.")
@change_options
@connected
def set_policy(session: Session, *, name: str, file: Path, reason: str, revision: int | None, force: bool) -> None:
    """Give a model the rules of a file, in JSON; approvals that were given under the old ones become void.

    The rules are those that `show --json` has as `rules`: metrics, signature, approvals, tags, files,
    windows, on_recall.
    """
    registry = session.registry.policies
    rules = _rules(file)
    basis = based_on(revision, force, lambda: registry.get(name))
    after = registry.put(name, rules, reason=reason, **basis)
    session.answer(after, lambda: _whole(after))


def _rules(file: Path) -> "PromotionRules":
    from common_lib.types.policies import PromotionRules  # noqa: PLC0415 - pydantic is for those who need it

    try:
        return PromotionRules.from_json(file.read_bytes())
    except InvalidRequest as error:
        raise click.UsageError(f"{file} holds no rules of a policy: {error.detail}") from None


def _whole(found: "Policy") -> "Table":
    rules, windows = found.rules, found.rules.windows
    asked = rules.model_dump(exclude={"on_recall"}, exclude_defaults=True)
    zone = windows.zone if windows else ""
    metrics = [(rule.metric, _bound(rule.direction, rule.than, rule.tolerance)) for rule in rules.metrics]
    rows: list[tuple[str, show.Cell]] = [
        ("model", show.text(found.model, "bold")),
        ("revision", f"{found.revision}, {show.time(found.updated_at)} by {found.updated_by}"),
        *((f"metric {name}", bound) for name, bound in metrics),
        ("signature", "compatible with the incumbent's" if rules.signature else ""),
        ("approvals", f"{rules.approvals} by humans other than the author" if rules.approvals else ""),
        ("tags", " ".join(key if value is None else f"{key}={value}" for key, value in rules.tags.items())),
        ("files", " ".join(rules.files)),
        *(
            ("window", f"{', '.join(hours.days)} {hours.since}-{hours.until} {zone}")
            for hours in (windows.hours if windows else ())
        ),
        ("closed", " ".join(windows.closed) if windows else ""),
        ("rules", "" if asked else "none: whatever is in staging may be promoted"),
        ("on recall", str(rules.on_recall)),
    ]
    return show.fields(rows)


def _bound(direction: str, than: float | None, tolerance: float) -> str:
    sign, slack = ("≥", "-") if direction == "at_least" else ("≤", "+")
    bound = "the incumbent's" if than is None else show.number(than)
    return f"{sign} {bound}" + (f" {slack} {show.number(tolerance)}" if tolerance else "")
