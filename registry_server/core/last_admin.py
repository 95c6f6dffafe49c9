"""The last admin: refuse changes that leave the registry without a usable admin.

An admin is usable if a grant gives the role on all models and at least one token is neither revoked nor expired.
"""

from datetime import datetime

from registry_server.core.rights import Caller, Right
from registry_server.domain import errors
from registry_server.domain.principals import Principal
from registry_server.queries import Records


async def lock_admins(records: Records, now: datetime) -> dict[str, set[str]]:
    """Lock principals and tokens, and return the ids of the usable tokens of each admin.

    If two admins remove each other at the same time, the lock makes one change wait for the other, and the later change
    is refused.
    """
    await records.principals.lock()
    found: dict[str, set[str]] = {}
    for principal, token in await records.principals.list_usable_tokens(now):
        if Caller(principal).has_right(Right.ADMINISTER):
            found.setdefault(principal.name, set()).add(token.id)
    return found


def check_last_admin(caller: Caller, before: dict[str, set[str]], after: dict[str, set[str]], *, of: str) -> None:
    """Check that a usable admin remains after a change, unless the owner of the server's machine forces it.

    Raises:
        LastAdmin: the change removes the last usable admin.
    """
    if caller.unguarded or not any(before.values()) or any(after.values()):
        return
    raise errors.LastAdmin(of)


def without_grants(admins: dict[str, set[str]], principal: Principal) -> dict[str, set[str]]:
    """Return the admins that remain if a principal gets these grants."""
    if Caller(principal).has_right(Right.ADMINISTER):
        return admins
    return {name: tokens for name, tokens in admins.items() if name != principal.name}


def without_token(admins: dict[str, set[str]], token_id: str) -> dict[str, set[str]]:
    """Return the admins that remain if a token is revoked."""
    return {name: tokens - {token_id} for name, tokens in admins.items()}
