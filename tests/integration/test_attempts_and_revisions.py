"""Requests carry the time that is left, and the revision that a decision is based on."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import httpx
import pytest

from adapters.integration import Integration
from adapters.workbench import Workbench
from common_lib import AsyncHttpRegistry, HttpRegistry, ModelVersion, RegistryConfig
from common_lib.deadline import deadline
from common_lib.errors import ProductionChanged, RegistryError, RevisionMismatch
from registry_server.testing import TestBackend
from tests.support.steps import promoted, version_of

LATENCY_S = 0.01
BOUND_S = 0.8


@pytest.mark.parametrize("bound", ["configuration", "block"])
@pytest.mark.parametrize("answer", ["503", "in flight", "cut"])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "async"])
def test_each_attempt_sends_the_time_left(answer: str, bound: str, *, asynchronous: bool) -> None:
    """The server must not work on a later attempt for longer than the caller waits."""
    left: list[int] = []
    keys: set[str] = set()

    def handler(request: httpx.Request) -> httpx.Response:
        left.append(int(request.headers["x-request-deadline-ms"]))
        keys.add(request.headers["idempotency-key"])
        # The time that the server takes.
        time.sleep(LATENCY_S)
        if answer == "cut":
            raise httpx.ReadError("cut")
        if answer == "503":
            return httpx.Response(503)
        problem = {"type": "t", "title": "t", "status": 409, "code": "request_in_flight", "detail": "d", "remedy": "r"}
        content = httpx.Response(409, json=problem | {"request_id": "1"}).content.replace(b": ", b":")
        return httpx.Response(409, headers={"content-type": "application/problem+json"}, content=content)

    config = RegistryConfig(
        url="http://registry.example",
        attempts=4,
        first_pause_s=0.01,
        longest_pause_s=0.02,
        deadline_s=BOUND_S if bound == "configuration" else 60.0,
    )

    async def run() -> None:
        async with AsyncHttpRegistry(config, transport=httpx.MockTransport(handler)) as registry:
            with deadline(BOUND_S if bound == "block" else 60.0):
                await registry.models.create("m1", "forecasting")

    def block() -> None:
        within = deadline(BOUND_S if bound == "block" else 60.0)
        with HttpRegistry(config, transport=httpx.MockTransport(handler)) as registry, within:
            registry.models.create("m1", "forecasting")

    with pytest.raises(RegistryError):
        asyncio.run(run()) if asynchronous else block()
    assert len(left) >= 4
    assert len(keys) == 1
    assert left[0] <= BOUND_S * 1000
    assert all(later <= earlier - LATENCY_S * 1000 + 1 for earlier, later in pairwise(left))


VERBS: dict[str, Callable[[Integration, ModelVersion], Awaitable[Any]]] = {
    "promote": lambda integration, version: integration.promote(version, reason="because"),
    "promote replacing": lambda integration, version: integration.promote(version, reason="because", replacing=1),
    "recall": lambda integration, version: integration.recall(version, reason="because"),
    "reinstate": lambda integration, version: integration.reinstate(version, reason="because"),
    "archive": lambda integration, version: integration.archive(version, reason="because"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_decision_on_an_outdated_version_is_refused(
    verb: str, model_registry_backend: TestBackend, name: str
) -> None:
    """The revision that the caller has read is sent, not the current one."""
    with model_registry_backend.registry() as registry:
        registry.models.create(name, "forecasting")
        promoted(registry, name)
        read = version_of(registry, name, b"second")
        read = registry.versions.transition(name, 2, "staging", revision=read.revision)
        if verb == "reinstate":
            read = registry.versions.recall(name, 2, reason="because", revision=read.revision)
        registry.versions.update(name, 2, tags={"changed": "since"}, revision=read.revision)

        async def run() -> None:
            async with model_registry_backend.async_registry() as inner:
                await VERBS[verb](Integration(inner), read)

        with pytest.raises(RevisionMismatch):
            asyncio.run(run())
        found = registry.versions.get(name, 2)
        assert (found.stage, found.recall) == (read.stage, read.recall)
        assert found.revision == read.revision + 1


def test_a_decision_with_another_version_in_production_is_refused(
    model_registry_backend: TestBackend, name: str
) -> None:
    """`replacing` is the version that the caller has seen in production; for a rollback it is the given version."""
    with model_registry_backend.registry() as registry:
        registry.models.create(name, "forecasting")
        first = promoted(registry, name)
        second = promoted(registry, name, b"second")
        third = version_of(registry, name, b"third")
        third = registry.versions.transition(name, 3, "staging", revision=third.revision)

        async def run() -> None:
            async with model_registry_backend.async_registry() as inner:
                integration = Integration(inner)
                for replacing in (first.version, None):
                    with pytest.raises(ProductionChanged):
                        await integration.promote(third, reason="because", replacing=replacing)
                with pytest.raises(ProductionChanged):
                    await integration.rollback(first, reason="because")
                assert (await integration.rollback(second, reason="because")).version == first.version

        asyncio.run(run())


def test_a_request_for_promotion_sends_the_revision_that_was_read(
    model_registry_backend: TestBackend, name: str
) -> None:
    """The version has changed since, so it is refused."""
    with model_registry_backend.registry() as registry:
        registry.models.create(name, "forecasting")
        read = version_of(registry, name)
        registry.versions.update(name, 1, tags={"changed": "since"}, revision=read.revision)
        with pytest.raises(RevisionMismatch):
            Workbench(registry).request_promotion(read)
