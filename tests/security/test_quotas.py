"""Rate limits and quotas for peers and principals."""

import hashlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from common_lib import Grant, HttpRegistry, PrincipalKind, RegistryConfig, Role
from common_lib.errors import RateLimited
from registry_server.api.rate_limits import TokenBuckets
from registry_server.core.principals import new_secret
from registry_server.settings import Settings
from tests.security.servers import Running, lines, serving

MIB = 2**20
WRONG, BURST, UPLOADS, ANNOUNCED = 5, 64 * 1024, 4, 10 * MIB


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Start one server whose quotas are small enough for tests to exceed."""
    quotas = {"wrong_tokens_per_min": WRONG, "write_bytes_per_s": 1024, "write_burst_bytes": BURST}
    uploads = {"max_open_uploads": UPLOADS, "max_announced_bytes": ANNOUNCED}
    with serving(tmp_path_factory.mktemp("quotas"), **quotas, **uploads) as running:
        yield running


@pytest.fixture(scope="module")
def http(running: Running) -> Iterator[httpx.Client]:
    """Provide one HTTP client for all requests."""
    with httpx.Client(base_url=running.inside.url) as client:
        yield client


@pytest.fixture
def token(running: Running) -> str:
    """Provide the token of a new principal that has used none of its quotas."""
    with HttpRegistry(RegistryConfig(url=running.inside.url, token=running.outside.token)) as registry:
        name = f"p-{uuid.uuid4().hex[:8]}"
        registry.principals.create(name, PrincipalKind.SERVICE, [Grant(role=Role.WORKBENCH, models="*")])
        return registry.principals.issue_token(name).secret or ""


def send(http: httpx.Client, token: str, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    """Send a request with a token and a fresh idempotency key."""
    usual = {"authorization": f"Bearer {token}", "idempotency-key": uuid.uuid4().hex}
    return http.request(method, path, json=body, headers=usual | headers)


LIMITED = {"too_many_failures": "peer", "rate_limited": "principal", "quota_exceeded": "size"}


def assert_limited(answer: httpx.Response, code: str) -> None:
    """Fail unless the response is a 429 with this code, its field, a remedy and the time to retry."""
    assert (answer.status_code, answer.json()["code"]) == (429, code), answer.text
    assert answer.json()["field"] == LIMITED[code]
    assert 1 <= int(answer.headers["retry-after"]) <= 120
    assert answer.json()["remedy"]


def test_wrong_tokens_are_limited_and_a_valid_one_passes(running: Running, http: httpx.Client, token: str) -> None:
    """Wrong tokens of any form count; a valid token from the same address still works."""
    wrong = ["mrg_x", new_secret(), "-", new_secret(), "x" * 500, token[:-1], token + "x", token.upper(), new_secret()]
    with lines() as log:
        answers = [send(http, secret, "GET", "/v1/whoami") for secret in wrong * 2]
        assert [answer.status_code for answer in answers[:WRONG]] == [401] * WRONG
        for answer in answers[WRONG:]:
            assert_limited(answer, "too_many_failures")
            assert answer.json()["field"] == "peer"
        assert send(http, token, "GET", "/v1/whoami").status_code == 200
        assert running.outside.get("/v1/whoami").status_code == 200
        # A request without a token is not an attempt to guess one, so it does not count.
        assert http.get("/v1/whoami").status_code == 401
    assert len(log.security(status=429, code="too_many_failures")) == len(wrong) * 2 - WRONG


def test_a_client_with_an_invalid_token_gets_retry_after(running: Running, http: httpx.Client) -> None:
    """The client raises RateLimited, which is retryable, instead of an authentication error."""
    for _ in range(WRONG + 1):
        send(http, new_secret(), "GET", "/v1/whoami")
    config = RegistryConfig(url=running.inside.url, token=new_secret(), resolve=None, deadline_s=2.0)
    with HttpRegistry(config) as registry, pytest.raises(RateLimited) as assert_limited:
        registry.principals.whoami()
    assert assert_limited.value.retryable
    assert assert_limited.value.retry_after_s
    assert "too_many_failures" in assert_limited.value.detail


@pytest.mark.parametrize("chunked", [False, True])
def test_rows_are_limited_by_their_bytes(running: Running, http: httpx.Client, token: str, *, chunked: bool) -> None:
    """The limit applies to one principal: others can write, and reads are not limited."""
    metadata = {f"k{n}": "x" * 1_000 for n in range(8)}

    def create(by: str) -> httpx.Response:
        body = json.dumps({"name": f"m-{uuid.uuid4().hex[:12]}", "type": "regression", "metadata": metadata}).encode()
        content = iter([body]) if chunked else body
        headers = {"authorization": f"Bearer {by}", "idempotency-key": uuid.uuid4().hex}
        headers["content-type"] = "application/json"
        return http.post("/v1/models", content=content, headers=headers)

    answers = [create(token) for _ in range(12)]
    statuses = [answer.status_code for answer in answers]
    count = statuses.count(201)
    assert BURST // 9_000 <= count <= BURST // 8_000 + 2
    assert statuses == [201] * count + [429] * (12 - count)
    assert_limited(answers[-1], "rate_limited")
    assert send(http, token, "GET", "/v1/models").status_code == 200
    assert send(http, running.outside.token, "POST", "/v1/presence", {"sha256": []}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("PATCH", "/v1/models/none"), ("DELETE", f"/v1/uploads/{'0' * 64}"), ("POST", "/v1/presence")),
        *(("PUT", f"/v1/blobs/{'0' * 64}"), ("POST", "/v1/models/none/versions"), ("PUT", f"/v1/uploads/{'0' * 64}")),
    ],
)
def test_every_change_is_charged(running: Running, http: httpx.Client, token: str, method: str, path: str) -> None:
    """A refused change and a change without a body count too."""
    statuses = [send(http, token, method, path, {"x": 1}).status_code for _ in range(BURST // 512 + 20)]
    assert statuses[0] != 429
    assert statuses[-1] == 429
    assert statuses.count(429) <= 20 + 5


def test_an_announced_length_above_the_limit_costs_little(running: Running, http: httpx.Client, token: str) -> None:
    """The server refuses such a body unread, so the announced length does not count against the quota."""
    for length in ("99999999999", "9" * 30):
        lines = [f"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nauthorization: Bearer {token}"]
        lines += ["content-type: application/json", f"content-length: {length}", "", ""]
        running.outside.send_raw("\r\n".join(lines).encode())
    assert send(http, token, "POST", "/v1/presence", {"sha256": []}).status_code == 200


def begin_upload(http: httpx.Client, token: str, content: str, size: int) -> httpx.Response:
    """Begin an upload of some content with an announced size."""
    return send(http, token, "PUT", f"/v1/uploads/{hashlib.sha256(content.encode()).hexdigest()}", {"size": size})


def test_open_uploads_are_limited(running: Running, http: httpx.Client, token: str) -> None:
    """A deleted upload makes room for another one, and an open upload can continue."""
    assert [begin_upload(http, token, f"{n}", 10).status_code for n in range(UPLOADS)] == [200] * UPLOADS
    assert_limited(begin_upload(http, token, "more", 10), "quota_exceeded")
    assert begin_upload(http, token, "0", 10).status_code == 200
    sha256 = hashlib.sha256(b"0").hexdigest()
    assert send(http, token, "DELETE", f"/v1/uploads/{sha256}").status_code == 204
    assert begin_upload(http, token, "more", 10).status_code == 200


def test_announced_bytes_are_limited(running: Running, http: httpx.Client, token: str) -> None:
    """The sum of all announced sizes may be exactly the limit."""
    assert begin_upload(http, token, "a", ANNOUNCED - 10).status_code == 200
    assert_limited(begin_upload(http, token, "b", 11), "quota_exceeded")
    assert begin_upload(http, token, "b", 10).status_code == 200
    assert_limited(begin_upload(http, token, "c", 1), "quota_exceeded")


def test_an_exceeded_upload_quota_is_explained(running: Running, http: httpx.Client, token: str) -> None:
    """The remedy of the problem suggests to delete an upload."""
    for n in range(UPLOADS):
        begin_upload(http, token, f"open {n}", 1)
    answer = begin_upload(http, token, "one too many", 1)
    assert_limited(answer, "quota_exceeded")
    assert "delete" in answer.json()["remedy"]


def test_announced_bytes_are_limited_by_default(tmp_path: Any) -> None:
    """The default quotas do not allow 500 uploads, neither of 64 GiB nor of one byte."""
    settings = Settings(data=tmp_path)
    assert settings.max_announced_bytes < 500 * 64 * 2**30
    assert 0 < settings.max_open_uploads < 500
    assert settings.write_burst_bytes + settings.write_bytes_per_s < 100 * MIB
    assert settings.wrong_tokens_per_min == 30


def test_buckets_refill_and_their_number_is_limited() -> None:
    """A bucket holds at most its depth, and the least recently used key is removed first."""
    now = 0.0
    buckets = TokenBuckets(1.0, 3.0, most=2, clock=lambda: now)
    assert [buckets.take("a", 1.0) for _ in range(4)] == [0.0, 0.0, 0.0, 1.0]
    now = 100.0
    assert [buckets.take("a", 1.0) for _ in range(4)] == [0.0, 0.0, 0.0, 1.0]
    now = 100.5
    assert buckets.take("a", 1.0) == 0.5
    assert buckets.take("b", 10.0) == 0.0
    assert buckets.take("b", 1.0) == 8.0
    buckets.take("a", 1.0)
    buckets.take("c", 1.0)
    assert len(buckets) == 2
    assert buckets.take("a", 1.0) > 0
    assert buckets.take("b", 1.0) == 0.0


def test_a_rate_of_zero_means_no_limit() -> None:
    """A rate of zero allows any amount and creates no bucket."""
    buckets = TokenBuckets(0.0, 0.0)
    assert [buckets.take("a", 1e12) for _ in range(100)] == [0.0] * 100
    assert len(buckets) == 0
