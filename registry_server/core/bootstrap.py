"""The first start: create the first admin and its token, because the registry has no default credential."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from common_lib.rules.access import PrincipalKind, Role
from registry_server.core import principals
from registry_server.core.environment import Environment
from registry_server.core.rights import Caller
from registry_server.core.writes import Outcome, WriteRequest, execute
from registry_server.domain import errors
from registry_server.domain.pages import Window
from registry_server.domain.principals import CreatePrincipal, CreateToken, Grant, IssuedToken, Principal
from registry_server.queries import Records

ADMIN = "admin"
# The actor in the events of the registry's own changes; the name is reserved.
REGISTRY = Caller(
    Principal(
        principals.RESERVED,
        PrincipalKind.SERVICE,
        [Grant(Role.ADMIN, "*")],
        1,
        principals.RESERVED,
        *[datetime(1970, 1, 1, tzinfo=UTC)] * 2,
    )
)
_VALID_DAYS = 365
_AGAIN_S = 0.05


async def ensure_admin(env: Environment, file: Path, write: Callable[[Path, bytes], None]) -> None:
    """Create the principal `admin` and its first token, unless they exist.

    `write` stores the token in `file`, which only its owner may read.

    The file is written before the row of the token. A crash in between leaves a token that the server does not accept,
    and the next start creates another. If several servers start on one database, only one of them creates the token.
    """
    read, now = env.database.read.principals, env.now()
    grants = [Grant(Role.ADMIN, "*")]
    itself = Caller(Principal(ADMIN, PrincipalKind.HUMAN, grants, 1, ADMIN, now, now))
    secret = principals.new_secret()

    async def create(records: Records, request: WriteRequest) -> Outcome[Principal]:
        return await principals.create(records, request, CreatePrincipal(ADMIN, PrincipalKind.HUMAN, grants))

    async def issue(records: Records, request: WriteRequest) -> Outcome[IssuedToken]:
        return await principals.issue_token(records, request, ADMIN, CreateToken(_VALID_DAYS), secret)

    def request(step: str) -> WriteRequest:
        # All servers use the same keys, so a second server gets the stored answer of the first one.
        return WriteRequest(itself, now, "first-start", f"first-start-{step}", step)

    while not await read.list_tokens(Window(1)):
        try:
            await execute(env, request("create"), create)
            write(file, f"{secret}\n".encode())
            issued = await execute(env, request("issue"), issue)
        except errors.RequestInFlight:
            # Another server may issue its token; then the token in this file is not valid.
            file.unlink(missing_ok=True)  # noqa: ASYNC240 - see below
            await asyncio.sleep(_AGAIN_S)
            continue
        if principals.digest(secret)[:16].encode() not in issued.body:
            file.unlink()  # noqa: ASYNC240 - at the start, before the server accepts requests
