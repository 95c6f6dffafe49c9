"""`registry …`: the registry on the command line (extra `cli`)."""

import io
import sys


def main() -> None:
    """Run the program, or name the package to install if the extra is missing."""
    try:
        from common_lib.cli.program import program  # noqa: PLC0415 - an extra may be absent
    except ModuleNotFoundError as missing:
        if missing.name not in {"rich_click", "click", "rich"}:
            raise
        sys.exit(f"registry needs {missing.name}: pip install 'model-registry-service[cli]'")
    escape_unencodable_output()
    program(prog_name="registry")


def escape_unencodable_output() -> None:
    """Print the number of a character that the terminal's encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
