"""When a stale answer is served instead of an error: outages, refusals, and the staleness that callers accept."""

import pytest

from common_lib.client.failures import Failure
from common_lib.client.steps import Send
from common_lib.errors import AnswerTimedOut, ConnectionFailed, ProtocolError, RegistryUnavailable
from common_lib.operations import aliases, versions
from common_lib.operations.base import Answer
from common_lib.staleness import FailClosed, KeepLastGood, ServeStale
from tests.support.answers import problem_answer, version_answer
from tests.support.cached_client import CUT, PROXY, RESOLVE, CachedClient, with_staleness


def test_stale_answers_are_served_for_a_day_of_an_outage() -> None:
    """Each comes with its age and the reason; after a day the error is raised."""
    client = CachedClient(lambda: version_answer(1))
    client.call()
    client.answer = lambda: CUT
    for _ in range(600):
        client.wait(1)
        assert client.resolve()[0] == 1
        client.run_refreshes()
    provenance = client.call().provenance
    assert (provenance.stale, provenance.age_s, provenance.source) == (True, 600.0, "cache")
    assert provenance.reason
    # Beside what opened it, a probe each time that the circuit was open, for 4.5 s at least: a quarter less than 6.
    assert client.requests < 20 + 600 / 4.5
    client.wait(86_400)
    with pytest.raises(RegistryUnavailable):
        client.call()


def test_callers_do_not_wait_for_a_registry_that_hangs() -> None:
    """For ten minutes each refresh hangs for ten seconds, and no call takes any time."""
    client = CachedClient(lambda: version_answer(1))
    client.call()
    client.answer = lambda: Failure(AnswerTimedOut, "http://x: ReadTimeout")
    ends = client.now + 600
    while client.now < ends:
        client.wait(1)
        before = client.now
        assert client.resolve()[0] == 1
        assert client.now == before
        client.attempt_s = 10.0
        client.run_refreshes()


@pytest.mark.parametrize(
    ("status", "code"), [(404, "model_not_found"), (410, "version_not_found"), (422, "invalid_reference")]
)
def test_a_refusal_removes_the_stored_answer(status: int, code: str) -> None:
    """A deleted version is not served, not even in an outage after the refusal."""
    client = CachedClient(lambda: version_answer(1))
    client.call()
    client.wait(61)
    client.answer = lambda: problem_answer(status, code)
    assert client.call().status == status
    client.answer = lambda: CUT
    with pytest.raises(ConnectionFailed):
        client.call()


def test_a_refusal_is_returned_while_the_client_changes_another_model() -> None:
    """The cache does not store such an answer, and an older one does not replace it."""
    client = CachedClient(lambda: version_answer(1))
    client.call()
    client.wait(61)
    steps = client.steps()
    assert isinstance(next(steps), Send)
    client.answer = lambda: Answer(200, {}, b"{}")
    client.call(aliases.move("gbpusd", "champion", 2, revision=1))
    with pytest.raises(StopIteration) as ended:
        steps.send(problem_answer(404, "model_not_found"))
    assert ended.value.value.status == 404


def test_a_refused_token_stops_stored_answers() -> None:
    """Nothing is served, in the foreground or after a refresh, until the token is valid again."""
    client = CachedClient(lambda: version_answer(1))
    client.call()
    client.wait(10)
    client.answer = lambda: problem_answer(401, "unauthenticated")
    client.call()
    client.run_refreshes()
    assert client.call().status == 401
    client.answer = lambda: CUT
    with pytest.raises(ConnectionFailed):
        client.call()
    client.answer = lambda: version_answer(1)
    assert [client.resolve()[0], *client.resolve()] == [1, 1, False, "cache"]


@pytest.mark.parametrize("by", ["rule", "caller"])
@pytest.mark.parametrize(("status", "code"), [(401, "unauthenticated"), (403, "forbidden"), (404, "model_not_found")])
def test_a_stale_answer_is_served_despite_an_expired_token_if_wanted(status: int, code: str, by: str) -> None:
    """By rule or by caller, with the reason, and never for a deleted model."""
    client = CachedClient(lambda: version_answer(1), serve_on_auth_failure=by == "rule")
    operation = RESOLVE if by == "rule" else with_staleness(KeepLastGood(max_age_s=3600))
    client.call(operation)
    client.wait(61)
    client.answer = lambda: problem_answer(status, code)
    answer = client.call(operation)
    if status == 404:
        assert answer.status == 404
    else:
        assert (answer.provenance.stale, answer.provenance.age_s) == (True, 61.0)
        assert answer.provenance.reason == f"it is {code} [{code}]"
        client.wait(86_400)
        assert client.call(operation).status == status


def test_callers_of_one_client_may_differ_on_refused_tokens() -> None:
    """The refusal of one caller does not remove the stored answer of another one."""
    client = CachedClient(lambda: version_answer(1))
    client.call()
    client.wait(61)
    client.answer = lambda: problem_answer(401, "unauthenticated")
    assert client.call().status == 401
    assert client.resolve(with_staleness(KeepLastGood(max_age_s=3600))) == (1, True, "cache")


def test_fail_closed_gets_fresh_answers_or_the_error() -> None:
    """The rules of the client still hold for other callers."""
    client = CachedClient(lambda: version_answer(1))
    closed = with_staleness(FailClosed())
    client.call(closed)
    client.wait(4)
    assert client.resolve(closed) == (1, False, "cache")
    client.wait(2)
    client.answer = lambda: version_answer(2)
    assert client.resolve(closed) == (2, False, "registry")
    client.wait(6)
    client.answer = lambda: CUT
    with pytest.raises(ConnectionFailed):
        client.call(closed)
    assert client.resolve() == (2, True, "cache")


def test_a_caller_sets_the_greatest_age() -> None:
    """It may be below the rules of the client, or beyond them."""
    client = CachedClient(lambda: version_answer(1), stale_s=100)
    client.call()
    client.answer = lambda: CUT
    client.wait(50)
    with pytest.raises(ConnectionFailed):
        client.call(with_staleness(ServeStale(max_age_s=30)))
    client.wait(60)
    with pytest.raises(ConnectionFailed):
        client.call()
    assert client.resolve(with_staleness(ServeStale(max_age_s=200)))[0] == 1


@pytest.mark.parametrize(
    "noise",
    [
        PROXY,
        Answer(404, {"content-type": "application/problem+json"}, b'{"title":"Not Found","status":404}'),
        Answer(302, {"location": "http://login"}, b""),
        Answer(200, {"content-type": "text/html"}, b"<h1>please log in</h1>"),
        Answer(200, {"content-type": "application/json"}, b'{"status":"maintenance"}'),
        Answer(507, {}, b""),
    ],
    ids=["404", "foreign-problem", "redirect", "portal", "json", "507"],
)
def test_an_answer_that_is_not_from_a_registry_changes_nothing(noise: Answer) -> None:
    """It neither replaces nor removes the stored answer; without a stored answer it is returned as it is."""
    client = CachedClient(lambda: noise)
    assert client.call() is noise
    client.answer = lambda: version_answer(1)
    client.call()
    client.wait(61)
    client.answer = lambda: noise
    assert client.resolve() == (1, True, "cache")
    assert (
        str(noise.status) in client.call().provenance.reason or "not a ModelVersion" in client.call().provenance.reason
    )
    client.answer = lambda: CUT
    assert client.resolve() == (1, True, "cache")


def test_an_answer_about_another_model_is_refused() -> None:
    """It is neither served nor stored, and the stored answer stays."""
    client = CachedClient(lambda: version_answer(1))
    client.call()
    client.wait(61)
    other = version_answer(2)
    client.answer = lambda: Answer(200, other.headers, other.body.replace(b"eurusd", b"gbpusd"))
    assert client.resolve() == (1, True, "cache")
    client.restart()
    for operation in (RESOLVE, versions.resolution("models:/eurusd/production")):
        with pytest.raises(ProtocolError, match="gbpusd"):
            operation.result(client.call(operation))
