"""Simulated faults in the registry of a service, in-process, with cache, retries and circuits at work."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from adapters import Analysis, Strategy
from common_lib import (
    AsyncHttpRegistry,
    AsyncModelRegistry,
    FailClosed,
    HttpRegistry,
    KeepLastGood,
    ModelRegistry,
    Operation,
    ServeStale,
)
from common_lib.config import ResolveRules
from common_lib.errors import (
    AnswerTimedOut,
    CircuitOpen,
    ConnectionFailed,
    InvalidConfiguration,
    RegistryUnavailable,
    ServerFailed,
    Unauthenticated,
    VersionNotFound,
)
from common_lib.faults import Faults
from registry_server.testing import TestBackend
from tests.conftest import ViaAsync
from tests.support.steps import promoted

T = TypeVar("T")
PRODUCTION = "models:/eurusd/production"


class Plain(ModelRegistry):
    """A registry of another kind, which has only `call`."""

    def __init__(self, inner: ModelRegistry) -> None:
        self._inner = inner
        self.origin = inner.origin

    def call(self, operation: Operation[T]) -> T:
        """Pass the operation on."""
        return self._inner.call(operation)


class AsyncPlain(AsyncModelRegistry):
    """The same for asyncio."""

    def __init__(self, inner: AsyncModelRegistry) -> None:
        self._inner = inner
        self.origin = inner.origin

    async def call(self, operation: Operation[T]) -> T:
        """Pass the operation on."""
        return await self._inner.call(operation)


@pytest.fixture
def writer(model_registry: HttpRegistry) -> HttpRegistry:
    """Provide a registry of another service, with a model in production."""
    model_registry.models.create("eurusd", "forecasting")
    promoted(model_registry, "eurusd", b"one")
    return model_registry


@pytest.fixture(params=["http", "plain", "uncached"])
def reader(
    request: pytest.FixtureRequest,
    writer: HttpRegistry,
    model_registry_backend: TestBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ModelRegistry]:
    """Provide a registry over HTTP, one of another kind, or one over HTTP without a cache."""
    if request.param == "uncached":
        monkeypatch.setattr(model_registry_backend, "resolve", None)
    with model_registry_backend.registry("strategy") as inner:
        yield Plain(inner) if request.param == "plain" else inner


def test_trading_continues_during_an_outage_and_sees_the_repair(reader: ModelRegistry, writer: HttpRegistry) -> None:
    """By default for a day, with the verified local files; each result has its provenance."""
    faults = Faults()
    strategy = Strategy(faults.inject_into(reader))
    model = strategy.trading_model("eurusd")
    assert (model.version.version, model.stale, model.source) == (1, False, "registry")
    faults.outage()
    model = strategy.trading_model("eurusd")
    assert (model.version.version, model.stale, model.source) == (1, True, "cache")
    assert model.age_s >= 0
    assert "simulated" in model.reason
    promoted(writer, "eurusd", b"two")
    faults.recover()
    model = strategy.trading_model("eurusd")
    assert (model.version.version, model.stale, model.reason) == (2, False, "")


def test_trading_that_fails_closed_stops_in_an_outage(reader: ModelRegistry) -> None:
    """The error is raised as soon as the answer is not fresh."""
    faults = Faults()
    strategy = Strategy(faults.inject_into(reader), staleness=FailClosed())
    assert strategy.trading_model("eurusd").version.version == 1
    faults.outage()
    with pytest.raises(RegistryUnavailable):
        strategy.trading_model("eurusd")


def test_trading_stops_after_the_greatest_age(reader: ModelRegistry) -> None:
    """A stale answer is served until `max_age_s`."""
    faults = Faults()
    strategy = Strategy(faults.inject_into(reader), staleness=KeepLastGood(max_age_s=1.5))
    strategy.resolve(PRODUCTION)
    faults.outage()
    assert strategy.resolve(PRODUCTION).version == 1
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            strategy.resolve(PRODUCTION)
        except RegistryUnavailable:
            break
    else:
        pytest.fail("the stale answer is served for too long")


def test_trading_continues_with_an_expired_token_and_stops_after_a_refusal(
    reader: ModelRegistry, writer: HttpRegistry
) -> None:
    """KeepLastGood serves the stale answer after 401, ServeStale does not, and both raise 404."""
    faults = Faults()
    faulty = faults.inject_into(reader)
    keep_last_good, serve_stale = Strategy(faulty), Strategy(faulty, staleness=ServeStale())
    for strategy in (keep_last_good, serve_stale):
        strategy.resolve(PRODUCTION)
    faults.denied()
    found = keep_last_good.versions.resolution(PRODUCTION)
    assert (found.version.version, found.stale) == (1, True)
    assert "expired" in found.reason
    with pytest.raises(Unauthenticated):
        serve_stale.resolve(PRODUCTION)
    writer.versions.transition("eurusd", 1, "archived", reason="recalled", force=True)
    faults.recover()
    for strategy in (keep_last_good, serve_stale):
        with pytest.raises(VersionNotFound):
            strategy.resolve(PRODUCTION)
    faults.outage()
    with pytest.raises(RegistryUnavailable):
        keep_last_good.resolve(PRODUCTION)


def test_an_invalid_staleness_is_refused(model_registry: HttpRegistry, async_model_registry: AsyncHttpRegistry) -> None:
    """The error names the valid ones."""
    wrong: Any = "keep"
    with pytest.raises(InvalidConfiguration, match="KeepLastGood"):
        Strategy(model_registry, staleness=wrong)
    with pytest.raises(InvalidConfiguration, match="'keep'"):
        Analysis(async_model_registry, staleness=wrong)
    for age in (float("nan"), -1, "3", True):
        with pytest.raises(InvalidConfiguration, match="max_age_s"):
            KeepLastGood(max_age_s=age)  # type: ignore[arg-type]


@pytest.mark.parametrize("made", [lambda registry: registry, AsyncPlain], ids=["http", "plain"])
def test_analysis_serves_stale_answers_with_their_provenance(
    writer: HttpRegistry, model_registry_backend: TestBackend, made: Callable[[Any], AsyncModelRegistry]
) -> None:
    """One model, and the list of all models, have their age and the reason."""

    async def read() -> None:
        async with model_registry_backend.async_registry("analysis") as registry:
            faults = Faults()
            analysis = Analysis(faults.inject_into(made(registry)))
            found = await analysis.production_model("eurusd")
            (listed,) = await analysis.production_models(tags={})
            assert not found.stale
            assert not listed.stale
            faults.outage()
            found = await analysis.production_model("eurusd")
            assert (found.version.version, found.stale) == (1, True)
            (listed,) = await analysis.production_models(tags={})
            assert (listed.version.version, listed.stale, listed.source) == (1, True, "cache")
            assert "simulated" in listed.reason
            with pytest.raises(RegistryUnavailable):
                await analysis.production_models(type="classification")
            faults.recover()
            (listed,) = await analysis.production_models(tags={})
            assert not listed.stale

    anyio.run(read)


@pytest.fixture(params=["blocking", "async"])
def patient(request: pytest.FixtureRequest, writer: HttpRegistry, model_registry_backend: TestBackend) -> Iterator[Any]:
    """Provide faults and a client of each kind that is affected by them; its pauses are short."""
    faults = Faults(seed=7)
    options = {"first_pause_s": 0.0, "attempt_timeout_s": 0.2, "resolve": ResolveRules(persist=False)}
    if request.param == "blocking":
        made = model_registry_backend.registry("analysis")
        with HttpRegistry(replace(made.config, **options), transport=made._network) as registry:
            yield faults, faults.inject_into(registry)
    else:
        with start_blocking_portal() as portal:

            async def make() -> AsyncHttpRegistry:
                other = model_registry_backend.async_registry("analysis")
                return AsyncHttpRegistry(replace(other.config, **options), transport=other._network)

            asynchronous = portal.call(make)
            yield faults, ViaAsync(portal, faults.inject_into(asynchronous))  # type: ignore[arg-type]
            portal.call(asynchronous.close)


def test_retries_hide_a_share_of_errors(patient: tuple[Faults, ModelRegistry]) -> None:
    """The faults are below the retries: there are more attempts than calls, and every call succeeds."""
    faults, registry = patient
    faults.errors(share=0.2)
    for _ in range(10):
        assert registry.models.get("eurusd").name == "eurusd"
    assert 10 < faults.attempts < 20


def test_an_outage_opens_the_circuit_and_stored_answers_are_served(patient: tuple[Faults, ModelRegistry]) -> None:
    """The error of a call without a stored answer has `retry_after_s`."""
    faults, registry = patient
    registry.resolve(PRODUCTION)
    faults.outage()
    for _ in range(30):
        with pytest.raises(RegistryUnavailable) as failed:
            registry.models.get("eurusd")
    assert isinstance(failed.value, CircuitOpen)
    assert failed.value.retryable
    assert failed.value.retry_after_s is not None
    assert registry.resolve(PRODUCTION).version == 1


def test_an_answer_that_takes_too_long_times_out(patient: tuple[Faults, ModelRegistry]) -> None:
    """A slow answer within the timeout of the attempt is received."""
    faults, registry = patient
    faults.slow(0.05)
    began = time.monotonic()
    registry.models.get("eurusd")
    assert time.monotonic() - began >= 0.05
    faults.slow(60)
    began = time.monotonic()
    with pytest.raises(AnswerTimedOut):
        registry.models.get("eurusd")
    assert time.monotonic() - began < 5


def test_a_write_with_lost_answers_is_executed_once(writer: HttpRegistry) -> None:
    """Every attempt has the same key."""
    faults = Faults()
    registry = faults.inject_into(writer)
    faults.lost_answers()
    with pytest.raises(ConnectionFailed, match="tried 3 times"):
        registry.models.create("gbpusd", "forecasting")
    faults.recover()
    assert registry.models.get("gbpusd").revision == 1


@pytest.mark.parametrize("select", [lambda f: f.errors(1.5), lambda f: f.errors(status=404), lambda f: f.slow(-1)])
def test_invalid_faults_are_refused(select: Callable[[Faults], None]) -> None:
    """At once, with the value."""
    with pytest.raises(InvalidConfiguration):
        select(Faults())


def test_faults_in_any_other_registry_are_errors_of_its_calls(writer: HttpRegistry) -> None:
    """Each fault raises the error that a call over HTTP would raise."""
    faults = Faults()
    registry = faults.inject_into(Plain(writer))
    expected: list[tuple[Callable[[], None], type[Exception]]] = [
        (faults.outage, ConnectionFailed),
        (faults.errors, ServerFailed),
        (faults.denied, Unauthenticated),
        (faults.lost_answers, ConnectionFailed),
    ]
    for begin, error in expected:
        begin()
        with pytest.raises(error):
            registry.resolve(PRODUCTION)
    faults.slow(0.01)
    assert registry.resolve(PRODUCTION).version == 1
    with pytest.raises(InvalidConfiguration, match="registry is of type str"):
        faults.inject_into("http://127.0.0.1:8321")  # type: ignore[call-overload]
