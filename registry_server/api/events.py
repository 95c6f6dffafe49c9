"""Endpoint that lists the events of the log: `/v1/events`."""

from litestar.params import FromQuery
from litestar.response.base import ASGIResponse
from litestar.types import ASGIApp

from registry_server.api.authentication import authenticate
from registry_server.api.http import HttpRequest, database, get
from registry_server.core import events
from registry_server.domain.pages import DEFAULT_LIMIT


@get("/events")
async def list_events(
    request: HttpRequest, after: FromQuery[int] = 0, limit: FromQuery[int] = DEFAULT_LIMIT
) -> ASGIApp:
    """List the events after a sequence number. Each event consists of exactly the bytes that are stored."""
    found = await events.list_after(database(request), await authenticate(request), after, limit)
    body = b"[" + b",".join(event.body for event in found) + b"]"
    return ASGIResponse(body=body, media_type="application/cloudevents-batch+json")
