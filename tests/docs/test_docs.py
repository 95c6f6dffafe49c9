"""The documentation is what the code is: its examples run, its tables are the code's, and it builds offline."""

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
from tests.docs.commands import complaint, known_options, options_in, shown_in
from tests.docs.pages import DOCS, PAGES, blocks, is_test_file, run
from tests.support.steps import promoted

pytest_plugins = ["pytester"]

_ROOT = DOCS.parent


def _rows(page: str, heading: str, *, plain: bool = True) -> list[list[str]]:
    """The cells of the table whose first heading is that one; if plain, without the signs for code."""
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
    """From top to bottom, against a server over sockets, with the role of the service the page is for."""
    run(page, tmp_path, monkeypatch)


def test_the_tests_shown_in_the_pages_pass(pytester: pytest.Pytester) -> None:
    """Each is a file of its own that finds the fixtures by the plug-in's entry point, as in a service's repository."""
    shown = [(page, block) for page in PAGES for block in blocks(page, "python") if is_test_file(block)]
    assert {page.stem for page, _ in shown} >= {"workbench", "integration", "analysis", "strategy"}
    for number, (page, block) in enumerate(shown):
        (pytester.path / f"test_{page.stem}_{number}.py").write_text(block)
    tests = sum(len(re.findall(r"^(?:async )?def test_", block, re.MULTILINE)) for _, block in shown)
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=tests)


def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    """Offline, from what is installed."""
    options = ["-W", "--keep-going", "-q", "-b", "html", "-d", str(tmp_path / "doctrees")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_page_is_reachable_from_the_index() -> None:
    """By the trees of contents and by nothing else."""

    def below(page: Path) -> set[Path]:
        found: set[Path] = set()
        for tree in blocks(page, r"\{toctree\}"):
            for entry in (line for line in tree.splitlines() if line and not line.startswith(":")):
                entries = list(page.parent.glob(f"{entry}.md"))
                assert entries or entry == "benchmarks", entry  # which a run of the benchmarks writes
                found = found.union(entries, *map(below, entries))
        return found

    index = DOCS / "index.md"
    assert {index} | below(index) == set(PAGES)


def test_no_line_is_wider_than_120() -> None:
    """Rows of tables excepted: Markdown has no way to break them."""
    wide = [
        f"{_named(page)}:{number}"
        for page in PAGES
        for number, line in enumerate(page.read_text("utf-8").splitlines(), 1)
        if len(line) > 120 and not line.lstrip().startswith("|")
    ]
    assert wide == []


def test_the_table_of_problems_is_the_code() -> None:
    """The page lists code, status and title of every problem."""
    assert _rows("http-api.md", "code") == [[code, str(code.status), code.summary] for code in Code]


def test_the_table_of_addresses_is_the_code() -> None:
    """Method and address of each handler."""
    addresses = sorted(
        (method, "/v1" + re.sub(r":\w+\}", "}", path))
        for handler in HANDLERS
        for method in handler.http_methods
        for path in handler.paths
    )
    assert sorted((method, path) for method, path, *_ in _rows("http-api.md", "method")) == addresses


def test_the_table_of_search_parameters_is_the_code(openapi: dict[str, Any]) -> None:
    """Every query parameter of the search for models, and no other."""
    parameters = openapi["paths"]["/v1/models"]["get"]["parameters"]
    rows = _rows("http-api.md", "parameter of `GET /v1/models`")
    assert sorted(", ".join(row[0] for row in rows).split(", ")) == sorted(each["name"] for each in parameters)


@pytest.fixture
def openapi(model_registry: HttpRegistry) -> dict[str, Any]:
    """The document that a server gives of itself."""
    client: Any = model_registry._transport._open()
    document: dict[str, Any] = client.get("/openapi.json").json()
    return document


def test_the_table_of_roles_is_the_code() -> None:
    """A row for each right, a column for each role."""
    assert _rows("howto/operate.md", "right") == [
        [str(right), *("yes" if right in rights else "" for rights in ROLES.values())] for right in Right
    ]
    assert f"| right | {' | '.join(ROLES)} |" in (DOCS / "howto" / "operate.md").read_text("utf-8")


def test_the_table_of_settings_is_the_code() -> None:
    """Each field of the settings, in its order."""
    assert [row[0] for row in _rows("howto/operate.md", "setting")] == list(Settings.__struct_fields__)


def test_the_tables_of_resilience_are_the_code() -> None:
    """Each number of the client's configuration with its default, each rule of breakers and of resolving."""
    headings = ("setting", "of the breaker", "of resolving")
    rows = {row[0]: row[1] for heading in headings for row in _rows("resilience.md", heading)}
    said = {name: {"no": "False", "yes": "True"}.get(default, default) for name, default in rows.items()}
    numbers = [field for field in fields(RegistryConfig) if isinstance(field.default, int | float)]
    coded = [*numbers, *fields(BreakerRules), *fields(ResolveRules)]
    assert said == {f.name: f"{f.default:g}" if isinstance(f.default, float) else str(f.default) for f in coded}


def test_the_table_of_events_is_the_code() -> None:
    """Every type that a use case records."""
    sources = "".join(path.read_text("utf-8") for path in (_ROOT / "registry_server" / "core").glob("*.py"))
    recorded = set(re.findall(r'"([a-z]+\.[a-z_]+)"', sources)) | {move.event for move in MOVES}
    assert set(", ".join(row[1] for row in _rows("events.md", "subject")).split(", ")) == recorded


def test_every_command_that_is_shown_is_one() -> None:
    """Parsed by the real command lines, options, arguments and choices; in README, pages, and what is shown in them."""
    pages = [_ROOT / "README.md", *PAGES]
    shown = [command for page in pages for command in shown_in(page)]
    assert len(shown) > 40
    assert len([command for command in shown if command.page == "README.md"]) >= 3
    complaints = {f"{command.page}: {' '.join(command.words)}": complaint(command) for command in shown}
    assert {command: why for command, why in complaints.items() if why} == {}


def test_every_option_that_a_sentence_names_exists() -> None:
    """At some command of the two programs."""
    # `python -m benchmarks` has one of its own.
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
def test_a_command_that_does_not_exist_is_found(line: str, why: str, tmp_path: Path) -> None:
    """In a block; in a sentence too, but for what a sentence may leave out."""
    page = tmp_path / "page.md"
    page.write_text(f"```bash\n{line}\n```\n")
    (command,) = shown_in(page)
    assert why in complaint(command)
    page.write_text(
        "Call `registry models create NAME --tpe x`, `registry versions list` or `registry diff … --all`.\n"
    )
    assert [bool(complaint(command)) for command in shown_in(page)] == [True, False, False]


def test_the_table_of_commands_is_the_code() -> None:
    """Each command, and of each group its commands."""
    shown = {
        row[0]: set(re.findall(r"`([a-z]+)`", row[1])) for row in _rows("howto/operate.md", "command", plain=False)
    }
    commands = {
        f"`{name} {command}`": set(getattr(group, "commands", {}))
        for name, program in (("registry-server", server_program), ("registry", client_program))
        for command, group in program.commands.items()
    }
    assert shown == commands


def test_the_table_of_contracts_is_the_code() -> None:
    """Each contract of import-linter, in its order."""
    contracts = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    assert [row[0] for row in _rows("dependency-rules.md", "contract")] == [each["id"] for each in contracts]


@pytest.mark.parametrize("block", blocks(DOCS / "dependency-rules.md", "toml"))
def test_the_contracts_for_services_are_awake(block: str, tmp_path: Path) -> None:
    """Kept by a service that uses its adapter, and each broken by what it forbids."""
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
    told = lint(*forbidden)
    assert "Contracts: 0 kept, 3 broken." in told
    assert [name for name in forbidden if f"{service}.work -> {name} (" not in told] == []


def _adapters(block: str) -> tuple[list[str], str]:
    """The adapters that a block forbids, and the one that it does not."""
    forbidden = re.findall(r'"adapters\.(\w+)"', block)
    (own,) = {name.lower() for name in adapters.__all__} - set(forbidden)
    return forbidden, own


def test_the_event_that_is_shown_is_a_real_one(model_registry: HttpRegistry) -> None:
    """Field by field the same as what the same acts record, but for ids, times and its place."""
    name = "eurusd-direction"
    model_registry.models.create(name, "classification")
    promoted(model_registry, name, b"one")
    version = promoted(model_registry, name, b"two")
    client: Any = model_registry._transport._open()
    (event,) = client.get("/v1/events", params={"after": 10, "limit": 1}).json()
    (block,) = blocks(DOCS / "events.md", "json")
    shown = json.loads(block)
    assert event["subject"].endswith(f"/{version.version}")
    given = {"id", "requestid", "source", "time", "actor", "sequence"}
    assert {field: event[field] for field in event.keys() - given - {"data"}} == {
        field: shown[field] for field in shown.keys() - given - {"data"}
    }
    assert event.keys() == shown.keys()
    assert [_without_times(event["data"][side]) for side in ("before", "after")] == [
        _without_times(shown["data"][side]) for side in ("before", "after")
    ]


def _without_times(objects: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {key: fields | {"updated_at": "…"} for key, fields in objects.items()}


def test_every_dependency_has_its_reason() -> None:
    """Each package of each extra stands in the page, and nothing else does."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {re.split(r"[\[><=~! ]", requirement)[0] for requirement in wanted} - {project["name"]}
    text = (DOCS / "dependencies.md").read_text("utf-8")
    assert set(re.findall(r"^\| `([\w.-]+)` \|", text, re.MULTILINE)) == names


def test_the_recipe_names_files_that_are_there() -> None:
    """What it says of `notes` holds for `aliases`, a resource that exists."""
    text = (DOCS / "adding-a-resource.md").read_text("utf-8")
    paths = set(re.findall(r"(?:common_lib|registry_server|tests)/[\w./]+\.\w+", text))
    assert paths
    missing = {path for path in paths if not list(_ROOT.glob(path.replace("notes", "aliases")))}
    assert missing == set()


def test_the_picture_and_the_table_of_moves_are_the_code() -> None:
    """`python docs/draw.py` draws the picture from the moves that the server enforces."""
    namespace = runpy.run_path(str(DOCS / "draw.py"))
    assert (DOCS / "lifecycle.svg").read_text("utf-8") == namespace["draw"]()
    assert _rows("lifecycle.md", "move") == [
        [move.name, move.source, move.target, move.right, move.event, "yes" if move.needs_reason else ""]
        for move in MOVES
    ]


def test_the_table_of_rules_is_the_code() -> None:
    """Each field of the rules of a policy, in its order."""
    assert [row[0] for row in _rows("lifecycle.md", "rule")] == list(PromotionRules.__struct_fields__)
