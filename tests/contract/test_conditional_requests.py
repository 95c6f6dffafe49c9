"""ETags, If-Match, If-None-Match and Idempotency-Key of every operation that documents them."""

from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from registry_server.queries.aliases import AliasRecords
from registry_server.queries.versions import VersionRecords
from tests.contract.good_requests import GOOD, OPTIONAL, Operation, Served, served_world
from tests.security.bad_requests import ALIASES, TWO
from tests.security.worlds import assert_unchanged, open_world_in_memory, problem


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """Start one registry for this file; tests change copies of it."""
    with served_world() as found:
        yield found


def test_an_unchanged_entity_is_not_sent_again(served: Served) -> None:
    """Every documented 304 is sent for the ETag, its weak form, a list with it, and `*`."""
    tagged = [one for one in served.operations if "304" in one.described["responses"]]
    assert len(tagged) >= 8
    for operation in tagged:
        etag = served.send(operation).headers["etag"]
        for known in (etag, f"W/{etag}", f'"other", W/{etag}', f'{etag},"other"', "*"):
            answer = served.send(operation, if_none_match=known)
            assert (answer.status_code, answer.content) == (304, b""), (operation.name, known)
            assert answer.headers["etag"] == etag
            assert "content-type" not in answer.headers
        for other in ('"other"', 'W/"other"', etag.strip('"'), etag[:-1], '""'):
            assert served.send(operation, if_none_match=other).status_code == 200, (operation.name, other)
    others = [one for one in served.operations if one.method == "GET" and one not in tagged]
    for operation in others:
        assert "etag" not in served.send(operation).headers, operation.name


def conditional(served: Served) -> list[Operation]:
    """Return the operations that document If-Match."""
    found = [one for one in served.operations if one.takes("If-Match")]
    assert {one.name for one in found} == {name for name, good in GOOD.items() if good.base}
    return found


def test_a_change_requires_the_current_etag(served: Served) -> None:
    """A stale, weak or future ETag gets 412, a missing one 428, and a malformed one 400."""
    with assert_unchanged(served.world):
        for operation in conditional(served):
            revision = int(served.etag(operation).strip('"').partition(".")[0])
            stale = [
                f'"{revision + 1}"',
                f'"{revision + 1}.0.0"',
                f'"{10**9}"',
                f'W/"{revision}"',
                f"W/{served.etag(operation)}",
            ]
            stale += [f'"{revision - 1}"'] if revision > 1 else []
            stale += [f'"{revision + 1}", W/"{revision}"']
            for etag in stale:
                answer = served.send(operation, if_match=etag)
                refusal = problem(answer)
                assert (answer.status_code, refusal["code"]) == (412, "revision_mismatch"), (operation.name, etag)
                assert (refusal["field"], refusal["value"]) == ("If-Match", etag)
            for etag in (
                f"{revision}",
                "'1'",
                '"x"',
                f'"{revision}',
                '"0"',
                '"-1"',
                f'"{10**10}"',
                f'"{revision}"x',
                '""',
                "**",
            ):
                answer = served.send(operation, if_match=etag)
                assert (answer.status_code, problem(answer)["code"]) == (400, "invalid_if_match"), (
                    operation.name,
                    etag,
                )
            if operation.name not in OPTIONAL:
                answer = served.send(operation, if_match=None)
                assert (answer.status_code, problem(answer)["code"]) == (428, "revision_required"), operation.name


@pytest.mark.parametrize(
    ("records", "method", "target", "body"),
    [
        (AliasRecords, "PUT", f"{ALIASES}/shadow", {"version": 1}),
        (AliasRecords, "DELETE", f"{ALIASES}/shadow", None),
        (VersionRecords, "PATCH", TWO, {"description": "x"}),
    ],
)
def test_a_change_that_another_one_overtakes_is_refused(
    records: Any, method: str, target: str, body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement that stores a change checks the revision again, although the model is locked."""
    find = records.find

    async def find_older(self: Any, *place: Any) -> Any:
        return msgspec.structs.replace(await find(self, *place), revision=1)

    with open_world_in_memory() as world:
        assert world.send("PUT", f"{ALIASES}/shadow", {"version": 2}, {"if-match": '"1"'}).status_code == 200
        before = world.stored_state()
        with monkeypatch.context() as patched:
            patched.setattr(records, "find", find_older)
            answer = world.send(method, target, body, {"if-match": '"1"'})
        assert world.stored_state() == before
    assert (answer.status_code, problem(answer)["code"]) == (412, "revision_mismatch")
    assert problem(answer)["field"] == "If-Match"


def test_the_current_etag_allows_a_change(served: Served) -> None:
    """The complete ETag, only its revision, and a list with it are accepted."""
    for operation in conditional(served):
        etag = served.etag(operation)
        revision = etag.strip('"').partition(".")[0]
        for sent in (etag, f'"{revision}"', f'"999", {etag}', f'{etag},W/"1"'):
            with served.world.copied():
                answer = served.send(operation, if_match=sent)
                assert answer.is_success, (operation.name, sent, answer.text)
                again = served.send(operation, if_match=sent)
                # The entity has another revision, is gone, or is already in the requested state.
                assert again.status_code in {404, 409, 412, 422}, (operation.name, again.text)


def test_a_forced_change_needs_a_reason(served: Served) -> None:
    """`If-Match: *` without a reason gets 422."""
    with assert_unchanged(served.world):
        for operation in conditional(served):
            body = GOOD[operation.name].body
            if body is None:
                path = GOOD[operation.name].base
                answer = served.world.send("DELETE", path)
            else:
                for reason in ("", " \n"):
                    answer = served.send(operation, body=body | {"reason": reason}, if_match="*")
            assert (answer.status_code, problem(answer)["code"]) == (422, "reason_required"), operation.name


def test_a_change_with_the_same_key_happens_once(served: Served) -> None:
    """A repeated request gets the first response, and a request without a key is refused."""
    keyed = [one for one in served.operations if one.requires("Idempotency-Key")]
    assert len(keyed) >= 18
    for operation in keyed:
        with served.world.copied():
            before = served.world.stored_state()
            missing = served.send(operation, idempotency_key=None)
            assert (missing.status_code, problem(missing)["code"]) == (400, "idempotency_key_required"), operation.name
            assert served.world.stored_state() == before
            first, again = (served.send(operation, idempotency_key="the-same-twice") for _ in range(2))
            assert first.is_success, first.text
            assert repeated_part(again) == repeated_part(first), operation.name
            other = served.world.send(
                "POST", "/v1/models", {"name": "x", "type": "regression"}, {"idempotency-key": "the-same-twice"}
            )
            # Each principal has its own keys.
            assert other.status_code == 201


def repeated_part(answer: httpx.Response) -> Any:
    """Return the parts of a response that a replay must repeat; a secret is returned only once."""
    headers = {name: answer.headers.get(name) for name in ("etag", "location", "content-type")}
    body = answer.json() if answer.content else None
    return answer.status_code, headers, body | {"secret": None} if isinstance(body, dict) else body
