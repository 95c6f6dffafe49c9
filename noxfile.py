"""All checks, each in a new environment: `nox`, or for example `nox -s lint types`."""

import os
import secrets

import nox

nox.options.sessions = ["lint", "types", "architecture", "tests"]
nox.options.default_venv_backend = "venv"


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff."""
    session.install("--editable", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy in strict mode."""
    session.install("--editable", ".[dev]")
    session.run("mypy")


@nox.session
def architecture(session: nox.Session) -> None:
    """Test the import contracts, the public API and the language rules."""
    session.install("--editable", ".[dev]")
    session.run("pytest", "tests/architecture", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the default test suite."""
    session.install("--editable", ".[test]")
    session.run("pytest", "-n", "auto", "--maxprocesses", "4", *session.posargs)


@nox.session
def long(session: nox.Session) -> None:
    """Run the long forms of tests: 8,000 versions by 16 writers, 100 kills; see docs/benchmarks.md."""
    session.install("--editable", ".[test]")
    ignored = [f"--ignore=tests/{folder}" for folder in ("crash", "fuzz", "lifecycle", "simulation")]
    session.run("pytest", "-m", "long", *ignored, "--durations=0", *session.posargs)


@nox.session
def simulation(session: nox.Session) -> None:
    """Run the long simulations of outages, overload and faults, and print each figure; see docs/resilience.md."""
    session.install("--editable", ".[test]")
    session.run("pytest", "tests/simulation", "-m", "long or not long", "-s", "-q", *session.posargs)


@nox.session
def lifecycle(session: nox.Session) -> None:
    """Run 10,000 promotions by 8 writers and 2,000 runs against a model; see docs/lifecycle.md."""
    session.install("--editable", ".[test]")
    session.run("pytest", "tests/lifecycle", "-m", "long", "-s", "--durations=0", *session.posargs)


@nox.session
def crash(session: nox.Session) -> None:
    """Run 1,000 random kills, a kill and an error at every call, 10,000 flipped bits; see docs/durability.md."""
    session.install("--editable", ".[test]")
    session.run("pytest", "tests/crash", "-m", "long or not long", "-s", "--durations=0", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Feed a million generated cases to all code that parses untrusted input, in 20 minutes on two cores.

    See tests/fuzz/harness.py. `FUZZ_SEED=… nox -s fuzz` repeats a run with the seed that it printed.
    """
    session.install("--editable", ".[fuzz]")
    bounds = {"FUZZ_SEED": str(secrets.randbelow(10**9)), "FUZZ_AT_LEAST": "1000000"}
    env = {name: os.environ.get(name, value) for name, value in bounds.items()}
    marked = ("-m", "long", "-n", "2", "--dist", "worksteal", "-s", "--durations=0", "--timeout=600")
    session.run("pytest", "tests/fuzz", *marked, *session.posargs, env=env)


@nox.session
def mutants(session: nox.Session) -> None:
    """Plant faults one at a time and require that tests fail; `-- -k name` selects, `-- --resume` continues."""
    session.install("--editable", ".[test]")
    session.run("python", "-m", "tests.mutants", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks; `nox -s bench -- --markdown` prints the table of docs/benchmarks.md."""
    session.install("--editable", ".[test]")
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation offline; a warning is an error."""
    session.install("--editable", ".[docs,server,testing]")
    session.run("sphinx-build", "-W", "-b", "html", "docs", "docs/_build")
