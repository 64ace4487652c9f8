"""The application behind the web view's door: its page, and of the API what only reads."""

import asyncio
import dataclasses
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from agentcg.api import events, problems, routes, traces
from agentcg.api.body_limit import BodyLimit
from agentcg.api.controller import Controller
from agentcg.api.web.access import Access
from agentcg.api.web.guard import ENTER, EVENTS, Guard, bearer
from agentcg.telemetry import machine

READ = frozenset(
    {
        "/v1/host",
        "/v1/sessions",
        "/v1/sessions/{session}/trace",
        "/v1/calls",
        "/v1/calls/{call}",
        "/v1/calls/{call}/trace",
        "/v1/calls/{call}/explanation",
        "/v1/accounts",
        EVENTS,
    }
)
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_FOLDER = Path(__file__).with_name("files")
# A reading of the machine holds for so long, whoever asks: its figures are since the one before.
_FRESH = 0.9
# After so long, CPU time is counted from a reading for the purpose, so much earlier.
_STALE, _SPAN = 5.0, 0.25


@dataclasses.dataclass(frozen=True, slots=True)
class Now:
    """The machine, and the daemon's time of day: a browser's may be another."""

    at: float
    machine: machine.Machine


def create_web(controller: Controller, access: Access) -> FastAPI:
    """Make the application; it serves only connections that carry a `Link` (see protocol)."""
    app = FastAPI(openapi_url=None, redirect_slashes=False, exception_handlers=problems.HANDLERS)
    files = {path.name: path.read_bytes() for path in _FOLDER.iterdir() if path.suffix in _TYPES}
    app.state.controller = controller
    app.state.access = access
    app.state.files = files
    app.state.gauge = _Gauge()
    app.include_router(router)
    for module in (routes, traces, events):
        app.router.routes.extend(one for one in module.router.routes if _reads(one))
    app.add_middleware(BodyLimit)
    public = {"/ui", *(f"/ui/{name}" for name in files)}
    app.add_middleware(Guard, access=access, public=public)
    return app


def _reads(route: object) -> bool:
    return isinstance(route, APIRoute) and route.path in READ and route.methods == {"GET"}


class _Gauge:
    """The machine, read once for all that ask at about the same time."""

    def __init__(self) -> None:
        # psutil keeps for each thread what it counts CPU time from.
        self._thread = ThreadPoolExecutor(1, "machine")
        self._turn = asyncio.Lock()
        self._at = -math.inf

    async def read(self) -> machine.Machine:
        async with self._turn:
            age = time.monotonic() - self._at
            if age >= _STALE:
                await self._anew()
                await asyncio.sleep(_SPAN)
            if age >= _FRESH:
                await self._anew()
            return self._last

    async def _anew(self) -> None:
        # Of hundreds of CPUs it takes a while.
        loop = asyncio.get_running_loop()
        self._last = await loop.run_in_executor(self._thread, machine.read)
        self._at = time.monotonic()


router = APIRouter()


async def _files(request: Request) -> dict[str, bytes]:
    files: dict[str, bytes] = request.app.state.files
    return files


TheFiles = Annotated[dict[str, bytes], Depends(_files)]


@router.get("/ui")
async def page(files: TheFiles) -> Response:
    """The page."""
    return _file(files, "index.html")


@router.get("/ui/machine")
async def gauges(request: Request) -> Now:
    """What the machine uses as a whole."""
    return Now(time.time(), await request.app.state.gauge.read())


@router.get("/ui/{name}")
async def file(files: TheFiles, name: str) -> Response:
    """What the page is made of."""
    if name not in files:
        raise HTTPException(404, "no such file")
    return _file(files, name)


@router.post(ENTER)
async def enter(request: Request) -> Response:
    """Exchange the secret of a link for a token, which each further request has to carry."""
    access: Access = request.app.state.access
    token = access.enter(bearer(Headers(scope=request.scope)) or "", time.monotonic())
    if token is None:
        detail = "this link was used already, or is older than a minute: run `agentcg ui` again"
        return problems.response(problems.body(403, "denied", detail), close=True)
    return JSONResponse({"token": token})


def _file(files: dict[str, bytes], name: str) -> Response:
    # They are for everybody, and everybody gets one answer a connection.
    headers = {"connection": "close"}
    return Response(files[name], media_type=_TYPES[Path(name).suffix], headers=headers)
