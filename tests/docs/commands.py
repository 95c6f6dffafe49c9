"""Check the commands in README and pages with the parsers of the real programs."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import rich_click as click

from common_lib.cli.program import program as client_program
from registry_server.cli.program import program as server_program

PROGRAMS: dict[str, Any] = {"registry": client_program, "registry-server": server_program}
_SHELL = re.compile(r"^```(?:bash|console|sh|shell)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`((?:\S*/)?(?:registry|registry-server)\s[^`]+)`")
_ENDS = {"|", "||", "&&", ";", "&", ">", ">>", "2>", "<", ")"}


class Command(NamedTuple):
    """A command in a page; a command in a sentence may omit arguments."""

    page: str
    words: tuple[str, ...]
    is_whole: bool


def commands_in(page: Path) -> Iterator[Command]:
    """Yield every use of one of the two programs, in blocks and in sentences."""
    text = page.read_text("utf-8")
    for block in _SHELL.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            for words in _commands(line):
                yield Command(page.name, words, is_whole=True)
    for span in _INLINE.findall(_FENCED.sub("", text)):
        for words in _commands(span.replace("\n", " ")):
            yield Command(page.name, words, is_whole=False)


def _commands(line: str) -> Iterator[tuple[str, ...]]:
    lexer = shlex.shlex(line.replace("$(", " ( "), posix=True, punctuation_chars="|&;()<>")
    lexer.commenters = "#"
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        # A quote that continues on the next line; commands of the two programs do not have one.
        words = line.split()
    start: int | None = None
    for number, word in enumerate([*words, ";"]):
        if start is not None and (word in _ENDS or set(word) <= set("|&;()<>")):
            yield tuple(words[start:number])
            start = None
        elif start is None and _name(word) in PROGRAMS and _begins(words[:number]):
            start = number


def _name(word: str) -> str:
    """Return the name of a program without its folder."""
    return word.rpartition("/")[2]


def _begins(before: list[str]) -> bool:
    """Return True if a command can begin after these words."""
    last = before[-1] if before else ""
    return (
        not last
        or set(last) <= set("|&;()")
        or "=" in last
        or last in {"$", "run", "exec", "eval", "demo"}
        or ("uvx" in before or "model-registry-service[demo]" in last)
    )


def options_in(page: Path) -> set[str]:
    """Return every option that a sentence names without a command."""
    return set(re.findall(r"`(--[a-z][a-z-]*)[^`]*`", _FENCED.sub("", page.read_text("utf-8"))))


def known_options() -> set[str]:
    """Return every option of every command."""
    found, pending = {"--help", "--version"}, list(PROGRAMS.values())
    while pending:
        command = pending.pop()
        found |= {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        pending += list(getattr(command, "commands", {}).values())
    return found


def usage_error(entry: Command) -> str:
    """Return the usage error of a command, or an empty text if the program accepts it."""
    name, *words = _name(entry.words[0]), *entry.words[1:]
    command: Any = PROGRAMS[name]
    if words and words[0].startswith("<"):
        return ""
    while isinstance(command, click.Group):
        if words[:1] and words[0] in {"…", "COMMAND", "..."}:
            return ""
        context = click.Context(command, info_name=name)
        try:
            _, rest, _ = command.make_parser(context).parse_args(list(words))
        except click.UsageError as error:
            return error.format_message()
        if not rest:
            return "" if not entry.is_whole or set(words) & {"--help", "-h", "--version"} else "a group needs a command"
        found = command.get_command(context, rest[0])
        if found is None:
            return f"no command has the name {rest[0]!r}"
        command, words = found, rest[1:]
    return _usage_error(command, words, is_whole=entry.is_whole)


def _usage_error(command: Any, words: list[str], *, is_whole: bool) -> str:
    context = click.Context(command)
    words = [word for word in words if word not in {"…", "..."}]
    if not is_whole and words and words[-1].startswith("-") and "=" not in words[-1]:
        # `--grant` in a sentence names the option without a value; the option itself must exist.
        option = next((each for each in command.params if words[-1] in each.opts), None)
        words = [*words, "VALUE"] if option is not None and not getattr(option, "is_flag", False) else words
    try:
        values, rest, _ = command.make_parser(context).parse_args(list(words))
    except click.UsageError as error:
        return error.format_message()
    if rest:
        return f"too many words: {rest}"
    for each in command.params:
        value = values.get(each.name)
        words_given = [
            word for word in (value if isinstance(value, list | tuple) else [value]) if isinstance(word, str)
        ]
        if is_whole and each.required and not words_given:
            return f"{each.name} is missing"
        choices = each.type.choices if isinstance(each.type, click.Choice) else None
        if wrong := [word for word in words_given if choices is not None and _is_literal(word) and word not in choices]:
            return f"{wrong} is not one of {choices}"
    return ""


def _is_literal(word: str) -> bool:
    return not word.isupper() and "$" not in word and not word.startswith("<")
