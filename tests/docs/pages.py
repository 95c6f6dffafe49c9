"""Run the examples of a page: Python, shell, and the JSON that the shell examples print."""

import ast
import asyncio
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sybil import Document, Example
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser

from common_lib import AsyncHttpRegistry, Grant, HttpRegistry, RegistryConfig, Role
from registry_server.serving import running
from registry_server.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(page for page in DOCS.glob("**/*.md") if "_build" not in page.parts)
_ANYTHING = "…"


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language in a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def is_test_file(block: str) -> bool:
    """Return whether a block is a file of tests, to be run by pytest."""
    return re.search(r"^(?:async )?def test_", block, re.MULTILINE) is not None


def run(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a page from top to bottom against a new server, with `REGISTRY_URL` and `REGISTRY_TOKEN` set.

    A page with the name of a role has a token of that role. `admin` is the registry of an admin, for hidden steps.
    """
    if not any(blocks(page, language) for language in ("python", "bash")):
        return
    if blocks(page, "bash") and not all(map(shutil.which, ("bash", "curl", "openssl"))):
        pytest.skip("the examples need bash, curl and openssl")
    (folder / "here").mkdir()
    monkeypatch.chdir(folder / "here")
    with running(Settings(data=folder / "data", port=0, access_log=False)) as url, asyncio.Runner() as runner:
        token = (folder / "data" / "admin-token").read_text().strip()
        with HttpRegistry(RegistryConfig(url=url, token=token)) as admin:
            if page.stem in set(Role):
                admin.principals.create(page.stem, "service", [Grant(role=Role(page.stem), models="*")])
                token = admin.principals.issue_token(page.stem).secret or ""
            monkeypatch.setenv("REGISTRY_URL", url)
            monkeypatch.setenv("REGISTRY_TOKEN", token)
            monkeypatch.setenv("REGISTRY_DATA", str(folder / "data"))
            monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
            document = Document.parse(str(page), *_Examples(runner, folder / "shell").parsers())
            document.namespace |= {"__name__": "__main__", "admin": admin}
            try:
                for example in document.examples():
                    example.evaluate()
            finally:
                for value in document.namespace.values():
                    _close(value, runner)


class _Examples:
    """Runners for the blocks of each language."""

    def __init__(self, runner: asyncio.Runner, variables: Path) -> None:
        self._runner = runner
        self._variables = variables
        self._printed = ""

    def parsers(self) -> list[Any]:
        """Return the parsers of a document."""
        python = PythonCodeBlockParser()  # doctests as they are; other blocks with `await`
        python.codeblock_parser = CodeBlockParser("python", self._python)
        return [python, CodeBlockParser("bash", self._bash), CodeBlockParser("json", self._json)]

    def _python(self, example: Example) -> None:
        """Run a block; `await` is allowed at top level, as in `python -m asyncio`."""
        if is_test_file(example.parsed):
            return
        source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
        code = compile(source, example.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        outcome = eval(code, example.namespace)  # noqa: S307 - text of this repository
        if inspect.iscoroutine(outcome):
            self._runner.run(outcome)

    def _bash(self, example: Example) -> None:
        """Run a block with the variables that earlier blocks have set."""
        self._variables.touch()
        script = f'set -aeuo pipefail\n. "$0"\n{example.parsed}\nexport -p > "$0"'
        done = subprocess.run(
            ["/bin/bash", "-c", script, str(self._variables)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{example.path}:{example.line}\n{example.parsed}\n{done.stdout}{done.stderr}"
        self._printed = done.stdout

    def _json(self, example: Example) -> None:
        """Compare the JSON after a shell block with the output of that block; `…` matches anything."""
        expected = json.loads(example.parsed)
        if self._printed:
            assert _fits(expected, json.loads(self._printed)), f"{example.path}:{example.line}\n{self._printed}"
        self._printed = ""


def _fits(expected: Any, actual: Any) -> bool:
    if expected == _ANYTHING:
        return True
    if isinstance(expected, dict) and isinstance(actual, dict):
        named = expected.keys() - {_ANYTHING}
        same = named <= actual.keys() if _ANYTHING in expected else named == actual.keys()
        return same and all(_fits(expected[key], actual[key]) for key in named)
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(_fits(*pair) for pair in zip(expected, actual, strict=True))
    return bool(expected == actual)


def _close(value: Any, runner: asyncio.Runner) -> None:
    inner = getattr(value, "_registry", value)
    if isinstance(inner, HttpRegistry):
        inner.close()
    elif isinstance(inner, AsyncHttpRegistry):
        runner.run(inner.close())
