"""Containers of the real engine, and what tests ask about their cgroups."""

import contextlib
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentcg.client import Client
from agentcg.errors import AgentcgError
from agentcg.model.call import CallState
from agentcg.model.outcome import Outcome
from agentcg.model.session import Session
from vm_tests.guest.sandbox import until
from vm_tests.guest.test_platform import IMAGE, docker

CGROUP = Path("/sys/fs/cgroup")
POOL = CGROUP / "agentcg.slice"
ACG = "/run/agentcg/agent/acg"
MOUNT = "/run/agentcg/agent:/run/agentcg/agent:ro"
# The machine's own Python, for what busybox cannot do.
PYTHON = ("-v", "/usr:/usr:ro", "-v", "/usr/lib:/lib:ro", "-v", "/usr/lib64:/lib64:ro")
LABEL = ("--label", "agentcg.session")


@dataclass
class Box:
    """A running container."""

    id: str
    name: str

    @property
    def pid(self) -> int:
        """Its init's pid; 0 when it does not run."""
        return int(docker("inspect", "-f", "{{.State.Pid}}", self.id))

    @property
    def home(self) -> Path:
        """The session's cgroup, once it is split."""
        return cgroup_of(self.pid).parent

    @property
    def oom_killed(self) -> bool:
        """What the engine says of it."""
        return docker("inspect", "-f", "{{.State.OOMKilled}}", self.id).strip() == "true"

    def exec(self, *argv: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command by `docker exec`."""
        words = ["docker", "exec", self.id, *argv]
        return subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False)

    def start(self, *argv: str, **kwargs: Any) -> subprocess.Popen[str]:
        """Start a command by `docker exec`."""
        return subprocess.Popen(["docker", "exec", self.id, *argv], text=True, **kwargs)


@contextlib.contextmanager
def container(
    *options: str,
    argv: tuple[str, ...] = ("/bin/sleep", "6000"),
    parent: str = "agentcg.slice",
    image: str = IMAGE,
) -> Iterator[Box]:
    """Run a container below a slice; it is removed at the end."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    made = docker(
        "run", "-d", "--name", name, "--network", "none", f"--cgroup-parent={parent}",
        "-v", MOUNT, *options, image, *argv,
    ).strip()  # fmt: skip
    try:
        yield Box(made, name)
    finally:
        subprocess.run(["docker", "rm", "-f", made], capture_output=True, check=False)


def cgroup_of(pid: int) -> Path:
    """Where a process is."""
    return CGROUP / Path(f"/proc/{pid}/cgroup").read_text().rpartition("0::/")[2].strip()


def find(client: Client, container_id: str) -> Session | None:
    """The open session of a container; None too while the daemon is away."""
    try:
        sessions = [view.session for view in client.sessions()]
    except AgentcgError:
        return None
    return next((s for s in sessions if s.container == container_id), None)


def session_of(client: Client, box: Box) -> Session:
    """Wait for the session that the daemon opens by itself."""
    return until(lambda: find(client, box.id), f"a session of {box.name}", 60)


def outcome_of(client: Client, session: Session, key: str) -> Outcome:
    """How a session's call ended that was declared under a key; waits for it to be closed."""

    def closed() -> Outcome | None:
        calls = [v.call for v in client.calls(everything=True)]
        mine = [c for c in calls if (c.session, c.intent.key) == (session.id, key)]
        return mine[0].outcome if mine and mine[0].state is CallState.CLOSED else None

    return until(closed, f"call {key} to close", 60)


def pids(cgroup: Path) -> list[int]:
    """The processes right in a cgroup."""
    return [int(p) for p in (cgroup / "cgroup.procs").read_text().split()]


def children(cgroup: Path) -> set[str]:
    """The names of the child cgroups."""
    return {p.name for p in cgroup.iterdir() if p.is_dir()}


def systemctl(*words: str) -> str:
    """Ask systemd."""
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()
