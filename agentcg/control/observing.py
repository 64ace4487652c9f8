"""The observer in the life of the daemon: what agents start outside calls is told, or placed.

By BPF where the kernel can, else by the process connector. It attributes; it never kills.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from agentcg.control import adopting
from agentcg.control.core import Core
from agentcg.control.state import LiveSession
from agentcg.errors import AgentcgError, UnsupportedError
from agentcg.harness.attribute import KNOWN, Command, Reason, announced
from agentcg.intent.redact import stored
from agentcg.kernel import procfs, seeing
from agentcg.kernel.patience import Patience
from agentcg.model.event import Kind
from agentcg.model.host import Mechanism
from agentcg.model.process import Seen, What
from agentcg.model.session import Undeclared
from agentcg.sandbox import tree

MECHANISM = "observer"
_TOGETHER = 4  # agents that may make as many records as one may
_EVERY = 10.0
_AT_ONCE = 64  # processes that were there before: the loop does other things between


class Feed(Protocol):
    """Where forks, execs and exits come from: kernel/observer.py or kernel/proc_feed.py."""

    @property
    def lost(self) -> int:
        """How many were not handed over."""
        ...

    def listen(self) -> None:
        """Begin, in the running loop."""
        ...

    def watch(self, agent: int, path: str, pids: Iterable[int]) -> None:
        """Watch a cgroup, by id and path below the root, in which `pids` are now."""
        ...

    def forget(self, agent: int) -> None:
        """Watch it no more."""
        ...

    def close(self) -> None:
        """Let go of all."""
        ...


async def start(core: Core) -> None:
    """Make ready to look, if it is wanted and can be; doctor shows how, or why not."""
    if not core.settings.observer.enabled:
        _say(core, works=False, detail="switched off: observer.enabled")
        return
    # Both feeds number processes so, and finding that out by trying takes them a second.
    if not procfs.in_initial_pids():
        _say(core, works=False, detail="it serves the initial pid namespace only: run it there")
        return

    def take(seen: Seen) -> None:
        _heard(core, seen)

    tried = [_by_bpf] if core.settings.observer.bpf else []
    reasons: list[str] = []
    for make in [*tried, _by_connector]:
        try:
            name, feed = await core.blocking(make, core, take)
        except AgentcgError as e:
            reasons.append(e.message)
            continue
        core.observer = feed
        _say(core, works=True, detail="; ".join([name, *reasons]))
        return
    _say(core, works=False, detail="; ".join(reasons))


def listen(core: Core) -> None:
    """Begin to look. Not before all sessions and calls are taken up: else theirs were nobody's."""
    feed = core.observer
    if feed is not None:
        feed.listen()
        core.spawn(_follow(core, feed))


def stop(core: Core) -> None:
    """Look no more."""
    feed, core.observer = core.observer, None
    if feed is not None:
        feed.close()


def need(core: Core) -> None:
    """Refuse what cannot be done without it.

    Raises:
        UnsupportedError: it does not run, and why.
    """
    if core.observer is None:
        why = core.host.why_not(MECHANISM)
        raise UnsupportedError(f"undeclared: place needs the observer: {why}; choose cap")


async def watch(core: Core, live: LiveSession) -> None:
    """Look at a session's agent from now on."""
    feed = core.observer
    if feed is None:
        if live.record.undeclared is Undeclared.PLACE:
            words = "its undeclared commands are only capped, there is no observer to place them: "
            words += core.host.why_not(MECHANISM)
            core.tell(Kind.DAEMON, words, session=live.record.id)
        return
    agent = live.tree.agent
    path = live.record.cgroup
    if live.record.observe_only is None:
        path = f"{path}/{tree.AGENT}"
    try:
        pids = await core.blocking(agent.pids)
        born = await core.blocking(_born, agent.id, pids[:KNOWN])
        feed.watch(agent.id, path, pids)
    except AgentcgError as e:
        core.tell(Kind.DAEMON, f"its agent is not observed: {e.message}", session=live.record.id)
        return
    # Before the feed is heard: the harness would be taken for one that came from outside.
    for one in born:
        live.lineage.there(one)
    core.spawn(_found(core, live, born))


def forget(core: Core, live: LiveSession) -> None:
    """Look at it no more."""
    if core.observer is not None:
        core.observer.forget(live.tree.agent.id)


def _by_bpf(core: Core, take: Callable[[Seen], None]) -> tuple[str, Feed]:
    from agentcg.kernel.observer import NAME, BpfFeed

    rate = core.settings.observer.rate
    log = core.settings.paths.state / "verifier.log"
    return NAME, BpfFeed(take, rate=rate, total=_TOGETHER * rate, log=log)


def _by_connector(core: Core, take: Callable[[Seen], None]) -> tuple[str, Feed]:
    from agentcg.kernel.proc_feed import NAME, ConnectorFeed

    rate = core.settings.observer.rate
    patience = Patience(core.settings.observer.wait)
    return NAME, ConnectorFeed(take, patience, rate=rate, total=_TOGETHER * rate)


def _say(core: Core, *, works: bool, detail: str) -> None:
    found = Mechanism(MECHANISM, works=works, detail=detail)
    core.host = replace(core.host, mechanisms={**core.host.mechanisms, found.name: found})


async def _found(core: Core, live: LiveSession, born: list[Seen]) -> None:
    """Learn who they are that were there before, and some at a time."""
    for first in range(0, len(born), _AT_ONCE):
        for seen in await core.blocking(_look, core, born[first : first + _AT_ONCE]):
            live.lineage.found(seen)


def _born(agent: int, pids: list[int]) -> list[Seen]:
    """Whose children they are, parents before their children."""
    found = filter(None, (seeing.born(agent, pid) for pid in pids))
    return sorted(found, key=lambda seen: (seen.start, seen.pid))


def _look(core: Core, some: list[Seen]) -> list[Seen]:
    return [*filter(None, (seeing.look(core.patience, one.agent, one.pid) for one in some))]


async def _follow(core: Core, feed: Feed) -> None:
    """Say when records were lost."""
    told = 0
    while core.observer is feed:
        await asyncio.sleep(_EVERY)
        lost = feed.lost
        if lost > told:
            words = f"the observer missed {lost - told} forks, execs and exits: too many at a time"
            core.tell(Kind.DAEMON, words)
            told = lost


def _heard(core: Core, seen: Seen) -> None:
    live, _ = core.state.place_of(seen.agent)
    if live is None or live.closing:
        return
    match seen.what:
        case What.FORK:
            live.lineage.forked(seen)
        case What.EXIT:
            live.lineage.exited(seen)
        case What.EXEC:
            _executed(core, live, seen)


def _executed(core: Core, live: LiveSession, seen: Seen) -> None:
    verdict = live.lineage.executed(seen, live.runs)
    command, call = verdict.command, verdict.call
    if command is None:
        return
    most, now = core.settings.observer.places, core.now()
    places = live.record.undeclared is Undeclared.PLACE
    if verdict.new:
        live.undeclared += 1
        core.state.undeclared += 1
        # Asked first: what follows costs more than all before.
        if not live.pace.allows(most, now):
            return
        key, reason = announced(seen, verdict, live.hooked.expected(), now)
        if not places:
            _tell(core, live, command, key, reason)
            return
        if reason is Reason.LINE and verdict.line is not None:
            live.lineage.goes_on(seen.pid, verdict.line)
            if verdict.line.call is not None:  # else all are gathered when it is made
                adopting.gather(core, live, verdict.line.call)
            return
        # Taken here, where nothing comes in between: the next must not be taken for the same.
        one = live.hooked.take(key)
        if one is not None and verdict.typed:
            live.lineage.began(command, one)
        hint = seen.env.get("AGENT_RESOURCE_HINT")
        core.spawn(adopting.adopt(core, live, command, one, hint))
    elif call is not None and places:
        # Of a call that runs, and in the agent's cgroup all the same.
        if live.joins.allows(most, now):
            adopting.gather(core, live, call)
        else:
            live.late.add(call)


def _tell(core: Core, live: LiveSession, command: Command, key: str | None, reason: Reason) -> None:
    core.tell(
        Kind.UNDECLARED,
        stored(command.line, core.settings.store_commands) or "a command",
        session=live.record.id,
        data={
            "pid": command.pid,
            "reason": reason.value,
            "call_id": key,
            "untold": live.pace.settle(),
        },
    )
