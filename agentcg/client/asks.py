"""What can be asked of the daemon: one value per request, the same for both clients.

Bodies are the models of `agentcg.model.wire`, or plain mappings of the same shape, in which sizes
and times may be strings with units: `{"memory": {"limit": "2GiB"}}`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter

from agentcg.model.view import CallView, HostView, SessionView
from agentcg.model.wire import Body, CallBody, CallPatchBody, SessionBody

T = TypeVar("T")
Json = Mapping[str, object]

_SESSION = TypeAdapter(SessionView)
_SESSIONS = TypeAdapter(list[SessionView])
_CALL = TypeAdapter(CallView)
_CALLS = TypeAdapter(list[CallView])
_HOST = TypeAdapter(HostView)
_TEXT: TypeAdapter[str] = TypeAdapter(str)


@dataclass(frozen=True, slots=True)
class Ask(Generic[T]):
    """One request, and how its answer is read."""

    method: str
    path: str
    answer: TypeAdapter[T]
    body: Json | None = None

    def read(self, content: bytes) -> T:
        """Make the record of an answer's content."""
        if self.answer is _TEXT:
            return self.answer.validate_python(content.decode())
        return self.answer.validate_json(content)


def open_session(body: SessionBody | Json) -> Ask[SessionView]:
    """POST /v1/sessions."""
    return Ask("POST", "/v1/sessions", _SESSION, _json(body))


def sessions() -> Ask[list[SessionView]]:
    """GET /v1/sessions."""
    return Ask("GET", "/v1/sessions", _SESSIONS)


def session(session: str) -> Ask[SessionView]:
    """GET /v1/sessions/{id}."""
    return Ask("GET", f"/v1/sessions/{_part(session)}", _SESSION)


def close_session(session: str) -> Ask[SessionView]:
    """DELETE /v1/sessions/{id}."""
    return Ask("DELETE", f"/v1/sessions/{_part(session)}", _SESSION)


def declare(body: CallBody | Json, session: str) -> Ask[CallView]:
    """POST /v1/sessions/{id}/calls."""
    return Ask("POST", f"/v1/sessions/{_part(session)}/calls", _CALL, _json(body))


def calls(*, everything: bool) -> Ask[list[CallView]]:
    """GET /v1/calls."""
    return Ask("GET", "/v1/calls?all=true" if everything else "/v1/calls", _CALLS)


def call(call: str) -> Ask[CallView]:
    """GET /v1/calls/{id}."""
    return Ask("GET", f"/v1/calls/{_part(call)}", _CALL)


def patch(call: str, body: CallPatchBody | Json) -> Ask[CallView]:
    """PATCH /v1/calls/{id}."""
    return Ask("PATCH", f"/v1/calls/{_part(call)}", _CALL, _json(body))


def close(call: str) -> Ask[CallView]:
    """DELETE /v1/calls/{id}."""
    return Ask("DELETE", f"/v1/calls/{_part(call)}", _CALL)


def end(call: str, exit_code: int | None) -> Ask[CallView]:
    """POST /v1/calls/{id}/end."""
    return Ask("POST", f"/v1/calls/{_part(call)}/end", _CALL, {"exit_code": exit_code})


def act(call: str, verb: str) -> Ask[CallView]:
    """POST /v1/calls/{id}/ and freeze, thaw or kill."""
    return Ask("POST", f"/v1/calls/{_part(call)}/{verb}", _CALL)


def host() -> Ask[HostView]:
    """GET /v1/host."""
    return Ask("GET", "/v1/host", _HOST)


def metrics() -> Ask[str]:
    """GET /metrics."""
    return Ask("GET", "/metrics", _TEXT)


def health() -> Ask[str]:
    """GET /healthz."""
    return Ask("GET", "/healthz", _TEXT)


def _part(text: str) -> str:
    # An id with a slash must not become another route.
    return quote(text, safe="")


def _json(body: Body | Json) -> Json:
    if isinstance(body, Body):
        found: Json = body.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return found
    return body
