"""An invalid database URL: every command reports it without any part of the URL."""

from pathlib import Path

import pytest

from registry_server.infrastructure.database_url import DatabaseUrl, InvalidDatabaseUrl
from tests.support.cli import operate, run_python

INVALID = [
    "postgresql://u:s3cr3t#x@h/db",
    "postgresql://u:s3cr3t/rest@h",
    "postgresql://u:s3cr3t?x@h",
    "postgresql://u:s3cr3t?x=1@h",
    "postgresql://u:5432/s3cr3t@h/db",
    "postgresql://u:s3cr3t@x@h/db",
    "postgresql://u:s3c:r3t@h/db",
    "postgresql://u:s3cr3t%zz@h/db",
    "postgresql://u:s3cr3t%@h/db",
    "postgresql://u:s3cr3t%ff@h/db",
    "postgresql://u:s3cr3t%00@h/db",
    "postgresql://u:s3cr3t x@h/db",
    "postgresql://u:s3cr3t\nx@h/db",
    "postgresql://u:s3cr3t\\x@h/db",
    " postgresql://u:s3cr3t@h/db",
    "postgresql://u:s3cr3t@h/db?s3cr3t=1",
    "postgresql://u:s3cr3t@h/db?sslmode=s3cr3t",
    "postgresql://u:s3cr3t@h/db?port=s3cr3t",
    "postgresql://u:s3cr3t@h:s3cr3t/db",
    "postgresql://u:s3cr3t@h:99999/db",
    "postgresql://[s3cr3t/db",
    "postgresql:u:s3cr3t@h/db",
    "mysql://u:s3cr3t@h/db",
]
COMMANDS = [["serve"], ["migrate"], ["doctor"], ["token", "list"], ["principal", "list"], ["gc"], ["store", "adopt"]]


@pytest.mark.parametrize("url", INVALID)
def test_the_error_contains_no_part_of_an_invalid_url(url: str, tmp_path: Path) -> None:
    """The command ends with status 2 and explains what to encode."""
    done = operate("doctor", "--data", tmp_path, "--database-url", url, status=2)
    assert "s3c" not in done.output
    assert "rest" not in done.output
    assert "database URL" in done.stderr
    with pytest.raises(InvalidDatabaseUrl) as refused:
        DatabaseUrl.parse(url)
    assert "s3c" not in repr(refused.value)
    assert "postgresql://" in str(refused.value) or "percent-encode" in str(refused.value)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_checks_the_url_first(command: list[str], tmp_path: Path) -> None:
    """The URL may come from an option or from the environment."""
    for url in INVALID[:3]:
        by_option = operate(*command, "--data", tmp_path, "--database-url", url, status=2)
        by_environment = operate(*command, "--data", tmp_path, status=2, REGISTRY_DATABASE_URL=url)
        assert "encode" in by_option.stderr
        assert by_option.stderr == by_environment.stderr
        assert "s3c" not in by_option.output
    assert not list(tmp_path.iterdir())


def test_the_traceback_of_a_server_started_in_python_contains_no_part_of_the_url() -> None:
    """Python prints the traceback of the error."""
    code = (
        "from pathlib import Path; from registry_server.settings import Settings; import tempfile;"
        "from registry_server.serving import running;"
        "running(Settings(data=Path(tempfile.mkdtemp()) / 'data', port=0,"
        "database_url='postgresql://u:' + 's3c' + 'r3t#x@h/db')).__enter__()"
    )
    done = run_python(code)
    assert done.returncode == 1
    assert b"percent-encode" in done.stderr
    assert b"s3cr3t" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("postgresql://u:p%40%3A%2F%3F%23%25%20%0A@h:5433/db", ("u", "h:5433", "db")),
        ("postgres://u@h", ("u", "h", "")),
        ("postgresql://u:p@[::1]:5433/db?sslmode=require", ("u", "[::1]:5433", "db")),
        ("postgresql://u@/db?host=/run/postgresql&port=5433", ("u", "/run/postgresql:5433", "db")),
        ("postgresql://u@/db?host=%2Frun%2Fpostgresql", ("u", "/run/postgresql", "db")),
        ("postgresql:///db?user=u", ("u", "", "db")),
        ("postgresql://u:p@h1,h2:5433/db?target_session_attrs=read-write", ("u", "h1,h2:5433", "db")),
        ("postgresql://us%2Fer:p[@h/d%20b", ("us/er", "h", "d b")),
    ],
)
def test_a_valid_url_is_parsed(url: str, parts: tuple[str, str, str]) -> None:
    """The rewritten URL has the same meaning, and the display name contains no password."""
    found = DatabaseUrl.parse(url)
    assert (found.user, found.hosts, found.database) == parts
    again = DatabaseUrl.parse(found.url)
    assert again == found
    assert ":p" not in found.display_name


def test_an_encoded_password_reaches_the_server(postgres_url: str, tmp_path: Path) -> None:
    """The password contains every character with a meaning in a URL; the test's server accepts any password."""
    url = postgres_url.replace("postgres@", "postgres:p%40%3A%2F%3F%23%25%20%0A%5B@", 1)
    operate("migrate", "--data", tmp_path / "data", "--database-url", url)
    done = operate("token", "list", "--data", tmp_path / "data", "--database-url", url)
    assert "admin" in done.stdout


def test_a_database_error_contains_no_password(tmp_path: Path, postgres_url: str) -> None:
    """The database is unknown, the host unreachable, or the certificate missing."""
    unknown = postgres_url.replace("postgres@/", "postgres:s3cr3t@/nothing_", 1)
    for url in (
        unknown,
        "postgresql://u:s3cr3t@127.0.0.1:1/db",
        "postgresql://u:s3cr3t@127.0.0.1:1/db?sslmode=verify-full&sslrootcert=/nowhere",
    ):
        for command in COMMANDS[1:]:
            done = operate(*command, "--data", tmp_path / "data", "--database-url", url, status=None)
            assert done.exit_code != 0, command
            assert "s3cr3t" not in done.output, command
            assert "s3cr3t" not in repr(done.exception), command
