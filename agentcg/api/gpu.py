"""GPU memory: what there is, its leases, and what an agent's programs do."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from agentcg.api.controller import Role
from agentcg.api.deps import TheCaller, TheController, serves
from agentcg.errors import DeniedError
from agentcg.model import ids
from agentcg.model.gpu import GpuView, Lease, Program
from agentcg.model.ids import LeaseId, ProgramId
from agentcg.model.wire import ProgramName
from agentcg.model.wire_gpu import LeaseBody, LeasePatchBody, ProgramBody

_INSIDE = serves(Role.ADMIN, Role.SESSION, Role.CALL)


# Before anything is said of a body: who may not ask learns nothing of what one could.
async def _inside(caller: TheCaller) -> None:
    if caller.role is Role.NOBODY:
        raise DeniedError("GPU memory is for calls: ask from within a session, or as administrator")


async def _agent(caller: TheCaller) -> None:
    if caller.role is Role.CALL:
        raise DeniedError("of programs a session's agent tells, or the administrator; not a call")


router = APIRouter(prefix="/v1", tags=["gpu"], dependencies=[Depends(_inside)])


async def _lease(lease: Annotated[str, Path(max_length=63)]) -> LeaseId:
    return ids.lease_id(lease)


TheLease = Annotated[LeaseId, Depends(_lease)]


@router.get("/gpu", openapi_extra=_INSIDE)
async def gpu(controller: TheController, caller: TheCaller) -> GpuView:
    """Read devices, the engine, the guards that work here, and the leases that one may see."""
    return await controller.gpu(caller)


@router.post("/gpu/leases", status_code=201, openapi_extra=_INSIDE)
async def ask(controller: TheController, caller: TheCaller, body: LeaseBody) -> Lease:
    """Ask for GPU memory for an open call; the answer may be `queued`, or `denied` with a reason.

    A call that says so in its intent (`gpu`) needs none of this.
    """
    call = None if body.call is None else ids.call_id(body.call)
    return await controller.ask_lease(caller, call, body.wish())


@router.get("/gpu/leases/{lease}", openapi_extra=_INSIDE)
async def lease(controller: TheController, caller: TheCaller, lease: TheLease) -> Lease:
    """Read one lease, also a moment after it is over."""
    return await controller.lease(caller, lease)


@router.patch("/gpu/leases/{lease}", openapi_extra=_INSIDE)
async def change(
    controller: TheController, caller: TheCaller, lease: TheLease, body: LeasePatchBody
) -> Lease:
    """Ask for another size, or for more time."""
    return await controller.change_lease(caller, lease, body)


@router.delete("/gpu/leases/{lease}", openapi_extra=_INSIDE)
async def release(controller: TheController, caller: TheCaller, lease: TheLease) -> Lease:
    """Give a lease back; `expiring` until the memory is seen free."""
    return await controller.release_lease(caller, lease)


@router.post(
    "/programs/{program}/events",
    openapi_extra=serves(Role.ADMIN, Role.SESSION),
    dependencies=[Depends(_agent)],
)
async def program(
    controller: TheController,
    caller: TheCaller,
    program: Annotated[ProgramName, Path()],
    body: ProgramBody,
) -> Program:
    """Tell what an agent's program, by the engine's name for it, does now."""
    session = None if body.session is None else ids.session_id(body.session)
    return await controller.program(caller, session, ProgramId(program), body)
