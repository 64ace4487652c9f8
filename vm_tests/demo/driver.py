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
from pathlib import Path

from agentcg.client import Client
from agentcg.errors import AgentcgError, UnavailableError
from agentcg.model.event import Event
from agentcg.model.session import Session
from vm_tests.demo import homes, state
from vm_tests.demo.agent import Agent
from vm_tests.demo.plan import TENANTS
from vm_tests.demo.report import Reporter

_OPENING_SECONDS = 90


def main() -> int:
    """Run the demo once."""
    args = _parser().parse_args()
    # Whoever ends us wants the sessions closed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with Client() as client:
            home = homes.choose(client, args.toucher, args.acg, args.cgroup_root)
            _demo(client, args.cgroup_root, home)
    except AgentcgError as error:
        _say(state.Failed(error.message))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _demo(client: Client, root: Path, home: homes.Home) -> None:
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with contextlib.ExitStack() as stack:
        agents = []
        for tenant in TENANTS:
            shell = stack.enter_context(home.enter(tenant))
            agents.append(Agent(tenant, home, shell))
            stack.callback(agents[-1].stop)
        # The containers start side by side.
        sessions = [_session(client, agent) for agent in agents]
        reporter = Reporter(client, root, list(zip(agents, sessions, strict=True)))
        threading.Thread(target=_follow, args=(events,), daemon=True).start()
        begin = time.monotonic()
        for agent in agents:
            agent.start()
        while any(agent.busy for agent in agents):
            time.sleep(1 - (time.monotonic() - begin) % 1)
            _report(reporter, events, time.monotonic() - begin)
        seconds = time.monotonic() - begin
        rows = reporter.rows()
        _report(reporter, events, time.monotonic() - begin)
        host = client.host()
        where = f"Linux {host.kernel}, tier {host.tier}, {home.kind}"
        _say(state.Result(seconds, where, rows, reporter.totals()))


def _session(client: Client, agent: Agent) -> Session:
    """Wait for the agent's session, which the daemon opens for a container when it starts."""
    end = time.monotonic() + _OPENING_SECONDS
    while time.monotonic() < end:
        for view in client.sessions():
            if view.session.name == agent.tenant.session:
                return view.session
        if not agent.alive:
            break
        time.sleep(0.2)
    raise UnavailableError(f"no session for {agent.tenant.session} (see the daemon's log)")


def _follow(events: "queue.SimpleQueue[Event]") -> None:
    with contextlib.suppress(AgentcgError), Client() as client:
        for event in client.events():
            events.put(event)


def _report(reporter: Reporter, events: "queue.SimpleQueue[Event]", t: float) -> None:
    while not events.empty():
        if told := reporter.told(events.get(), t):
            _say(told)
    _say(reporter.now(t))


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
