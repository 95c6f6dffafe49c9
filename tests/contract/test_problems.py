"""The table of problem codes is complete on the server and the client."""

import ast
import inspect
import json
import re
from collections.abc import Iterator
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
_RULES = [
    file
    for file in (_ROOT / "common_lib" / "rules").rglob("*.py")
    # Only clients read model files, so no response has their codes; the table itself raises nothing.
    if file.name not in {"codes.py", "formats.py"}
]


def _codes_of_rules() -> set[Code]:
    nodes = [node for file in _RULES for node in ast.walk(ast.parse(file.read_text("utf-8")))]
    return {
        Code[node.attr]
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Code"
    }


def _below(kind: type[Any]) -> list[type[Any]]:
    return [found for direct in kind.__subclasses__() for found in (direct, *_below(direct))]


def test_the_client_has_a_class_for_every_code() -> None:
    """The table of the client has an error class for each code."""
    assert CODES.keys() == set(Code)


def test_every_code_has_a_rule_or_an_error_of_the_server() -> None:
    """The table contains no unused code."""
    assert _codes_of_rules() | {kind.code for kind in _reasons()} == set(Code)


def _reasons() -> list[type[RegistryError]]:
    return [kind for kind in _below(RegistryError) if not kind.__subclasses__()]


@pytest.mark.parametrize("kind", _reasons(), ids=lambda kind: kind.__name__)
def test_an_error_of_the_server_has_one_code_and_its_own_text(kind: type[RegistryError]) -> None:
    """The class or its group declares the code, and the class has the detail and the remedy."""
    assert isinstance(kind.code, Code)
    assert "self.code" not in inspect.getsource(kind)
    # Either the class has both texts, or its `__init__` builds them from the wrong values.
    assert "__init__" in vars(kind) or ("detail" in vars(kind) and hasattr(kind, "remedy"))


def _raised_by_the_server() -> Iterator[tuple[str, int]]:
    """Yield the name of each error that the server raises, and the number of its arguments."""
    for file in (_ROOT / "registry_server").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))) if "domain/errors" not in file.as_posix() else ():
            kind = node.func if isinstance(node, ast.Call) else node.exc if isinstance(node, ast.Raise) else None
            if isinstance(kind, ast.Attribute) and isinstance(kind.value, ast.Name) and kind.value.id == "errors":
                yield kind.attr, len([*node.args, *node.keywords]) if isinstance(node, ast.Call) else 0


def test_the_server_raises_reasons_and_no_groups() -> None:
    """The server only catches groups of errors, and no raise statement contains a text of its own."""
    raised = set(_raised_by_the_server())
    kinds = {kind.__name__: kind for kind in _reasons()}
    assert {name for name, _ in raised} == set(kinds)
    assert all(count <= 1 or "__init__" in vars(kinds[name]) for name, count in raised)


@pytest.mark.parametrize("code", Code)
def test_the_status_fits_the_branch_of_the_tree(code: Code) -> None:
    """The client's class for a code belongs to the branch of its status."""
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
    """The client raises the class of the status for an unknown code."""
    status = code.status
    body = {"type": "t", "title": "t", "status": status, "code": "unheard_of", "detail": "d", "remedy": "r"}
    raised = refusal(
        Answer(status, {"content-type": "application/problem+json"}, json.dumps(body | {"request_id": "r1"}).encode())
    )
    # A reused idempotency key cannot be distinguished from other errors by the status 422 alone.
    assert issubclass(CODES[code], type(raised)) or code == "idempotency_key_reused"


def test_every_client_error_belongs_to_a_code() -> None:
    """Each leaf class of refused requests is the class of a code."""
    leaves = {kind for kind in _below(RequestRefused) if not kind.__subclasses__()}
    assert leaves <= set(CODES.values())


@pytest.mark.parametrize(
    ("module", "root"),
    [(common_lib.errors, errors.RegistryError), (registry_server.domain.errors, RegistryError)],
)
def test_the_drawn_error_tree_matches_the_classes(module: ModuleType, root: type) -> None:
    """The drawing in the module docstring contains exactly the classes, each below its base class."""
    drawn, above = [], [""]
    lines = str(module.__doc__).splitlines()
    for line in lines[lines.index("RegistryError") :]:
        branch, names = re.findall(r"^([│├└─ ]*)(\w+(?:, *\w+)*)", line)[0] if line else ("", "")
        above = above[: len(branch) // 4 + 1]
        drawn += [(name, above[-1]) for name in re.split(", *", names) if name]
        above.append(names)
    real = [
        (kind.__name__, kind.__bases__[0].__name__)
        for kind in _below(root)
        if kind.__module__.startswith(module.__name__)
    ]
    assert sorted(drawn) == sorted([("RegistryError", ""), *real])


def test_services_and_authors_get_an_error_of_their_own_for_a_verdict() -> None:
    """A caller can catch both reasons by one class."""
    assert {code for code, kind in CODES.items() if kind is errors.DecisionNotAllowed} == {
        Code.HUMAN_REQUIRED,
        Code.SELF_APPROVAL,
    }


def test_only_a_request_in_flight_is_worth_repeating_among_the_refusals() -> None:
    """The first request with the key ends by itself; every other refusal needs a change."""
    assert {kind for kind in set(CODES.values()) if issubclass(kind, RequestRefused) and kind.retryable} == {
        errors.RequestInFlight
    }
