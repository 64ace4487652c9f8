"""The client for ordinary programs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2

from agentcg.client import asks, wire
from agentcg.client.asks import Ask, Json
from agentcg.model.call import Call
from agentcg.model.event import Event
from agentcg.model.explanation import Explanation
from agentcg.model.gpu import GpuView, Lease, Program
from agentcg.model.trace import Account, KindStats, Recorded, Trace, Window
from agentcg.model.view import CallView, HostView, SessionView, UiLink
from agentcg.model.wire import CallBody, CallPatchBody, SessionBody
from agentcg.model.wire_gpu import LeaseBody, LeasePatchBody, ProgramBody

T = TypeVar("T")
_ALL = Window()


class Client:
    """Speaks to the daemon; a context manager. What is refused raises an AgentcgError.

    UnavailableError: nobody listens at the socket. DeniedError: it may not be opened.
    """

    def __init__(self, socket: str | Path | None = None, *, timeout: float = wire.PATIENCE) -> None:
        """Use `socket`, else the administrator's if it is accessible, else the agents'."""
        self.socket = Path(socket) if socket is not None else wire.default_socket()
        transport = httpx2.HTTPTransport(uds=str(self.socket), limits=wire.pool())
        # No proxy of the environment may come between.
        self._http = httpx2.Client(
            transport=transport, base_url=wire.BASE, timeout=wire.limits(timeout), trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._http.close()

    def open_session(self, body: SessionBody | Json) -> SessionView:
        """Take charge of a container, the process tree of a pid, or the caller's own."""
        return self._ask(asks.open_session(body))

    def sessions(self) -> list[SessionView]:
        """List the sessions that the caller may see."""
        return self._ask(asks.sessions())

    def session(self, session: str = "self") -> SessionView:
        """Read one session."""
        return self._ask(asks.session(session))

    def close_session(self, session: str) -> SessionView:
        """Kill its calls and leave its cgroup as it was found."""
        return self._ask(asks.close_session(session))

    def declare(self, body: CallBody | Json, session: str = "self") -> CallView:
        """Declare a call and get its grant."""
        return self._ask(asks.declare(body, session))

    def calls(self, *, everything: bool = False) -> list[CallView]:
        """List open calls; with `everything`, closed ones that are still remembered too."""
        return self._ask(asks.calls(everything=everything))

    def call(self, call: str) -> CallView:
        """Read one call: grant, usage, and the outcome when it is over."""
        return self._ask(asks.call(call))

    def patch(self, call: str, body: CallPatchBody | Json) -> CallView:
        """Change the limits of an open call."""
        return self._ask(asks.patch(call, body))

    def end(self, call: str, exit_code: int | None = None) -> CallView:
        """Say that the call is over."""
        return self._ask(asks.end(call, exit_code))

    def freeze(self, call: str) -> CallView:
        """Stop every process of the call."""
        return self._ask(asks.act(call, "freeze"))

    def thaw(self, call: str) -> CallView:
        """Let a frozen call go on."""
        return self._ask(asks.act(call, "thaw"))

    def kill(self, call: str) -> CallView:
        """Kill every process of the call."""
        return self._ask(asks.act(call, "kill"))

    def close(self, call: str) -> CallView:
        """Kill what is left of the call; returns when it is gone."""
        return self._ask(asks.close(call))

    def hook(self, harness: str, told: Json) -> dict[str, Any]:
        """Tell of a harness's hook; returns what the hook answers, often nothing."""
        return self._ask(asks.hook(harness, told))

    def call_trace(self, call: str, window: Window = _ALL) -> Trace:
        """Read what a call used over time."""
        return self._ask(asks.trace("calls", call, window))

    def session_trace(self, session: str = "self", window: Window = _ALL) -> Trace:
        """Read what a session used over time: without a bound, in the last hour."""
        return self._ask(asks.trace("sessions", session, window))

    def explanation(self, call: str) -> Explanation:
        """Read the evidence about a call: timeline, limits, use, and who held the pool."""
        return self._ask(asks.explanation(call))

    def lived(self, window: Window = _ALL) -> list[Call]:
        """Read which calls were open at some time: without a bound, in the last hour."""
        return self._ask(asks.lived(window))

    def stats(self, window: Window = _ALL, kind: str | None = None) -> list[KindStats]:
        """Read what closed calls used, by class of command: without a bound, in the last day."""
        return self._ask(asks.stats(window, kind))

    def accounts(
        self, window: Window = _ALL, session: str | None = None, before: str | None = None
    ) -> list[Account]:
        """List closed calls, newest first: without a bound, of the last day.

        The next page has `declared_at` of the last one as `until`, and its id as `before`.
        """
        return self._ask(asks.accounts(window, session, before))

    def recorded(
        self, window: Window = _ALL, session: str | None = None, after: str | None = None
    ) -> list[Recorded]:
        """List sessions of which something was recorded, closed ones too, by name."""
        return self._ask(asks.recorded(window, session, after))

    def host(self) -> HostView:
        """Read which mechanisms work, and the daemon's counters."""
        return self._ask(asks.host())

    def gpu(self) -> GpuView:
        """Read devices, the engine, guards and leases of GPU memory."""
        return self._ask(asks.gpu())

    def ask_lease(self, body: LeaseBody | Json) -> Lease:
        """Ask for GPU memory for an open call."""
        return self._ask(asks.ask_lease(body))

    def lease(self, lease: str) -> Lease:
        """Read one lease of GPU memory."""
        return self._ask(asks.lease(lease))

    def change_lease(self, lease: str, body: LeasePatchBody | Json) -> Lease:
        """Ask for another size, or more time."""
        return self._ask(asks.change_lease(lease, body))

    def release_lease(self, lease: str) -> Lease:
        """Give a lease of GPU memory back."""
        return self._ask(asks.release_lease(lease))

    def program(self, program: str, body: ProgramBody | Json) -> Program:
        """Tell what a program of the inference engine's does."""
        return self._ask(asks.program(program, body))

    def ui_link(self) -> UiLink:
        """Make a link into the web view; the administrator's to ask for."""
        return self._ask(asks.ui_link())

    def metrics(self) -> str:
        """The metrics in Prometheus' text format."""
        return self._ask(asks.metrics())

    def health(self) -> str:
        """Return if the daemon answers."""
        return self._ask(asks.health())

    def events(self, after: int | None = None, *, silence: float = wire.SILENCE) -> Iterator[Event]:
        """Follow events: those behind `after` first (0: all that are remembered), then new ones.

        Ends with UnavailableError when nothing, not even a comment, comes for `silence` seconds.
        """
        params = {} if after is None else {"after": after}
        timeout = httpx2.Timeout(silence, connect=wire.CONNECT)
        with (
            self._errors(),
            self._http.stream("GET", "/v1/events", params=params, timeout=timeout) as response,
        ):
            if response.is_error:
                wire.raise_problem(response.status_code, response.read())
            for message in httpx2.EventSource(response):
                if (event := wire.event(message)) is not None:
                    yield event

    def _ask(self, ask: Ask[T]) -> T:
        with self._errors():
            response = self._http.request(ask.method, ask.path, json=ask.body)
        wire.raise_problem(response.status_code, response.content)
        return ask.read(response.content)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TransportError as error:
            raise wire.transport_error(error, self.socket) from error
