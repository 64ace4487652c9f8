"""What can be asked of the daemon: one value per request, the same for both clients.

Bodies are the models of `agentcg.model.wire`, or plain mappings of the same shape, in which sizes
and times may be strings with units: `{"memory": {"limit": "2GiB"}}`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from pydantic import TypeAdapter, ValidationError

from agentcg.errors import AgentcgError
from agentcg.model.call import Call
from agentcg.model.explanation import Explanation
from agentcg.model.gpu import GpuView, Lease, Program
from agentcg.model.trace import Account, KindStats, Recorded, Trace, Window
from agentcg.model.view import CallView, HostView, SessionView, UiLink
from agentcg.model.wire import Body, CallBody, CallPatchBody, SessionBody
from agentcg.model.wire_gpu import LeaseBody, LeasePatchBody, ProgramBody

T = TypeVar("T")
Json = Mapping[str, object]

_SESSION = TypeAdapter(SessionView)
_SESSIONS = TypeAdapter(list[SessionView])
_CALL = TypeAdapter(CallView)
_CALLS = TypeAdapter(list[CallView])
_TRACE = TypeAdapter(Trace)
_STATS = TypeAdapter(list[KindStats])
_EXPLANATION = TypeAdapter(Explanation)
_LIVED = TypeAdapter(list[Call])
_ACCOUNTS = TypeAdapter(list[Account])
_RECORDED = TypeAdapter(list[Recorded])
_HOST = TypeAdapter(HostView)
_UI_LINK = TypeAdapter(UiLink)
_GPU = TypeAdapter(GpuView)
_LEASE = TypeAdapter(Lease)
_PROGRAM = TypeAdapter(Program)
_TEXT: TypeAdapter[str] = TypeAdapter(str)
_OBJECT: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


@dataclass(frozen=True, slots=True)
class Ask(Generic[T]):
    """One request, and how its answer is read."""

    method: str
    path: str
    answer: TypeAdapter[T]
    body: Json | None = None

    def read(self, content: bytes) -> T:
        """Make the record of an answer's content.

        Raises:
            AgentcgError: it is none, as from a daemon of another version.
        """
        try:
            return self._made(content)
        except ValidationError as error:
            what = f"{self.method} {self.path}: the daemon answers in another version's terms"
            why = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in why["loc"])
            raise AgentcgError(
                f"{what} ({where}: {why['msg']}); install the same version of agentcg for both"
            ) from error

    def _made(self, content: bytes) -> T:
        if self.answer is _TEXT:
            return self.answer.validate_python(content.decode())
        if self.answer is _OBJECT and not content:
            return self.answer.validate_python({})
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


def hook(harness: str, told: Json) -> Ask[dict[str, Any]]:
    """POST /v1/hooks/{harness}."""
    return Ask("POST", f"/v1/hooks/{_part(harness)}", _OBJECT, told)


def trace(what: str, name: str, window: Window) -> Ask[Trace]:
    """GET /v1/calls/{id}/trace, or with "sessions" /v1/sessions/{id}/trace."""
    return Ask("GET", f"/v1/{what}/{_part(name)}/trace?{_query(window)}", _TRACE)


def explanation(call: str) -> Ask[Explanation]:
    """GET /v1/calls/{id}/explanation."""
    return Ask("GET", f"/v1/calls/{_part(call)}/explanation", _EXPLANATION)


def lived(window: Window) -> Ask[list[Call]]:
    """GET /v1/lived."""
    return Ask("GET", f"/v1/lived?{_query(window)}", _LIVED)


def stats(window: Window, kind: str | None) -> Ask[list[KindStats]]:
    """GET /v1/stats."""
    return Ask("GET", f"/v1/stats?{_query(window, kind=kind)}", _STATS)


def accounts(window: Window, session: str | None, before: str | None) -> Ask[list[Account]]:
    """GET /v1/accounts."""
    query = _query(window, session=session, before=before)
    return Ask("GET", f"/v1/accounts?{query}", _ACCOUNTS)


def recorded(window: Window, session: str | None, after: str | None) -> Ask[list[Recorded]]:
    """GET /v1/recorded."""
    query = _query(window, session=session, after=after)
    return Ask("GET", f"/v1/recorded?{query}", _RECORDED)


def host() -> Ask[HostView]:
    """GET /v1/host."""
    return Ask("GET", "/v1/host", _HOST)


def gpu() -> Ask[GpuView]:
    """GET /v1/gpu."""
    return Ask("GET", "/v1/gpu", _GPU)


def ask_lease(body: LeaseBody | Json) -> Ask[Lease]:
    """POST /v1/gpu/leases."""
    return Ask("POST", "/v1/gpu/leases", _LEASE, _json(body))


def lease(lease: str) -> Ask[Lease]:
    """GET /v1/gpu/leases/{id}."""
    return Ask("GET", f"/v1/gpu/leases/{_part(lease)}", _LEASE)


def change_lease(lease: str, body: LeasePatchBody | Json) -> Ask[Lease]:
    """PATCH /v1/gpu/leases/{id}."""
    return Ask("PATCH", f"/v1/gpu/leases/{_part(lease)}", _LEASE, _json(body))


def release_lease(lease: str) -> Ask[Lease]:
    """DELETE /v1/gpu/leases/{id}."""
    return Ask("DELETE", f"/v1/gpu/leases/{_part(lease)}", _LEASE)


def program(program: str, body: ProgramBody | Json) -> Ask[Program]:
    """POST /v1/programs/{id}/events."""
    return Ask("POST", f"/v1/programs/{_part(program)}/events", _PROGRAM, _json(body))


def ui_link() -> Ask[UiLink]:
    """POST /v1/ui/links."""
    return Ask("POST", "/v1/ui/links", _UI_LINK)


def metrics() -> Ask[str]:
    """GET /metrics."""
    return Ask("GET", "/metrics", _TEXT)


def health() -> Ask[str]:
    """GET /healthz."""
    return Ask("GET", "/healthz", _TEXT)


def _query(window: Window, **more: str | None) -> str:
    said = {"since": window.since, "until": window.until, "points": window.points, **more}
    return urlencode({key: value for key, value in said.items() if value is not None})


def _part(text: str) -> str:
    # An id with a slash must not become another route.
    return quote(text, safe="")


def _json(body: Body | Json) -> Json:
    if isinstance(body, Body):
        found: Json = body.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return found
    return body
