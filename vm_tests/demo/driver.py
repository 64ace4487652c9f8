"""Opens the sessions, lets the agents replay, and prints one JSON line a second.

It runs where the daemon runs: `python -m vm_tests.demo.driver` in the machine, or on the host.
"""

import argparse
import contextlib
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from agentcg.client import Client
from agentcg.errors import AgentcgError, NotFoundError
from agentcg.model.call import CallState
from agentcg.model.event import Event
from agentcg.model.view import CallView, SessionView
from vm_tests.demo import state
from vm_tests.demo.agent import Agent, Programs
from vm_tests.demo.plan import TENANTS, Step, Tenant

_MIB = 1 << 20
_CLOSING_SECONDS = 20


def main() -> int:
    """Run the demo once."""
    args = _parser().parse_args()
    # Whoever ends us wants the sessions closed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with Client() as client:
            _demo(client, args.cgroup_root, Programs(args.acg, args.toucher))
    except AgentcgError as error:
        _say(state.Failed(error.message))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _demo(client: Client, root: Path, programs: Programs) -> None:
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(_session(client, tenant)) for tenant in TENANTS]
        agents = []
        for tenant, view in zip(TENANTS, sessions, strict=True):
            agent = Agent(tenant, root / view.session.cgroup / "agentcg.agent", programs)
            stack.callback(agent.stop)
            agents.append(agent)
        threading.Thread(target=_follow, args=(events,), daemon=True).start()
        begin = time.monotonic()
        for agent in agents:
            agent.start()
        while any(agent.busy for agent in agents):
            time.sleep(1 - (time.monotonic() - begin) % 1)
            _report(client, agents, events, time.monotonic() - begin)
        seconds = time.monotonic() - begin
        rows = _rows(client, agents)
        _report(client, agents, events, time.monotonic() - begin)
        host = client.host()
        where = f"Linux {host.kernel}, tier {host.tier}"
        alive = {agent.tenant.name: agent.alive for agent in agents}
        _say(state.Result(seconds, where, rows, alive))


@contextlib.contextmanager
def _session(client: Client, tenant: Tenant) -> Iterator[SessionView]:
    with contextlib.suppress(NotFoundError):
        client.close_session(tenant.session)  # a demo that was killed left it
    budget = {"memory": tenant.memory * _MIB, "guarantee": tenant.guarantee * _MIB}
    body = {"runtime": "bare", "id": tenant.session, "name": tenant.name}
    view = client.open_session({**body, "priority": tenant.priority, "budget": budget})
    try:
        yield view
    finally:
        with contextlib.suppress(AgentcgError):
            client.close_session(tenant.session)


def _follow(events: "queue.SimpleQueue[Event]") -> None:
    with contextlib.suppress(AgentcgError), Client() as client:
        for event in client.events():
            events.put(event)


def _report(
    client: Client, agents: Sequence[Agent], events: "queue.SimpleQueue[Event]", t: float
) -> None:
    names = {tenant.session: tenant.name for tenant in TENANTS}
    while not events.empty():
        event = events.get()
        if event.session in names:
            _say(state.Told(t, names[event.session], event.kind.value, event.text))
    sessions = {str(view.session.id): view for view in client.sessions()}
    calls = {view.call.intent.key: view for view in client.calls()}
    _say(state.Now(t, [_tenant(agent, sessions, calls) for agent in agents]))


def _tenant(
    agent: Agent, sessions: dict[str, SessionView], calls: dict[str | None, CallView]
) -> state.TenantNow:
    tenant, step = agent.tenant, agent.step
    view = sessions.get(tenant.session)
    return state.TenantNow(
        name=tenant.name,
        priority=tenant.priority,
        progress=agent.progress,
        alive=agent.alive,
        memory=view.memory if view else None,
        limit=view.limit if view else None,
        call=_call(step, calls.get(agent.key(step))) if step else None,
    )


def _call(step: Step, view: CallView | None) -> state.CallNow:
    return state.CallNow(
        number=step.number,
        what=_what(step),
        state=view.call.state.value if view else "starting",
        memory=view.usage.memory if view else None,
        limit=view.call.grant.memory_limit if view else step.limit * _MIB,
    )


def _rows(client: Client, agents: Sequence[Agent]) -> list[state.Row]:
    """Read how every call ended, once the daemon has closed them all."""
    end = time.monotonic() + _CLOSING_SECONDS
    keys = {agent.key(step) for agent in agents for step in agent.steps}
    ours = {agent.tenant.session for agent in agents}
    while True:
        views = [v for v in client.calls(everything=True) if v.call.session in ours]
        # Of an earlier run's call with the same key, only the newest counts.
        newest = {v.call.intent.key: v for v in sorted(views, key=lambda v: v.call.declared_at)}
        closed = {k for k, v in newest.items() if v.call.state is CallState.CLOSED}
        if keys <= closed or time.monotonic() > end:
            break
        time.sleep(0.5)
    steps = [(agent, step) for agent in agents for step in agent.steps]
    return [_row(agent, step, newest.get(agent.key(step))) for agent, step in steps]


def _row(agent: Agent, step: Step, view: CallView | None) -> state.Row:
    outcome = view.call.outcome if view else None
    grant = view.call.grant if view else None
    return state.Row(
        tenant=agent.tenant.name,
        number=step.number,
        what=_what(step),
        cpu_class=step.cpu_class,
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


def _what(step: Step) -> str:
    kind = step.command_class
    return step.tool if kind == step.tool.lower() else f"{step.tool} {kind}"


def _say(message: state.Message) -> None:
    sys.stdout.buffer.write(state.encode(message))
    sys.stdout.buffer.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vm_tests.demo.driver", description=__doc__)
    parser.add_argument("--toucher", type=Path, required=True, help="the built toucher.c")
    parser.add_argument("--acg", type=Path, default=Path("/usr/local/bin/acg"))
    parser.add_argument("--cgroup-root", type=Path, default=Path("/sys/fs/cgroup"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
