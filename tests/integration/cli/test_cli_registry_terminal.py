"""Output of `registry` on a terminal: help, tables, colours, completion."""

import re

import pytest
import rich_click as click
from click.testing import CliRunner

from common_lib.cli import show
from common_lib.cli.program import program
from registry_server.cli.program import program as server_program
from tests.support.cli import REGISTRY, Cli, run_python

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]")


def listed(output: str) -> list[str]:
    """Return the names in the panel of commands of a help text."""
    panel = output.partition("─ Commands ─")[2].partition("╰")[0]
    return re.findall(r"^│ (\S+)", panel, re.MULTILINE)


def test_help_names_every_exit_status_and_every_command(cli: Cli) -> None:
    """Help lists all exit statuses and all commands."""
    output = cli("--help").stdout
    for status in range(7):
        assert f"\n {status} - " in output
    assert sorted(listed(output)) == sorted(program.commands)
    assert len(listed(output)) > 9


@pytest.mark.parametrize("program", [program, server_program], ids=["registry", "registry-server"])
def test_help_names_each_command_of_a_group_once(program: click.RichGroup) -> None:
    """Two commands that do the same have different names in help."""
    for name, group in program.commands.items():
        if isinstance(group, click.RichGroup):
            output = CliRunner().invoke(program, [name, "--help"], env={"COLUMNS": "80", "NO_COLOR": "1"}).stdout
            assert sorted(listed(output)) == sorted(group.commands)


def test_help_imports_neither_pydantic_nor_httpx() -> None:
    """Otherwise help and completion would be slow."""
    code = (
        "import sys; from common_lib.cli import main\n"
        "try: main()\n"
        "except SystemExit: sys.exit(','.join({'pydantic', 'httpx', 'tenacity'} & sys.modules.keys()) or 0)"
    )
    for arguments in (["--help"], ["models", "list", "--help"]):
        done = run_python(code, *arguments)
        assert done.returncode == 0, done.stderr


def test_without_its_extra_the_program_names_the_package_to_install() -> None:
    """The output is one sentence without a traceback."""
    done = run_python("import sys; sys.modules['rich_click'] = None\n" + REGISTRY, "whoami")
    assert done.returncode == 1
    assert done.stderr.decode() == "registry needs rich_click: pip install 'model-registry-service[cli]'\n"


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_stages_have_colours_unless_no_color_is_set(
    cli: Cli, version: str, environment: dict[str, str], *, coloured: bool
) -> None:
    """NO_COLOR is defined at https://no-color.org; output in a pipe has no colours either."""
    cli("stages", "set", version, "1", "staging")
    known = {"FORCE_COLOR": "1", "NO_COLOR": "", "TERM": "xterm"} | environment
    output = cli("versions", "list", version, **known).stdout
    assert bool(COLOUR.search(output)) is coloured
    assert "\x1b" not in cli("versions", "list", version).stdout


def test_a_table_is_wrapped_and_never_cut(cli: Cli, version: str) -> None:
    """On a narrow terminal a long line is wrapped, and a digest stays whole."""
    output = cli("versions", "show", version, "1", FORCE_COLOR="1", TERM="dumb", COLUMNS="40").stdout
    digest = cli.json("versions", "show", version, "1")["digest"]
    assert digest in output
    assert "…" not in output


def test_untrusted_text_cannot_control_the_terminal(cli: Cli, name: str) -> None:
    """Escape characters and bidirectional marks are replaced by their number."""
    description = "[bold]safe[/] \u202egnp.exe"
    cli("models", "create", name, "--type", "regression", "--description", description)
    output = cli("models", "show", name).stdout
    assert r"[bold]safe[/] \u202egnp.exe" in output
    assert cli.json("models", "show", name)["description"] == description
    assert show.text("\x1b[31m \x9b31m two\nlines").plain == r"\x1b[31m \x9b31m two\nlines"


def test_a_terminal_without_unicode_prints_numbers_of_characters(cli: Cli, version: str) -> None:
    """A command does not fail because of the encoding of the terminal."""
    environment = {"REGISTRY_URL": cli.url, "REGISTRY_TOKEN": cli.token, "PYTHONIOENCODING": "ascii"}
    done = run_python(REGISTRY, "stages", "set", version, "1", "staging", **environment)
    assert done.returncode == 0, done.stderr
    assert rb"development \u2192 staging" in done.stdout


def test_an_argument_that_is_not_utf_8_is_a_usage_error(cli: Cli) -> None:
    """The command ends with status 2 and without a traceback."""
    environment = {"REGISTRY_URL": cli.url, "REGISTRY_TOKEN": cli.token, "PYTHONUTF8": "1"}
    done = run_python(REGISTRY, "models", "list", "--owner", b"\xff", **environment)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_completion_script(cli: Cli, shell: str) -> None:
    """The script calls the program itself."""
    assert f"_REGISTRY_COMPLETE={shell}_complete" in cli("completion", shell).stdout


def test_the_script_completes_commands() -> None:
    """The program responds to the call of the script."""
    done = run_python(REGISTRY, _REGISTRY_COMPLETE="bash_complete", COMP_WORDS="registry mod", COMP_CWORD="1")
    assert done.stdout.decode().split() == ["plain,models"]
