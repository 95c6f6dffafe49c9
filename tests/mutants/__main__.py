"""Plant each fault in a copy of the tree and require that its tests fail: `nox -s mutants -- -k name`."""

import argparse
import json
import os
import queue
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.mutants.faults import ROOT, Fault, StaleFault, check, load
from tests.mutants.runs import Copy, Verdict, failures_without_faults, fingerprint
from tests.support.postgres import postgres_server

_RESULTS = ROOT / ".mutants.json"


def main(arguments: list[str]) -> int:
    """Judge the chosen faults, print a table, and return 0 if the tests detected every fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("-k", default="", metavar="TEXT", help="only faults whose name, kind or file contains the text")
    parser.add_argument("-j", type=int, default=2, metavar="N", help="number of parallel runs (default: 2)")
    parser.add_argument("--resume", action="store_true", help="skip unchanged faults that were noticed before")
    parser.add_argument("--list", action="store_true", help="only list the faults")
    options = parser.parse_args(arguments)
    try:
        chosen = [fault for fault in load() if options.k.lower() in f"{fault.name} {fault.kind} {fault.file}".lower()]
        for fault in chosen:
            check(fault, ROOT)
    except StaleFault as error:
        print(error, file=sys.stderr)
        return 2
    known = _known() if options.resume else {}
    todo = [fault for fault in chosen if known.get(fault.name) != fingerprint(ROOT, fault)]
    if options.list or not todo:
        for fault in chosen:
            print(f"{fault.file}: {fault.name} ({fault.kind})")
        print(f"{len(chosen)} faults chosen, {len(todo)} to be planted")
        return 0 if chosen else 2
    return _judge(todo, options.j)


def _judge(faults: list[Fault], at_once: int) -> int:
    with ExitStack() as at_end:
        folder = Path(at_end.enter_context(tempfile.TemporaryDirectory(prefix="mutants-")))
        at_end.enter_context(_database(folder))
        copies = [Copy(ROOT, folder / str(number)) for number in range(at_once)]
        workers = at_end.enter_context(ThreadPoolExecutor(at_once))
        shares = [faults[number::at_once] for number in range(at_once)]
        clean = workers.map(failures_without_faults, copies, shares)
        if bad := [line for lines in clean for line in lines]:
            print("These tests have to pass without a fault first:", *bad, sep="\n", file=sys.stderr)
            return 2
        free: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for copy in copies:
            free.put(copy)
        verdicts = list(_verdicts(workers, free, faults))
    return _summary(verdicts)


def _verdicts(workers: ThreadPoolExecutor, free: "queue.SimpleQueue[Copy]", faults: list[Fault]) -> Iterator[Verdict]:
    def judge(fault: Fault) -> Verdict:
        copy = free.get()
        try:
            return copy.judge(fault)
        finally:
            free.put(copy)

    jobs = {workers.submit(judge, fault): fault for fault in faults}
    known = _known()
    for number, job in enumerate(as_completed(jobs), 1):
        verdict, fault = job.result(), jobs[job]
        print(f"[{number:>3}/{len(faults)}] {verdict.verdict:<8} {verdict.seconds:5.1f} s  {fault.file}: {fault.name}")
        print(f"{'':26}{verdict.seen[:150]}", flush=True)
        known.pop(fault.name, None)
        if verdict.verdict == "noticed":
            known[fault.name] = fingerprint(ROOT, fault)
        # Written after each fault, so that `--resume` continues an interrupted run.
        _RESULTS.write_text(json.dumps(known, indent=1), "utf-8")
        yield verdict


def _summary(verdicts: list[Verdict]) -> int:
    counts = {kind: [one for one in verdicts if one.verdict == kind] for kind in ("noticed", "survived", "broken")}
    print(f"\n{len(verdicts)} faults: {', '.join(f'{len(those)} {kind}' for kind, those in counts.items())}")
    for kind in ("survived", "broken"):
        for one in counts[kind]:
            print(f"{kind}: {one.fault}: {one.seen}")
    return 0 if len(counts["noticed"]) == len(verdicts) else 1


@contextmanager
def _database(folder: Path) -> Iterator[None]:
    """Start one PostgreSQL server for all runs, because its start takes longer than the tests of a run."""
    with postgres_server(folder) as postgres:
        os.environ["TEST_DATABASE_URL"] = postgres.url
        yield


def _known() -> dict[str, str]:
    known: dict[str, str] = json.loads(_RESULTS.read_text("utf-8")) if _RESULTS.exists() else {}
    return known


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
