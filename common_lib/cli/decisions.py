"""What is decided about versions: `registry promote`, `rollback`, `recall`, `reinstate`, `approve`, `history`."""

import itertools
from datetime import datetime
from typing import TYPE_CHECKING

import rich_click as click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from common_lib.cli import show
from common_lib.cli.session import Session, connected
from common_lib.cli.values import based_on, change_options, check_basis, moment
from common_lib.rules.lifecycle import Replaced

if TYPE_CHECKING:
    from common_lib.types.production import Check, Decision, InProduction

_PAGE = 1000
_REASON = click.option("--reason", required=True, help="Why; kept in the audit log.")
_VERSION = click.argument("version", type=click.IntRange(min=1))


@click.command()
@click.argument("name")
@_VERSION
@click.option("--reason", default="", help="Why; kept in the audit log. Needed unless it is a dry run.")
@click.option(
    "--replacing",
    type=click.IntRange(min=0),
    metavar="N",
    help="Promote only if this version is in production, 0 for none; without it, whatever is there just before.",
)
@click.option("--override", is_flag=True, help="Promote although the policy is not met; a right of its own, recorded.")
@click.option("--dry-run", is_flag=True, help="Say what it would come to, rule by rule, and change nothing.")
@change_options
@connected
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
    """Put a version into production; the one that is there is archived in the same instant."""
    registry = session.registry.production
    if dry_run:
        check = registry.check(name, version)
        session.answer(check, lambda: _findings(check))
        return
    check_basis(revision, force)
    after = registry.promote(
        name, version, reason=reason, replacing=_seen(replacing), revision=revision, override=override, force=force
    )
    session.answer(after, lambda: _moved(f"{after.reference} is in ", str(after.stage)))


@click.command()
@click.argument("name")
@_REASON
@click.option(
    "--replacing",
    type=click.IntRange(min=1),
    metavar="N",
    help="Return only if this version is in production; without it, whatever is there just before.",
)
@connected
def rollback(session: Session, *, name: str, reason: str, replacing: int | None) -> None:
    """Return to the version that was in production before; the one that is there is archived in the same instant."""
    after = session.registry.production.rollback(name, reason=reason, replacing=_seen(replacing))
    session.answer(after, lambda: _moved(f"{after.reference} is back in ", str(after.stage)))


@click.command()
@click.argument("name")
@_VERSION
@_REASON
@change_options
@connected
def recall(session: Session, *, name: str, version: int, reason: str, revision: int | None, force: bool) -> None:
    """Block a version for everyone, at once; nobody resolves, fetches or loads it until it is reinstated."""
    registry = session.registry.versions
    after = registry.recall(
        name, version, reason=reason, **based_on(revision, force, lambda: registry.get(name, version))
    )
    session.answer(after, lambda: show.text(f"{after.reference} is recalled", "bold red"))


@click.command()
@click.argument("name")
@_VERSION
@_REASON
@change_options
@connected
def reinstate(session: Session, *, name: str, version: int, reason: str, revision: int | None, force: bool) -> None:
    """Lift the block of a recalled version."""
    registry = session.registry.versions
    after = registry.reinstate(
        name, version, reason=reason, **based_on(revision, force, lambda: registry.get(name, version))
    )
    session.answer(after, lambda: _moved(f"{after.reference} can be used again, in ", str(after.stage)))


@click.command()
@click.argument("name")
@_VERSION
@_REASON
@click.option("--refuse", is_flag=True, help="Refuse it; that stands in the way until you approve, or it changes.")
@connected
def approve(session: Session, *, name: str, version: int, reason: str, refuse: bool) -> None:
    """Approve a version for production, as a human other than its author."""
    registry = session.registry.approvals
    word = (registry.refuse if refuse else registry.approve)(name, version, reason=reason)
    session.answer(word, lambda: show.text(f"{word.approver} has {word.verdict} models:/{name}/{version}"))


@click.command()
@click.argument("name")
@click.option("--at", type=moment, metavar="TIME", help="Only what was in production at that time (UTC), and why.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many; without it, all.")
@connected
def history(session: Session, *, name: str, at: datetime | None, limit: int | None) -> None:
    """What was decided about a model, the newest first: who, when and why."""
    registry = session.registry.production
    if at is not None:
        found = registry.at(name, at)
        session.answer(found, lambda: _in_production(found))
        return
    decisions = list(itertools.islice(registry.history(name, page_size=min(limit or _PAGE, _PAGE)), limit))
    session.answer(decisions, lambda: _decisions(decisions))


def _seen(replacing: int | None) -> int | Replaced | None:
    if replacing is None:
        return Replaced.INCUMBENT
    return None if replacing == 0 else replacing


def _moved(sentence: str, stage: str) -> Text:
    return show.text(sentence).append_text(show.stage(stage))


def _findings(check: "Check") -> Group:
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
    incumbent = "nothing" if check.replacing is None else f"version {check.replacing}"
    outcome = "would be promoted" if check.met else "would be refused"
    sentence = f"version {check.version} {outcome} by revision {check.policy} of the policy; it replaces {incumbent}"
    columns = ("", "rule", "of", "wanted", "found")
    table = show.table(columns, rows, free=("wanted", "found"))
    return Group(table, Text(), show.text(sentence, "green" if check.met else "bold red"))


def _decisions(found: "list[Decision]") -> Table:
    rows: list[tuple[show.Cell, ...]] = [
        (str(each.sequence), show.time(each.at), each.by, _what(each), _about(each), show.text(each.reason))
        for each in found
    ]
    return show.table(("", "time", "by", "decision", "of", "reason"), rows, right=("",), free=("of", "reason"))


def _what(decision: "Decision") -> Text:
    marks = [*(["forced"] if decision.forced else []), *(["overridden"] if decision.overridden else [])]
    shown = f"{decision.what} ({', '.join(marks)})" if marks else decision.what
    return show.text(shown, "yellow" if marks else "")


def _about(decision: "Decision") -> Text:
    moves = ", ".join(f"{move.version}: {move.before} → {move.after}" for move in decision.stages)
    return show.text(moves or decision.subject.partition("/")[2].partition("/")[2])


def _in_production(found: "InProduction") -> Table:
    return show.fields(
        [
            ("model", show.text(found.model, "bold")),
            ("at", show.time(found.at)),
            ("production", "none" if found.version is None else show.text(f"version {found.version}", "bold green")),
            ("since", show.time(found.since)),
            ("decided", "" if found.by is None else f"{found.what} by {found.by}, event {found.sequence}"),
            ("reason", show.text(found.reason)),
        ]
    )
