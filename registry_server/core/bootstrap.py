"""The first start: there is no default credential, so the first admin's token is made here."""

import os
from pathlib import Path

from registry_server.core import principals
from registry_server.core.acts import Act, Outcome, Ports, perform
from registry_server.core.ports import Records
from registry_server.core.rights import Caller
from registry_server.domain.principals import (
    CreatePrincipal,
    CreateToken,
    Grant,
    IssuedToken,
    Principal,
    PrincipalKind,
    Role,
)

ADMIN = "admin"
_VALID_DAYS = 365


async def ensure_admin(ports: Ports, file: Path) -> None:
    """Make the principal `admin` and its token, once, and write the token to `file` (0600).

    The file is written before the rows, so that a crash in between leaves no admin whose token nobody knows: the
    next start makes another.
    """
    if await ports.database.read.principals.get(ADMIN) is not None:
        return
    now = ports.now()
    grants = [Grant(Role.ADMIN)]
    itself = Principal(ADMIN, PrincipalKind.HUMAN, grants, 1, ADMIN, now, now)
    secret = principals.new_secret()
    _write_private(file, secret)

    async def create(records: Records, act: Act) -> Outcome[Principal]:
        return await principals.create(records, act, CreatePrincipal(ADMIN, PrincipalKind.HUMAN, grants))

    async def issue(records: Records, act: Act) -> Outcome[IssuedToken]:
        return await principals.issue(records, act, ADMIN, CreateToken(_VALID_DAYS), secret)

    for step, use_case in (("create", create), ("issue", issue)):
        await perform(ports, Act(Caller(itself), now, "first-start", f"first-start-{step}", step), use_case)


def _write_private(file: Path, secret: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(secret + "\n")
        stream.flush()
        os.fsync(stream.fileno())
