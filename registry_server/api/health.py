"""`/health/live`, `/health/ready` and `/metrics`."""

from litestar import Response, get
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from registry_server.api.exchange import HttpRequest, database
from registry_server.api.security import caller
from registry_server.core.rights import Right


@get("/health/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "live"}


@get("/health/ready")
async def ready(request: HttpRequest) -> dict[str, str]:
    """The database answers too; 503 if not."""
    await database(request).ping()
    return {"status": "ready"}


@get("/metrics")
async def metrics(request: HttpRequest) -> Response[bytes]:
    """Prometheus metrics, for those who may read the log."""
    (await caller(request)).require(Right.READ_LOG)
    return Response(generate_latest(request.app.state.metrics), media_type=CONTENT_TYPE_LATEST)
