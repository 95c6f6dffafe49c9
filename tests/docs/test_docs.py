"""The documentation agrees with the code: its examples run, its tables match, and it builds offline."""

import json
import re
import runpy
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import adapters
from common_lib import HttpRegistry, RegistryConfig
from common_lib.cli.program import program as client_program
from common_lib.config import BreakerRules, ResolveRules
from common_lib.rules.codes import Code
from common_lib.rules.lifecycle import MOVES
from registry_server.app import HANDLERS
from registry_server.cli.program import program as server_program
from registry_server.core.rights import ROLES, Right
from registry_server.domain.policies import PromotionRules
from registry_server.settings import Settings
from tests.docs.commands import commands_in, known_options, options_in, usage_error
from tests.docs.pages import DOCS, PAGES, blocks, is_test_file, run
from tests.support.steps import promoted

pytest_plugins = ["pytester"]

_ROOT = DOCS.parent


def _rows(page: str, heading: str, *, plain: bool = True) -> list[list[str]]:
    """Return the cells of the table with this first heading; if `plain`, without backticks."""
    lines = iter((DOCS / page).read_text("utf-8").splitlines())
    for line in lines:
        if line.startswith(f"| {heading} |"):
            break
    next(lines)
    rows: list[list[str]] = []
    for line in lines:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows.append([cell.replace("`", "") for cell in cells] if plain else cells)
    assert rows
    return rows


def _named(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They run in order, against a real server, with the role of the service that the page is for."""
    run(page, tmp_path, monkeypatch)


def test_the_tests_in_the_pages_pass(pytester: pytest.Pytester) -> None:
    """Each is a separate file that finds the fixtures through the entry point of the pytest plug-in."""
    documented = [(page, block) for page in PAGES for block in blocks(page, "python") if is_test_file(block)]
    assert {page.stem for page, _ in documented} >= {"workbench", "integration", "analysis", "strategy"}
    for number, (page, block) in enumerate(documented):
        (pytester.path / f"test_{page.stem}_{number}.py").write_text(block)
    tests = sum(len(re.findall(r"^(?:async )?def test_", block, re.MULTILINE)) for _, block in documented)
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=tests)


def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    """The build is offline."""
    options = ["-W", "--keep-going", "-q", "-b", "html", "-d", str(tmp_path / "doctrees")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_page_is_reachable_from_the_index() -> None:
    """Only tables of contents count, not links."""

    def below(page: Path) -> set[Path]:
        found: set[Path] = set()
        for tree in blocks(page, r"\{toctree\}"):
            for entry in (line for line in tree.splitlines() if line and not line.startswith(":")):
                entries = list(page.parent.glob(f"{entry}.md"))
                assert entries or entry == "benchmarks", entry  # a run of the benchmarks writes this page
                found = found.union(entries, *map(below, entries))
        return found

    index = DOCS / "index.md"
    assert {index} | below(index) == set(PAGES)


def test_no_line_is_wider_than_120() -> None:
    """Rows of tables are exempt, because Markdown cannot wrap them."""
    wide = [
        f"{_named(page)}:{number}"
        for page in PAGES
        for number, line in enumerate(page.read_text("utf-8").splitlines(), 1)
        if len(line) > 120 and not line.lstrip().startswith("|")
    ]
    assert wide == []


def test_the_table_of_problems_matches_the_code() -> None:
    """The page lists code, status and title of every problem."""
    assert _rows("http-api.md", "code") == [[code, str(code.status), code.summary] for code in Code]


def test_the_table_of_addresses_matches_the_code() -> None:
    """The table has method and address of each handler."""
    addresses = sorted(
        (method, "/v1" + re.sub(r":\w+\}", "}", path))
        for handler in HANDLERS
        for method in handler.http_methods
        for path in handler.paths
    )
    assert sorted((method, path) for method, path, *_ in _rows("http-api.md", "method")) == addresses


def test_the_table_of_search_parameters_matches_the_code(openapi: dict[str, Any]) -> None:
    """The table has exactly the query parameters of the search for models."""
    parameters = openapi["paths"]["/v1/models"]["get"]["parameters"]
    rows = _rows("http-api.md", "parameter of `GET /v1/models`")
    assert sorted(", ".join(row[0] for row in rows).split(", ")) == sorted(each["name"] for each in parameters)


@pytest.fixture
def openapi(model_registry: HttpRegistry) -> dict[str, Any]:
    """Fetch the OpenAPI document of a server."""
    client: Any = model_registry._transport._open()
    document: dict[str, Any] = client.get("/openapi.json").json()
    return document


def test_the_table_of_roles_matches_the_code() -> None:
    """The table has a row for each right and a column for each role."""
    assert _rows("howto/operate.md", "right") == [
        [str(right), *("yes" if right in rights else "" for rights in ROLES.values())] for right in Right
    ]
    assert f"| right | {' | '.join(ROLES)} |" in (DOCS / "howto" / "operate.md").read_text("utf-8")


def test_the_table_of_settings_matches_the_code() -> None:
    """The table has each setting, in the order of the code."""
    assert [row[0] for row in _rows("howto/operate.md", "setting")] == list(Settings.__struct_fields__)


def test_the_tables_of_resilience_match_the_code() -> None:
    """The tables have each number of the client's configuration, with its default."""
    headings = ("setting", "of the breaker", "of resolving")
    rows = {row[0]: row[1] for heading in headings for row in _rows("resilience.md", heading)}
    documented = {name: {"no": "False", "yes": "True"}.get(default, default) for name, default in rows.items()}
    numbers = [field for field in fields(RegistryConfig) if isinstance(field.default, int | float)]
    coded = [*numbers, *fields(BreakerRules), *fields(ResolveRules)]
    assert documented == {f.name: f"{f.default:g}" if isinstance(f.default, float) else str(f.default) for f in coded}


def test_the_table_of_events_matches_the_code() -> None:
    """The table has every type that a use case records."""
    sources = "".join(path.read_text("utf-8") for path in (_ROOT / "registry_server" / "core").glob("*.py"))
    recorded = set(re.findall(r'"([a-z]+\.[a-z_]+)"', sources)) | {move.event for move in MOVES}
    assert set(", ".join(row[1] for row in _rows("events.md", "subject")).split(", ")) == recorded


def test_every_command_in_the_documentation_is_valid() -> None:
    """README and pages are checked with the real parsers: options, arguments and choices."""
    pages = [_ROOT / "README.md", *PAGES]
    documented = [command for page in pages for command in commands_in(page)]
    assert len(documented) > 40
    assert len([command for command in documented if command.page == "README.md"]) >= 3
    errors = {f"{command.page}: {' '.join(command.words)}": usage_error(command) for command in documented}
    assert {command: why for command, why in errors.items() if why} == {}


def test_every_option_that_a_sentence_names_exists() -> None:
    """At least one command of the two programs has it."""
    # An option of `benchmarks/run.py`.
    known = known_options() | {"--markdown"}
    named = {page.name: options_in(page) - known for page in [_ROOT / "README.md", *PAGES]}
    assert {page: options for page, options in named.items() if options} == {}
    assert "--data" in options_in(_ROOT / "README.md")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("registry-server demo --bogus", "No such option"),
        ("registry-server demo --port", "requires an argument"),
        ("registry-server demo now", "too many words"),
        ("registry models lst", "no command"),
        ("registry models create x", "type is missing"),
        ("registry models create x --type nonsense", "not one of"),
        ("registry models create --type regression", "name is missing"),
        ("registry models create x y --type regression", "too many words"),
        ("REGISTRY_URL=x registry versions show a 1 --jsn | jq .", "No such option"),
        ("x=$(registry download models:/a/1 --into folder)", "No such option"),
    ],
)
def test_an_invalid_command_is_found(line: str, why: str, tmp_path: Path) -> None:
    """It is found in a block and in a sentence; a command in a sentence may omit arguments."""
    page = tmp_path / "page.md"
    page.write_text(f"```bash\n{line}\n```\n")
    (command,) = commands_in(page)
    assert why in usage_error(command)
    page.write_text(
        "Call `registry models create NAME --tpe x`, `registry versions list` or `registry diff … --all`.\n"
    )
    assert [bool(usage_error(command)) for command in commands_in(page)] == [True, False, False]


def test_the_table_of_commands_matches_the_code() -> None:
    """The table has each command, and the commands of each group."""
    documented = {
        row[0]: set(re.findall(r"`([a-z]+)`", row[1])) for row in _rows("howto/operate.md", "command", plain=False)
    }
    commands = {
        f"`{name} {command}`": set(getattr(group, "commands", {}))
        for name, program in (("registry-server", server_program), ("registry", client_program))
        for command, group in program.commands.items()
    }
    assert documented == commands


def test_the_table_of_contracts_matches_the_code() -> None:
    """The table has each contract of import-linter, in the order of the configuration."""
    contracts = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    assert [row[0] for row in _rows("dependency-rules.md", "contract")] == [each["id"] for each in contracts]


@pytest.mark.parametrize("block", blocks(DOCS / "dependency-rules.md", "toml"))
def test_the_contracts_for_services_detect_violations(block: str, tmp_path: Path) -> None:
    """A service that imports its own adapter passes; each forbidden import fails."""
    service, _ = tomllib.loads(block)["tool"]["importlinter"]["root_packages"]
    others = re.findall(r'"(\w+_\w+)"', block.partition("forbidden_modules")[2].partition("]")[0])
    (their_adapter, *_), own = _adapters(block)
    their_adapter = f"adapters.{their_adapter}"
    package = tmp_path / service
    package.mkdir()
    (package / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text(block)

    def lint(*imported: str) -> str:
        (package / "work.py").write_text("".join(f"import {name}\n" for name in imported))
        command = "import sys; sys.path.insert(0, ''); from importlinter.cli import lint_imports_command as run; run()"
        return subprocess.run(
            [sys.executable, "-c", command, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False
        ).stdout

    assert "Contracts: 3 kept, 0 broken." in lint(f"adapters.{own}", "common_lib")
    forbidden = [*others, their_adapter, "adapters"]
    assert len(forbidden) == 6
    report = lint(*forbidden)
    assert "Contracts: 0 kept, 3 broken." in report
    assert [name for name in forbidden if f"{service}.work -> {name} (" not in report] == []


def _adapters(block: str) -> tuple[list[str], str]:
    """Return the adapters that a block forbids, and the one that it allows."""
    forbidden = re.findall(r'"adapters\.(\w+)"', block)
    (own,) = {getattr(adapters, name).__module__.rpartition(".")[2] for name in adapters.__all__} - set(forbidden)
    return forbidden, own


def test_the_example_of_an_event_matches_a_real_event(model_registry: HttpRegistry) -> None:
    """All fields are the same, except ids, times and the sequence number."""
    name = "eurusd-direction"
    model_registry.models.create(name, "classification")
    promoted(model_registry, name, b"one")
    version = promoted(model_registry, name, b"two")
    client: Any = model_registry._transport._open()
    (event,) = client.get("/v1/events", params={"after": 10, "limit": 1}).json()
    (block,) = blocks(DOCS / "events.md", "json")
    documented = json.loads(block)
    assert event["subject"].endswith(f"/{version.version}")
    varying = {"id", "requestid", "source", "time", "actor", "sequence"}
    assert {field: event[field] for field in event.keys() - varying - {"data"}} == {
        field: documented[field] for field in documented.keys() - varying - {"data"}
    }
    assert event.keys() == documented.keys()
    assert [_without_times(event["data"][side]) for side in ("before", "after")] == [
        _without_times(documented["data"][side]) for side in ("before", "after")
    ]


def _without_times(objects: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {key: fields | {"updated_at": "…"} for key, fields in objects.items()}


def test_every_dependency_is_documented() -> None:
    """The page has exactly the packages of all extras."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {re.split(r"[\[><=~! ]", requirement)[0] for requirement in wanted} - {project["name"]}
    text = (DOCS / "dependencies.md").read_text("utf-8")
    assert set(re.findall(r"^\| `([\w.-]+)` \|", text, re.MULTILINE)) == names


def test_the_recipe_names_existing_files() -> None:
    """The paths exist for `aliases` in place of `notes`."""
    text = (DOCS / "adding-a-resource.md").read_text("utf-8")
    paths = set(re.findall(r"(?:common_lib|registry_server|tests)/[\w./]+\.\w+", text))
    assert paths
    missing = {path for path in paths if not list(_ROOT.glob(path.replace("notes", "aliases")))}
    assert missing == set()


def test_the_picture_and_the_table_of_moves_match_the_code() -> None:
    """`python docs/draw.py` draws the picture from the moves that the server enforces."""
    namespace = runpy.run_path(str(DOCS / "draw.py"))
    assert (DOCS / "lifecycle.svg").read_text("utf-8") == namespace["draw"]()
    assert _rows("lifecycle.md", "move") == [
        [move.name, move.source, move.target, move.right, move.event, "yes" if move.needs_reason else ""]
        for move in MOVES
    ]


def test_the_table_of_rules_matches_the_code() -> None:
    """The table has each rule of a policy, in the order of the code."""
    assert [row[0] for row in _rows("lifecycle.md", "rule")] == list(PromotionRules.__struct_fields__)
