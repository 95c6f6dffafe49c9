"""Schemathesis with the complete OpenAPI document, as each role, on a real server that contains data.

`FUZZ_EXAMPLES` is the number of examples of each operation.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from common_lib import Grant, HttpRegistry, RegistryConfig, Role
from registry_server.serving import running
from registry_server.settings import Settings
from tests.contract.test_openapi_is_true import _use_everything

pytestmark = [
    pytest.mark.skipif(find_spec("schemathesis") is None, reason="needs schemathesis: nox -s fuzz"),
    pytest.mark.damages,  # another process writes to the database
]
SEED: Final = os.environ.get("FUZZ_SEED", "1")
HERE: Final = Path(__file__).parent
CHECKS: Final = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    *("response_schema_conformance", "negative_data_rejection", "unsupported_method", "allow_header_conformance"),
    *("ignored_auth", "missing_required_header"),
)
# Names of existing objects, so that many requests do not end with "not found".
CONFIG: Final = """
[dictionaries]
models = { values = ["eurusd", "gbpusd"] }
numbers = { values = [1, 2] }
aliases = { values = ["champion", "shadow"] }
digests = { values = ["9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"] }
selectors = { values = ["1", "2", "@champion", "production", "latest"] }
paths = { values = ["model.onnx"] }
[parameters]
"path.name" = { dictionary = "models", probability = 0.7 }
"path.version" = { dictionary = "numbers", probability = 0.7 }
"path.other" = { dictionary = "numbers", probability = 0.7 }
"path.alias" = { dictionary = "aliases", probability = 0.7 }
"path.sha256" = { dictionary = "digests", probability = 0.7 }
"path.selector" = { dictionary = "selectors", probability = 0.7 }
"path.path" = { dictionary = "paths", probability = 0.7 }
"""
ROLES: Final = [*Role, "nothing", "no token"]


@pytest.fixture
def used(tmp_path: Path) -> Iterator[tuple[str, HttpRegistry]]:
    """Start a server on which every operation was used once, and provide its URL and an admin's registry."""
    without = {"wrong_tokens_per_min": 0.0, "write_bytes_per_s": 0.0}  # otherwise most requests would get 429
    with running(Settings(data=tmp_path / "data", port=0, access_log=False, **without)) as url:
        token = (tmp_path / "data" / "admin-token").read_text().strip()
        with HttpRegistry(RegistryConfig(url=url, token=token, resolve=None)) as admin:
            (folder := tmp_path / "files").mkdir()
            (folder / "model.onnx").write_bytes(b"weights")
            _use_everything(admin, folder)
            yield url, admin


def run_schemathesis(url: str, headers: list[str], examples: int) -> str:
    """Run schemathesis to its end, and return its output.

    Raises:
        AssertionError: a check failed.
    """
    with tempfile.TemporaryDirectory(prefix="fuzz-openapi-") as name:
        (Path(name) / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
        program = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", *headers]
        options = ["--seed", SEED, "--max-examples", str(examples), "--checks", ",".join(CHECKS), "--no-color"]
        done = subprocess.run(
            [*program, *options, "--continue-on-failure", "--warnings", "off"],
            check=False,
            capture_output=True,
            text=True,
            cwd=name,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(HERE), "COLUMNS": "120"},
        )
    assert done.returncode == 0, f"FUZZ_SEED={SEED}\n{done.stdout[-20_000:]}\n{done.stderr[-2_000:]}"
    return done.stdout


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("role", ROLES)
def test_the_server_passes_schemathesis_as_each_role(
    request: pytest.FixtureRequest, used: tuple[str, HttpRegistry], role: str
) -> None:
    """All checks of schemathesis pass for each role, for valid and invalid requests and for sequences of requests."""
    url, admin = used
    headers = []
    if role != "no token":
        grants = [] if role == "nothing" else [Grant(role=Role(role), models="*")]
        admin.principals.create("fuzzer", "service", grants)
        headers = ["-H", f"Authorization: Bearer {admin.principals.issue_token('fuzzer').secret}"]
    printed = run_schemathesis(url, headers, int(os.environ.get("FUZZ_EXAMPLES", "25")))
    cases = re.search(r"(\d+) generated", printed)
    assert cases, printed
    row = (f"openapi as {role}", int(cases[1]), int(cases[1]), 0, 0, 0, 0.0)
    request.node.user_properties.append(("fuzz", row))
    print(f"FUZZ_SEED={SEED} {role}: {cases[1]} cases")
