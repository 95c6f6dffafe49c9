"""How a command ends when the registry says no: a fixed exit status, a sentence and what to do about it."""

import contextlib
import errno
import json
from collections.abc import Iterator
from dataclasses import asdict
from enum import IntEnum
from typing import Any

import rich_click as click

from common_lib.cli import show
from common_lib.errors import (
    AnswerTimedOut,
    ConnectionFailed,
    DigestMismatch,
    Forbidden,
    InvalidConfiguration,
    LoadRefused,
    LocalDiskFailed,
    NoSafeFormat,
    NotCached,
    NotFound,
    ProtocolError,
    RateLimited,
    RegistryError,
    RegistryUnavailable,
    RequestRefused,
    Unauthenticated,
)


class Status(IntEnum):
    """What a script can rely on."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    UNAVAILABLE = 5
    DAMAGED = 6


# The program's help takes a blank line for the end of a line.
EXIT_CODES = """Exit status:
0 - done
1 - refused by the registry, or by this machine's files
2 - the command line is wrong; nothing was changed
3 - there is no such model, version, alias, file, principal or token, or it was never fetched
4 - no valid token, or its principal lacks the right
5 - the registry does not answer, or what answers is no registry
6 - bytes are not what their digest says, or the registry has lost them""".replace("\n", "\n\n")
_KINDS: list[tuple[type[RegistryError], Status, str]] = [
    (NotFound, Status.NOT_FOUND, "not_found"),
    (Unauthenticated, Status.NOT_ALLOWED, "unauthenticated"),
    (Forbidden, Status.NOT_ALLOWED, "forbidden"),
    (RequestRefused, Status.REFUSED, "refused"),
    (ConnectionFailed, Status.UNAVAILABLE, "connection_failed"),
    (AnswerTimedOut, Status.UNAVAILABLE, "answer_timed_out"),
    (RateLimited, Status.UNAVAILABLE, "rate_limited"),
    (RegistryUnavailable, Status.UNAVAILABLE, "registry_unavailable"),
    (ProtocolError, Status.UNAVAILABLE, "protocol_error"),
    (DigestMismatch, Status.DAMAGED, "digest_mismatch"),
    (NotCached, Status.NOT_FOUND, "not_cached"),
    (LocalDiskFailed, Status.REFUSED, "file_error"),
    (InvalidConfiguration, Status.USAGE, "invalid_configuration"),
    (LoadRefused, Status.REFUSED, "load_refused"),
    (NoSafeFormat, Status.REFUSED, "no_safe_format"),
    (RegistryError, Status.REFUSED, "refused"),
]
# What helps at a command line; the registry's own remedies speak to programs, of headers and of calls.
_REMEDIES = {
    "connection_failed": (
        "check --url (or REGISTRY_URL), that `registry-server serve` runs there, "
        "and the variables of a proxy, such as https_proxy"
    ),
    "answer_timed_out": "try again; if it stays so, look at the server's log and load",
    "rate_limited": "wait as long as the message says and try again; an operator can raise the limit",
    "registry_unavailable": (
        "try again; if it stays so, an operator finds the cause in the server's log or by `registry-server doctor`"
    ),
    "not_cached": "fetch it once without --offline, with the same --url and the same token",
    "blob_damaged": "PUT the same bytes to /v1/blobs/SHA256 again, from a copy or a backup: that restores the version",
    "blob_missing": "run the command again: it sends what is missing",
    "unauthenticated": (
        "give a token by --token-file or REGISTRY_TOKEN; an admin makes one by `registry-server token create`"
    ),
    "revision_mismatch": "look at it, decide again, and run the command again; --force with a --reason overwrites it",
    "reason_required": "say why by --reason; it is kept in the audit log",
    "production_changed": "look at `registry history NAME`, decide again, and run the command again",
    "policy_not_met": "`registry promote NAME VERSION --dry-run` lists what is missing",
    "version_not_found": (
        "`registry versions list NAME --tombstoned` shows all versions, `registry aliases list NAME` the aliases"
    ),
    "alias_not_found": "`registry aliases list NAME` shows the aliases there are",
    "alias_exists": "somebody set it just now: look at it, and run the command again to move it",
    "version_in_production": "promote another version, or archive it by `registry stages set NAME VERSION archived`",
    "version_aliased": "move them by `registry aliases set`, or remove them by `registry aliases delete`",
    "principal_not_found": "`registry-server principal list` shows the principals there are",
    "token_not_found": "`registry-server token list` shows the ids there are",
}


@contextlib.contextmanager
def reported(*, as_json: bool) -> Iterator[None]:
    """End the command with the status of whatever error of the registry, or of this machine's files, is raised."""
    try:
        yield
    except RegistryError as error:
        _end(problem(error), status(error), as_json=as_json)
    except UnicodeEncodeError:
        # Python gives bytes of the command line that are no text a form that cannot be written out again.
        _end({"code": "invalid_text", "detail": "an argument is not text in UTF-8"}, Status.USAGE, as_json=as_json)
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        _end({"code": "file_error", "detail": str(error)}, Status.REFUSED, as_json=as_json)


def status(error: RegistryError) -> Status:
    """The exit status of an error."""
    if isinstance(error, RequestRefused):
        if error.code in {"digest_mismatch", "blob_damaged"}:
            return Status.DAMAGED
        if error.status is None:
            # Found before anything was sent: what was typed breaks a rule.
            return Status.USAGE
    return _kind(error)[1]


def problem(error: RegistryError) -> dict[str, Any]:
    """The error as a problem (RFC 9457) with the registry's own members, without those that are empty."""
    code = _kind(error)[2]
    if isinstance(error, RequestRefused):
        members: dict[str, Any] = {
            "type": f"urn:model-registry:problem:{error.code}",
            "status": error.status,
            "code": error.code,
            "detail": error.detail,
            "remedy": _REMEDIES.get(error.code, error.remedy),
            "field": error.field,
            "value": None if error.value is None else str(error.value),
            "request_id": error.request_id,
            "winner": None if error.winner is None else asdict(error.winner) | {"at": error.winner.at.isoformat()},
        }
    else:
        detail, remedy = str(error.args[0]) if error.args else str(error), _REMEDIES.get(code, "")
        if isinstance(error, LoadRefused | NoSafeFormat):
            detail, remedy = f"{error.what}: {error.why}", error.remedy
        members = {"type": f"urn:model-registry:problem:{code}", "code": code, "detail": detail, "remedy": remedy}
    if error.outcome_unknown:
        members["remedy"] = _repeating(error)
        members["idempotency_key"] = error.idempotency_key
    return {name: value for name, value in members.items() if value is not None and value != ""}


def _repeating(error: RegistryError) -> str:
    """Say how to repeat a change whose outcome is not known: with the same key, and with what was read before it."""
    options = f"--idempotency-key {error.idempotency_key}"
    sent = json.loads(error.operation.body or b"{}") if error.operation is not None else {}
    if sent.get("to") == "production" or "replacing" in sent:
        options += f" --replacing {sent.get('replacing') or 0}"
    return f"it is not known whether it was done: to have it done once, run the same command again with {options}"


def tell(members: dict[str, Any], *, as_json: bool) -> None:
    """Write a problem to standard error."""
    if as_json:
        click.echo(show.as_json(members), err=True)
        return
    err = show.stderr()
    err.print(show.text(f"✗ {members['detail']}", "bold red"), soft_wrap=True)
    if remedy := members.get("remedy"):
        err.print(show.text(f"  {remedy}"), soft_wrap=True)
    names = [members["code"], *([f"request {members['request_id']}"] if "request_id" in members else [])]
    err.print(show.text(f"  [{', '.join(names)}]", "dim"), soft_wrap=True)


def _end(members: dict[str, Any], status: Status, *, as_json: bool) -> None:
    tell(members, as_json=as_json)
    raise SystemExit(int(status))


def _kind(error: RegistryError) -> tuple[type[RegistryError], Status, str]:
    return next(kind for kind in _KINDS if isinstance(error, kind[0]))
