"""What moves versions: `/v1/models/{name}/versions/{version}/transition`, `/recall` and the like, `…/rollback`."""

from litestar import Response
from litestar.params import FromPath, JSONBody

from common_lib.rules.lifecycle import ModelStage
from registry_server.api.authentication import authenticate
from registry_server.api.http import HttpRequest, database, post, write, write_with
from registry_server.core import lifecycle, promotion
from registry_server.core.rights import Right
from registry_server.domain.base import TombstoneRequest
from registry_server.domain.production import RollbackRequest
from registry_server.domain.versions import ModelVersion, RecallRequest, TransitionRequest


@post("/models/{name:str}/versions/{version:int}/transition", status_code=200, needs=(Right.STAGE, Right.PROMOTE))
async def transition_version(
    request: HttpRequest, name: FromPath[str], version: FromPath[int], data: JSONBody[TransitionRequest]
) -> Response[ModelVersion]:
    """Move a version to another stage."""
    files = None
    if data.to is ModelStage.PRODUCTION:
        files = await promotion.foresee(database(request), await authenticate(request), name, version)
    needs = lifecycle.needs(name, data)
    return await write_with(request, needs, lifecycle.transition, name, version, data, files=files)


@post("/models/{name:str}/versions/{version:int}/tombstone", status_code=200, needs=(Right.TOMBSTONE,))
async def tombstone_version(
    request: HttpRequest, name: FromPath[str], version: FromPath[int], data: JSONBody[TombstoneRequest]
) -> Response[ModelVersion]:
    """Take a version out of use for good."""
    return await write(request, lifecycle.tombstone, name, version, data)


@post("/models/{name:str}/versions/{version:int}/recall", status_code=200, needs=(Right.RECALL,))
async def recall_version(
    request: HttpRequest, name: FromPath[str], version: FromPath[int], data: JSONBody[RecallRequest]
) -> Response[ModelVersion]:
    """Block a version for everyone, at once."""
    return await write(request, lifecycle.recall, name, version, data)


@post("/models/{name:str}/versions/{version:int}/reinstate", status_code=200, needs=(Right.RECALL,))
async def reinstate_version(
    request: HttpRequest, name: FromPath[str], version: FromPath[int], data: JSONBody[RecallRequest]
) -> Response[ModelVersion]:
    """Lift the block of a recalled version."""
    return await write(request, lifecycle.reinstate, name, version, data)


@post("/models/{name:str}/rollback", status_code=200, needs=(Right.PROMOTE,))
async def roll_back_model(
    request: HttpRequest, name: FromPath[str], data: JSONBody[RollbackRequest]
) -> Response[ModelVersion]:
    """Return to the version that was in production before."""
    return await write(request, lifecycle.rollback, name, data)
