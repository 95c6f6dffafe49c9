"""The last admin: no change may leave the registry without somebody who can administer it.

An admin counts if a grant gives the role on all models and at least one token of theirs is neither revoked nor expired.
"""

from datetime import datetime

from registry_server.core.ports import Records
from registry_server.core.rights import Caller, Right
from registry_server.domain import errors
from registry_server.domain.principals import Principal


async def lock_admins(records: Records, now: datetime) -> dict[str, set[str]]:
    """Return the ids of the usable tokens of each admin, and keep principals and tokens from other writers.

    Two admins who remove each other at the same time take turns, so the second one is refused.
    """
    await records.principals.lock()
    found: dict[str, set[str]] = {}
    for principal, token in await records.principals.list_usable_tokens(now):
        if Caller(principal).has_right(Right.ADMINISTER):
            found.setdefault(principal.name, set()).add(token.id)
    return found


def check_last_admin(caller: Caller, before: dict[str, set[str]], after: dict[str, set[str]], *, of: str) -> None:
    """Refuse a change after which nobody can administer the registry, unless the machine's owner forces it.

    Raises:
        LastAdmin: a registry that had no usable admin before is not concerned.
    """
    if caller.unguarded or not any(before.values()) or any(after.values()):
        return
    raise errors.LastAdmin(of)


def without_grants(admins: dict[str, set[str]], principal: Principal) -> dict[str, set[str]]:
    """Return the admins as they are once a principal has these grants."""
    if Caller(principal).has_right(Right.ADMINISTER):
        return admins
    return {name: tokens for name, tokens in admins.items() if name != principal.name}


def without_token(admins: dict[str, set[str]], token_id: str) -> dict[str, set[str]]:
    """Return the admins as they are once a token is revoked."""
    return {name: tokens - {token_id} for name, tokens in admins.items()}
