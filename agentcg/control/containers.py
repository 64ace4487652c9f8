"""Follow the local engine: containers that are meant to be sessions become ones by themselves.

The engine's event stream is read by a thread of its own, which may block in it for days. It
subscribes before it lists, so that no start falls in between; what both report is opened once.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from agentcg.control import execing, runtimes, sessions
from agentcg.control.core import Core
from agentcg.control.state import LiveSession
from agentcg.errors import AgentcgError, NotFoundError, UnavailableError
from agentcg.model.event import Kind
from agentcg.policy.containers import choose
from agentcg.sandbox.docker import Engine, Events, Happening

BACK_OFF = (1.0, 30.0)

log = logging.getLogger("agentcg")


@dataclass(frozen=True, slots=True)
class Listing:
    """All that ran when the subscription began."""

    running: Sequence[str]


@dataclass(frozen=True, slots=True)
class Lost:
    """The engine went away, or was never there."""

    why: str


Message = Happening | Listing | Lost


async def forever(core: Core) -> None:
    """Open and close sessions as containers start and die, until cancelled."""
    inbox: asyncio.Queue[Message] = asyncio.Queue()
    follower = _Follower(Engine(core.settings.docker.socket), inbox)
    follower.start()
    watcher = _Watcher(core)
    try:
        while True:
            message = await inbox.get()
            try:
                await watcher.take(message)
            except AgentcgError as e:
                core.tell(Kind.DAEMON, f"docker: {e.message}")
            except Exception:
                log.exception("docker: %s was not dealt with; the daemon goes on", message)
    finally:
        follower.stop()


class _Watcher:
    """What to do about each message.

    `_seen` has the start of each running container that was decided upon, so that one which
    the administrator let go is not taken again, and one that was restarted unseen is.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._engine = Engine(core.settings.docker.socket)
        self._seen: dict[str, str] = {}
        self._lost = False

    async def take(self, message: Message) -> None:
        match message:
            case Happening(action="start", container=container):
                await self._started(container)
            case Happening(action="exec_die", container=container, exec_id=name, exit_code=code):
                # Not awaited: a call that its session keeps busy must not hold up the others.
                self._core.spawn(execing.died(self._core, container, name, code))
            case Happening(container=container):
                await self._died(container)
            case Listing(running=running):
                if self._lost:
                    self._core.tell(Kind.DAEMON, "docker: connected again")
                self._lost = False
                await self._listed(running)
            case Lost(why=why):
                # Retried quietly: a host without dockerd is told so once.
                if not self._lost:
                    self._core.tell(Kind.DAEMON, f"docker: {why}; containers are not followed")
                self._lost = True

    async def _listed(self, running: Sequence[str]) -> None:
        """Those that died unseen go, those that started unseen come."""
        open_ones = [s.record.container for s in self._core.state.sessions.values()]
        for container in {*self._seen, *filter(None, open_ones)} - set(running):
            await self._died(container)
        for container in running:
            await self._started(container)

    async def _started(self, container: str) -> None:
        core = self._core
        try:
            found = await core.blocking(self._engine.container, container)
        except NotFoundError:
            return  # it is gone already
        if self._seen.get(container) == found.started_at:
            return
        live = runtimes.by_container(core, container)
        if live is not None and (live.closing or not await core.blocking(_exists, live)):
            await self._gone(live)
            live = None
        self._seen[container] = found.started_at
        choice = choose(found, core.settings.docker.rules, core.settings.sessions)
        if live is not None or choice is None:
            return
        for note in choice.notes:
            core.tell(Kind.DAEMON, f"container {found.name}: {note}")
        body = choice.body
        if body.id in core.state.sessions:
            body = body.model_copy(update={"id": f"{str(body.id)[:50]}-{container[:12]}"})
        try:
            async with core.state.opening:
                await runtimes.open_docker(core, body)
        except AgentcgError as e:
            if isinstance(e, UnavailableError):
                del self._seen[container]  # the next listing tries again
            core.tell(Kind.DAEMON, f"container {container[:12]} is no session: {e.message}")

    async def _died(self, container: str) -> None:
        self._seen.pop(container, None)
        live = runtimes.by_container(self._core, container)
        if live is not None:
            await self._gone(live)

    async def _gone(self, live: LiveSession) -> None:
        """Close a session; who closes it already is waited for, as its container may start anew."""
        try:
            await sessions.close(self._core, live)
        except AgentcgError as e:
            self._core.tell(Kind.DAEMON, e.message, session=live.record.id)


def _exists(live: LiveSession) -> bool:
    return live.tree.session.exists()


class _Follower:
    """The thread: subscribe, list, report, and again when the engine comes back."""

    def __init__(self, engine: Engine, inbox: "asyncio.Queue[Message]") -> None:
        self._engine = engine
        self._inbox = inbox
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._events: Events | None = None

    def start(self) -> None:
        # A daemon thread: nothing may wait for a read that nobody can end.
        threading.Thread(target=self._run, name="docker", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()
        if self._events is not None:
            self._events.close()

    def _run(self) -> None:
        wait = BACK_OFF[0]
        while not self._stopping.is_set():
            try:
                with self._engine.events() as events:
                    self._events = events
                    self._put(Listing(self._engine.running()))
                    wait = BACK_OFF[0]
                    for happening in events:
                        self._put(happening)
                why = "its event stream ended"
            except AgentcgError as e:
                why = e.message
            if self._stopping.is_set():
                return
            self._put(Lost(why))
            self._stopping.wait(wait)
            wait = min(2 * wait, BACK_OFF[1])

    def _put(self, message: Message) -> None:
        # The loop is closed when the daemon stopped meanwhile.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._inbox.put_nowait, message)
