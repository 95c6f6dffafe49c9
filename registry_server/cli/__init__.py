"""`registry-server …`: the registry's one process, and the operator's tools (extra `server`)."""

import sys


def main() -> None:
    """Run the program; without its extra it says in one sentence what to install."""
    try:
        from common_lib.cli import readable_everywhere  # noqa: PLC0415 - an extra may be absent
        from registry_server.cli.program import program  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] in {"common_lib", "registry_server"}:
            raise
        sys.exit(f"registry-server needs {missing.name}: pip install 'model-registry-service[server]'")
    readable_everywhere()
    program(prog_name="registry-server")
