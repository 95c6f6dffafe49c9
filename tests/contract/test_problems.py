"""The table of problems is complete, on both sides."""

import ast
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import common_lib.errors
import registry_server.domain.errors
from common_lib import errors
from common_lib.errors import CODES, RequestRefused, ServerFailed
from common_lib.operations.base import Answer, refusal
from common_lib.rules.codes import Code
from registry_server.domain.errors import RegistryError

_ROOT = Path(__file__).parents[2]
_RAISED_BY = [*(_ROOT / "registry_server").rglob("*.py"), *(_ROOT / "common_lib" / "rules").rglob("*.py")]
# What a file is inside is looked at by clients alone, so no answer tells it.
_RAISED_BY.remove(_ROOT / "common_lib" / "rules" / "formats.py")


def _codes_in_the_source() -> set[str]:
    """Every `code="…"`, the first argument of every RuleViolation, and the code of every class of error."""
    found: set[Any] = set()
    for file in _RAISED_BY:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                named = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
                if isinstance(node.func, ast.Name) and node.func.id == "RuleViolation":
                    named.append(node.args[0])
                for value in named:
                    found |= {n.value for n in ast.walk(value) if isinstance(n, ast.Constant) and n.value}
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Code":
                found.add(Code[node.attr])
    classes = _below(RegistryError)
    return found | {kind.code for kind in classes if "code" in vars(kind)}


def _below(kind: type[Any]) -> list[type[Any]]:
    return [found for direct in kind.__subclasses__() for found in (direct, *_below(direct))]


def test_the_client_has_a_class_for_every_code() -> None:
    """A new code has the class of its status until it has its own."""
    assert CODES.keys() == set(Code)


def test_every_code_that_is_raised_is_in_the_table_and_every_code_of_the_table_is_raised() -> None:
    """Neither unknown nor dead."""
    assert {str(code) for code in _codes_in_the_source()} == set(Code)


@pytest.mark.parametrize("code", Code)
def test_the_status_fits_the_branch_of_the_tree(code: Code) -> None:
    """What the status says to a stranger, the class says to a client."""
    branch = {
        401: errors.Unauthenticated,
        403: errors.Forbidden,
        404: errors.NotFound,
        409: errors.Conflict,
        412: errors.RevisionMismatch,
        413: errors.TooLarge,
        428: errors.RevisionRequired,
        429: errors.RateLimited,
    }.get(code.status)
    if code.status >= 500:
        assert CODES[code] is ServerFailed
    elif branch is not None:
        assert issubclass(CODES[code], branch)
    else:
        assert issubclass(CODES[code], RequestRefused)


@pytest.mark.parametrize("code", Code)
def test_a_code_of_a_newer_server_still_has_its_branch(code: Code) -> None:
    """An unknown code is raised as what its status says: as the class of the known codes, or as one above it."""
    status = code.status
    body = {"type": "t", "title": "t", "status": status, "code": "unheard_of", "detail": "d", "remedy": "r"}
    raised = refusal(
        Answer(status, {"content-type": "application/problem+json"}, json.dumps(body | {"request_id": "r1"}).encode())
    )
    # That a key came with another request cannot be told from a 422 alone.
    assert issubclass(CODES[code], type(raised)) or code == "idempotency_key_reused"


def test_every_refusal_of_the_client_stands_for_a_code() -> None:
    """No class of the tree is there for symmetry."""
    leaves = {kind for kind in _below(RequestRefused) if not kind.__subclasses__()}
    assert leaves <= set(CODES.values())


@pytest.mark.parametrize(
    ("module", "root"),
    [(common_lib.errors, errors.RegistryError), (registry_server.domain.errors, RegistryError)],
)
def test_the_tree_that_is_drawn_is_the_tree(module: ModuleType, root: type) -> None:
    """Every class stands in the drawing of its module, below the class it derives from, and nothing else does."""
    drawn, above = [], [""]
    lines = str(module.__doc__).splitlines()
    for line in lines[lines.index("RegistryError") :]:
        branch, names = re.findall(r"^([│├└─ ]*)(\w+(?:, *\w+)*)", line)[0] if line else ("", "")
        above = above[: len(branch) // 4 + 1]
        drawn += [(name, above[-1]) for name in re.split(", *", names) if name]
        above.append(names)
    real = [(kind.__name__, kind.__bases__[0].__name__) for kind in _below(root) if kind.__module__ == module.__name__]
    assert sorted(drawn) == sorted([("RegistryError", ""), *real])
