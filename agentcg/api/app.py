"""The ASGI application: routes, and a problem document for whatever goes wrong."""

from typing import Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from typing_extensions import override

from agentcg import __version__
from agentcg.api import acg, events, gpu, hooks, metrics, problems, routes, traces, ui
from agentcg.api.body_limit import BodyLimit
from agentcg.api.controller import Controller
from agentcg.api.deps import identify
from agentcg.api.web.access import Access


def create_app(controller: Controller, access: Access | None = None) -> FastAPI:
    """Make the application; it serves only connections that carry a `Link` (see protocol).

    `access` is to the web view, if there is one.
    """
    app = _App(
        title="agentcg",
        summary="Resource control for sandboxed coding agents: one cgroup per tool call.",
        version=__version__,
        # No page of it is served: what a session may ask is all that is there.
        openapi_url=None,
        redirect_slashes=False,
        dependencies=[Depends(identify)],
        exception_handlers=problems.HANDLERS,
    )
    app.state.controller = controller
    app.state.access = access
    for module in (routes, traces, gpu, events, metrics, ui, acg, hooks):
        app.include_router(module.router)
    app.add_middleware(BodyLimit)
    return app


class _App(FastAPI):
    @override
    def openapi(self) -> dict[str, Any]:
        """The API description, in which every error is a problem document."""
        if self.openapi_schema is None:
            schema = get_openapi(
                title=self.title,
                version=self.version,
                summary=self.summary,
                routes=self.routes,
            )
            self.openapi_schema = _with_problems(schema)
        return self.openapi_schema


def _with_problems(schema: dict[str, Any]) -> dict[str, Any]:
    components = schema["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)
    components["Problem"] = problems.SCHEMA
    ref = {"schema": {"$ref": "#/components/schemas/Problem"}}
    answer = {"description": "A problem.", "content": {problems.MEDIA_TYPE: ref}}
    for path in schema["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = answer
    return schema
