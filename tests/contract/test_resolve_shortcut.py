"""The shortcut for resolves returns the same responses as the ordinary handler of the route."""

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
    """Provide a model with a version in production and one with an alias."""
    with server.registry() as registry:
        registry.models.create(name, "regression")
        promoted(registry, name)
        version_of(registry, name)
        registry.aliases.create(name, "champion", 2)
    return name


def bypass_shortcut(name: str) -> str:
    """Encode the first letter of a name, so that the ordinary handler gets the request."""
    return f"%{ord(name[0]):02X}{name[1:]}"


def comparable_parts(answer: httpx.Response) -> tuple[Any, ...]:
    """Return the parts of a response that must be equal: all except the request id and the date."""
    headers = {field: value for field, value in answer.headers.items() if field not in {"x-request-id", "date"}}
    return answer.status_code, headers, re.sub(r'"request_id":"[^"]*"', "", answer.text)


@pytest.mark.parametrize("selector", SELECTORS)
def test_both_paths_return_the_same_response(server: Server, model: str, selector: str) -> None:
    """Status, headers and body are equal with and without a token and for each kind of If-None-Match."""
    with httpx.Client(base_url=server.url) as client:
        authorized = {"authorization": f"Bearer {server.token}"}
        etag = client.get(f"/v1/models/{model}/resolve/{selector}", headers=authorized).headers.get("etag", '"9.9"')
        request_headers = [authorized, {}, {"authorization": "Bearer mrg_wrong"}]
        request_headers += [authorized | {"if-none-match": known} for known in (etag, f'W/{etag}, "9.9"', '"9.9"', "*")]
        for headers in request_headers:
            fast, slow = (
                client.get(f"/v1/models/{path}/resolve/{selector}", headers=headers)
                for path in (model, bypass_shortcut(model))
            )
            assert comparable_parts(fast) == comparable_parts(slow)


def test_both_paths_are_counted_as_one_route(server: Server, model: str) -> None:
    """Both paths have the same labels in the metrics."""
    label = 'registry_request_seconds_count{method="GET",route="/v1/models/{name}/resolve/{selector}",status="200"} '
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {server.token}"}) as client:

        def counted() -> float:
            line = next((line for line in client.get("/metrics").text.splitlines() if line.startswith(label)), "0")
            return float(line.rpartition(" ")[2])

        before = counted()
        for path in (model, bypass_shortcut(model)):
            assert client.get(f"/v1/models/{path}/resolve/production").is_success
        assert counted() == before + 2


def test_an_unknown_query_parameter_is_refused(server: Server, model: str) -> None:
    """The shortcut refuses a query parameter like the ordinary handler."""
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {server.token}"}) as client:
        assert client.get(f"/v1/models/{model}/resolve/production?when=now").status_code == 422


def test_a_hidden_model_is_reported_as_missing(server: Server, model: str) -> None:
    """The shortcut sends 404 for a model that the caller must not see."""
    with server.registry() as admin:
        principal = f"stranger-{model[-8:]}"
        admin.principals.create(principal, "service", [Grant(role=Role.STRATEGY, models="other-*")])
        token = admin.principals.issue_token(principal).secret
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {token}"}) as client:
        answer = client.get(f"/v1/models/{model}/resolve/production")
    assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")
