"""Untrusted text is escaped in tables, sentences, errors and JSON."""

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

# Characters that the registry accepts in a text, but that must be escaped in output.
REASON = (
    "wrong data\nversion 9 is in production\r\tx\u202eevil\u2066\u200b\u2028\u2029\ufeff"
    "[bold red]y[/] :smile: \u3164é 日本"
)
WORSE = REASON + "\x1b[1m\x1b]8;;http://evil\x1b\\link\x9b2J\x07\x7f\ud800\U000e0041"


def is_safe(text: str) -> bool:
    """Return True if nothing in it but the end of a line is a control, format, or separating character."""
    return all(unicodedata.category(c) not in {"Cc", "Cf", "Zl", "Zp", "Cs"} for c in text.replace("\n", ""))


@pytest.fixture
def misleading(cli: Cli, version: str) -> str:
    """Create a model and a version with all these characters in every text field."""
    with HttpRegistry(RegistryConfig(url=cli.url, token=cli.token, resolve=None)) as registry:
        model = registry.models.update(version, force=True, reason="r", description=_accepted(registry, version))
        registry.models.update(
            version, revision=model.revision, tags={"team": "x"}, metadata={"note": model.description}
        )
        registry.versions.update(version, 1, force=True, reason="r", description=model.description, tags={"a": "b"})
        registry.versions.recall(version, 1, force=True, reason=model.description)
        return version


def _accepted(registry: HttpRegistry, name: str) -> str:
    """Return those of the characters that the registry accepts."""
    accepted = ""
    for character in REASON:
        try:
            registry.models.update(name, force=True, reason="r", description=f"x{accepted}{character}x")
        except InvalidRequest:
            continue
        accepted += character
    return accepted


def test_untrusted_text_cannot_break_or_reverse_a_line(cli: Cli, misleading: str) -> None:
    """Every command escapes it; all other characters and markup are printed as they are."""
    for words in (
        ("models", "show", misleading),
        ("models", "list", "--prefix", misleading),
        ("versions", "show", misleading, "1"),
        ("versions", "list", misleading),
        ("history", misleading),
        ("events", "--after", "0"),
    ):
        done = cli(*words, COLUMNS="400")
        assert is_safe(done.output), words
        assert not re.search(r"^\s*version 9 is in production", done.output, re.MULTILINE), words
    output = cli("versions", "show", misleading, "1", COLUMNS="400").stdout
    assert "wrong data" in output
    assert "[bold red]y[/]" in output
    assert "é 日本" in output
    failed = cli("promote", misleading, "1", "--reason", "x", status=1)
    assert is_safe(failed.output)
    assert len(failed.stderr.strip().splitlines()) <= 3


def test_json_has_the_same_value_without_invisible_characters(cli: Cli, misleading: str) -> None:
    """Invisible characters are escaped as JSON numbers; letters stay letters."""
    done = cli("models", "show", misleading, "--json")
    assert is_safe(done.stdout)
    description = json.loads(done.stdout)["description"]
    assert "é 日本" in done.stdout
    with HttpRegistry(RegistryConfig(url=cli.url, token=cli.token, resolve=None)) as registry:
        assert registry.models.get(misleading).description == description
    assert is_safe(cli("events", "--json").stdout)


@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_is_escaped(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: FBT001
    """Detail, remedy and request id of a problem are escaped, in text and as JSON."""
    write_problem({"code": "refused", "detail": WORSE, "remedy": WORSE, "request_id": WORSE}, as_json=as_json)
    written = capsys.readouterr().err
    assert is_safe(written)
    assert len(written.splitlines()) == (1 if as_json else 3)
    if as_json:
        assert json.loads(written)["detail"] == WORSE


@pytest.mark.parametrize("program", ["client", "server"])
def test_a_usage_error_is_escaped(cli: Cli, program: str, tmp_path: Path, model: str) -> None:
    """An option, a path, a value and the content of a file are escaped."""
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
def test_each_misleading_character_is_written_as_its_number(character: str) -> None:
    """A JSON parser returns the original character."""
    assert character not in escape(f"a{character}b")
    assert escape(f"a{character}b") == f"a{ascii(character)[1:-1]}b"
    document = escape_json(json.dumps({"a": character}, ensure_ascii=False, indent=1))
    assert json.loads(document) == {"a": character}
    assert is_safe(document)
