"""`registry …`: the registry on the command line (extra `cli`)."""

import io
import sys


def main() -> None:
    """Run the program; without its extra it says in one sentence what to install."""
    try:
        from common_lib.cli.program import program  # noqa: PLC0415 - an extra may be absent
    except ModuleNotFoundError as missing:
        if missing.name not in {"rich_click", "click", "rich"}:
            raise
        sys.exit(f"registry needs {missing.name}: pip install 'model-registry-service[cli]'")
    readable_everywhere()
    program(prog_name="registry")


def readable_everywhere() -> None:
    """Let no terminal end a command because it cannot show a character: it shows the character's number instead."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
