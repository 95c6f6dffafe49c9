"""Endpoints that move or block a version: `/v1/models/…/versions/…/transition`, `…/recall` and `…/reinstate`."""

from litestar import Response
from litestar.params import FromPath, JSONBody

from common_lib.rules.lifecycle import ModelStage
from registry_server.api.authentication import authenticate
from registry_server.api.http import HttpRequest, database, post, write, write_with_rights
from registry_server.core import lifecycle, production
from registry_server.core.rights import Right
from registry_server.domain.versions import ModelVersion, RecallRequest, TransitionRequest


@post("/models/{name:str}/versions/{version:int}/transition", status_code=200, needs=(Right.STAGE, Right.PROMOTE))
async def transition_version(
    request: HttpRequest, name: FromPath[str], version: FromPath[int], data: JSONBody[TransitionRequest]
) -> Response[ModelVersion]:
    """Move a version to another stage."""
    needs = lifecycle.required_rights(name, data)
    if data.to is ModelStage.PRODUCTION:
        files = await production.find_policy_files(database(request), await authenticate(request), name, version)
        return await write_with_rights(request, needs, production.promote, name, version, data, files=files)
    return await write_with_rights(request, needs, lifecycle.transition, name, version, data)


@post("/models/{name:str}/versions/{version:int}/recall", status_code=200, needs=(Right.RECALL,))
async def recall_version(
    request: HttpRequest, name: FromPath[str], version: FromPath[int], data: JSONBody[RecallRequest]
) -> Response[ModelVersion]:
    """Block a version at once: it cannot be resolved any more."""
    return await write(request, lifecycle.recall, name, version, data)


@post("/models/{name:str}/versions/{version:int}/reinstate", status_code=200, needs=(Right.RECALL,))
async def reinstate_version(
    request: HttpRequest, name: FromPath[str], version: FromPath[int], data: JSONBody[RecallRequest]
) -> Response[ModelVersion]:
    """Lift the block of a recalled version."""
    return await write(request, lifecycle.reinstate, name, version, data)
