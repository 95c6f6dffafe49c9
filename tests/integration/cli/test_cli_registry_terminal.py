"""What `registry …` shows on a terminal: help, tables, colours, completion."""

import re

import pytest
import rich_click as click
from click.testing import CliRunner

from common_lib.cli import show
from common_lib.cli.program import program
from registry_server.cli.program import program as server_program
from tests.support.cli import REGISTRY, Cli, run_python

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]")


def listed(said: str) -> list[str]:
    """The names in the panel of commands that help shows."""
    panel = said.partition("─ Commands ─")[2].partition("╰")[0]
    return re.findall(r"^│ (\S+)", panel, re.MULTILINE)


def test_help_names_every_exit_status_and_every_command(cli: Cli) -> None:
    """A script's author needs no other page."""
    said = cli("--help").stdout
    for status in range(7):
        assert f"\n {status} - " in said
    assert sorted(listed(said)) == sorted(program.commands)
    assert len(listed(said)) > 9


@pytest.mark.parametrize("program", [program, server_program], ids=["registry", "registry-server"])
def test_help_names_each_command_of_a_group_once(program: click.RichGroup) -> None:
    """By the name it is called by, also where two names do the same."""
    for name, group in program.commands.items():
        if isinstance(group, click.RichGroup):
            said = CliRunner().invoke(program, [name, "--help"], env={"COLUMNS": "80", "NO_COLOR": "1"}).stdout
            assert sorted(listed(said)) == sorted(group.commands)


def test_help_loads_neither_pydantic_nor_httpx() -> None:
    """Help and completion are as fast as the program's own imports."""
    code = (
        "import sys; from common_lib.cli import main\n"
        "try: main()\n"
        "except SystemExit: sys.exit(','.join({'pydantic', 'httpx', 'tenacity'} & sys.modules.keys()) or 0)"
    )
    for arguments in (["--help"], ["models", "list", "--help"]):
        done = run_python(code, *arguments)
        assert done.returncode == 0, done.stderr


def test_without_its_extra_the_program_says_what_to_install() -> None:
    """One sentence, no traceback."""
    done = run_python("import sys; sys.modules['rich_click'] = None\n" + REGISTRY, "whoami")
    assert done.returncode == 1
    assert done.stderr.decode() == "registry needs rich_click: pip install 'model-registry-service[cli]'\n"


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_stages_have_colours_unless_no_color_is_set(
    cli: Cli, version: str, environment: dict[str, str], *, coloured: bool
) -> None:
    """https://no-color.org; what is written to a pipe has none either."""
    cli("stages", "set", version, "1", "staging")
    known = {"FORCE_COLOR": "1", "NO_COLOR": "", "TERM": "xterm"} | environment
    said = cli("versions", "list", version, **known).stdout
    assert bool(COLOUR.search(said)) is coloured
    assert "\x1b" not in cli("versions", "list", version).stdout


def test_a_table_is_never_cut(cli: Cli, version: str) -> None:
    """On a terminal that is too narrow a line goes on in the next one, and a reference stays in one piece."""
    said = cli("versions", "show", version, "1", FORCE_COLOR="1", TERM="dumb", COLUMNS="40").stdout
    digest = cli.json("versions", "show", version, "1")["digest"]
    assert digest in said
    assert "…" not in said


def test_text_of_others_cannot_steer_the_terminal(cli: Cli, name: str) -> None:
    """Escape characters and marks that turn a line around are shown by their number."""
    description = "[bold]safe[/] \u202egnp.exe"
    cli("models", "create", name, "--type", "regression", "--description", description)
    said = cli("models", "show", name).stdout
    assert r"[bold]safe[/] \u202egnp.exe" in said
    assert cli.json("models", "show", name)["description"] == description
    assert show.text("\x1b[31m \x9b31m two\nlines").plain == r"\x1b[31m \x9b31m two\nlines"


def test_a_terminal_without_unicode_gets_numbers_instead_of_a_traceback(cli: Cli, version: str) -> None:
    """The character set of a terminal never ends a command."""
    environment = {"REGISTRY_URL": cli.url, "REGISTRY_TOKEN": cli.token, "PYTHONIOENCODING": "ascii"}
    done = run_python(REGISTRY, "stages", "set", version, "1", "staging", **environment)
    assert done.returncode == 0, done.stderr
    assert rb"development \u2192 staging" in done.stdout


def test_an_argument_that_is_no_text_is_a_wrong_command_line(cli: Cli) -> None:
    """Bytes that are not UTF-8 are named as that."""
    environment = {"REGISTRY_URL": cli.url, "REGISTRY_TOKEN": cli.token, "PYTHONUTF8": "1"}
    done = run_python(REGISTRY, "models", "list", "--owner", b"\xff", **environment)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion_script(cli: Cli, shell: str) -> None:
    """The script asks the program itself."""
    assert f"_REGISTRY_COMPLETE={shell}_complete" in cli("completion", shell).stdout


def test_the_script_completes_commands() -> None:
    """What the script asks is answered."""
    done = run_python(REGISTRY, _REGISTRY_COMPLETE="bash_complete", COMP_WORDS="registry mod", COMP_CWORD="1")
    assert done.stdout.decode().split() == ["plain,models"]
