"""How answers are read."""

import json

import pytest

from common_lib import errors
from common_lib.errors import ModelNotFound, ProtocolError, ServerFailed
from common_lib.operations import models, versions
from common_lib.operations.base import Answer
from common_lib.rules.manifest import File, digest

MANIFEST = {
    "digest": digest([File("a", 0, "0" * 64, "text/plain")]),
    "files": [{"path": "a", "size": 0, "sha256": "0" * 64, "media_type": "text/plain"}],
}
PROBLEM = {
    "type": "urn:model-registry:problem:model_not_found",
    "title": "The model does not exist",
    "status": 404,
    "code": "model_not_found",
    "detail": "there is no model 'x' for you",
    "remedy": "check the name",
    "request_id": "r1",
    "field": "name",
    "value": "x",
}


def _answer(document: object, status: int = 200, media_type: str = "application/problem+json") -> Answer:
    return Answer(status, {"content-type": media_type}, json.dumps(document).encode())


def test_an_older_client_survives_a_newer_server() -> None:
    """Fields it does not know are ignored at every depth, also where it would not send them."""
    newer = json.loads(json.dumps(MANIFEST))
    newer["compression"] = None
    newer["files"][0]["mode"] = "0644"
    assert versions.manifest("x", 1).result(_answer(newer)) == versions.manifest("x", 1).result(_answer(MANIFEST))


def test_a_problem_becomes_the_error_of_its_code() -> None:
    """Nothing of the problem is lost."""
    with pytest.raises(ModelNotFound) as refused:
        models.get("x").result(_answer(PROBLEM, 404))
    error = refused.value
    assert (error.status, error.code, error.field, error.value) == (404, "model_not_found", "name", "x")
    assert (error.remedy, error.request_id) == ("check the name", "r1")


@pytest.mark.parametrize(
    ("status", "branch"),
    [
        (400, errors.InvalidRequest),
        (401, errors.Unauthenticated),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (410, errors.VersionRecalled),
        (412, errors.RevisionMismatch),
        (413, errors.TooLarge),
        (418, errors.InvalidRequest),
        (422, errors.InvalidRequest),
        (428, errors.RevisionRequired),
        (500, errors.ServerFailed),
        (599, errors.ServerFailed),
    ],
)
def test_a_code_of_a_newer_server_keeps_its_branch_of_the_tree(status: int, branch: type[errors.RegistryError]) -> None:
    """An unknown code is read by its status."""
    unknown = PROBLEM | {"code": "galaxy_trouble", "status": status}
    with pytest.raises(branch, match="galaxy") as refused:
        models.get("x").result(_answer(unknown, status))
    assert type(refused.value) is branch


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"name": "x"}', b"\xff"])
def test_an_answer_of_something_else_is_a_protocol_error(body: bytes) -> None:
    """Neither a parser's error nor a half-read value."""
    with pytest.raises(ProtocolError, match="registry"):
        models.get("x").result(Answer(200, {"content-type": "application/json"}, body))


def test_a_proxy_that_fails_is_told_as_it_speaks() -> None:
    """Its page is quoted, cut to a length a person reads."""
    with pytest.raises(ServerFailed, match="bad gateway") as failed:
        models.get("x").result(Answer(502, {"content-type": "text/html"}, b"<h1>bad gateway</h1>" + b"x" * 10_000))
    assert len(str(failed.value)) < 400
