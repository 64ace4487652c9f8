"""What an agent in a container may not do, whoever it is there and whichever socket it has."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agentcg.client import Client
from agentcg.model.call import CallState
from agentcg.model.outcome import Cause
from agentcg.model.session import Session
from vm_tests.guest.containers import (
    ACG,
    LABEL,
    PYTHON,
    Box,
    cgroup_of,
    children,
    container,
    outcome_of,
    session_of,
    systemctl,
)
from vm_tests.guest.sandbox import LEAF, MIB, sandbox, until

pytestmark = [pytest.mark.vm, pytest.mark.any_kernel]

ADMIN, AGENT = "/run/agentcg/admin.sock", "/run/agentcg/agent/sock"
ASKER = Path(__file__).with_name("asker.py")
# Both sockets, and a budget with little in it.
MOUNTS = ("-v", f"{ADMIN}:{ADMIN}", "-v", f"{ASKER.parent}:/tests:ro", *PYTHON)
BUDGET = ("--label", "agentcg.priority=5", "--label", "agentcg.guarantee=64MiB", "-m", "400m")
CONFIG = Path("/etc/agentcg/agentcg.yaml")
START_WITHIN = 3
GREEDY = {"priority": 100, "memory": {"guarantee": "300MiB", "limit": "64GiB"}}
STUBBORN = ("--call-id", "stubborn", "--on-pressure", "freeze", "--on-end", "keep")
STAYS = (
    '/usr/bin/python3 /tests/asker.py "$0"; echo; '
    "trap '' TERM INT HUP; while true; do /bin/sleep 1000; done"
)
Request = tuple[str, str, Any]


class Other(NamedTuple):
    """A call of another session, and its process."""

    leaf: str
    pid: int


@dataclass
class Agent:
    """A uid in a container, at one of the sockets."""

    box: Box
    session: Session
    user: str
    socket: str

    @property
    def _words(self) -> list[str]:
        return ["docker", "exec", "-i", "-u", self.user, self.box.id]

    def ask(self, requests: list[Request]) -> list[Any]:
        """Send requests from beside the calls."""
        words = [*self._words, "/usr/bin/python3", "/tests/asker.py", self.socket]
        done = subprocess.run(
            words, input=json.dumps(requests), capture_output=True, text=True, check=True
        )
        answers: list[Any] = json.loads(done.stdout)
        return answers

    def ask_inside(self, requests: list[Request]) -> tuple[list[Any], subprocess.Popen[str]]:
        """Send requests from a call, which afterwards resists its end as well as it can."""
        words = [*self._words, ACG, "run", *STUBBORN, "--", "/bin/sh", "-c", STAYS, self.socket]
        call = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert call.stdin is not None
        assert call.stdout is not None
        with call.stdin:
            call.stdin.write(json.dumps(requests))
        answers: list[Any] = json.loads(call.stdout.readline())
        return answers, call


@pytest.fixture(scope="module", autouse=True)
def _quick_to_expire() -> Iterator[None]:
    """A grant that nobody starts is taken back after 3 s here instead of 60."""
    before = CONFIG.read_text()
    CONFIG.write_text(f"{before}\ncalls: {{start_within: {START_WITHIN}s}}\n")
    systemctl("restart", "agentcg.service")
    yield
    CONFIG.write_text(before)
    systemctl("restart", "agentcg.service")


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with container(*LABEL, *BUDGET, *MOUNTS) as made:
        yield made


@pytest.fixture(params=["0", "1000"], ids=["root", "uid 1000"])
def agent(client: Client, box: Box, socket: str, request: pytest.FixtureRequest) -> Agent:
    """A user in the group that may open the administrator's socket."""
    user = f"{request.param}:{Path(ADMIN).stat().st_gid}"
    return Agent(box, session_of(client, box), user, socket)


@pytest.fixture
def sibling(client: Client, box: Box) -> Iterator[str]:
    """Another call of the same session."""
    run = box.start(ACG, "run", "--memory", "64MiB", "--", "/bin/sleep", "6000")
    leaf = until(lambda: next((box.home / "agentcg.calls").glob("c-*"), None), "the call", 60)
    yield leaf.name
    assert client.call(leaf.name).call.state is CallState.RUNNING
    client.close(leaf.name)
    run.wait(60)


@pytest.fixture
def other(client: Client) -> Iterator[Other]:
    """Another session, with a running call."""
    with sandbox("other") as made:
        process = made.run("--", "sleep", "10000")
        until(lambda: LEAF.search(str(cgroup_of(process.pid))), "the call")
        [leaf] = children(made.calls)
        yield Other(leaf, process.pid)
        assert cgroup_of(process.pid) == made.calls / leaf
        assert client.call(leaf).call.state is CallState.RUNNING
        process.kill()
        process.wait()


def _on_call(call: str) -> list[Request]:
    path = f"/v1/calls/{call}"
    return [
        *[("POST", f"{path}/{verb}", None) for verb in ("kill", "freeze", "thaw", "end")],
        ("PATCH", path, {"memory": {"limit": "1MiB"}}),
        ("DELETE", path, None),
        ("GET", path, None),
    ]


def _on_session(session: str) -> list[Request]:
    path = f"/v1/sessions/{session}"
    return [
        ("GET", path, None),
        ("DELETE", path, None),
        ("POST", f"{path}/calls", {"tool": "x"}),
        ("POST", f"{path}/calls", {"tool": "x", "place": "peer"}),
    ]


def _beyond(other: Other) -> list[Request]:
    """New sessions, and processes named by number: none of it is an agent's to do."""
    targets = (
        {"runtime": "bare"},
        {"runtime": "bare", "pid": other.pid},
        {"runtime": "scope", "pid": other.pid},
        {"runtime": "docker", "container": "any"},
        {"runtime": "self"},
    )
    return [
        *[("POST", "/v1/sessions", body) for body in targets],
        ("POST", "/v1/sessions/self/calls", {"tool": "x", "place": other.pid}),
        ("POST", "/v1/sessions/self/calls", {"tool": "x", "pid": other.pid}),
        ("DELETE", "/v1/sessions/self", None),
        *_on_session("other"),
        *_on_call(other.leaf),
    ]


def _granted(requests: list[Request], answers: list[Any]) -> list[tuple[Request, Any]]:
    """What was not refused."""
    pairs = zip(requests, answers, strict=True)
    return [(asked, got) for asked, got in pairs if got[0] not in (403, 404, 409, 422)]


@pytest.mark.parametrize("socket", [AGENT, ADMIN], ids=["agent socket", "admin socket"])
def test_no_request_reaches_beyond_the_callers_own(
    client: Client, agent: Agent, sibling: str, other: Other
) -> None:
    beyond = [*_beyond(other), *_on_session(agent.session.id), *_on_call(sibling)]
    seen: list[Request] = [("GET", "/v1/sessions", None), ("GET", "/v1/host", None)]
    (*refused, sessions, host), call = agent.ask_inside([*beyond, *seen])
    assert _granted(beyond, refused) == []
    assert sessions == [200, []]
    assert not _names_sessions(host)

    stubborn = next(c for c in children(agent.box.home / "agentcg.calls") if c != sibling)
    beyond = [*_beyond(other), ("PATCH", f"/v1/calls/{sibling}", {"priority": 100})]
    own: list[Request] = [
        (
            "POST",
            "/v1/sessions/self/calls",
            {"tool": "x", "call_id": f"greedy-{stubborn}", **GREEDY},
        ),
        ("PATCH", f"/v1/calls/{sibling}", {"memory": GREEDY["memory"]}),
        ("POST", "/v1/sessions/self/calls", {"tool": "x", "call_id": f"kept-{stubborn}"}),
        ("POST", "/v1/sessions/self/calls", {"tool": "x", "call_id": f"kept-{stubborn}"}),
        ("POST", f"/v1/calls/{stubborn}/freeze", None),
    ]
    answers = agent.ask([*beyond, *seen, *own])
    split = len(beyond)
    assert _granted(beyond, answers[:split]) == []
    sessions, host, greedy, patched, kept, again, frozen = answers[split:]
    assert [v["session"]["id"] for v in sessions[1]] == [agent.session.id]
    assert not _names_sessions(host)
    grants = [answer[1]["call"]["grant"] for answer in (greedy, patched)]
    assert [grant["priority"] for grant in grants] == [5, 5]
    assert sum(grant["memory_guarantee"] for grant in grants) == 64 * MIB
    assert all(grant["memory_limit"] < 400 * MIB for grant in grants)

    assert frozen[0] == 200
    with call:
        client.kill(stubborn)
    assert call.returncode == 137
    assert outcome_of(client, agent.session, "stubborn").cause is Cause.REQUEST

    assert again[1]["call"]["id"] == kept[1]["call"]["id"]
    for answer in (kept, greedy):
        _is_taken_back(client, answer[1]["call"]["id"])


def _names_sessions(host: Any) -> bool:
    return any(m["name"].startswith("session ") for m in host[1]["mechanisms"])


def _is_taken_back(client: Client, call: str) -> None:
    until(lambda: client.call(call).call.state is CallState.CLOSED, "the grant to lapse", 30)
    late = client.call(call).call
    assert late.outcome is not None
    assert late.outcome.cause is Cause.NEVER_STARTED
    assert late.closed_at is not None
    assert START_WITHIN <= late.closed_at - late.declared_at < START_WITHIN + 3
