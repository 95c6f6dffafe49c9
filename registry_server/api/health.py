"""Endpoints for monitoring: `/health/live`, `/health/ready` and `/metrics`."""

from litestar import Response, get
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from registry_server.api.authentication import authenticate
from registry_server.api.http import HttpRequest, database, environment
from registry_server.core.rights import Right


@get("/health/live")
async def live() -> dict[str, str]:
    """Respond with 200 as long as the process runs."""
    return {"status": "live"}


@get("/health/ready")
async def ready(request: HttpRequest) -> dict[str, str]:
    """Check the database and the blob store; respond with 503 if one of them is not available.

    The field `alarm` of the response says why the scrubber has stopped; otherwise the field is missing.
    """
    await database(request).ping()
    environment(request).blobs.check_medium()
    alarm = request.app.state.scrub.alarm
    return {"status": "ready", "alarm": alarm} if alarm else {"status": "ready"}


@get("/metrics")
async def metrics(request: HttpRequest) -> Response[bytes]:
    """Return Prometheus metrics. The caller needs the right to read the event log."""
    (await authenticate(request)).check_right(Right.READ_LOG)
    return Response(generate_latest(request.app.state.metrics), media_type=CONTENT_TYPE_LATEST)
