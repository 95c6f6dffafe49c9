"""Simulated responses of a registry."""

import json
from typing import Any

from common_lib.operations.base import Answer


def version_answer(number: int, **facts: Any) -> Answer:
    """Return the response to a resolve of production, with some fields of the version changed."""
    version = {
        "model": "eurusd",
        "version": number,
        "stage": "production",
        "digest": f"sha256:{number:064x}",
        "size": 1,
        "file_count": 1,
        "framework": "json",
        "description": "",
        "parameters": {},
        "metrics": {},
        "signature": None,
        "lineage": None,
        "tags": {},
        "revision": 1,
        "created_by": "admin",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "tombstone": None,
    }
    return Answer(200, {"content-type": "application/json"}, json.dumps(version | facts).encode())


def problem_answer(status: int, code: str) -> Answer:
    """Return the response of a refusal."""
    problem = {
        "type": f"urn:model-registry:problem:{code}",
        "title": "no",
        "status": status,
        "code": code,
        "detail": f"it is {code}",
        "remedy": "",
        "request_id": "r1",
    }
    return Answer(status, {"content-type": "application/problem+json"}, json.dumps(problem).encode())
