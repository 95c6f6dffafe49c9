"""Every command that README and pages name is one of the programs, with options that it has."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from common_lib.cli.program import program as client_program
from registry_server.cli.program import program as server_program
from tests.docs.pages import DOCS, PAGES

PROGRAMS: dict[str, Any] = {"registry": client_program, "registry-server": server_program}
# Perhaps behind the folder of the program.
_COMMAND = r"(?:[\w./]*/bin/)?(registry(?:-server)?) ([a-z-][^`\n]*)"
_IN_BACKTICKS = re.compile(f"`{_COMMAND}")
_IN_A_BLOCK = re.compile(rf"^\s*(?:\$ )?{_COMMAND}", re.MULTILINE)


def _commands() -> Iterator[tuple[str, str, str]]:
    for page in (DOCS.parent / "README.md", *PAGES):
        text = re.sub(r"\\\n\s*", "", page.read_text("utf-8"))
        for number, part in enumerate(text.split("```")):
            for match in (_IN_A_BLOCK if number % 2 else _IN_BACKTICKS).finditer(part):
                yield page.name, match[1], match[2]


COMMANDS = sorted(set(_commands()))


def wrong_with(program: str, line: str) -> str:
    """Return what is wrong with a command, or nothing."""
    words = shlex.split(re.sub(r"[<>\[\]…|]", " ", line), comments=True)
    command, known = PROGRAMS[program], {"--help", "--version"}
    while words and hasattr(command, "commands"):
        if words[0].startswith("-"):
            break
        name = words.pop(0)
        if name not in command.commands:
            return f"{program} has no command {name!r}"
        command = command.commands[name]
    known |= {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    return ", ".join(f"{command.name} has no option {option}" for option in options if option not in known)


@pytest.mark.parametrize(("page", "program", "line"), COMMANDS)
def test_a_command_that_is_named_is_one(page: str, program: str, line: str) -> None:
    """Its name, and each of its options."""
    assert wrong_with(program, line) == ""


def test_commands_are_found() -> None:
    """In the README and in the page for operators, of both programs."""
    assert {(page, program) for page, program, _ in COMMANDS} >= {
        ("README.md", "registry"),
        ("README.md", "registry-server"),
        ("operate.md", "registry-server"),
    }


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("serve --data D --port 0", ""),
        ("serve --datum D", "serve has no option --datum"),
        ("serf --data D", "registry-server has no command 'serf'"),
        ("token make --name x", "registry-server has no command 'make'"),
    ],
)
def test_a_command_that_is_none_is_found_out(line: str, found: str) -> None:
    """An option or a name that the program does not have."""
    assert wrong_with("registry-server", line) == found
