"""GET /v1/events: server-sent events, resumable by Last-Event-ID.

The framework sends a comment every 15 seconds, so that both sides notice a dead connection.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import TypeAdapter

from agentcg.api.controller import Role
from agentcg.api.deps import TheCaller, TheController, serves
from agentcg.model.event import Event

router = APIRouter(prefix="/v1", tags=["events"])

_EVENT = TypeAdapter(Event)
Seq = Annotated[int | None, Query(ge=0, description="Resume behind this event; 0 is the first.")]


async def _subscribe(
    request: Request,
    controller: TheController,
    caller: TheCaller,
    last_event_id: Annotated[int | None, Header(ge=0)] = None,
    after: Seq = None,
) -> AsyncIterator[AsyncIterator[Event]]:
    """Subscribe before the answer starts, while a refusal can still be a problem document."""
    stream = controller.events(caller, after if last_event_id is None else last_event_id)
    request.state.link.endless = True
    try:
        yield stream
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()


@router.get(
    "/events",
    response_class=EventSourceResponse,
    openapi_extra=serves(Role.ADMIN, Role.SESSION, Role.CALL),
)
async def events(
    stream: Annotated[AsyncIterator[Event], Depends(_subscribe)],
) -> AsyncIterator[ServerSentEvent]:
    """Follow events. `id` is the event's `seq`, `event` its kind, `data` the record as JSON."""
    async for event in stream:
        yield ServerSentEvent(
            id=str(event.seq), event=event.kind.value, raw_data=_EVENT.dump_json(event).decode()
        )
