"""Resolves are answered in a fast lane, and by the handler of their route; nobody can tell which of them it was."""

import re
from typing import Any

import httpx
import pytest

from common_lib import Grant, Role
from tests.conftest import Server
from tests.support.steps import promoted, version_of

SELECTORS = ["production", "latest", "1", "@champion", "archived", "7", "@nobody", "@latest", "0", "nonsense"]


@pytest.fixture
def model(server: Server, name: str) -> str:
    """A model with a version in production and one that an alias points at."""
    with server.registry() as registry:
        registry.models.create(name, "regression")
        promoted(registry, name)
        version_of(registry, name)
        registry.aliases.create(name, "champion", 2)
    return name


def spelt(name: str) -> str:
    """The same name, its first letter encoded: no fast lane takes that."""
    return f"%{ord(name[0]):02X}{name[1:]}"


def comparable_parts(answer: httpx.Response) -> tuple[Any, ...]:
    """Return the parts of a response that must be equal: all but the id of the request and the time."""
    headers = {field: value for field, value in answer.headers.items() if field not in {"x-request-id", "date"}}
    return answer.status_code, headers, re.sub(r'"request_id":"[^"]*"', "", answer.text)


@pytest.mark.parametrize("selector", SELECTORS)
def test_both_paths_return_the_same_response(server: Server, model: str, selector: str) -> None:
    """Status, headers and body; also to those who have it, to those who have another, and to those without a token."""
    with httpx.Client(base_url=server.url) as client:
        authorized = {"authorization": f"Bearer {server.token}"}
        etag = client.get(f"/v1/models/{model}/resolve/{selector}", headers=authorized).headers.get("etag", '"9.9"')
        request_headers = [authorized, {}, {"authorization": "Bearer mrg_wrong"}]
        request_headers += [authorized | {"if-none-match": known} for known in (etag, f'W/{etag}, "9.9"', '"9.9"', "*")]
        for headers in request_headers:
            fast, slow = (
                client.get(f"/v1/models/{path}/resolve/{selector}", headers=headers) for path in (model, spelt(model))
            )
            assert comparable_parts(fast) == comparable_parts(slow)


def test_both_paths_are_counted_as_one_route(server: Server, model: str) -> None:
    """In the metrics they have the same labels."""
    label = 'registry_request_seconds_count{method="GET",route="/v1/models/{name}/resolve/{selector}",status="200"} '
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {server.token}"}) as client:

        def counted() -> float:
            line = next((line for line in client.get("/metrics").text.splitlines() if line.startswith(label)), "0")
            return float(line.rpartition(" ")[2])

        before = counted()
        for path in (model, spelt(model)):
            assert client.get(f"/v1/models/{path}/resolve/production").is_success
        assert counted() == before + 2


def test_a_query_is_not_ignored(server: Server, model: str) -> None:
    """An unknown parameter is refused."""
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {server.token}"}) as client:
        assert client.get(f"/v1/models/{model}/resolve/production?when=now").status_code == 422


def test_a_hidden_model_is_reported_as_missing(server: Server, model: str) -> None:
    """In the fast lane too."""
    with server.registry() as admin:
        principal = f"stranger-{model[-8:]}"
        admin.principals.create(principal, "service", [Grant(role=Role.STRATEGY, models="other-*")])
        token = admin.principals.issue_token(principal).secret
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {token}"}) as client:
        answer = client.get(f"/v1/models/{model}/resolve/production")
    assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")
