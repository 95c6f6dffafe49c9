"""Queries of principals and their tokens."""

from datetime import datetime

from registry_server.domain.base import to_micros
from registry_server.domain.pages import Window
from registry_server.domain.principals import Principal, Token
from registry_server.queries.rows import Table
from registry_server.queries.sql import Queries

PRINCIPALS = Table("principals", Principal)
TOKENS = Table("tokens", Token)


class PrincipalRecords(Queries):
    """Queries of principals and their tokens."""

    async def find(self, name: str) -> Principal | None:
        """Return the principal with that name, or None."""
        row = await self._sql.fetch_one(f"SELECT {PRINCIPALS.select} FROM principals WHERE name = ?1", name)
        return None if row is None else PRINCIPALS.read(row)

    async def list_page(self, window: Window) -> list[Principal]:
        """Return the principals of one window, sorted by name, and one more principal if there is a next page."""
        after = window.after[0] if window.after else ""
        rows = await self._sql.fetch(
            f"SELECT {PRINCIPALS.select} FROM principals WHERE name > ?1 ORDER BY name LIMIT ?2",
            after,
            window.limit + 1,
        )
        return [PRINCIPALS.read(row) for row in rows]

    async def insert(self, principal: Principal) -> bool:
        """Insert the principal; return False if a principal with its name exists."""
        values = PRINCIPALS.values(principal)
        return await self._sql.execute(f"{PRINCIPALS.insert} ON CONFLICT DO NOTHING", *values) == 1

    async def update(self, before: Principal, principal: Principal) -> bool:
        """Store `principal` if the stored principal has the revision of `before`; return False otherwise."""
        row = dict(zip(PRINCIPALS.stored, PRINCIPALS.values(principal), strict=True))
        changed = await self._sql.execute(
            "UPDATE principals SET grants = ?3, revision = ?4, updated_at = ?5 WHERE name = ?1 AND revision = ?2",
            principal.name,
            before.revision,
            *(row[column] for column in ("grants", "revision", "updated_at")),
        )
        return changed == 1

    async def lock(self) -> None:
        """Lock all principals and tokens against other writers until this transaction ends."""
        # This row always exists, and no other statement locks it.
        await self._sql.fetch_one("SELECT value FROM meta WHERE key = 'source' FOR UPDATE")

    async def list_usable_tokens(self, now: datetime) -> list[tuple[Principal, Token]]:
        """Return the tokens of admins that are neither revoked nor expired, each with its principal."""
        rows = await self._sql.fetch(
            f"SELECT {PRINCIPALS.select}, {TOKENS.select} FROM principals JOIN tokens"
            " ON tokens.principal = principals.name"
            " WHERE tokens.revoked_at IS NULL AND tokens.expires_at > ?1 AND principals.grants LIKE '%\"admin\"%'",
            to_micros(now),
        )
        split = len(PRINCIPALS.stored)
        return [(PRINCIPALS.read(row[:split]), TOKENS.read(row[split:])) for row in rows]

    async def find_token(self, token_id: str) -> Token | None:
        """Return the token with that id, or None."""
        row = await self._sql.fetch_one(f"SELECT {TOKENS.select} FROM tokens WHERE id = ?1", token_id)
        return None if row is None else TOKENS.read(row)

    async def list_tokens(self, window: Window) -> list[Token]:
        """Return the tokens of one window, sorted by id, and one more token if there is a next page."""
        after = window.after[0] if window.after else ""
        rows = await self._sql.fetch(
            f"SELECT {TOKENS.select} FROM tokens WHERE id > ?1 ORDER BY id LIMIT ?2", after, window.limit + 1
        )
        return [TOKENS.read(row) for row in rows]

    async def insert_token(self, token: Token, secret_sha256: str) -> None:
        """Insert a token and the digest of its secret."""
        columns = [*TOKENS.stored, "secret_sha256"]
        marks = ", ".join(f"?{n}" for n in range(1, len(columns) + 1))
        await self._sql.execute(
            f"INSERT INTO tokens ({', '.join(columns)}) VALUES ({marks})", *TOKENS.values(token), secret_sha256
        )

    async def revoke_token(self, token_id: str, at: datetime) -> bool:
        """Revoke the token; return False if the token was already revoked."""
        statement = "UPDATE tokens SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL"
        return await self._sql.execute(statement, token_id, to_micros(at)) == 1

    async def find_by_secret(self, secret_sha256: str) -> tuple[Token, Principal] | None:
        """Return the token whose secret has this digest, and its principal; or None."""
        row = await self._sql.fetch_one(
            f"SELECT {TOKENS.select}, {PRINCIPALS.select} FROM tokens JOIN principals"
            " ON principals.name = tokens.principal WHERE tokens.secret_sha256 = ?1",
            secret_sha256,
        )
        if row is None:
            return None
        split = len(TOKENS.stored)
        return TOKENS.read(row[:split]), PRINCIPALS.read(row[split:])
