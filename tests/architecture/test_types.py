"""Types of the wire: at most one definition for the client and one for the server."""

import ast
from collections import defaultdict
from pathlib import Path

from common_lib.rules.fields import AnswerBody

ROOT = Path(__file__).parents[2]
PACKAGES = ("common_lib", "registry_server")
WIRE = ("common_lib/types/", "registry_server/domain/")


def definitions() -> dict[str, list[str]]:
    """Return the files that define a class of each name."""
    found = defaultdict(list)
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef):
                    found[node.name].append(file.relative_to(ROOT).as_posix())
    return dict(found)


def test_no_type_of_the_wire_is_defined_more_than_twice() -> None:
    """The client has pydantic's definition and the server msgspec's; the rules that both share take plain values."""
    on_the_wire = {name: files for name, files in definitions().items() if any(file.startswith(WIRE) for file in files)}
    assert {name: files for name, files in on_the_wire.items() if len(files) > 2} == {}
    assert len(on_the_wire) > 40


def test_a_type_that_only_travels_in_answers_is_defined_once() -> None:
    """Client and server share the dataclass, so that they cannot disagree."""
    shared = {kind.__name__: kind.__module__.replace(".", "/") + ".py" for kind in AnswerBody.__subclasses__()}
    found = definitions()
    copies = {name: [other for other in found[name] if other.startswith(WIRE)] for name in shared}
    assert {name: files for name, files in copies.items() if files} == {}
    assert all(file in found[name] for name, file in shared.items())
    assert len(shared) > 9


def test_the_rules_define_no_protocols() -> None:
    """A Protocol in the rules would be a third definition of a type."""
    bases = {
        f"{file.name}:{node.name}"
        for file in (ROOT / "common_lib/rules").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "Protocol" for base in node.bases)
    }
    assert bases == set()
