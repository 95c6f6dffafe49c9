"""Configuration of Sphinx, which builds these pages offline, with warnings as errors.

sphinx-build -W -b html docs docs/_build
"""

import importlib
import inspect
import pkgutil
import re
import tomllib
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_type_hints

import common_lib.types
from common_lib.rules.fields import AnswerBody
from common_lib.types.base import Value

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_PROJECT: Final = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]

project = "Model Registry"
version = release = _PROJECT["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
if not Path(__file__).with_name("benchmarks.md").exists():
    suppress_warnings = ["toc.not_readable"]  # a run of the benchmarks writes it
myst_heading_anchors = 3

# Docstrings write code as Markdown does, in single backticks.
default_role = "literal"
autodoc_default_options = {"members": True, "undoc-members": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"Model Registry {release}"
html_show_copyright = False


def setup(app: "Sphinx") -> None:
    """Register the hooks below; Sphinx calls this function."""
    for found in pkgutil.iter_modules(common_lib.types.__path__, "common_lib.types."):
        for kind in vars(importlib.import_module(found.name)).values():
            if isinstance(kind, type) and issubclass(kind, Value):
                _show_plain_types(kind)
    for kind in AnswerBody.__subclasses__():
        _show_plain_types(kind)
    app.connect("autodoc-process-docstring", _draw_tree)
    app.connect("autodoc-process-signature", _show_result)


def _show_plain_types(kind: type[Any]) -> None:
    """Hide the limits of fields in printed types; the OpenAPI document lists them."""
    hints = get_type_hints(kind)
    kind.__annotations__ = {name: hints[name] for name in kind.__annotations__}
    shape = inspect.signature(kind)
    plain = [parameter.replace(annotation=hints[name]) for name, parameter in shape.parameters.items()]
    kind.__signature__ = shape.replace(parameters=plain)


def _draw_tree(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001, PLR0917
    """Turn a tree drawn in a docstring into a literal block; in a paragraph its lines would run together."""
    first = next((n for n, line in enumerate(lines) if line.startswith(("├", "└"))), None)
    if first is None:
        return
    root = first - 1
    tree = list(takewhile(str.strip, lines[root:]))
    lines[root : root + len(tree)] = ["::", "", *(f"    {line}" for line in tree)]


def _show_result(  # noqa: PLR0917
    app: Any,  # noqa: ARG001
    what: str,  # noqa: ARG001
    name: str,
    obj: Any,  # noqa: ARG001
    options: Any,  # noqa: ARG001
    signature: str | None,
    result: str | None,
) -> tuple[str | None, str | None]:
    """Replace the return type of a bound method by the result of its operation or flow."""
    if name.startswith("common_lib.registry.") and result is not None:
        result = re.sub(r"^\S*\bOperation\[\S*\bPage\[(.*)\]\]$", r"~collections.abc.Iterator[\1]", result)
        result = re.sub(r"^(?:\S*\bOperation\[|\S*\bGenerator\[.*Any, )(.*)\]$", r"\1", result)
    return signature, result
