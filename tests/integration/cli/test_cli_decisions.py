"""Promotion, rollback, recall, approval and history on the command line."""

import json
from pathlib import Path

import pytest

from common_lib import Grant, HttpRegistry, RegistryConfig, Role
from tests.support.cli import Cli


@pytest.fixture
def staged(cli: Cli, model: str, trained: Path) -> str:
    """Create a model with version 1 in production and versions 2 and 3 in staging."""
    for number, accuracy in enumerate(("0.49", "0.515", "0.48"), 1):
        (trained / "weights.json").write_text(f'{{"w": [{accuracy}]}}')
        cli("versions", "register", model, trained, "--framework", "sklearn", "--metric", f"accuracy={accuracy}")
        cli("stages", "set", model, str(number), "staging")
    cli("promote", model, "1", "--reason", "the first")
    return model


def test_promotion_and_rollback_are_listed_in_the_history(cli: Cli, staged: str) -> None:
    """Each command prints one line; the history has actor, time, decision and reason."""
    assert cli("promote", staged, "2", "--reason", "better").stdout == f"models:/{staged}/2 is in production\n"
    when = cli.json("history", staged)[0]["at"]
    back = cli("rollback", staged, "--reason", "too slow")
    assert back.stdout == f"models:/{staged}/1 is back in production\n"
    lines = cli("history", staged, "--limit", "2").stdout.splitlines()[2:]
    assert ["version.rolled_back" in lines[0], "too slow" in lines[0]] == [True, True]
    assert "1: archived → production, 2: production → archived" in lines[0]
    assert ["version.promoted" in lines[1], "better" in lines[1]] == [True, True]
    assert cli.json("history", staged, "--at", when)["version"] == 2
    output = cli("history", staged, "--at", when).stdout
    assert "version 2" in output
    assert "version.promoted by admin" in output


def test_a_lost_promotion_names_the_winner(cli: Cli, staged: str) -> None:
    """The problem has the winner as a member."""
    cli("promote", staged, "2", "--reason", "better", "--replacing", "1")
    lost = cli.problem("promote", staged, "3", "--reason", "faster", "--replacing", "1", status=1)
    assert (lost["code"], lost["winner"]["version"], lost["winner"]["by"]) == ("production_changed", 2, "admin")
    assert "registry history" in lost["remedy"]
    assert cli.problem("rollback", staged, "--reason", "x", "--replacing", "1", status=1)["winner"]["version"] == 2
    lost = cli.problem("promote", staged, "3", "--reason", "the first", "--replacing", "0", status=1)
    assert (lost["code"], lost.get("value")) == ("production_changed", None)


def test_a_dry_run_lists_unmet_rules_and_changes_nothing(cli: Cli, staged: str, tmp_path: Path) -> None:
    """Each rule of the policy is listed with the wanted and the found value; the policy comes from a file."""
    rules = tmp_path / "rules.json"
    rules.write_text(
        json.dumps({"metrics": [{"metric": "accuracy", "direction": "at_least", "tolerance": 0.005}], "approvals": 1})
    )
    assert "none: any version in staging can be promoted" in cli("policy", "show", staged).stdout
    output = cli("policy", "set", staged, rules, "--reason", "four eyes").stdout
    assert "≥ that of the version in production - 0.005" in output
    assert cli("policy", "show", staged).stdout == output
    done = cli("promote", staged, "3", "--dry-run").stdout
    assert [line.split()[:2] for line in done.splitlines() if line.startswith("✗")] == [
        ["✗", "metric"],
        ["✗", "approvals"],
    ]
    assert "version 3 cannot be promoted; version 1 stays in production (revision 2 of the policy)" in done
    assert cli.json("promote", staged, "2", "--dry-run")["replacing"] == 1
    assert cli.problem("promote", staged, "2", "--reason", "better", status=1)["code"] == "policy_not_met"
    cli("promote", staged, "2", "--reason", "in a hurry", "--override")
    assert cli.json("history", staged, "--limit", "1")[0]["overridden"] == ["approvals"]
    assert "(overridden)" in cli("history", staged, "--limit", "1").stdout


def test_a_human_approves_or_refuses(cli: Cli, staged: str) -> None:
    """The approver needs another token than the author, who cannot decide."""
    assert cli.problem("approve", staged, "2", "--reason", "mine", status=4)["code"] == "self_approval"
    with HttpRegistry(RegistryConfig(url=cli.url, token=cli.token)) as admin:
        name = f"alice-{staged[-8:]}"
        admin.principals.create(name, "human", [Grant(role=Role.INTEGRATION, models=staged)])
        alice = cli._replace(token=admin.principals.issue_token(name).secret or "")
    output = alice("approve", staged, "2", "--reason", "no", "--refuse").stdout
    assert output == f"{name} has refused models:/{staged}/2\n"
    assert "refusal" in cli("promote", staged, "2", "--dry-run").stdout
    assert alice.json("approve", staged, "2", "--reason", "after all")["verdict"] == "approved"
    assert alice.problem("approve", staged, "2", "--reason", "again", status=1)["code"] == "already_decided"


def test_a_recalled_version_is_refused_until_it_is_reinstated(cli: Cli, staged: str, tmp_path: Path) -> None:
    """A recalled version cannot be downloaded."""
    assert cli("recall", staged, "1", "--reason", "it leaks").stdout == f"models:/{staged}/1 is recalled\n"
    problem = cli.problem("download", f"models:/{staged}/production", "--to", tmp_path / "out", status=1)
    assert (problem["code"], problem["status"]) == ("version_recalled", 410)
    assert "it leaks" in cli("versions", "show", staged, "1").stdout
    output = cli("reinstate", staged, "1", "--reason", "it does not").stdout
    assert output == f"models:/{staged}/1 is reinstated, in production\n"
    cli("download", f"models:/{staged}/production", "--to", tmp_path / "out")


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (1, "reason_required", ["promote", "{model}", "2", "--reason", " "]),
        (1, "reason_required", ["rollback", "{model}", "--reason", ""]),
        (1, "nothing_to_return_to", ["rollback", "{model}", "--reason", "x"]),
        (1, "as_of_out_of_range", ["history", "{model}", "--at", "2001-01-01"]),
        (1, "as_of_out_of_range", ["history", "{model}", "--at", "9000-01-01"]),
        (1, "invalid_policy", ["policy", "set", "{model}", "{rules}", "--reason", "x"]),
        (1, "illegal_transition", ["reinstate", "{model}", "1", "--reason", "x"]),
        (2, None, ["policy", "set", "{model}", "{other}", "--reason", "x"]),
        (2, None, ["promote", "{model}", "2", "--reason", "x", "--revision", "1", "--force"]),
    ],
)
def test_refusals_have_a_status_and_a_code(  # noqa: PLR0917 - columns of a table
    cli: Cli, staged: str, tmp_path: Path, status: int, code: str | None, words: list[str]
) -> None:
    """Wrong arguments and wrong files are refused in the same way."""
    rules, other = tmp_path / "rules.json", tmp_path / "other.json"
    rules.write_text('{"metrics": [{"metric": "auc", "direction": "at_least", "than": 0.5}]}')
    other.write_text('{"approval": 1}')
    arguments = [word.format(model=staged, rules=rules, other=other) for word in words]
    if code is None:
        assert "Error" in cli(*arguments, status=status).output
    else:
        assert cli.problem(*arguments, status=status)["code"] == code
