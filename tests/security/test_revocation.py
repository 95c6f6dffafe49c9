"""A revoked token or a removed grant ends the transfers that depend on it, even during a transfer."""

import contextlib
import hashlib
import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from common_lib import Grant, HttpRegistry, PrincipalKind, RegistryConfig, Role
from tests.security.servers import Lines, Running, lines, serving
from tests.security.test_slow_clients import connect_with_small_buffer
from tests.security.test_sockets import DEADLINE_S, MIB, code, status
from tests.security.worlds import create_example_model
from tests.support.steps import version_of

FILE = "/v1/models/a/versions/3/files/model.bin"
BODY = b"w" * MIB
SHA256 = hashlib.sha256(BODY).hexdigest()
SOON_S = 5.0
TRANSFERS = ("download", "stalled download", "download between requests", "blob", "chunked blob", "part", "json")


class Participant(NamedTuple):
    """A principal and its token, which an admin may revoke."""

    name: str
    token: str
    token_id: str


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Start one server with a large file."""
    with serving(tmp_path_factory.mktemp("revoked")) as running:
        with admin(running) as registry:
            create_example_model(registry, "a")
            version_of(registry, "a", b"x" * (24 * MIB))
        yield running


def admin(running: Running) -> HttpRegistry:
    """Return the registry of the first admin."""
    return HttpRegistry(RegistryConfig(url=running.inside.url, token=running.outside.token))


def create_participant(registry: HttpRegistry, name: str) -> Participant:
    """Create a principal with the rights to read and upload."""
    registry.principals.create(
        name, PrincipalKind.SERVICE, [Grant(role=Role.WORKBENCH, models="*"), Grant(role=Role.AUDITOR, models="*")]
    )
    issued = registry.principals.issue_token(name)
    return Participant(name, issued.secret or "", issued.token.id)


def begin_transfer(running: Running, transfer: str, who: Participant) -> socket.socket:
    """Open a connection and begin a transfer on it."""
    served = running.outside
    usual = f"Host: localhost\r\nauthorization: Bearer {who.token}\r\nidempotency-key: 12345678-{transfer[:4]}\r\n"
    get = f"GET {FILE} HTTP/1.1\r\n{usual}\r\n"
    if "download" in transfer:
        connection = connect_with_small_buffer(served)
        # The requests before and after the download have a token that remains valid.
        around = served.head("GET /v1/whoami") if "between" in transfer else b""
        connection.sendall(around + get.encode() + around)
        assert connection.recv(1) == b"H"
        return connection
    target, framing, kind = {
        "blob": (f"PUT /v1/blobs/{SHA256}", f"content-length: {len(BODY)}", "application/octet-stream"),
        "chunked blob": (f"PUT /v1/blobs/{'1' * 64}", "transfer-encoding: chunked", "application/octet-stream"),
        "part": (f"PUT /v1/uploads/{SHA256}/parts/0", f"content-length: {len(BODY)}", "application/octet-stream"),
        "json": ("POST /v1/models", "content-length: 100000", "application/json"),
    }[transfer]
    if transfer == "part":
        _announce(running, who)
    connection = served.connect()
    head = f"{target} HTTP/1.1\r\n{usual}content-type: {kind}\r\n{framing}\r\nx-prefix-sha256: {SHA256}\r\n\r\n"
    connection.sendall(head.encode())
    return connection


def _announce(running: Running, who: Participant) -> None:
    body = b'{"size":%d}' % len(BODY)
    head = f"PUT /v1/uploads/{SHA256} HTTP/1.1\r\nHost: localhost\r\nauthorization: Bearer {who.token}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    assert status(running.outside.send_raw(head.encode() + body)) == 200


def continue_transfer(connection: socket.socket, transfer: str) -> tuple[float, bytes]:
    """Continue a transfer until the server ends it; return its seconds, and the response unless it is a file."""
    began, answer = time.monotonic(), b""
    drop = b"40\r\n" + b"w" * 64 + b"\r\n" if transfer == "chunked blob" else b"w" * 64
    while time.monotonic() - began < DEADLINE_S:
        if "download" in transfer:
            select.select([], [], [], 0.05)
            if transfer == "stalled download" and not _is_reset(connection):
                continue
        else:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(drop)
        if select.select([connection], [], [], 0.05)[0]:
            try:
                received = connection.recv(256 if "download" in transfer else MIB)
            except ConnectionResetError:
                break
            if not received:
                break
            answer = b"" if "download" in transfer else answer + received
    return time.monotonic() - began, answer


def _is_reset(connection: socket.socket) -> bool:
    watch = select.poll()
    watch.register(connection, select.POLLIN)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in watch.poll(0))


def revoke_token(registry: HttpRegistry, who: Participant) -> None:
    """Revoke the token of a principal."""
    registry.principals.revoke_token(who.token_id)


def remove_grant(registry: HttpRegistry, who: Participant) -> None:
    """Replace the grants of a principal by another one."""
    registry.principals.update(who.name, [Grant(role=Role.AUDITOR, models="*")], revision=1)


@pytest.mark.parametrize("withdraw", [revoke_token, remove_grant])
def test_a_revocation_ends_every_transfer(running: Running, withdraw: Any) -> None:
    """Each transfer ends within five seconds, even if no bytes move; an upload gets the reason as its response."""
    with lines() as log, admin(running) as registry, contextlib.ExitStack() as stack:
        people = [
            create_participant(registry, f"{withdraw.__name__.replace('_', '-')}-{n}") for n in range(len(TRANSFERS))
        ]
        connections = [
            stack.enter_context(begin_transfer(running, transfer, who))
            for transfer, who in zip(TRANSFERS, people, strict=True)
        ]
        with ThreadPoolExecutor(len(TRANSFERS)) as threads:
            ends = [threads.submit(continue_transfer, *pair) for pair in zip(connections, TRANSFERS, strict=True)]
            assert not any(end.done() for end in ends)
            for who in people:
                withdraw(registry, who)
            found = {transfer: end.result() for transfer, end in zip(TRANSFERS, ends, strict=True)}
    assert {transfer: took_s for transfer, (took_s, _) in found.items() if took_s > SOON_S + 1} == {}
    refused = (401, "unauthenticated") if withdraw is revoke_token else (403, "forbidden")
    for transfer in ("blob", "chunked blob", "part", "json"):
        assert (status(found[transfer][1]), code(found[transfer][1])) == refused
    running.outside.wait_for_empty_staging()
    _is_logged(log, people)


def _is_logged(log: Lines, people: list[Participant]) -> None:
    endings = [line for line in log.security() if line["message"] in {"refused", "transfer_revoked"}]
    assert {line["principal"] for line in endings} == {who.name for who in people}
    assert {line["token"] for line in endings} == {who.token_id for who in people}
    assert not [line for line in log.texts if "Traceback" in line or any(who.token in line for who in people)]


def test_transfers_of_other_principals_continue(running: Running) -> None:
    """An additional grant, or the revocation of another principal's token, ends no transfer."""
    with admin(running) as registry:
        stays, goes = create_participant(registry, "stays"), create_participant(registry, "goes")
        with begin_transfer(running, "blob", stays) as connection:
            connection.sendall(BODY[: MIB // 2])
            revoke_token(registry, goes)
            more = [*registry.principals.get("stays").grants, Grant(role=Role.STRATEGY, models="a")]
            registry.principals.update("stays", more, revision=1)
            end = time.monotonic() + 3.5
            while time.monotonic() < end:
                assert not select.select([connection], [], [], 0.1)[0]
            connection.sendall(BODY[MIB // 2 :])
            assert status(connection.recv(MIB)) == 201
