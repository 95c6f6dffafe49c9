"""The last admin cannot be removed, except with --force by the owner of the machine."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from common_lib import Grant, HttpRegistry, Role
from common_lib.errors import Conflict, RequestRefused
from registry_server.serving import running
from registry_server.settings import Settings
from tests.security.worlds import World, open_world
from tests.support.cli import operate

ADMIN = Grant(role=Role.ADMIN, models="*")


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Provide a registry with one admin and other principals, on each engine."""
    with open_world(request) as found:
        yield found


@pytest.fixture
def admin(world: World) -> Iterator[HttpRegistry]:
    """Open the registry as the first admin."""
    with world.backend.registry() as found:
        yield found


@pytest.mark.parametrize(
    "grants",
    [
        [],
        [Grant(role=Role.ADMIN, models="eurusd-*")],
        [Grant(role=Role.AUDITOR, models="*"), Grant(role=Role.INTEGRATION, models="*")],
    ],
)
def test_the_grant_of_the_last_admin_cannot_be_removed(world: World, admin: HttpRegistry, grants: list[Grant]) -> None:
    """Force does not help; nothing is changed, and the error has a remedy."""
    seen = admin.principals.get("admin")
    for how in ({"revision": seen.revision}, {"force": True}):
        with pytest.raises(Conflict) as refused:
            admin.principals.update("admin", grants, reason="less", **how)  # type: ignore[arg-type]
        assert (refused.value.code, refused.value.status, refused.value.value) == ("last_admin", 409, "admin")
        assert "--force" in refused.value.remedy
        assert "role admin on *" in refused.value.remedy
    assert admin.principals.get("admin") == seen


def tokens_of(admin: HttpRegistry, name: str) -> list[str]:
    """Return the ids of the tokens of a principal that are not revoked."""
    return [t.id for t in admin.principals.tokens() if t.principal == name and t.revoked_at is None]


def test_the_last_token_of_the_last_admin_cannot_be_revoked(world: World, admin: HttpRegistry) -> None:
    """One of several tokens can be revoked; an admin without a valid token does not count as another admin."""
    (first,) = tokens_of(admin, "admin")
    admin.principals.create("other", "human", [ADMIN])
    with pytest.raises(Conflict, match="last_admin"):
        admin.principals.revoke_token(first)
    second = admin.principals.issue_token("admin").token.id
    admin.principals.revoke_token(second)
    with pytest.raises(Conflict, match="last_admin"):
        admin.principals.revoke_token(first)
    admin.principals.issue_token("other")
    assert admin.principals.revoke_token(first).revoked_at is not None


def test_an_admin_whose_tokens_have_expired_does_not_count(world: World, admin: HttpRegistry) -> None:
    """The admin counts until the token expires."""
    admin.principals.create("other", "human", [ADMIN])
    admin.principals.issue_token("other", valid_days=1)
    (first,) = tokens_of(admin, "admin")
    world.advance_clock(timedelta(days=1, seconds=5))
    with pytest.raises(Conflict, match="last_admin"):
        admin.principals.revoke_token(first)
    with pytest.raises(Conflict, match="last_admin"):
        admin.principals.update("admin", [], reason="goodbye", force=True)


def test_a_change_that_leaves_an_admin_is_made(world: World, admin: HttpRegistry) -> None:
    """Another principal, or one of two admins, can lose the role."""
    admin.principals.create("other", "human", [ADMIN])
    admin.principals.issue_token("other")
    admin.principals.update("other", [], reason="moved on", force=True)
    admin.principals.update("other", [ADMIN], reason="back", force=True)
    after = admin.principals.update("admin", [Grant(role=Role.AUDITOR, models="*")], reason="moved on", force=True)
    assert [grant.role for grant in after.grants] == [Role.AUDITOR]


@pytest.mark.parametrize("how", ["grants", "tokens"])
def test_of_two_admins_who_remove_each_other_one_is_left(world: World, admin: HttpRegistry, how: str) -> None:
    """The second change is refused."""
    admin.principals.create("other", "human", [ADMIN])
    admin.principals.issue_token("other")
    tokens = {name: tokens_of(admin, name)[0] for name in ("admin", "other")}

    def remove(name: str) -> bool:
        try:
            if how == "grants":
                admin.principals.update(name, [], reason="goodbye", force=True)
            else:
                admin.principals.revoke_token(tokens[name])
        except RequestRefused:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(remove, ("admin", "other")))
    assert done.count(True) == 1


def test_the_owner_of_the_machine_can_remove_the_last_admin_by_force(tmp_path: Path) -> None:
    """This works only with `--force` and while no server runs; a new token for an admin is created in the same way."""
    data = tmp_path / "data"
    operate("migrate", "--data", data)
    where = ["--data", str(data)]
    update = ["principal", "update", "admin", *where, "--remove-grant", "admin:*", "--reason", "leaving"]
    assert "last_admin" in operate(*update, status=1).stderr
    with running(Settings(data=data, port=0, access_log=False)):
        assert "last_admin" in operate(*update, "--force", status=1).stderr
    (token,) = [line for line in operate("token", "list", *where).stdout.split() if len(line) == 16 and line.isalnum()]
    assert "last_admin" in operate("token", "revoke", *where, token, status=1).stderr
    operate("token", "revoke", *where, token, "--force")
    operate("token", "create", *where, "--name", "admin")
    operate(*update, "--force")
    operate("principal", "update", "admin", *where, "--role", "admin", "--reason", "back")
