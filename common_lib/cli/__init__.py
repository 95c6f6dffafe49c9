"""The command line program `registry`, which the extra `cli` installs."""

import io
import sys


def main() -> None:
    """Run the program. If the extra `cli` is not installed, print how to install it."""
    try:
        from common_lib.cli.program import program  # noqa: PLC0415 - an extra may be absent
    except ModuleNotFoundError as missing:
        if missing.name not in {"rich_click", "click", "rich"}:
            raise
        sys.exit(f"registry needs {missing.name}: pip install 'model-registry-service[cli]'")
    escape_unencodable_output()
    program(prog_name="registry")


def escape_unencodable_output() -> None:
    """Configure the output: print the code of a character that the terminal cannot encode, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
