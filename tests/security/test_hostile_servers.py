"""A hostile server: each client call ends in bounded time with an error that names the cause."""

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from common_lib import HttpRegistry, RegistryConfig
from common_lib.errors import DigestMismatch, NotFound, ProtocolError, RegistryError, RegistryUnavailable, ServerFailed
from common_lib.operations import uploads
from common_lib.operations.base import Source
from tests.security.hostile import (
    AT,
    EVENT,
    FILES,
    IDENTITY,
    MODEL,
    PRESENCE,
    PROBLEM,
    SHA,
    UPLOAD,
    VERSION,
    Ask,
    answering,
    error_of,
    get_version,
    resolve_version,
)

HUGE = 10**30
VALUES: list[tuple[str, Any, Ask, str, Any]] = [
    (name, base, ask, field, value)
    for name, base, ask, field, values in [
        (
            "version",
            VERSION,
            get_version,
            "digest",
            ["sha256:/dev/zero", "sha256:../../x", "md5:0", "", SHA, f"{IDENTITY}\n", 7],
        ),
        ("version", VERSION, get_version, "version", [0, -1, 2, HUGE, 1.5, "1", True, None]),
        ("version", VERSION, get_version, "model", ["m2", "../m1", "m1\n", "a" * 1000]),
        ("version", VERSION, get_version, "size", [-1, HUGE, 2**53, "7", 1e300]),
        ("version", VERSION, get_version, "revision", [0, HUGE]),
        ("version", VERSION, get_version, "stage", ["nowhere", "\x1b[2J"]),
        ("version", VERSION, get_version, "created_at", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", HUGE, "soon"]),
        ("version", VERSION, get_version, "created_by", ["a" * 10_000]),
        ("version", VERSION, get_version, "metrics", [{"a": HUGE * HUGE**10}, {"a": "1"}, []]),
        ("resolved", VERSION, resolve_version, "version", [2]),
        ("resolved", VERSION, resolve_version, "model", ["m2"]),
        ("model", MODEL, lambda r: r.models.get("m1"), "name", ["m2", "M1", "..", "nul"]),
        ("model", MODEL, lambda r: r.models.get("m1"), "production_version", [0, HUGE]),
        ("model", MODEL, lambda r: r.models.get("m1"), "latest_version", [-1, HUGE]),
        ("upload", UPLOAD, lambda r: r.call(uploads.begin_upload(SHA, 10)), "received", [-1, 11, HUGE, 10]),
        ("upload", UPLOAD, lambda r: r.call(uploads.begin_upload(SHA, 10)), "size", [11, 9, HUGE]),
        ("upload", UPLOAD, lambda r: r.call(uploads.begin_upload(SHA, 10)), "sha256", ["0" * 64, "/dev/zero"]),
        ("upload", UPLOAD, lambda r: r.call(uploads.begin_upload(SHA, 10)), "complete", [True]),
        ("presence", PRESENCE, lambda r: r.artifacts.check_presence([SHA]), "missing", [["0" * 64], ["../x"], [7]]),
        (
            "blob",
            {"sha256": SHA, "size": 7, "created_by": "a", "created_at": AT},
            lambda r: r.artifacts.get_blob(SHA),
            "sha256",
            ["0" * 64, "/etc/passwd"],
        ),
        (
            "alias",
            {"model": "m1", "alias": "a", "version": 1, "revision": 1, "updated_by": "a", "updated_at": AT},
            lambda r: r.aliases.get("m1", "a"),
            "alias",
            ["b", "../a"],
        ),
    ]
    for value in values
]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "async"])
@pytest.mark.parametrize(
    ("name", "base", "ask", "field", "value"),
    VALUES,
    ids=[f"{name}-{field}-{n}" for n, (name, _, _, field, _) in enumerate(VALUES)],
)
def test_a_value_that_no_registry_sends_is_refused(
    name: str, base: dict[str, Any], ask: Ask, field: str, value: Any, *, asynchronous: bool
) -> None:
    """The client checks each value before it uses it; the error names the field and shortens the value."""
    error = error_of(answering(base | {field: value}), ask, asynchronous=asynchronous)
    assert isinstance(error, ProtocolError), name
    assert field in str(error) or "received" in str(error)
    assert error.field


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"path": "../x"}, "path"),
        ({"path": "/etc/passwd"}, "path"),
        ({"path": "a/../../b"}, "path"),
        ({"path": "a\\b"}, "path"),
        ({"path": "nul"}, "path"),
        ({"path": ""}, "path"),
        ({"path": "a\0b"}, "path"),
        ({"path": "a" * 10_000}, "path"),
        ({"sha256": "/dev/zero"}, "sha256"),
        ({"size": -1}, "size"),
        ({"size": HUGE}, "size"),
        ({"media_type": "a\nb: c"}, "media_type"),
    ],
)
def test_a_manifest_with_paths_outside_its_folder_is_refused(entry: dict[str, Any], why: str) -> None:
    """A manifest whose paths lead outside its folder or whose entries are invalid raises ProtocolError."""
    error = error_of(
        answering({"digest": IDENTITY, "files": [FILES[0] | entry]}), lambda r: r.versions.manifest("m1", 1)
    )
    assert isinstance(error, ProtocolError)
    assert why in str(error)


@pytest.mark.parametrize("files", [[], [FILES[0], FILES[0]], [FILES[0], FILES[0] | {"path": "MODEL.bin"}]])
def test_a_manifest_without_files_or_with_a_file_twice_is_refused(files: list[Any]) -> None:
    """Paths that differ only by upper-case letters count as equal."""
    error = error_of(answering({"digest": IDENTITY, "files": files}), lambda r: r.versions.manifest("m1", 1))
    assert isinstance(error, ProtocolError)


def test_a_manifest_with_another_digest_is_refused() -> None:
    """A manifest whose digest does not match its files raises DigestMismatch."""
    other = {"digest": f"sha256:{'0' * 64}", "files": FILES}
    assert isinstance(error_of(answering(other), lambda r: r.versions.manifest("m1", 1)), DigestMismatch)


@pytest.mark.parametrize("place", ["fifo", "/dev/zero"])
def test_a_digest_is_never_used_as_a_path(place: str, tmp_path: Path) -> None:
    """The client refuses a digest that names a pipe or device before it opens a file of that name."""
    os.mkfifo(tmp_path / "fifo")
    name = place if place.startswith("/") else str(tmp_path / place)
    error = error_of(answering(VERSION | {"digest": f"sha256:{name}"}), lambda r: r.fetch("models:/m1/production"))
    assert isinstance(error, ProtocolError)
    assert "digest" in str(error)


TOKENS = ["t", "\n", "a b", "t" * 10_000, "é", ""]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "async"])
@pytest.mark.parametrize("token", TOKENS, ids=range(len(TOKENS)))
@pytest.mark.parametrize("items", [[], [VERSION]])
def test_an_endless_list_ends(token: str, items: list[Any], *, asynchronous: bool) -> None:
    """A server that returns the same page token for ever causes a ProtocolError."""
    page = {"items": items, "next_page_token": token}
    error = error_of(answering(page), lambda r: r.versions.search("m1"), asynchronous=asynchronous)
    assert isinstance(error, ProtocolError)
    assert "next_page_token" in str(error)


def test_a_list_with_circular_pages_ends() -> None:
    """A cycle of several pages and an endless series of empty pages each cause a ProtocolError."""
    count = iter(range(10**9))

    def circle(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"items": [VERSION], "next_page_token": f"t{next(count) % 5}"})

    def empty(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"items": [], "next_page_token": f"u{next(count)}"})

    for handler in (circle, empty):
        assert isinstance(error_of(handler, lambda r: r.versions.search("m1")), ProtocolError)


@pytest.mark.parametrize("sequences", [[5, 5], [5, 4], [0], [3]])
def test_an_event_log_that_does_not_advance_ends(sequences: list[int]) -> None:
    """A page of events whose sequence numbers do not increase causes a ProtocolError."""
    events = [EVENT | {"sequence": f"{number:020d}"} for number in sequences]
    error = error_of(answering(events), lambda r: r.events.after(3))
    assert isinstance(error, ProtocolError)
    assert "sequence" in str(error)


def test_an_upload_without_progress_ends() -> None:
    """A server that reports no received bytes after a part was sent causes a ProtocolError."""
    part = Source(Path(__file__), start=0, length=5)
    error = error_of(answering(UPLOAD), lambda r: r.call(uploads.put_part(SHA, part, SHA)))
    assert isinstance(error, ProtocolError)
    assert "5 bytes were sent" in str(error)


BOMBS = {
    "depth": b"[" * 1_000_000,
    "depth of objects": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "digits": b'{"version": ' + b"9" * 5_000_000 + b"}",
    "digits in a map": json.dumps(VERSION).replace('"metrics": {}', f'"metrics": {{"a": {"9" * 100_000}}}').encode(),
    "exponent": json.dumps(VERSION).replace('"metrics": {}', '"metrics": {"a": 1e999999}').encode(),
    "not a number": json.dumps(VERSION).replace('"metrics": {}', '"metrics": {"a": NaN}').encode(),
    "surrogate": json.dumps(VERSION).replace('"framework": "x"', '"framework": "\\ud800"').encode(),
    "size": b" " * (65 * 1024 * 1024),
    "no text": b"\xff\xfe" + json.dumps(VERSION).encode("utf-16-le"),
    "null": b"null",
    "list": b"[]",
    "empty": b"",
}


@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "async"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_json_that_would_exhaust_the_parser_is_refused(bomb: str, *, asynchronous: bool) -> None:
    """The client raises neither MemoryError nor RecursionError nor an error of a parser."""
    error = error_of(answering(BOMBS[bomb]), get_version, asynchronous=asynchronous)
    assert isinstance(error, ProtocolError | RegistryUnavailable)


LONG = "x" * 100_000
ESCAPES = "\x1b[2J\x1b]0;owned\x07\u202e\x9b"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"detail": LONG, "remedy": LONG}, NotFound),
        ({"detail": ESCAPES, "remedy": ESCAPES, "field": ESCAPES, "value": ESCAPES}, NotFound),
        ({"code": "galaxy_not_found"}, NotFound),
        ({"code": ESCAPES}, ProtocolError),
        ({"code": LONG}, ProtocolError),
        ({"request_id": "1\r\nx: y"}, ProtocolError),
        ({"request_id": LONG}, ProtocolError),
        ({"status": HUGE}, NotFound),
        ({"detail": None}, ProtocolError),
        ({"winner": {"version": 1, "by": "a", "at": "soon", "reason": ""}}, ProtocolError),
    ],
)
def test_a_malformed_problem_is_handled(change: dict[str, Any], kind: type[RegistryError]) -> None:
    """The client shortens and escapes the texts, and uses the status of the response instead of that in the body."""
    error = error_of(answering(PROBLEM | change, 404, "application/problem+json"), lambda r: r.models.get("m1"))
    assert type(error) is kind or isinstance(error, kind)


def test_a_huge_problem_is_truncated() -> None:
    """A problem of 60 MB raises ProtocolError, because the client reads only its beginning."""
    film = answering(json.dumps(PROBLEM | {"detail": "x" * 60_000_000}).encode(), 404, "application/problem+json")
    assert isinstance(error_of(film, lambda r: r.models.get("m1")), ProtocolError)


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("1" + "0" * 30, 0, 1e6),
        ("-5", 0, 0),
        ("nan", None, None),
        ("inf", None, None),
        ("1e999", 0, 1e6),
        ("Wed, 21 Oct 9999 07:28:00 GMT", None, 1e6),
        ("soon", None, None),
        ("", None, None),
        ("9" * 5000, 0, 1e6),
    ],
)
def test_a_huge_retry_after_is_limited(text: str, least: float | None, most: float | None) -> None:
    """The client limits the pause of a Retry-After header and ignores a value that is not a time."""
    error = error_of(answering(b"", 503, "text/plain", retry_after=text), get_version)
    assert isinstance(error, ServerFailed)
    assert error.retry_after_s is None or (most is not None and 0 <= error.retry_after_s <= most)
    assert least is None or error.retry_after_s is not None


def test_a_cookie_is_neither_stored_nor_sent() -> None:
    """The client ignores the cookies of a server."""
    sent: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("cookie"))
        return httpx.Response(
            200, headers=[("set-cookie", f"a{n}={'x' * 1000}; Path=/") for n in range(20)], json=VERSION
        )

    config = RegistryConfig(url="http://registry.example", resolve=None)
    with HttpRegistry(config, transport=httpx.MockTransport(handler)) as registry:
        for _ in range(3):
            registry.versions.get("m1", 1)
    assert sent == [None] * 3
