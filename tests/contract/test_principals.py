"""Principals and tokens, through every client on every engine."""

import pytest

from common_lib import Grant, ModelRegistry, Role
from common_lib.errors import AlreadyExists, InvalidRequest, PrincipalNotFound, TokenNotFound


def test_the_secret_of_a_token_is_returned_once(registry: ModelRegistry, name: str) -> None:
    """Lists contain the token without its secret."""
    principal = registry.principals.create(name, "service", [Grant(role=Role.ANALYSIS, models="eurusd-*")])
    assert registry.principals.get(name) == principal
    issued = registry.principals.issue_token(name, valid_days=1)
    assert issued.secret is not None
    assert issued.secret.startswith("mrg_")
    assert issued.secret not in repr(issued)
    listed = {token.id: token for token in registry.principals.tokens()}
    assert listed[issued.token.id] == issued.token
    assert (issued.token.expires_at - issued.token.created_at).days == 1


def test_a_revoked_token_stays_revoked(registry: ModelRegistry, name: str) -> None:
    """A second revocation changes nothing."""
    registry.principals.create(name, "human", [])
    token = registry.principals.issue_token(name).token
    revoked = registry.principals.revoke_token(token.id)
    assert revoked.revoked_at is not None
    assert registry.principals.revoke_token(token.id) == revoked


def test_grants_are_replaced_by_compare_and_set(registry: ModelRegistry, name: str) -> None:
    """The revision increases with each change."""
    registry.principals.create(name, "human", [])
    updated = registry.principals.update(name, [Grant(role=Role.AUDITOR, models="*")], revision=1)
    assert updated.grants == [Grant(role=Role.AUDITOR, models="*")]
    assert updated.revision == 2
    assert [one.name for one in registry.principals.search(page_size=1) if one.name == name] == [name]


def test_names_of_principals_are_unique(registry: ModelRegistry, name: str) -> None:
    """A missing principal is not found."""
    registry.principals.create(name, "human", [])
    with pytest.raises(AlreadyExists):
        registry.principals.create(name, "service", [])
    with pytest.raises(PrincipalNotFound):
        registry.principals.get(f"{name}-other")
    with pytest.raises(TokenNotFound):
        registry.principals.revoke_token("0" * 16)


@pytest.mark.parametrize("wrong", ["", "Admin", "a b", "a\n", "x" * 65, "-a"])
def test_invalid_names_of_principals_are_refused(registry: ModelRegistry, wrong: str) -> None:
    """The names are the actors in the log."""
    with pytest.raises(InvalidRequest):
        registry.principals.create(wrong, "human", [])
