"""The commands that change or show the version in production: `registry promote`, `rollback` and `history`."""

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import rich_click as click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from common_lib.cli import options, show
from common_lib.cli.session import Session, with_session
from common_lib.rules.lifecycle import Replaced

if TYPE_CHECKING:
    from common_lib.rules.production import Decision, InProduction
    from common_lib.rules.promotion import Check


@click.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--reason", default="", help="The reason, for the audit log. Required, except with --dry-run.")
@click.option(
    "--replacing",
    type=click.IntRange(min=0),
    metavar="N",
    help="Fail unless version N is in production (0: no version). Default: the current version is replaced.",
)
@click.option(
    "--override",
    is_flag=True,
    help="Promote even if the policy is not met. Requires a separate right, and is recorded.",
)
@click.option("--dry-run", is_flag=True, help="Only show the result of each rule of the policy; do not promote.")
@options.change_options
@with_session
def promote(
    session: Session,
    *,
    name: str,
    version: int,
    reason: str,
    replacing: int | None,
    override: bool,
    dry_run: bool,
    revision: int | None,
    force: bool,
) -> None:
    """Promote a version to production. The version that it replaces is archived in the same transaction."""
    registry = session.registry.production
    if dry_run:
        check = registry.check(name, version)
        session.output(check, lambda: _check_result(check))
        return
    options.check_precondition(revision, force)
    after = registry.promote(
        name, version, reason=reason, replacing=_replaced(replacing), revision=revision, override=override, force=force
    )
    sentence = show.text(f"{after.reference} is in ")
    session.output(after, lambda: sentence.append_text(show.stage(after.stage)))


@click.command()
@click.argument("name")
@options.required_reason_option
@click.option(
    "--replacing",
    type=click.IntRange(min=1),
    metavar="N",
    help="Fail unless version N is in production. Default: the current version is rolled back.",
)
@with_session
def rollback(session: Session, *, name: str, reason: str, replacing: int | None) -> None:
    """Return to the previous production version. The current version is archived in the same transaction."""
    after = session.registry.production.rollback(name, reason=reason, replacing=_replaced(replacing))
    sentence = show.text(f"{after.reference} is back in ")
    session.output(after, lambda: sentence.append_text(show.stage(after.stage)))


@click.command()
@click.argument("name")
@click.option(
    "--at",
    type=options.parse_time,
    metavar="TIME",
    help="Show only the version in production at that time (UTC), and why.",
)
@options.limit_option
@with_session
def history(session: Session, *, name: str, at: datetime | None, limit: int | None) -> None:
    """List the decisions about a model, the newest first: who decided, when and why."""
    registry = session.registry.production
    if at is not None:
        found = registry.at(name, at)
        session.output(found, lambda: _in_production(found))
        return
    decisions = options.take(limit, partial(registry.history, name))
    session.output(decisions, lambda: _decisions(decisions))


def _replaced(replacing: int | None) -> int | Replaced | None:
    if replacing is None:
        return Replaced.INCUMBENT
    return None if replacing == 0 else replacing


def _check_result(check: "Check") -> Group:
    rows: list[tuple[show.Cell, ...]] = [
        (
            show.text("✓", "green") if finding.met else show.text("✗", "bold red"),
            finding.rule,
            show.text(finding.subject),
            show.text(finding.wanted),
            show.text(finding.found, "" if finding.met else "yellow"),
        )
        for finding in check.findings
    ]
    current = "no version" if check.replacing is None else f"version {check.replacing}"
    refused = f"cannot be promoted; {current} stays in production"
    outcome = f"can be promoted and replaces {current}" if check.met else refused
    sentence = f"version {check.version} {outcome} (revision {check.policy} of the policy)"
    columns = ("", "rule", "of", "wanted", "found")
    table = show.table(columns, rows, free=("wanted", "found"))
    return Group(table, Text(), show.text(sentence, "green" if check.met else "bold red"))


def _decisions(found: "list[Decision]") -> Table:
    rows: list[tuple[show.Cell, ...]] = [
        (str(each.sequence), show.time(each.at), each.by, _kind(each), _subject(each), show.text(each.reason))
        for each in found
    ]
    return show.table(("", "time", "by", "decision", "of", "reason"), rows, right=("",), free=("of", "reason"))


def _kind(decision: "Decision") -> Text:
    marks = [*(["forced"] if decision.forced else []), *(["overridden"] if decision.overridden else [])]
    return show.text(f"{decision.what} ({', '.join(marks)})", "yellow") if marks else show.text(decision.what)


def _subject(decision: "Decision") -> Text:
    moves = ", ".join(f"{move.version}: {move.before} → {move.after}" for move in decision.stages)
    return show.text(moves or decision.subject.partition("/")[2].partition("/")[2])


def _in_production(found: "InProduction") -> Table:
    return show.fields(
        [
            ("model", show.text(found.model, "bold")),
            ("at", show.time(found.at)),
            ("production", "none" if found.version is None else show.text(f"version {found.version}", "bold green")),
            ("since", show.time(found.since)),
            ("decision", "" if found.by is None else f"{found.what} by {found.by}, event {found.sequence}"),
            ("reason", show.text(found.reason)),
        ]
    )
