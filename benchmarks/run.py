"""Run the benchmarks, all or those named, and print their figures beside the bars: `python benchmarks/run.py create`.

Each runs in an interpreter of its own, one after the other. A missed bar is shown, and is no failure: how fast a
machine is today says nothing about the code. Only a benchmark that breaks makes this command fail.
"""

import argparse
import json
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent
# `benchmarks` is found from the folder above, wherever this was started.
sys.path.insert(0, str(ROOT))

from benchmarks import harness  # noqa: E402 - see above

NAMES = ("resolve", "create", "pages", "lifecycle", "footprint", "transfer", "resilience", "outage")


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(NAMES)}; all if none is given")
    parser.add_argument("--markdown", action="store_true", help="a table for docs/benchmarks.md")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(NAMES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    described = harness.machine()
    figures, broken = [], []
    for name in asked.names or NAMES:
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json"]
        run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - our names
        if run.returncode:
            broken.append(name)
        else:
            figures += [harness.Figure(*row) for row in json.loads(run.stdout)]
    if asked.markdown:
        print("\n".join(textwrap.fill(f"* {line}", 118, subsequent_indent="  ") for line in described))
    else:
        print("\n".join(described))
    print()
    print(harness.table(figures, markdown=asked.markdown))
    for name in broken:
        harness.say(f"benchmark {name} broke; see above")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
