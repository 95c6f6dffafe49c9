"""Log lines are ASCII, bounded and without tokens; every refusal is logged with caller and address."""

import json
import logging
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest

from common_lib import Grant, HttpRegistry, PrincipalKind, RegistryConfig, Role
from registry_server import logs
from registry_server.core.principals import new_secret, token_id
from tests.security.servers import Running, lines, serving

SECRET = new_secret()
PROGRAM = "from registry_server.cli.program import program; program()"
MOST = 40_000
UGLY = [
    *("\x00\x07\x1b[31mred\x1b[0m\r\n", "\x7f\x80\x85\x9b31m", "\u202egnp\u2066\u2069\u200f", "\u2028\u2029"),
    *("\ud800 \udfff", "\ufeff\u00ad\u200b", "\U000e0041", "é"),
]


def percent_encode_twice(text: str) -> str:
    """Percent-encode every character, and then the percent signs."""
    return "".join(f"%{byte:02x}" for byte in text.encode()).replace("%", "%25")


HIDDEN = [
    *(
        SECRET,
        f"x{SECRET}y",
        quote(SECRET),
        SECRET.replace("_", "%5f"),
        SECRET.replace("_", "%5F"),
        percent_encode_twice(SECRET),
    ),
    *("".join(f"%{byte:02X}" for byte in SECRET.encode()), SECRET.replace("m", "%6d", 1), SECRET.upper()),
    *(
        f"a=1&t={SECRET}",
        f"{SECRET}{SECRET}",
        f"\u202e{SECRET}\u2028",
        SECRET[:20],
        f"%zz{SECRET.replace('r', '%72', 1)}",
    ),
]


def parse_line(line: bytes | str) -> dict[str, Any]:
    """Parse a log line, and fail unless it is one bounded line of printable ASCII."""
    text = line.decode() if isinstance(line, bytes) else line
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= MOST
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def record(message: str, *args: Any, **extra: Any) -> str:
    """Return the log line of an ordinary record."""
    made = logging.makeLogRecord(
        {"name": "x", "levelno": 20, "levelname": "INFO", "msg": message, "args": args} | extra
    )
    return logs.JsonLines().format(made)


def lines_with(text: str) -> Iterator[bytes | str]:
    """Yield a log line for each place in which foreign text can occur."""
    line = logs.AccessLine(datetime.now(UTC), "id", "GET", text, 200, 1.0)
    yield logs.encode_line(line)
    line.path, line.method = "/", text
    yield logs.encode_line(line)
    line.method, line.request_id = "GET", text
    yield logs.encode_line(line)
    yield record(text)
    yield record("%s failed", text)
    yield record("%d", text)  # a format that does not fit
    yield record("x", peer=text, nested={text: [text, {"k": text}]})
    yield record("x", **{text or "k": 1})
    yield record("x", thing=ValueError(text))
    yield record("x", raw=text.encode("utf-8", "surrogatepass"))
    try:
        raise RuntimeError(text)  # noqa: TRY301
    except RuntimeError:
        yield record("x", exc_info=sys.exc_info())


@pytest.mark.parametrize("text", UGLY, ids=ascii)
def test_a_log_line_is_one_line_of_ascii(text: str) -> None:
    """Foreign text can neither control a terminal nor start a second line, and its value can be restored."""
    for line in lines_with(text):
        assert parse_line(line)
    assert parse_line(record("x", peer=text))["peer"].encode("utf-8", "surrogatepass") == text.encode(
        "utf-8", "surrogatepass"
    )


@pytest.mark.parametrize("text", HIDDEN, ids=range(len(HIDDEN)))
def test_no_log_line_contains_a_token(text: str) -> None:
    """A token is redacted, complete or shortened, in any spelling and any place."""
    for line in lines_with(text):
        decoded = json.dumps(parse_line(line))
        for _ in range(4):
            decoded = unquote(decoded)
        assert SECRET[4:20].lower() not in decoded.lower()
        assert "mrg_[redacted]" in decoded or "mrg_" not in text
    assert parse_line(logs.encode_line({"path": f"/v1/tokens/{text}"}))["path"].startswith(
        ("/v1/tokens/", "/v1/tokens/x")
    )


@pytest.mark.parametrize("text", ["y" * 10**6, "é" * 10**6, "%41" * 10**5, "\u202e" * 10**6, f"{'z' * 1_980}{SECRET}"])
def test_the_length_of_a_log_line_is_limited(text: str) -> None:
    """Each field and the whole line have a limit; a token that is cut at the limit is redacted too."""
    for line in lines_with(text):
        assert SECRET[4:12] not in json.dumps(parse_line(line))
    many = {f"k{n}": text for n in range(200)}
    assert parse_line(logs.encode_line({"time": "now", "level": "info", "message": text} | many))["level"] == "info"


def test_a_value_that_cannot_be_encoded_is_logged_by_its_type() -> None:
    """An object whose `__str__` fails, a number that JSON lacks and a cyclic value do not prevent the log line."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError(SECRET)

    circle: list[Any] = []
    circle.append(circle)
    for value in (
        Broken(),
        float("nan"),
        float("inf"),
        10**400,
        circle,
        {1: 2},
        {"x": {"x": {"x": {"x": 1}}}},
        b"\xff",
    ):
        assert parse_line(record("x", value=value))["message"] == "x"
    assert parse_line(record("%s", Broken()))


def test_an_ordinary_log_line_is_not_changed() -> None:
    """The fields keep their order and ordinary text is not escaped."""
    line = logs.AccessLine(datetime(2026, 1, 2, tzinfo=UTC), "id", "GET", "/v1/models", 200, 1.5)
    assert logs.encode_line(line) == (
        b'{"time":"2026-01-02T00:00:00Z","request_id":"id","method":"GET","path":"/v1/models","status":200,"ms":1.5,'
        b'"level":"info","logger":"registry_server.access","message":"request"}'
    )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Start one server without an access log."""
    with serving(tmp_path_factory.mktemp("log")) as running:
        yield running


def test_logged_refusals_name_the_caller_and_the_address(running: Running) -> None:
    """The line of a 401 or 403 has the peer, the known principal, the token id, the request id and the path."""
    url = running.inside.url
    with HttpRegistry(RegistryConfig(url=url, token=running.outside.token)) as registry, lines() as log:
        name = f"reader-{uuid.uuid4().hex[:6]}"
        registry.principals.create(name, PrincipalKind.SERVICE, [Grant(role=Role.ANALYSIS, models="*")])
        issued = registry.principals.issue_token(name)
        secret = issued.secret or ""
        unknown = httpx.get(f"{url}/v1/whoami", headers={"authorization": f"Bearer {SECRET}"})
        none = httpx.get(f"{url}/v1/whoami")
        refused = httpx.get(f"{url}/v1/tokens", headers={"authorization": f"Bearer {secret}"})
        in_path = httpx.post(f"{url}/v1/tokens/{secret}/revoke", headers={"authorization": f"Bearer {secret}"})
        registry.principals.revoke_token(issued.token.id)
        revoked = httpx.get(f"{url}/v1/whoami", headers={"authorization": f"Bearer {secret}"})
        # The server writes a line after the response, so the log must still be recorded here.
        for answer, code, principal, token in (
            (unknown, "unauthenticated", None, token_id(SECRET)),
            (none, "unauthenticated", None, None),
            (refused, "forbidden", name, issued.token.id),
            (revoked, "unauthenticated", None, issued.token.id),
        ):
            line = log.one(request_id=answer.headers["x-request-id"])
            assert (line["code"], line["status"], line["method"]) == (code, answer.status_code, "GET")
            assert (line.get("principal"), line.get("token")) == (principal, token)
            assert line["peer"].startswith("127.0.0.1:")
    assert in_path.status_code in {400, 403}
    created, ended = log.one(message="token_issued"), log.one(message="token_revoked")
    for line in (created, ended):
        assert (line["subject"], line["subject_principal"], line["principal"]) == (issued.token.id, name, "admin")
    for text in log.texts:
        assert secret not in text
        assert running.outside.token not in text
        parse_line(text)


def test_a_quiet_server_still_logs_refusals(tmp_path: Path) -> None:
    """With --quiet the real program logs refusals and no other requests."""
    command = [sys.executable, "-c", PROGRAM, "serve", "--quiet", "--data", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            url = next(line["url"] for line in map(json.loads, server.stderr) if "url" in line)
            token = (tmp_path / "admin-token").read_text().strip()
            good = {"authorization": f"Bearer {token}", "x-request-id": token}
            assert httpx.get(f"{url}/v1/whoami", headers=good).status_code == 200
            assert httpx.get(f"{url}/v1/models/{token}", headers=good).status_code == 404
            assert httpx.get(f"{url}/v1/models", headers={"authorization": "Bearer mrg_wrong"}).status_code == 401
            assert httpx.get(f"{url}/v1/models", headers={"host": "evil.example"}).status_code == 421
        finally:
            server.terminate()
            rest = server.stderr.read()
    assert token not in rest
    parsed = [parse_line(line) for line in rest.splitlines()]
    refused = [line for line in parsed if line["logger"] == "registry_server.security"]
    assert [(line["status"], line["code"]) for line in refused] == [
        (401, "unauthenticated"),
        (421, "misdirected_request"),
    ]
    assert not [line for line in parsed if line["logger"] == "registry_server.access"]


def test_a_token_in_an_address_is_not_logged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A token in a path or a request id is redacted in the access log."""
    with serving(tmp_path, access_log=True) as running:
        token = running.outside.token
        headers = {"authorization": f"Bearer {token}", "x-request-id": token}
        for path in (
            f"/v1/tokens/{token}",
            f"/v1/models/{token.replace('_', '%5F')}",
            f"/{percent_encode_twice(token)}",
            "/\u202e\x9b",
        ):
            httpx.get(running.inside.url + quote(path, safe="/%"), headers=headers)
    written = [line for line in capfd.readouterr().err.splitlines() if '"registry_server.access"' in line]
    assert len(written) >= 4
    for line in written:
        assert token[4:] not in json.dumps(parse_line(line))
