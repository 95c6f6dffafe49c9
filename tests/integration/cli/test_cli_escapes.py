"""Texts of others are printed in a form that cannot mislead: in tables, sentences, errors, and as JSON."""

import json
import re
import unicodedata
from pathlib import Path

import pytest

from common_lib import HttpRegistry, RegistryConfig
from common_lib.cli.failures import write_problem
from common_lib.errors import InvalidRequest
from common_lib.escapes import escape, escape_json
from tests.support.cli import Cli, operate

# What the registry takes as text, and what a reader must never get as it is.
REASON = (
    "wrong data\nversion 9 is in production\r\tx\u202eevil\u2066\u200b\u2028\u2029\ufeff"
    "[bold red]y[/] :smile: \u3164é 日本"
)
WORSE = REASON + "\x1b[1m\x1b]8;;http://evil\x1b\\link\x9b2J\x07\x7f\ud800\U000e0041"


def is_safe(text: str) -> bool:
    """Return True if nothing in it but the end of a line is a control, format, or separating character."""
    return all(unicodedata.category(c) not in {"Cc", "Cf", "Zl", "Zp", "Cs"} for c in text.replace("\n", ""))


@pytest.fixture
def spoken(cli: Cli, version: str) -> str:
    """A model and a version with all these characters in every text that the registry takes."""
    with HttpRegistry(RegistryConfig(url=cli.url, token=cli.token, resolve=None)) as registry:
        model = registry.models.update(version, force=True, reason="r", description=_taken(registry, version))
        registry.models.update(
            version, revision=model.revision, tags={"team": "x"}, metadata={"note": model.description}
        )
        registry.versions.update(version, 1, force=True, reason="r", description=model.description, tags={"a": "b"})
        registry.versions.recall(version, 1, force=True, reason=model.description)
        return version


def _taken(registry: HttpRegistry, name: str) -> str:
    """Return those of the characters that the registry takes."""
    taken = ""
    for character in REASON:
        try:
            registry.models.update(name, force=True, reason="r", description=f"x{taken}{character}x")
        except InvalidRequest:
            continue
        taken += character
    return taken


def test_no_text_of_others_makes_a_line_or_turns_one_around(cli: Cli, spoken: str) -> None:
    """Whatever command shows it; what is left is the same text, and its markup is text."""
    for words in (
        ("models", "show", spoken),
        ("models", "list", "--prefix", spoken),
        ("versions", "show", spoken, "1"),
        ("versions", "list", spoken),
        ("history", spoken),
        ("events", "--after", "0"),
    ):
        done = cli(*words, COLUMNS="400")
        assert is_safe(done.output), words
        assert not re.search(r"^\s*version 9 is in production", done.output, re.MULTILINE), words
    shown = cli("versions", "show", spoken, "1", COLUMNS="400").stdout
    assert "wrong data" in shown
    assert "[bold red]y[/]" in shown
    assert "é 日本" in shown
    failed = cli("promote", spoken, "1", "--reason", "x", status=1)
    assert is_safe(failed.output)
    assert len(failed.stderr.strip().splitlines()) <= 3


def test_json_is_the_same_value_without_a_character_that_nobody_sees(cli: Cli, spoken: str) -> None:
    """By the numbers of JSON, answers and errors alike; letters stay letters."""
    done = cli("models", "show", spoken, "--json")
    assert is_safe(done.stdout)
    description = json.loads(done.stdout)["description"]
    assert "é 日本" in done.stdout
    with HttpRegistry(RegistryConfig(url=cli.url, token=cli.token, resolve=None)) as registry:
        assert registry.models.get(spoken).description == description
    assert is_safe(cli("events", "--json").stdout)


@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_is_as_safe(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: FBT001
    """Also the refusal of a server that is not a registry."""
    write_problem({"code": "refused", "detail": WORSE, "remedy": WORSE, "request_id": WORSE}, as_json=as_json)
    written = capsys.readouterr().err
    assert is_safe(written)
    assert len(written.splitlines()) == (1 if as_json else 3)
    if as_json:
        assert json.loads(written)["detail"] == WORSE


@pytest.mark.parametrize("program", ["client", "server"])
def test_a_complaint_about_a_word_is_as_safe(cli: Cli, program: str, tmp_path: Path, model: str) -> None:
    """An option, a path and a value that nobody typed by hand; and what a file says."""
    bad = "--\x1b[1m[bold]x\u202e\ny"
    if program == "server":
        outputs = [operate(bad, status=2).output, operate("serve", bad, status=2).output]
        outputs.append(operate("gc", "--data", str(tmp_path), "--grace", bad, status=2).output)
    else:
        file = tmp_path / "rules.json"
        file.write_text(json.dumps({"metrics": "a\nb\u202e\x1b[1m"}))
        outputs = [cli(bad, status=2).output, cli("models", "show", bad, status=2).output]
        outputs += [
            cli("policy", "set", model, file, "--reason", "x", status=2).output,
            cli("versions", "register", model, f"nowhere{bad}", "--framework", "x", status=2).output,
            cli("versions", "list", model, "--limit", bad, status=2).output,
        ]
    assert [output for output in outputs if not is_safe(output)] == []


@pytest.mark.parametrize(
    "character",
    [
        chr(number)
        for number in (
            *range(32),
            *range(0x7F, 0xA0),
            0xAD,
            0x61C,
            0x200B,
            0x200E,
            0x202E,
            0x2028,
            0x2066,
            0xFEFF,
            0xFFF9,
            0xE0041,
            0x1160,
        )
    ],
)
def test_each_character_that_misleads_is_written_as_its_number(character: str) -> None:
    """And comes back from JSON as itself."""
    assert character not in escape(f"a{character}b")
    assert escape(f"a{character}b") == f"a{ascii(character)[1:-1]}b"
    document = escape_json(json.dumps({"a": character}, ensure_ascii=False, indent=1))
    assert json.loads(document) == {"a": character}
    assert is_safe(document)
