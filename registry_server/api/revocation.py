"""Ends a long transfer if its token, or a grant of its caller, was revoked after the transfer began."""

from collections.abc import Sequence
from typing import Any

from registry_server.api.authentication import Authenticator, find_caller
from registry_server.api.telemetry import find_header
from registry_server.core.rights import Caller
from registry_server.domain import errors


async def end_revoked_requests(connections: Sequence[Any], authenticator: Authenticator) -> None:
    """Authenticate the running request of each connection again, and end it if its caller has lost a grant."""
    for connection in connections:
        cycle = connection.running
        before = find_caller(cycle.scope)
        if before is None:
            continue  # not authenticated, so there is nothing to revoke
        try:
            now = await authenticator.authenticate(find_header(cycle.scope, b"authorization"))
        except errors.Unauthenticated as refusal:
            connection.revoke(cycle, refusal)
        except errors.RegistryError:
            continue  # the database is not available: the next check comes in a moment
        else:
            if _has_lost(before, now):
                connection.revoke(cycle, errors.GrantRemoved(before.name))


def _has_lost(before: Caller, now: Caller) -> bool:
    return any(grant not in now.principal.grants for grant in before.principal.grants)
