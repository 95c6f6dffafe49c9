"""Report an error on the command line: its message, its remedy, and an exit status that scripts can rely on."""

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
    """The exit status of a command. The numbers never change, so scripts can rely on them."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    UNAVAILABLE = 5
    DAMAGED = 6


# In click's help text only a blank line ends a line.
EXIT_CODES = """Exit status:
0 - done
1 - refused by the registry, or a local file or folder cannot be used
2 - the command line is wrong; nothing was changed
3 - the model, version, alias, file, principal or token does not exist, or is not in the cache
4 - the token is missing or invalid, or its principal lacks the right
5 - the registry does not respond, or the address is not that of a registry
6 - bytes do not match their digest, or the registry has lost them""".replace("\n", "\n\n")
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
# Remedies for users of the command line; the registry's own remedies name headers and functions.
_REMEDIES = {
    "connection_failed": (
        "check the address in --url or REGISTRY_URL, check that `registry-server serve` runs there, "
        "and check proxy variables such as https_proxy"
    ),
    "answer_timed_out": "try again; if it happens again, check the server's log and load",
    "rate_limited": "wait for the time in the message and try again; an operator can raise the limit",
    "registry_unavailable": (
        "try again; if it happens again, an operator can find the cause in the server's log "
        "or with `registry-server doctor`"
    ),
    "not_cached": "run the download once without --offline, with the same --url and the same token",
    "blob_damaged": "send the bytes from a copy or a backup with PUT /v1/blobs/SHA256: this restores the version",
    "blob_missing": "run the command again; it sends the missing bytes",
    "unauthenticated": (
        "pass a token with --token-file or REGISTRY_TOKEN; an admin creates tokens with `registry-server token create`"
    ),
    "revision_mismatch": (
        "show the current state and run the command again; or overwrite the other change with --force and --reason"
    ),
    "reason_required": "pass the reason for the change with --reason; it is recorded in the audit log",
    "production_changed": "run `registry history NAME` to see the change; run the command again if you still want it",
    "policy_not_met": "run `registry promote NAME VERSION --dry-run` to list the rules that are not met",
    "version_not_found": (
        "run `registry versions list NAME --tombstoned` to list all versions, or `registry aliases list NAME`"
    ),
    "alias_not_found": "run `registry aliases list NAME` to list the aliases of the model",
    "alias_exists": (
        "another user has just created this alias: run `registry aliases list NAME`, then this command again to move it"
    ),
    "version_in_production": "promote another version, or archive it with `registry stages set NAME VERSION archived`",
    "version_aliased": "move its aliases with `registry aliases set`, or delete them with `registry aliases delete`",
    "principal_not_found": "run `registry-server principal list` to list all principals",
    "token_not_found": "run `registry-server token list` to list the ids of all tokens",
}


@contextlib.contextmanager
def exit_on_error(*, as_json: bool) -> Iterator[None]:
    """Report an error of the registry or of a local file, and end the command with its exit status."""
    try:
        yield
    except RegistryError as error:
        _end(problem(error), status(error), as_json=as_json)
    except UnicodeEncodeError:
        # Python decodes invalid bytes of the command line to surrogates, which cannot be encoded again.
        _end({"code": "invalid_text", "detail": "an argument is not valid UTF-8"}, Status.USAGE, as_json=as_json)
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        _end({"code": "file_error", "detail": str(error)}, Status.REFUSED, as_json=as_json)


def status(error: RegistryError) -> Status:
    """Return the exit status of an error."""
    if isinstance(error, RequestRefused):
        if error.code in {"digest_mismatch", "blob_damaged"}:
            return Status.DAMAGED
        if error.status is None:
            # The client found it before it sent a request: an argument breaks a rule.
            return Status.USAGE
    return _kind(error)[1]


def problem(error: RegistryError) -> dict[str, Any]:
    """Return the error as a problem (RFC 9457), with the additional members of this registry; omit empty members."""
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
        members["remedy"] = _repeat_remedy(error)
        members["idempotency_key"] = error.idempotency_key
    return {name: value for name, value in members.items() if value is not None and value != ""}


def _repeat_remedy(error: RegistryError) -> str:
    """Return the remedy for a change whose outcome is unknown: the options that repeat exactly this change."""
    options = f"--idempotency-key {error.idempotency_key}"
    sent = json.loads(error.operation.body or b"{}") if error.operation is not None else {}
    if sent.get("to") == "production" or "replacing" in sent:
        options += f" --replacing {sent.get('replacing') or 0}"
    return f"it is unknown if the change was made; to make it exactly once, run the same command again with {options}"


def write_problem(members: dict[str, Any], *, as_json: bool) -> None:
    """Write the problem of a failed command to standard error."""
    if as_json:
        click.echo(show.to_json(members), err=True)
        return
    err = show.stderr()
    err.print(show.text(f"✗ {members['detail']}", "bold red"), soft_wrap=True)
    if remedy := members.get("remedy"):
        err.print(show.text(f"  {remedy}"), soft_wrap=True)
    names = [members["code"], *([f"request {members['request_id']}"] if "request_id" in members else [])]
    err.print(show.text(f"  [{', '.join(names)}]", "dim"), soft_wrap=True)


def _end(members: dict[str, Any], status: Status, *, as_json: bool) -> None:
    write_problem(members, as_json=as_json)
    raise SystemExit(int(status))


def _kind(error: RegistryError) -> tuple[type[RegistryError], Status, str]:
    return next(kind for kind in _KINDS if isinstance(error, kind[0]))
