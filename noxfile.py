"""Everything that is checked, each in a fresh environment: `nox`, or `nox -s lint types architecture tests`."""

import os
import secrets

import nox

nox.options.sessions = ["lint", "types", "architecture", "tests"]
nox.options.default_venv_backend = "venv"


@nox.session
def lint(session: nox.Session) -> None:
    """The style is kept."""
    session.install("--editable", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """The types hold, strictly."""
    session.install("--editable", ".[dev]")
    session.run("mypy")


@nox.session
def architecture(session: nox.Session) -> None:
    """Imports flow one way, and the public API is what it says."""
    session.install("--editable", ".[dev]")
    session.run("pytest", "tests/architecture", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """The default suite."""
    session.install("--editable", ".[test]")
    session.run("pytest", "-n", "auto", "--maxprocesses", "4", *session.posargs)


@nox.session
def long(session: nox.Session) -> None:
    """The long forms: 8,000 versions by 16 writers, 100 kills; their figures stand in docs/benchmarks.md."""
    session.install("--editable", ".[test]")
    ignored = [f"--ignore=tests/{folder}" for folder in ("crash", "fuzz", "lifecycle", "simulation")]
    session.run("pytest", "-m", "long", *ignored, "--durations=0", *session.posargs)


@nox.session
def simulation(session: nox.Session) -> None:
    """Outages, overload and faults in their long form: what was measured beside each bar; see docs/resilience.md."""
    session.install("--editable", ".[test]")
    session.run("pytest", "tests/simulation", "-m", "long or not long", "-s", "-q", *session.posargs)


@nox.session
def lifecycle(session: nox.Session) -> None:
    """10,000 promotions by 8 writers, 2,000 runs against a model, 1,000 transitions as of; see docs/lifecycle.md."""
    session.install("--editable", ".[test]")
    session.run("pytest", "tests/lifecycle", "-m", "long", "-s", "--durations=0", *session.posargs)


@nox.session
def crash(session: nox.Session) -> None:
    """1,000 random kills, a kill and an error at every call, 10,000 flipped bits; see docs/durability.md."""
    session.install("--editable", ".[test]")
    session.run("pytest", "tests/crash", "-m", "long or not long", "-s", "--durations=0", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Feed a million cases to all code that reads the input of others, in 20 minutes on two cores.

    See tests/fuzz/harness.py. `FUZZ_SEED=… nox -s fuzz` repeats a run by the seed that it printed.
    """
    session.install("--editable", ".[fuzz]")
    bounds = {"FUZZ_SEED": str(secrets.randbelow(10**9)), "FUZZ_AT_LEAST": "1000000"}
    env = {name: os.environ.get(name, value) for name, value in bounds.items()}
    marked = ("-m", "long", "-n", "2", "--dist", "worksteal", "-s", "--durations=0", "--timeout=600")
    session.run("pytest", "tests/fuzz", *marked, *session.posargs, env=env)


@nox.session
def mutants(session: nox.Session) -> None:
    """Plant faults one at a time and demand that their tests fail; `-- -k name` takes some, `-- --resume` goes on."""
    session.install("--editable", ".[test]")
    session.run("python", "-m", "tests.mutants", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks: ratios in one run; `nox -s bench -- --markdown` writes the table of docs/benchmarks.md."""
    session.install("--editable", ".[test]")
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation builds offline and without a warning."""
    session.install("--editable", ".[docs,server,testing]")
    session.run("sphinx-build", "-W", "-b", "html", "docs", "docs/_build")
