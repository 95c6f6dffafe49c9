"""Use cases for principals and tokens: create and update principals, and issue, revoke and authenticate tokens."""

import hashlib
import secrets
import string
import zlib
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from common_lib.rules import names
from common_lib.rules.access import check_grants
from registry_server.core import changes, last_admin, pages
from registry_server.core.ports import Database
from registry_server.core.rights import Caller, Right
from registry_server.core.writes import Outcome, WriteRequest
from registry_server.domain import errors
from registry_server.domain.base import Page, PrincipalName
from registry_server.domain.principals import (
    CreatePrincipal,
    CreateToken,
    Grant,
    IssuedToken,
    Principal,
    Token,
    UpdatePrincipal,
)
from registry_server.queries import Records

RESERVED = "registry"
_ALPHABET = string.ascii_letters + string.digits
_SECRET_LENGTH = 43
_TokenId = Annotated[str, msgspec.Meta(pattern=names.TOKEN_ID)]


def key(name: str) -> str:
    """Return the key that identifies a principal in events."""
    return f"principals/{name}"


def token_key(token_id: str) -> str:
    """Return the key that identifies a token in events."""
    return f"tokens/{token_id}"


def new_secret() -> str:
    """Create a secret: `mrg_`, 43 random letters and digits (256 bits), and a checksum that detects typing errors."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))
    return f"mrg_{body}{_checksum(body)}"


def digest(secret: str) -> str:
    """Return the digest of a secret, which is stored instead of the secret.

    Secrets are random, so no salt is needed.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def token_id(secret: str) -> str:
    """Compute the id of a token from its secret; the token need not exist."""
    return digest(secret)[:16]


def is_well_formed(secret: str) -> bool:
    """Return whether a secret has the form and the checksum of a secret of the registry."""
    return secret.isascii() and secret.startswith("mrg_") and secret[-6:] == _checksum(secret[4:-6])


async def authenticate(database: Database, secret: str, now: datetime) -> tuple[Token, Caller]:
    """Return the token that has this secret, and the caller that the token belongs to.

    Raises:
        Unauthenticated: the secret is malformed, unknown, expired or revoked; the error does not reveal which.
    """
    if is_well_formed(secret):
        found = await database.read.principals.find_by_secret(digest(secret))
        if found is not None and found[0].revoked_at is None and now < found[0].expires_at:
            return found[0], Caller(found[1], found[0].id)
    raise errors.TokenNotValid


async def get(database: Database, caller: Caller, name: str) -> Principal:
    """Return the principal with that name. A principal may always read its own entry."""
    if name != caller.name:
        caller.check_right(Right.ADMINISTER)
    return await _get(database.read, name)


async def list_page(database: Database, caller: Caller, limit: int, page_token: str | None) -> Page[Principal]:
    """Return one page of the principals, sorted by name."""
    caller.check_right(Right.ADMINISTER)
    window = pages.window(limit, page_token, ("principals",), tuple[PrincipalName])
    fetch = database.read.principals.list_page
    return await pages.collect(fetch, window, ("principals",), lambda principal: (principal.name,))


async def list_tokens(database: Database, caller: Caller, limit: int, page_token: str | None) -> Page[Token]:
    """Return one page of the tokens, sorted by id, without their secrets."""
    caller.check_right(Right.ADMINISTER)
    window = pages.window(limit, page_token, ("tokens",), tuple[_TokenId])
    return await pages.collect(database.read.principals.list_tokens, window, ("tokens",), lambda row: (row.id,))


async def create(records: Records, request: WriteRequest, command: CreatePrincipal) -> Outcome[Principal]:
    """Create a principal: a human or a service."""
    request.caller.check_right(Right.ADMINISTER)
    names.check_new_principal_name(command.name)
    if command.name == RESERVED:
        raise errors.PrincipalNameReserved(RESERVED)
    principal = Principal(
        name=command.name,
        kind=command.kind,
        grants=_validate(command.grants),
        revision=1,
        created_by=request.caller.name,
        created_at=request.at,
        updated_at=request.at,
    )
    if not await records.principals.insert(principal):
        raise errors.PrincipalExists(command.name)
    change = changes.created("principal.created", key(principal.name), principal)
    return Outcome(principal, change, status=201, location=f"/v1/principals/{principal.name}")


async def update(records: Records, request: WriteRequest, name: str, command: UpdatePrincipal) -> Outcome[Principal]:
    """Replace the grants of a principal; the new grants apply to its tokens at once."""
    request.caller.check_right(Right.ADMINISTER)
    admins = await last_admin.lock_admins(records, request.at)
    found = await _get(records, name)
    request.check_revision(found.revision, command.reason)
    grants = _validate(command.grants)
    if grants == found.grants:
        return Outcome(found, None)
    after = msgspec.structs.replace(found, grants=grants, revision=found.revision + 1, updated_at=request.at)
    last_admin.check_last_admin(request.caller, admins, last_admin.without_grants(admins, after), of=name)
    if not await records.principals.update(found, after):
        raise errors.ChangedMeanwhile("principal")
    step = (key(name), found, after)
    return Outcome(after, changes.changed("principal.updated", step, reason=command.reason, forced=request.forced))


async def issue_token(
    records: Records, request: WriteRequest, name: str, command: CreateToken, secret: str
) -> Outcome[IssuedToken]:
    """Issue a token for a principal; only the first answer contains the secret."""
    request.caller.check_right(Right.ADMINISTER)
    principal = await _get(records, name)
    hashed = digest(secret)
    token = Token(
        id=token_id(secret),
        principal=principal.name,
        created_by=request.caller.name,
        created_at=request.at,
        expires_at=request.at + timedelta(days=command.valid_days),
        revoked_at=None,
    )
    await records.principals.insert_token(token, hashed)
    change = changes.created("token.issued", token_key(token.id), token)
    return Outcome(IssuedToken(token, secret), change, status=201, replay_entity=IssuedToken(token, None))


async def revoke_token(records: Records, request: WriteRequest, token_id: str) -> Outcome[Token]:
    """Revoke a token; revoking it again changes nothing."""
    request.caller.check_right(Right.ADMINISTER)
    names.check_token_id(token_id)
    admins = await last_admin.lock_admins(records, request.at)
    token = await records.principals.find_token(token_id)
    if token is None:
        raise errors.TokenNotFound(token_id)
    remaining = last_admin.without_token(admins, token_id)
    last_admin.check_last_admin(request.caller, admins, remaining, of=token.principal)
    if not await records.principals.revoke_token(token_id, request.at):
        return Outcome(await records.principals.find_token(token_id) or token, None)
    after = msgspec.structs.replace(token, revoked_at=request.at)
    return Outcome(after, changes.changed("token.revoked", (token_key(token_id), token, after)))


def _validate(grants: list[Grant]) -> list[Grant]:
    check_grants([(grant.role, grant.models) for grant in grants])
    return grants


async def _get(records: Records, name: str) -> Principal:
    found = await records.principals.find(names.check_principal_name(name))
    if found is None:
        raise errors.PrincipalNotFound(name)
    return found


def _checksum(body: str) -> str:
    rest, text = zlib.crc32(body.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, len(_ALPHABET))
        text += _ALPHABET[digit]
    return text
