"""The import contracts hold, and a planted violation of each contract is found."""

import graphlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("common_lib", "adapters", "registry_server")
CONTRACTS = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}


class Plant(NamedTuple):
    """A violation: the contract it breaks, the module that contains it, and the line that breaks it."""

    contract: str
    module: str
    line: str


PLANTS = [
    Plant("server-layers", "registry_server/domain/base.py", "import registry_server.core.rights"),
    Plant("server-layers", "registry_server/core/writes.py", "import registry_server.api.problems"),
    Plant("server-layers", "registry_server/core/writes.py", "import registry_server.infrastructure.sqlite"),
    Plant("server-layers", "registry_server/api/models.py", "import registry_server.infrastructure.sqlite"),
    Plant("server-layers", "registry_server/infrastructure/sqlite.py", "import registry_server.api.problems"),
    Plant("server-layers", "registry_server/api/models.py", "import registry_server.app"),
    Plant("server-layers", "registry_server/helpers.py", "import registry_server.app"),
    Plant(
        "infrastructure-below-use-cases",
        "registry_server/infrastructure/sqlite.py",
        "import registry_server.core.writes",
    ),
    Plant("core-knows-no-tool", "registry_server/core/models.py", "from litestar import Request"),
    Plant("core-knows-no-tool", "registry_server/domain/models.py", "import apsw"),
    Plant("core-knows-no-tool", "registry_server/queries/models.py", "import asyncpg"),
    Plant("server-layers", "registry_server/queries/models.py", "import registry_server.core.models"),
    Plant("server-shares-the-rules", "registry_server/domain/models.py", "from common_lib.types.aliases import Alias"),
    Plant("server-shares-the-rules", "registry_server/domain/models.py", "import pydantic"),
    Plant("server-shares-the-rules", "registry_server/api/models.py", "from common_lib import RegistryError"),
    Plant("adapters-only-in-the-demo", "registry_server/core/models.py", "from adapters.workbench import Workbench"),
    Plant("adapters-only-in-the-demo", "common_lib/registry.py", "import adapters"),
    Plant("engines-in-infrastructure", "registry_server/app.py", "import asyncpg"),
    Plant("litestar-at-the-edge", "registry_server/infrastructure/filesystem_blobs.py", "from litestar import Request"),
    Plant("client-side-is-light", "adapters/analysis.py", "import registry_server.testing"),
    Plant("client-side-is-light", "common_lib/types/base.py", "def late():\n    import msgspec"),
    Plant("telemetry-in-one-file-each", "common_lib/client/resilience.py", "import opentelemetry.trace"),
    Plant("telemetry-in-one-file-each", "common_lib/client/telemetry.py", "import prometheus_client"),
    Plant("transport-in-client", "common_lib/operations/base.py", "import httpx"),
    Plant("transport-in-client", "common_lib/registry.py", "from tenacity import Retrying"),
    Plant("transport-in-client", "registry_server/api/events.py", "import websockets"),
    Plant("interface-without-transport", "common_lib/operations/models.py", "import common_lib.client.transport"),
    Plant("rules-are-pure", "common_lib/rules/names.py", "import pydantic"),
    Plant("rules-are-pure", "common_lib/rules/names.py", "from common_lib import errors"),
    Plant("rules-are-pure", "common_lib/rules/manifest.py", "from pathlib import Path"),
    Plant("adapters-independent", "adapters/strategy.py", "from adapters.analysis import ProductionModel"),
    Plant("adapters-speak-registry", "adapters/strategy.py", "import common_lib.client.http_registry"),
    Plant("terminal-in-the-command-lines", "common_lib/registry.py", "import rich.table"),
    Plant("terminal-in-the-command-lines", "registry_server/app.py", "import rich_click as click"),
    Plant("no-cycles", "registry_server/domain/base.py", "import registry_server.domain.models"),
    Plant("no-cycles", "common_lib/types/base.py", "if TYPE_CHECKING:\n    import common_lib.types.aliases"),
]


def lint(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the packages in a folder, with the contracts in its pyproject.toml."""
    command = "import sys; sys.path.insert(0, ''); from importlinter.cli import lint_imports_command as run; run()"
    return subprocess.run(
        [sys.executable, "-c", command, "--config", "pyproject.toml", "--no-cache", "--no-logo", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Return the imports of every module, type-checking imports included."""
    return grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Provide a copy of the packages and their contracts that a test may change."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_import_contract_holds() -> None:
    """The packages import each other, and other libraries, only as the contracts allow."""
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: f"{plant.contract}-{plant.module}-{plant.line.split()[1]}")
def test_a_planted_violation_is_caught(tree: Path, plant: Plant) -> None:
    """One wrong import, also within a function or for types only, breaks the contract that forbids it."""
    with (tree / plant.module).open("a") as module:
        module.write(f"\n{plant.line}\n")
    done = lint(tree, "--contract", plant.contract)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Contracts: 0 kept, 1 broken." in done.stdout


def test_every_contract_has_a_plant() -> None:
    """A contract without a planted violation would prove nothing."""
    assert {plant.contract for plant in PLANTS} == CONTRACTS.keys()


def test_the_unchanged_copy_meets_every_contract(tree: Path) -> None:
    """So a violation comes from the plant; an empty copy has no packages."""
    assert lint(tree).returncode == 0
    shutil.rmtree(tree / "adapters")
    (tree / "adapters").mkdir()
    (tree / "adapters" / "__init__.py").touch()
    (tree / "adapters" / "only.py").write_text("import common_lib.client.transport\n")
    assert "adapters.only -> common_lib.client.transport" in lint(tree).stdout


def test_there_are_no_import_cycles(graph: grimp.ImportGraph) -> None:
    """Between modules, also inside packages and for types only."""
    imports = {
        module: {name for name in graph.find_modules_directly_imported_by(module) if name.startswith(PACKAGES)}
        for module in graph.modules
        if not graph.is_module_squashed(module)
    }
    graphlib.TopologicalSorter(imports).prepare()


def test_rules_import_only_the_standard_library(graph: grimp.ImportGraph) -> None:
    """A rule imports other rules and modules of Python."""
    for rule in {"common_lib.rules", *graph.find_descendants("common_lib.rules")}:
        for name in graph.find_modules_directly_imported_by(rule):
            assert name.startswith("common_lib.rules.") or name in sys.stdlib_module_names, f"{rule} imports {name}"


def test_the_client_needs_what_it_declares_and_no_more(graph: grimp.ImportGraph) -> None:
    """common_lib and adapters import the standard library and dependencies of every installation, the command line too.

    The command line may import its own extra as well, and telemetry those of its two files; the contracts
    `terminal-in-the-command-lines` and `telemetry-in-one-file-each` keep them there.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {dependency.partition(">")[0] for dependency in project["dependencies"]}
    extra = {"click", "rich", "rich_click", "opentelemetry", "prometheus_client"}  # rich-click brings the first two
    found = {
        name
        for package in ("common_lib", "adapters")
        for module in {package, *graph.find_descendants(package)}
        for name in graph.find_modules_directly_imported_by(module)
        if graph.is_module_squashed(name)
    }
    assert found - sys.stdlib_module_names <= declared | extra
