"""A bare session under the installed daemon, and what tests do in it."""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from agentcg.client import Client
from agentcg.model.call import Call, CallState
from agentcg.model.outcome import Outcome
from agentcg.model.view import CallView

T = TypeVar("T")

KEEPER = Path("/sys/fs/cgroup/agentcg.slice/agentcg-keeper.service")
ENTER = 'echo 0 > "$0/cgroup.procs" && exec "$@"'
MIB = 1 << 20
# Touches memory a MiB at a time, so that the kernel and not the allocator says no.
EAT = (
    "b=[]\nfor _ in range({mib}): b.append(bytearray(b'x' * 1048576))\n"
    "import time;time.sleep({hold})"
)


# At once, in large pages: faster than the daemon looks at anything.
BURST = "b = b'x' * ({mib} << 20)"
# Every command that reads this FIFO waits for a writer, and costs nothing while it does.
GATE = Path("/run/gate")
LEAF = re.compile(r"/agentcg\.calls/(c-\w+)")


@dataclass
class Sandbox:
    """One session on the host: a bare one, or a scope."""

    client: Client
    name: str
    path: Path

    @property
    def agent(self) -> Path:
        return self.path / "agentcg.agent"

    @property
    def calls(self) -> Path:
        return self.path / "agentcg.calls"

    def inside(self, *argv: str, **kwargs: Any) -> subprocess.Popen[str]:
        """Start a process in the agent."""
        return subprocess.Popen(["sh", "-c", ENTER, str(self.agent), *argv], text=True, **kwargs)

    def run(self, *argv: str, **kwargs: Any) -> subprocess.Popen[str]:
        """Start `acg run ARGV` in the agent."""
        return self.inside("/usr/local/bin/acg", "run", *argv, **kwargs)

    def eat(self, mib: int, *options: str, hold: int = 0) -> subprocess.Popen[str]:
        """Start a call that touches so many MiB and then sleeps."""
        return self.run(*options, "--", "python3", "-c", EAT.format(mib=mib, hold=hold))

    def by_key(self, key: str) -> Call:
        """The call that was declared under a key, when it is closed."""

        def closed() -> Call | None:
            views = self.client.calls(everything=True)
            found = [v.call for v in views if v.call.intent.key == key]
            mine = [c for c in found if c.session == self.name]
            return mine[0] if mine and mine[0].state == "closed" else None

        return until(closed, f"call {key} to close", 60)

    def ended(self, process: subprocess.Popen[str], seconds: float = 60) -> CallView:
        """Reap a process that `run` started, and wait for its call to be closed.

        Until it is reaped even a dead process shows its cgroup, so it must not be polled before.
        """
        cgroup = Path(f"/proc/{process.pid}/cgroup")
        leaf = until(lambda: LEAF.search(cgroup.read_text()), "the placement", seconds)
        process.wait(seconds)

        def closed() -> CallView | None:
            view = self.client.call(leaf[1])
            return view if view.call.state is CallState.CLOSED else None

        return until(closed, f"call {leaf[1]} to close", seconds)

    def outcome(self, key: str) -> Outcome:
        """How that call ended."""
        outcome = self.by_key(key).outcome
        assert outcome is not None
        return outcome


@contextlib.contextmanager
def sandbox(name: str, **body: Any) -> Iterator[Sandbox]:
    """Open a bare session, and close it at the end with all that is in it."""
    with Client("/run/agentcg/admin.sock") as client:
        client.open_session({"runtime": "bare", "id": name, **body})
        try:
            yield Sandbox(client, name, KEEPER / name)
        finally:
            client.close_session(name)


def until(
    check: Callable[[], T | None], what: str, seconds: float = 30, *, every: float = 0.05
) -> T:
    """Wait for what the kernel or the daemon is about to do; returns what the check found."""
    end = time.monotonic() + seconds
    while not (found := check()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(every)
    return found


def number(path: Path) -> int:
    """A file with one number."""
    return int(path.read_text())


def field(path: Path, key: str) -> int:
    """One value of a flat-keyed file."""
    for line in path.read_text().splitlines():
        name, value = line.split()
        if name == key:
            return int(value)
    raise KeyError(key)


def scale(small: int, full: int) -> int:
    """The size of a test: `make soak` wants the full one."""
    return full if os.environ.get("AGENTCG_SOAK") else small
