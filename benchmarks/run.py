"""Run all benchmarks or the named ones, and print figures and limits: `python benchmarks/run.py create`.

Each runs in its own interpreter, one after the other. A missed limit is reported but is not a failure, because the
speed of a machine varies. The command fails only if a benchmark raises an error.
"""

import argparse
import json
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent
# So that `benchmarks` can be imported from any working directory.
sys.path.insert(0, str(ROOT))

from benchmarks import harness  # noqa: E402 - see above

NAMES = ("resolve", "create", "pages", "lifecycle", "footprint", "transfer", "resilience", "outage")


def main() -> int:
    """Run the requested benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"one or more of {', '.join(NAMES)}; default: all")
    parser.add_argument("--markdown", action="store_true", help="print a table for docs/benchmarks.md")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; give one of {', '.join(NAMES)}")
    environment = harness.machine()
    figures, failed = [], []
    for name in options.names or NAMES:
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json"]
        run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - our names
        if run.returncode:
            failed.append(name)
        else:
            figures += [harness.Figure(*row) for row in json.loads(run.stdout)]
    if options.markdown:
        print("\n".join(textwrap.fill(f"* {line}", 118, subsequent_indent="  ") for line in environment))
    else:
        print("\n".join(environment))
    print()
    print(harness.table(figures, markdown=options.markdown))
    for name in failed:
        harness.log(f"benchmark {name} failed; see above")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
