"""POST /v1/hooks/{harness}: the harness's own JSON in, and what its hook has to print out."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from agentcg.api.deps import ANYONE, TheCaller, TheController, serves

router = APIRouter(prefix="/v1/hooks", tags=["hooks"])
_JSON = {"content": {"application/json": {"schema": {"type": "object"}}}}


@router.post(
    "/{harness}",
    response_class=Response,
    responses={200: {"description": "What the hook prints; often nothing.", **_JSON}},
    openapi_extra={"requestBody": {"required": True, **_JSON}, **serves(*ANYONE)},
)
async def hook(
    request: Request,
    controller: TheController,
    caller: TheCaller,
    harness: Annotated[str, Path(max_length=63)],
) -> Response:
    """Hear what a harness tells; what is not understood is answered by nothing, with 200."""
    said = await controller.hook(caller, harness, await request.body())
    # An empty body is no JSON, and is not called so.
    return Response(said, media_type="application/json" if said else None)
