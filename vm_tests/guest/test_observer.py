"""What an agent that knows nothing of agentcg starts: seen, told, placed; by BPF and without.

All is run twice, as the process connector is what hosts without BPF have.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentcg.client import Client
from agentcg.errors import AgentcgError
from agentcg.kernel.observer import BpfFeed
from agentcg.model.call import Call
from agentcg.model.process import VALUE, Seen, What
from vm_tests.guest.governed import CONFIG, restart
from vm_tests.guest.sandbox import ENTER, Sandbox, number, sandbox, until

pytestmark = pytest.mark.vm

Json = Any
ACG = "/usr/local/bin/acg"
HARNESS = Path(__file__).with_name("plain_agent.py")
# Emulated, a look at a process takes 25 ms on the average, and up to 0.2 s.
WITHOUT_BPF = "\nobserver: {bpf: false, wait: 500ms}\n"
PLACED = "agentcg.calls/"
ROOT = Path("/sys/fs/cgroup")
RATE, TRUES = 10, 40
ANSWERS = 2.0  # seconds, emulated
SAY = "import os,time; print(os.getpid(), flush=True); time.sleep(60)"
STORM = f"i=0; while [ $i -lt {TRUES} ]; do /bin/true; i=$((i+1)); done"


@dataclass
class Agent:
    """The harness in its session; `shell` is the one that stays."""

    box: Sandbox
    process: "subprocess.Popen[str]"
    shell: int
    folder: Path

    def do(self, how: str, run: Json, **env: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"how": how, "run": run, "env": env}) + "\n")
        self.process.stdin.flush()

    def where(self, pid: int) -> str:
        path = Path(f"/proc/{pid}/cgroup").read_text().strip()
        return path.rpartition(f"/{self.box.name}/")[2]

    def pid(self, name: str) -> int:
        """What a command wrote of itself."""
        path = self.folder / name
        until(lambda: path.exists() and path.read_text().endswith("\n"), f"{path}", 60)
        return int(path.read_text())

    def placed(self, name: str) -> str:
        """The leaf that a command is in, in time."""
        pid = self.pid(name)
        return until(
            lambda: where if (where := self.where(pid)).startswith(PLACED) else None,
            f"{name} to be placed",
            20,
        )

    def call(self, leaf: str) -> Call:
        return self.box.client.call(leaf.removeprefix(PLACED)).call

    def announce(self, harness: str, **doc: Json) -> None:
        """What its hook tells before a tool."""
        with self.box.inside(ACG, "hook", harness, stdin=subprocess.PIPE) as hook:
            hook.communicate(json.dumps(doc), timeout=60)


@pytest.fixture(scope="module", params=["bpf", "connector"])
def feed(request: pytest.FixtureRequest, client: Client) -> Iterator[str]:
    """Who tells the daemon of processes."""
    before = CONFIG.read_text()
    if request.param == "connector":
        CONFIG.write_text(before + WITHOUT_BPF)
        restart()
    until(lambda: _how(client), "the daemon", 120)
    yield request.param
    if request.param == "connector":
        CONFIG.write_text(before)
        restart()
        until(lambda: _how(client), "the daemon", 120)


@pytest.fixture(scope="module")
def agent(feed: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """One whose undeclared commands are placed."""
    with _agent(f"place-{feed}", tmp_path_factory.mktemp(feed), undeclared="place") as one:
        yield one


def test_doctor_says_how(feed: str, client: Client) -> None:
    assert _how(client).startswith({"bpf": "by BPF", "connector": "by the process connector"}[feed])


def test_each_command_gets_a_leaf_and_the_shell_stays(agent: Agent) -> None:
    # The second has forked before anybody can have moved it, the third is typed.
    agent.do("line", f"echo $$ > {agent.folder}/a; sleep 10; exit 3")
    agent.do("line", f"sleep 1000 & echo $! > {agent.folder}/b; wait")
    agent.do("typed", f"{sys.executable} -c '{SAY}' > {agent.folder}/c")
    leaves = [agent.placed(name) for name in "abc"]
    assert len({*leaves}) == 3
    assert agent.where(agent.shell) == agent.where(agent.process.pid) == "agentcg.agent"
    calls = [agent.call(leaf) for leaf in leaves]
    assert {call.intent.tool for call in calls} == {"undeclared"}
    assert {call.intent.key for call in calls} == {None}
    assert all(call.observed and "nobody declared it" in call.grant.notes[0] for call in calls)
    assert [call.grant.pids for call in calls] == [4096] * 3
    assert number(agent.box.path / leaves[0] / "memory.oom.group") == 1
    assert number(agent.box.path / leaves[0] / "pids.max") == 4096
    agent.box.client.kill(calls[1].id)
    os.kill(agent.pid("c"), signal.SIGTERM)
    until(lambda: agent.call(leaves[0]).outcome, "the first to end", 30)
    first = agent.call(leaves[0]).outcome
    assert first is not None
    assert (first.cause, first.exit_code) == ("exited", 3)


def test_who_asks_for_a_call_gets_that_one(agent: Agent) -> None:
    inner = f"echo $$ > {agent.folder}/own; sleep 60"
    agent.do("line", f'{ACG} run --call-id "$KEY" -- sh -c "{inner}"', KEY=agent.box.name)
    call = agent.call(agent.placed("own"))
    assert (call.intent.key, call.observed) == (agent.box.name, False)
    agent.box.client.kill(call.id)


def test_an_announced_command_has_its_own_key_and_wish(agent: Agent) -> None:
    """Codex: its hook tells, its shell is not wrapped; found by the words."""
    said = f"said-{time.monotonic_ns()}"  # a key is taken for good, also if this is run again
    line = f"AGENT_RESOURCE_HINT=pids:77 true; echo $$ > {agent.folder}/{said}; sleep 60"
    key = f"{agent.box.name}-{said}"
    tool = {"tool_name": "Bash", "tool_input": {"command": line}, "tool_use_id": key}
    agent.announce("codex", session_id="s", hook_event_name="PreToolUse", **tool)
    agent.do("line", line)
    call = agent.call(agent.placed(said))
    assert (call.intent.key, call.grant.pids, call.observed) == (key, 77, True)
    agent.box.client.kill(call.id)


def test_a_typed_line_is_the_one_announcement_that_waits(agent: Agent) -> None:
    """OpenHands: typed into a shell that stays; its first program is found by the time."""
    first, more = f"typed-{time.monotonic_ns()}", f"more-{time.monotonic_ns()}"
    key = f"{agent.box.name}-{first}"
    tool = {"tool_name": "Bash", "tool_input": {"command": "make test"}, "tool_use_id": key}
    agent.announce("codex", session_id="s", hook_event_name="PreToolUse", **tool)
    said = [f"{sys.executable} -c '{SAY}' > {agent.folder}/{name}" for name in (first, more)]
    agent.do("typed", "; ".join(said))
    leaf = agent.placed(first)
    call = agent.call(leaf)
    assert call.intent.key == key
    os.kill(agent.pid(first), signal.SIGTERM)
    assert agent.placed(more) == leaf
    agent.announce("codex", session_id="s", hook_event_name="PostToolUse", **tool)
    assert agent.call(leaf).outcome is None
    os.kill(agent.pid(more), signal.SIGTERM)
    over = until(lambda: agent.call(leaf).outcome, "its end", 30)
    assert (over.exit_code, over.signal) == (None, None)


def test_what_says_its_call_or_its_span_joins_it(agent: Agent, feed: str) -> None:
    agent.do("line", f"echo $$ > {agent.folder}/one; sleep 60", TRACEPARENT="00-ab-cd-01")
    first = agent.placed("one")
    says = {"two": {"TRACEPARENT": "00-ab-cd-01"}, "three": {"AGENTCG_CALL": first[len(PLACED) :]}}
    # By the connector, what comes when the second's time for looking is up is not read.
    tries = 1 if feed == "bpf" else 5
    for name, env in says.items():
        assert first in (_typed(agent, f"{name}-{n}", env) for n in range(tries))
    agent.box.client.kill(first[len(PLACED) :])


def _typed(agent: Agent, name: str, env: dict[str, str]) -> str:
    """The leaf of a line that says what it belongs to."""
    time.sleep(1.5)
    agent.do("line", f"echo $$ > {agent.folder}/{name}; sleep 60", **env)
    try:
        return agent.placed(name)
    except AssertionError:
        return ""


def test_programs_in_a_tight_loop_leave_the_daemon_to_the_others(
    agent: Agent, client: Client
) -> None:
    """As fast as this machine starts any: typed, so that each is a command of its own."""
    stop = agent.folder / "stop"
    loop = f"while [ ! -e {stop} ]; do /bin/true; done"
    before = _forks()
    agent.do("typed", f"for n in 1 2 3; do ({loop}) & done; wait")
    try:
        until(lambda: _forks() > before + 500, "the storm", 120)
        begun = time.monotonic()
        for _ in range(10):
            client.health()
        took = time.monotonic() - begun
    finally:
        stop.touch()
    assert took < 10 * ANSWERS
    # And it has lost nothing by it: what comes next is placed.
    time.sleep(2)
    agent.do("line", f"echo $$ > {agent.folder}/after; sleep 60")
    agent.box.client.kill(agent.call(agent.placed("after")).id)
    assert agent.where(agent.shell) == agent.where(agent.process.pid) == "agentcg.agent"


def test_without_place_it_is_told_and_stays(feed: str, tmp_path: Path) -> None:
    with _agent(f"cap-{feed}", tmp_path) as one:
        one.do("line", f"echo $$ > {tmp_path}/pid; API_TOKEN=hunter2 sleep 2")
        pid = one.pid("pid")
        told = until(lambda: _told(one.box.name), "the event", 30)
        assert one.where(pid) == "agentcg.agent"
        assert "sleep 2" in told
        assert "hunter2" not in told
        assert one.box.client.session(one.box.name).undeclared == 1


def _forks() -> int:
    """Of the whole machine: by the connector hardly any is seen before it is gone."""
    lines = Path("/proc/stat").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("processes ")))


def _told(session: str) -> str:
    words = ("journalctl", "-u", "agentcg.service", "-o", "cat", "--grep", "agent.undeclared")
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    return "".join(line for line in done.stdout.splitlines() if f"session={session} " in line)


def _how(client: Client) -> str:
    with contextlib.suppress(AgentcgError):
        return next(c.detail for c in client.host().mechanisms if c.name == "observer")
    return ""


@contextlib.contextmanager
def _agent(name: str, folder: Path, **body: Any) -> Iterator[Agent]:
    with sandbox(name, **body) as box:
        pipes: Json = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with box.inside(sys.executable, str(HARNESS), env={**os.environ}, **pipes) as process:
            assert process.stdout is not None
            one = Agent(box, process, int(process.stdout.readline()), folder)
            yield one
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


def test_a_storm_is_cut_in_the_kernel_and_counted(tmp_path: Path) -> None:
    """By BPF, without the daemon; what comes first is told whole."""
    cgroup = ROOT / "observed"
    cgroup.mkdir()
    try:
        seen, lost, seconds = asyncio.run(_storm(cgroup, tmp_path / "verifier.log"))
    finally:
        cgroup.rmdir()
    first = seen[0]
    assert (first.what, first.agent) == (What.EXEC, seen[-1].agent)
    assert first.words == ("sh", "-c", STORM)
    assert first.env == {"AGENT_RESOURCE_HINT": "x" * VALUE}
    assert len(seen) <= RATE * (seconds + 2)
    # Of each a fork, an exec and an exit, and the storm's own exec and exit.
    assert (len(seen) + lost, lost > 0) == (3 * TRUES + 2, True)


async def _storm(cgroup: Path, log: Path) -> tuple[list[Seen], int, float]:
    seen: list[Seen] = []
    feed = BpfFeed(seen.append, rate=RATE, total=RATE, log=log)
    try:
        feed.listen()
        feed.watch(cgroup.stat().st_ino, "", [])
        words = ["sh", "-c", ENTER, str(cgroup), "sh", "-c", STORM]
        begun = time.monotonic()
        env = {"AGENT_RESOURCE_HINT": "x" * VALUE}
        await asyncio.to_thread(subprocess.run, words, env=env, check=True)
        seconds = time.monotonic() - begun
        await asyncio.sleep(0.5)
        return seen, feed.lost, seconds
    finally:
        feed.close()
