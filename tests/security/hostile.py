"""A simulated server with arbitrary responses, and the error that a client call raises for them."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from common_lib import AsyncHttpRegistry, HttpRegistry, RegistryConfig
from common_lib.errors import RegistryError
from common_lib.rules.manifest import digest

AT = "2026-01-01T00:00:00Z"
BYTES = b"weights"
SHA = "b4f9c9f4b8ef7b5d4e8b1c6c2a0a4d5d9f3e2c1b0a9f8e7d6c5b4a3f2e1d0c9b"
FILES = [{"path": "model.bin", "size": 7, "sha256": SHA, "media_type": "application/octet-stream"}]
IDENTITY = digest(FILES)
MODEL = {
    "name": "m1",
    "type": "forecasting",
    "owner": "a",
    "description": "",
    "tags": {},
    "metadata": {},
    "latest_version": 1,
    "production_version": 1,
    "revision": 1,
    "created_by": "a",
    "created_at": AT,
    "updated_at": AT,
    "tombstone": None,
}
VERSION = {
    "model": "m1",
    "version": 1,
    "stage": "production",
    "digest": IDENTITY,
    "size": 7,
    "file_count": 1,
    "framework": "x",
    "description": "",
    "parameters": {},
    "metrics": {},
    "signature": None,
    "lineage": None,
    "tags": {},
    "revision": 1,
    "created_by": "a",
    "created_at": AT,
    "updated_at": AT,
    "tombstone": None,
    "recall": None,
}
MANIFEST = {"digest": IDENTITY, "files": FILES}
UPLOAD = {"sha256": SHA, "size": 10, "received": 0, "complete": False, "expires_at": AT}
PRESENCE = {"missing": [], "retained_until": AT}
EVENT = {
    "id": "1",
    "sequence": f"{5:020d}",
    "type": "t",
    "subject": "s",
    "time": AT,
    "actor": "a",
    "requestid": "r",
    "source": "s",
    "data": {},
}
PROBLEM = {
    "type": "t",
    "title": "t",
    "status": 404,
    "code": "model_not_found",
    "detail": "d",
    "remedy": "r",
    "request_id": "1",
}
Handler = Callable[[httpx.Request], httpx.Response]
Ask = Callable[[Any], Any]


def answering(document: object, status: int = 200, media_type: str = "application/json", **headers: str) -> Handler:
    """Return a handler that sends the same response to every request."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    given = {"content-type": media_type} | {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: httpx.Response(status, headers=given, stream=httpx.ByteStream(body))


def error_of(handler: Handler, ask: Ask, *, asynchronous: bool = False, **given: Any) -> RegistryError:
    """Make a call and return the error that it raises; fail if the call takes too long or raises no error."""
    config = RegistryConfig(url="http://registry.example", attempts=1, resolve=None, deadline_s=5.0, **given)
    transport = httpx.MockTransport(handler)

    async def run() -> None:
        async with AsyncHttpRegistry(config, transport=transport) as registry:
            found = ask(registry)
            if hasattr(found, "__aiter__"):
                async for _ in found:
                    pass
            else:
                await found

    def block() -> None:
        with HttpRegistry(config, transport=transport) as registry:
            found = ask(registry)
            if isinstance(found, Iterator):
                for _ in found:
                    pass

    began = time.monotonic()
    with pytest.raises(RegistryError) as failed:
        asyncio.run(run()) if asynchronous else block()
    assert time.monotonic() - began < 10
    assert len(str(failed.value)) < 5_000
    assert str(failed.value).replace("\n", "").isprintable()
    return failed.value


def get_version(registry: Any) -> Any:
    """Get a version."""
    return registry.versions.get("m1", 1)


def resolve_version(registry: Any) -> Any:
    """Resolve a reference."""
    return registry.resolve("models:/m1/1")
