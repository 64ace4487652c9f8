"""The driver's view: daemon and kernel asked, and put into the messages that the display takes."""

import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from agentcg.client import Client
from agentcg.model.call import CallState
from agentcg.model.event import Event
from agentcg.model.session import Session
from agentcg.model.view import CallView, SessionView
from vm_tests.demo import measure, state
from vm_tests.demo.agent import Agent
from vm_tests.demo.plan import Step

_MIB = 1 << 20
_CLOSING_SECONDS = 20


class Reporter:
    """Knows the agents with their sessions, and how much CPU each had used when last asked."""

    def __init__(self, client: Client, root: Path, homes: Sequence[tuple[Agent, Session]]) -> None:
        self._client = client
        self._homes = homes
        self._cgroups = {agent.tenant.name: root / session.cgroup for agent, session in homes}
        self._names = {str(session.id): agent.tenant.name for agent, session in homes}
        # All sessions live below one.
        self._pool = root / PurePosixPath(homes[0][1].cgroup).parts[0]
        self._used: dict[str, tuple[float, float]] = {}

    def now(self, t: float) -> state.Now:
        """Ask how things are."""
        sessions = {str(view.session.id): view for view in self._client.sessions()}
        calls = {(view.call.session, view.call.intent.key): view for view in self._client.calls()}
        tenants = []
        for agent, session in self._homes:
            step = agent.step
            view = calls.get((session.id, agent.key(step))) if step else None
            tenants.append(self._tenant(agent, sessions.get(str(session.id)), step, view))
        pool = measure.number(self._pool / "memory.current")
        return state.Now(t, pool, measure.number(self._pool / "memory.max"), tenants)

    def told(self, event: Event, t: float) -> state.Told | None:
        """Translate an event; None if it is not about our sessions."""
        name = self._names.get(event.session or "")
        return state.Told(t, name, event.kind.value, event.text) if name else None

    def rows(self) -> list[state.Row]:
        """Read how every call ended, once the daemon has closed them all."""
        end = time.monotonic() + _CLOSING_SECONDS
        wanted = {(session.id, agent.key(s)) for agent, session in self._homes for s in agent.steps}
        while True:
            views = self._client.calls(everything=True)
            # Of an earlier run's call with the same key, only the newest counts.
            views.sort(key=lambda view: view.call.declared_at)
            newest = {(view.call.session, view.call.intent.key): view for view in views}
            closed = {key for key, v in newest.items() if v.call.state is CallState.CLOSED}
            if wanted <= closed or time.monotonic() > end:
                break
            time.sleep(0.5)
        return [
            _row(agent, step, newest.get((session.id, agent.key(step))))
            for agent, session in self._homes
            for step in agent.steps
        ]

    def totals(self) -> list[state.Total]:
        """Read how each session fared; before it is closed."""
        return [_total(agent, self._cgroups[agent.tenant.name]) for agent, _ in self._homes]

    def _tenant(
        self, agent: Agent, view: SessionView | None, step: Step | None, call: CallView | None
    ) -> state.TenantNow:
        return state.TenantNow(
            name=agent.tenant.name,
            priority=agent.tenant.priority,
            progress=agent.progress(call.usage.cpu if call else None),
            alive=agent.alive,
            cpu=self._share(agent.tenant.name),
            memory=view.memory if view else None,
            limit=view.limit if view else None,
            call=_call(step, call) if step else None,
        )

    def _share(self, name: str) -> float | None:
        """CPU time used since the last look, as a share of one CPU."""
        now, used = time.monotonic(), measure.session(self._cgroups[name]).cpu
        if used is None:
            return None
        before, used_before = self._used.get(name, (now, used))
        self._used[name] = now, used
        return (used - used_before) / (now - before) if now > before else None


def _call(step: Step, view: CallView | None) -> state.CallNow:
    return state.CallNow(
        number=step.number,
        what=_what(step),
        state=view.call.state.value if view else "starting",
        memory=view.usage.memory if view else None,
        limit=view.call.grant.memory_limit if view else step.limit * _MIB,
    )


def _row(agent: Agent, step: Step, view: CallView | None) -> state.Row:
    outcome = view.call.outcome if view else None
    grant = view.call.grant if view else None
    return state.Row(
        tenant=agent.tenant.name,
        number=step.number,
        what=_what(step),
        cpu_class=step.cpu_class,
        guarantee=grant.memory_guarantee if grant else 0,
        asked=step.limit * _MIB,
        granted=grant.memory_limit if grant else None,
        peak=outcome.peak if outcome else None,
        throttled=outcome.throttled if outcome else None,
        wall=outcome.wall if outcome else None,
        cause=outcome.cause.value if outcome else "not declared",
        exit_code=outcome.exit_code if outcome else None,
        advice=outcome.advice if outcome else "The daemon did not hear of it.",
        notes=grant.notes if grant else (),
    )


def _total(agent: Agent, cgroup: Path) -> state.Total:
    reading = measure.session(cgroup)
    return state.Total(
        tenant=agent.tenant.name,
        priority=agent.tenant.priority,
        weight=agent.tenant.weight,
        guarantee=agent.tenant.guarantee * _MIB,
        planned=agent.planned,
        took=agent.seconds,
        waited=reading.waited,
        cpu=reading.cpu,
        peak=reading.peak,
        reclaimed=reading.reclaimed,
        alive=agent.alive,
    )


def _what(step: Step) -> str:
    kind = step.command_class
    return step.tool if kind == step.tool.lower() else f"{step.tool} {kind}"
