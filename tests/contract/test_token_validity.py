"""Validity of tokens and grants: exact expiry, revocation by another server, and upper-case letters."""

import time
import uuid
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from common_lib import Grant, HttpRegistry, Role
from registry_server.api import authentication
from registry_server.core import principals
from registry_server.core.writes import WriteRequest, execute
from registry_server.domain import errors
from registry_server.testing import TestBackend


def test_a_token_is_refused_from_its_expiry_on(
    model_registry: HttpRegistry, model_registry_backend: TestBackend
) -> None:
    """A token is valid until one microsecond before its expiry."""
    issued = model_registry.principals.issue_token("admin", valid_days=1)
    call, database = model_registry_backend._portal.call, model_registry_backend.env.database
    end = issued.token.expires_at
    token, _ = call(principals.authenticate, database, issued.secret or "", end - timedelta(microseconds=1))
    assert token.id == issued.token.id
    with pytest.raises(errors.Unauthenticated):
        call(principals.authenticate, database, issued.secret or "", end)


@pytest.mark.parametrize("pattern", ["EURUSD-*", "EurUsd-Direction", "eurusd-direction", "e*", "*"])
def test_capitals_in_a_grant_make_no_difference(
    model_registry: HttpRegistry, model_registry_backend: TestBackend, pattern: str
) -> None:
    """A grant matches a model without regard to upper-case letters, in a read and in a search."""
    for name in ("EURUSD-Direction", "gbpusd-direction"):
        model_registry.models.create(name, "regression")
    with model_registry_backend.registry("analysis", models=pattern) as registry:
        assert registry.models.get("EURUSD-Direction").revision == 1
        found = [model.name for model in registry.models.search()]
        assert found == (["EURUSD-Direction", "gbpusd-direction"] if pattern == "*" else ["EURUSD-Direction"])


def test_a_token_revoked_by_another_server_is_refused_within_five_seconds(
    model_registry: HttpRegistry, model_registry_backend: TestBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each server reads its callers again without a message from the other server."""
    model_registry.principals.create("bob", "service", [Grant(role=Role.ANALYSIS, models="*")])
    issued = model_registry.principals.issue_token("bob")
    env, token = model_registry_backend.env, model_registry_backend.token()
    client: Any = model_registry._transport._open()

    def get_status() -> int:
        headers = {"authorization": f"Bearer {issued.secret}"}
        status: int = client.get("/v1/whoami", headers=headers).status_code
        return status

    async def revoke_elsewhere() -> None:
        _, admin = await principals.authenticate(env.database, token, env.now())
        request = WriteRequest(admin, env.now(), "elsewhere", uuid.uuid4().hex, "revoke")
        await execute(env, request, lambda records, by: principals.revoke_token(records, by, issued.token.id))

    assert get_status() == 200
    model_registry_backend._portal.call(revoke_elsewhere)
    later = time.monotonic() + 5.0
    monkeypatch.setattr(authentication, "time", SimpleNamespace(monotonic=lambda: later))
    assert get_status() == 401
