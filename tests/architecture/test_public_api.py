"""The public interface of common_lib and adapters: complete, documented, light, typed, equal for both registries."""

import ast
import functools
import importlib
import inspect
import pkgutil
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

import adapters
import common_lib
from common_lib import errors
from common_lib.binding import acall, aflow, apages, call, flow, pages
from common_lib.client.async_http_registry import AsyncHttpRegistry
from common_lib.client.http_registry import HttpRegistry
from common_lib.errors import RegistryError
from common_lib.operations.base import Parallel, RunInThread
from common_lib.registry import AsyncModelRegistry, ModelRegistry, Resource

ROOT = Path(__file__).parents[2]
PACKAGES = [common_lib, adapters]
HEAVY = {"pydantic", "httpx", "tenacity", "purgatory", "websockets", "msgspec", "litestar", "numpy", "registry_server"}
HEAVY |= {"opentelemetry", "prometheus_client"}
HIDDEN = ("httpx", "tenacity", "purgatory", "websockets", "pydantic_core")


def imported_by(code: str, *, path: Path | None = None) -> set[str]:
    """Return the heavy packages, and the file of `adapters`, that a fresh interpreter has imported after the code."""
    report = "import sys; print(*sys.modules, getattr(sys.modules.get('adapters'), '__file__', ''), sep='\\n')"
    start = f"import sys; sys.path.insert(0, {str(path or ROOT)!r})"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"{start}; {code}; {report}"], capture_output=True, text=True, check=True
    )
    names = set(done.stdout.split("\n"))
    return names & HEAVY | {name for name in names if name.endswith(".py")}


def modules() -> Iterator[ModuleType]:
    """Return all modules of both packages except the command line, which is an extra."""
    for package in PACKAGES:
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.split(".")[1] != "cli":
                yield importlib.import_module(found.name)


def public() -> Iterator[tuple[str, Any]]:
    """Return every public class and function of our modules, and their public methods and properties."""
    for module in modules():
        for name, thing in vars(module).items():
            ours = getattr(thing, "__module__", None) == module.__name__
            if (
                name.startswith("_")
                or "[" in name
                or not ours
                or not (inspect.isclass(thing) or inspect.isfunction(thing))
            ):
                continue
            yield f"{module.__name__}.{name}", thing
            if inspect.isclass(thing):
                yield from methods(f"{module.__name__}.{name}", thing)


def methods(path: str, kind: type[Any]) -> Iterator[tuple[str, Any]]:
    """Return the public methods and properties that a class defines itself."""
    for name, member in vars(kind).items():
        method: Any = member
        if isinstance(member, classmethod | staticmethod):
            method = member.__func__
        elif isinstance(member, property):
            method = member.fget
        elif isinstance(member, functools.cached_property):
            method = member.func
        if not name.startswith("_") and inspect.isfunction(method):
            yield f"{path}.{name}", method


PUBLIC = dict(public())


def resources(kind: type[Any]) -> dict[str, type[Resource]]:
    """Return the resources of a registry by name."""
    found = {
        name: inspect.get_annotations(member.func)["return"]
        for name, member in vars(kind).items()
        if isinstance(member, functools.cached_property)
    }
    assert all(issubclass(resource, Resource) for resource in found.values())
    return found


def verbs(kind: type[Any]) -> dict[str, Any]:
    """Return the verbs of a resource, or the shortcuts of a registry, by name."""
    return {
        name: member
        for name, member in vars(kind).items()
        if inspect.isfunction(member) and not name.startswith("_") and name != "call"
    }


# Resources whose operations stand in several modules.
PARTS = {"artifacts": ("uploads", "collection"), "versions": ("lifecycle",)}
SHORTCUTS = (ModelRegistry, AsyncModelRegistry)
PAIRS = [
    pytest.param(blocking, resources(AsyncModelRegistry)[name], id=name)
    for name, blocking in resources(ModelRegistry).items()
]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_all_is_sorted_and_complete(package: ModuleType) -> None:
    """Each name of `__all__` exists, and a star import gives exactly these names."""
    assert package.__all__ == sorted(set(package.__all__))
    namespace: dict[str, Any] = {}
    exec(f"from {package.__name__} import *", namespace)  # noqa: S102 - a star import needs a module's level
    assert sorted(namespace.keys() - {"__builtins__"}) == package.__all__
    assert set(package.__all__) <= set(dir(package))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_type_checkers_see_the_same_names_as_the_interpreter(package: ModuleType) -> None:
    """The imports for type checkers name the same things from the same places as the lazy ones."""
    tree = ast.parse(Path(str(package.__file__)).read_text())
    (block,) = (
        node.body
        for node in tree.body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    )
    seen = {
        name: str(statement.module)
        for statement in block
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
        for name in (classes_of(str(statement.module)) if alias.name == "*" else [alias.name])
    }
    assert sorted(seen) == package.__all__
    for name, place in seen.items():
        assert getattr(package, name) is getattr(importlib.import_module(place), name)
        assert f"{getattr(package, name).__module__}.".startswith(f"{place}.")


def classes_of(package: str) -> list[str]:
    """Return the names of the classes that a package of ours defines in its modules."""
    members = vars(importlib.import_module(package)).items()
    return [name for name, thing in members if inspect.isclass(thing) and thing.__module__.startswith(f"{package}.")]


# Types that a caller receives and uses without naming them.
UNNAMED = {Resource, Parallel, RunInThread}


def types_in(hint: Any) -> Iterator[type[Any]]:
    """Yield our own classes in a type hint."""
    kind = typing.get_origin(hint) or hint
    if inspect.isclass(kind) and kind.__module__.split(".")[0] in {package.__name__ for package in PACKAGES}:
        yield kind
    for part in typing.get_args(hint):
        for one in part if isinstance(part, list) else [part]:
            yield from types_in(one)


def types_of(kind: type[Any]) -> Iterator[type[Any]]:
    """Yield our own classes in the signatures of a registry's methods or resource's verbs, or in a value's fields."""
    if issubclass(kind, ModelRegistry | AsyncModelRegistry | Resource):
        for name, member in inspect.getmembers(kind):
            method = member.func if isinstance(member, functools.cached_property) else member
            if inspect.isfunction(method) and not name.startswith("_"):
                for hint in typing.get_type_hints(inspect.unwrap(method)).values():
                    yield from types_in(hint)
    elif is_dataclass(kind) or issubclass(kind, BaseModel):
        for hint in typing.get_type_hints(kind).values():
            yield from types_in(hint)


def test_every_type_that_a_caller_may_name_is_importable_from_the_package() -> None:
    """Types in signatures of registries and adapters and in fields of values, and all errors, are in `__all__`."""
    exported = [getattr(package, name) for package in PACKAGES for name in package.__all__]
    found, new = set[type[Any]](), {thing for thing in exported if inspect.isclass(thing)}
    while new:
        found |= new
        new = {part for kind in new for part in types_of(kind)} - found
    found |= {error for error in vars(errors).values() if inspect.isclass(error) and issubclass(error, RegistryError)}
    pages = {kind for kind in found if "[" in kind.__name__}
    hidden = {kind for kind in found if kind in UNNAMED or issubclass(kind, Resource)}
    assert {kind.__qualname__ for kind in found - pages - hidden} - {kind.__name__ for kind in exported} == set()
    assert len(found) > 100


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_an_unknown_name_is_an_attribute_error(package: ModuleType) -> None:
    """A misspelt name fails as in any module."""
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'ModelRegistri'"):
        _ = package.ModelRegistri


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        ("import common_lib, adapters", set()),
        ("from common_lib import RegistryError, ModelStage, RegistryConfig", set()),
        ("import common_lib.rules.names, common_lib.rules.manifest", set()),
        ("from common_lib import ModelVersion, Grant", {"pydantic"}),
        ("from common_lib import ModelRegistry, Operation", {"pydantic"}),
        ("from adapters import Workbench, Strategy, Integration, Analysis", {"pydantic"}),
        ("from common_lib import HttpRegistry, AsyncHttpRegistry", {"pydantic", "httpx"}),
    ],
    ids=["packages", "errors", "rules", "values", "interface", "adapters", "clients"],
)
def test_an_import_loads_only_what_it_needs(code: str, loaded: set[str]) -> None:
    """Names load no module before their use; values need pydantic, and only a client needs httpx."""
    assert {name for name in imported_by(code) if not name.endswith(".py")} == loaded


def test_the_adapters_package_is_ours() -> None:
    """PyPI has a package of the same name; Python imports ours."""
    assert Path(str(adapters.__file__)).parents[1] == Path(str(common_lib.__file__)).parents[1]
    assert Path(str(adapters.__file__)).parents[1] == ROOT
    assert str(adapters.__file__) in imported_by("import adapters")


def test_another_adapters_package_is_detected(tmp_path: Path) -> None:
    """The check above fails if a package of the same name is earlier on the path."""
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "__init__.py").touch()
    assert str(adapters.__file__) not in imported_by("import adapters", path=tmp_path)


def test_every_public_name_has_a_docstring() -> None:
    """Modules, classes, functions, methods and properties have docstrings that begin with a sentence."""
    everything = {module.__name__: module for module in modules()} | PUBLIC
    assert {path: fault for path, thing in everything.items() if (fault := fault_of_docstring(thing))} == {}
    assert len(PUBLIC) > 200


def fault_of_docstring(thing: Any) -> str | None:
    """Return why a docstring does not begin with one line that ends with a full stop, or None."""
    text = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    # A dataclass or a named tuple without a docstring is given its signature as one, which says nothing.
    if not text or text.startswith(f"{getattr(thing, '__name__', '')}("):
        return "it has no docstring"
    first, _, rest = inspect.cleandoc(text).partition("\n")
    if not first.endswith((".", "…")):
        return f"no full stop: {first}"
    return None if not rest or rest.startswith("\n") else f"no sentence of its own: {first}"


def test_both_registries_have_the_same_resources_and_shortcuts() -> None:
    """The blocking and the asynchronous registry have the same names in the same order."""
    assert list(resources(ModelRegistry)) == list(resources(AsyncModelRegistry))
    assert list(verbs(ModelRegistry)) == list(verbs(AsyncModelRegistry))
    assert ModelRegistry.__abstractmethods__ == AsyncModelRegistry.__abstractmethods__ == {"call"}


@pytest.mark.parametrize(("blocking", "asynchronous"), [*PAIRS, pytest.param(*SHORTCUTS, id="shortcuts")])
def test_both_registries_take_the_same_parameters(blocking: type[Any], asynchronous: type[Any]) -> None:
    """Each verb has the same parameters, defaults, annotations and docstring in both."""
    assert list(verbs(blocking)) == list(verbs(asynchronous))
    for name, verb in verbs(blocking).items():
        counterpart = verbs(asynchronous)[name]
        assert inspect.signature(verb) == inspect.signature(counterpart), name
        assert verb.__doc__ == counterpart.__doc__, name
        assert getattr(verb, "__wrapped__", name) is getattr(counterpart, "__wrapped__", name)


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS)
def test_a_resource_has_its_operations_and_nothing_else(blocking: type[Any], asynchronous: type[Any]) -> None:
    """Every public operation of a resource's module is a verb, or a shortcut, in both registries."""
    name = blocking.__name__.lower()
    modules = [importlib.import_module(f"common_lib.operations.{part}") for part in (name, *PARTS.get(name, ()))]
    public = {
        name: thing
        for module in modules
        for name, thing in vars(module).items()
        if inspect.isfunction(thing) and thing.__module__ == module.__name__ and not name.startswith("_")
    }
    assert public.keys() - verbs(ModelRegistry).keys() <= verbs(blocking).keys() <= public.keys()
    assert verbs(asynchronous).keys() == verbs(blocking).keys()


@pytest.mark.parametrize("dress", [call, acall, pages, apages, flow, aflow], ids=lambda dress: dress.__name__)
def test_a_method_looks_like_its_operation(dress: Any) -> None:
    """help() displays the operation's own signature and docstring after a `self`, without the origin of a flow."""

    def build(name: str, *, limit: int = 3) -> Any:
        """Return the thing of that name."""

    def flow_with_origin(origin: str, name: str, *, limit: int = 3) -> Any:
        """Return the thing of that name."""

    flow_with_origin.__name__ = "build"
    method = dress(flow_with_origin if dress in {flow, aflow} else build)
    assert list(inspect.signature(method).parameters) == ["self", "name", "limit"]
    assert (method.__name__, method.__doc__) == ("build", build.__doc__)


def test_both_clients_have_the_same_arguments_and_members() -> None:
    """A caller can exchange one for the other by `await`."""
    blocking, asynchronous = inspect.signature(HttpRegistry), inspect.signature(AsyncHttpRegistry)
    assert list(blocking.parameters) == list(asynchronous.parameters)
    for name, parameter in blocking.parameters.items():
        counterpart = asynchronous.parameters[name]
        assert (parameter.kind, parameter.default) == (counterpart.kind, counterpart.default)
    assert {name for name in vars(HttpRegistry) if not name.startswith("_")} == {
        name for name in vars(AsyncHttpRegistry) if not name.startswith("_")
    }


def test_no_signature_names_a_type_of_the_transport() -> None:
    """No parameter, result or field has a type of httpx or tenacity; only `transport` has."""
    inside = tuple(
        f"common_lib.client.{name}" for name in ("async_transport", "resilience", "socket_deadline", "transport")
    )
    found = {
        f"{path}({name}: {text})"
        for path, thing in PUBLIC.items()
        if not path.startswith(inside)
        for part in (thing, vars(thing).get("__init__") if inspect.isclass(thing) else None)
        for name, annotation in getattr(part, "__annotations__", {}).items()
        if any(hidden in (text := annotation if isinstance(annotation, str) else repr(annotation)) for hidden in HIDDEN)
    }
    assert found == {
        "common_lib.client.http_registry.HttpRegistry(transport: httpx.BaseTransport | None)",
        "common_lib.client.async_http_registry.AsyncHttpRegistry(transport: httpx.AsyncBaseTransport | None)",
    }


def test_the_types_of_the_api_are_inferred() -> None:
    """The checker mypy, strict, accepts `tests/typing/api.py`, which asserts every result and expects every mistake."""
    pytest.importorskip("mypy", reason="the type checker is in the extra `dev`")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "tests/typing/api.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
