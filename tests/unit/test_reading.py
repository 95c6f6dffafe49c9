"""Reading of answers: results, problems, and answers that are not from a registry."""

import json

import pytest

from common_lib import errors
from common_lib.errors import ModelNotFound, ProtocolError, ServerFailed
from common_lib.operations import models, versions
from common_lib.operations.base import Answer
from common_lib.rules.manifest import digest

FILES = [{"path": "a", "size": 0, "sha256": "0" * 64, "media_type": "text/plain"}]
MANIFEST = {"digest": digest(FILES), "files": FILES}
PROBLEM = {
    "type": "urn:model-registry:problem:model_not_found",
    "title": "The model does not exist",
    "status": 404,
    "code": "model_not_found",
    "detail": "model 'x' does not exist",
    "remedy": "check the name",
    "request_id": "r1",
    "field": "name",
    "value": "x",
}


def _answer(document: object, status: int = 200, media_type: str = "application/problem+json") -> Answer:
    return Answer(status, {"content-type": media_type}, json.dumps(document).encode())


def test_unknown_fields_of_a_newer_server_are_ignored() -> None:
    """At every depth, also in types that are strict when the client sends them."""
    newer = json.loads(json.dumps(MANIFEST))
    newer["compression"] = None
    newer["files"][0]["mode"] = "0644"
    assert versions.manifest("x", 1).result(_answer(newer)) == versions.manifest("x", 1).result(_answer(MANIFEST))


def test_a_problem_becomes_the_error_of_its_code() -> None:
    """The error has every field of the problem."""
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
def test_an_unknown_code_raises_the_error_of_its_status(status: int, branch: type[errors.RegistryError]) -> None:
    """A newer server may have codes that the client does not know."""
    unknown = PROBLEM | {"code": "galaxy_trouble", "status": status}
    with pytest.raises(branch, match="galaxy") as refused:
        models.get("x").result(_answer(unknown, status))
    assert type(refused.value) is branch


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"name": "x"}', b"\xff"])
def test_an_answer_that_is_not_from_a_registry_raises_protocol_error(body: bytes) -> None:
    """Neither an error of a parser, nor a value that was read in part."""
    with pytest.raises(ProtocolError, match="registry"):
        models.get("x").result(Answer(200, {"content-type": "application/json"}, body))


def test_the_error_page_of_a_proxy_is_quoted() -> None:
    """The quotation is short enough to read."""
    with pytest.raises(ServerFailed, match="bad gateway") as failed:
        models.get("x").result(Answer(502, {"content-type": "text/html"}, b"<h1>bad gateway</h1>" + b"x" * 10_000))
    assert len(str(failed.value)) < 400
