"""The language of the project: plain words in names, texts and docstrings, and files that stay small."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("common_lib", "adapters", "registry_server", "tests", "benchmarks", "examples", "docs")
FILES = ("README.md", "CHANGELOG.md", "noxfile.py", "pyproject.toml")
SUFFIXES = {".py", ".md", ".toml", ".sql", ".svg", ".json"}
LONGEST_FILE = 400

# Names say what code does with data; these verbs of speech fit every function and explain none.
SPEECH = {"told", "said", "heard", "kept", "shown", "asked", "answered"}
# Each of these has a plainer form that readers of English as a second language understand at once.
RIDDLES = re.compile(
    r"\b(in\s+vain|who(?:so)?ever|whom(?:so)?ever|is\s+no|is\s+(?-i:none)|told|said|heard)\b", re.IGNORECASE
)
# A line break inside a sentence: plain, in a comment or a quotation, or between the parts of a literal.
BREAKS = re.compile(r"""["']?\s*\n\s*(?:[#>]|[rf]{0,2}["'])?\s*""")
# A docstring of a function names an act; these words name a value instead.
VALUES = re.compile(r"(What|Whether|Nothing|Whose|Who|Where|Which|How|One that|Those)\b")


def speech_in_names(source: str) -> list[str]:
    """List the identifiers of a Python source that contain a verb of speech."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [token.string for token in tokens if token.type == tokenize.NAME and SPEECH & _words(token.string)]


def riddles(text: str) -> list[str]:
    """List the phrases of a text that have a plainer form."""
    return [found.group(0) for found in RIDDLES.finditer(BREAKS.sub(" ", text))]


def docstrings_of_values(source: str) -> list[str]:
    """List the functions of a Python source whose docstring names a value instead of an act."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("test_")
        and VALUES.match(ast.get_docstring(node) or "")
    ]


def _words(name: str) -> set[str]:
    return set(re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower().split("_"))


def _texts() -> Iterator[Path]:
    yield from (ROOT / name for name in FILES)
    for folder in FOLDERS:
        yield from (path for path in sorted((ROOT / folder).rglob("*")) if path.suffix in SUFFIXES and _is_ours(path))


def _is_ours(path: Path) -> bool:
    return path != Path(__file__) and not {"__pycache__", "_build"} & set(path.parts)


TEXTS = list(_texts())
SOURCES = [path for path in TEXTS if path.suffix == ".py"]


def _findings(paths: list[Path], check: object) -> list[str]:
    assert callable(check)
    return [f"{path.relative_to(ROOT)}: {found}" for path in paths for found in check(path.read_text())]


def test_the_whole_tree_is_read() -> None:
    """The checks below read every package, the tests and the pages."""
    assert len(SOURCES) > 300
    assert {path.suffix for path in TEXTS} == SUFFIXES


def test_names_do_not_speak() -> None:
    """No identifier is named after speech."""
    assert _findings(SOURCES, speech_in_names) == []


def test_texts_use_plain_phrases() -> None:
    """Code, comments, messages and pages avoid phrases that must be read twice."""
    assert _findings(TEXTS, riddles) == []


def test_docstrings_of_functions_name_an_act() -> None:
    """A function does something, and its docstring begins with what it does."""
    assert _findings(SOURCES, docstrings_of_values) == []


def test_no_source_file_is_longer_than_the_limit() -> None:
    """A file that grows beyond the limit has more than one reason to change."""
    long = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in SOURCES}
    assert {path: lines for path, lines in long.items() if lines > LONGEST_FILE} == {}


@pytest.mark.parametrize(
    "name", ["_told", "kept_until", "AskedAgain", "shown", "MAX_ASKED", "HTTPAsked", "test_it_is_answered"]
)
def test_a_name_that_speaks_is_found(name: str) -> None:
    """The check of names finds each form of a name."""
    assert speech_in_names(f"{name} = 1\n") == [name]


@pytest.mark.parametrize("name", ["upkeep", "basket", "task_key", "answer", "keeper"])
def test_a_name_that_only_resembles_one_is_not_found(name: str) -> None:
    """The check of names compares whole words."""
    assert speech_in_names(f"{name} = 1\n") == []


@pytest.mark.parametrize(
    "text",
    [
        "it is no\nnumber",
        "Whoever asks",
        "there is none",
        "the server said",
        "in vain",
        "    # it is\n    # no number",
        '"it is "\n    f"no {number}"',
        "> it is\n> no number",
    ],
)
def test_a_riddle_is_found(text: str) -> None:
    """The check of phrases finds them in any case and across lines."""
    assert len(riddles(text)) == 1


def test_a_docstring_of_a_value_is_found() -> None:
    """The check of docstrings tells a value from an act."""
    assert docstrings_of_values('def f() -> int:\n    """What it holds."""\n') == ["f"]
    assert docstrings_of_values('def f() -> int:\n    """Return what it holds."""\n') == []
