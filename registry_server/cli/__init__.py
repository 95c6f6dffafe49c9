"""`registry-server …`: the server, and the tools of its operator (extra `server`)."""

import sys


def main() -> None:
    """Run the program; if the extra is not installed, print which package to install."""
    try:
        from common_lib.cli import escape_unencodable_output  # noqa: PLC0415 - an extra may be absent
        from registry_server.cli.program import program  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] in {"common_lib", "registry_server"}:
            raise
        sys.exit(f"registry-server needs {missing.name}: pip install 'model-registry-service[server]'")
    escape_unencodable_output()
    program(prog_name="registry-server")
