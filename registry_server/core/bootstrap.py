"""The first start: there is no default credential, so the first admin's token is made here."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from common_lib.rules.access import PrincipalKind, Role
from registry_server.core import principals
from registry_server.core.environment import Environment
from registry_server.core.ports import Records
from registry_server.core.rights import Caller
from registry_server.core.writes import Outcome, WriteRequest, execute
from registry_server.domain import errors
from registry_server.domain.pages import Window
from registry_server.domain.principals import CreatePrincipal, CreateToken, Grant, IssuedToken, Principal

ADMIN = "admin"
# Who stands as actor in the events of what the registry does by itself; nobody else can have the name.
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
    """Make the principal `admin` and its first token, once, and `write` the token to `file`, for its owner only.

    The file is written before the token's row: a crash in between leaves a token that nobody accepts, and the next
    start makes another. Of several servers that start on one database, one makes the token.
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
        # Keys that are the same everywhere: whoever comes second is answered with what the first one did.
        return WriteRequest(itself, now, "first-start", f"first-start-{step}", step)

    while not await read.list_tokens(Window(1)):
        try:
            await execute(env, request("create"), create)
            write(file, f"{secret}\n".encode())
            issued = await execute(env, request("issue"), issue)
        except errors.RequestInFlight:
            # Whoever is at it may win: then nobody accepts the token that was written here.
            file.unlink(missing_ok=True)  # noqa: ASYNC240 - see below
            await asyncio.sleep(_AGAIN_S)
            continue
        if principals.digest(secret)[:16].encode() not in issued.body:
            file.unlink()  # noqa: ASYNC240 - at the start, before anybody is served
