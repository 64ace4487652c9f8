"""One agent of the demo: a process in its session, and the calls that it makes."""

import contextlib
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from vm_tests.demo.plan import AGENT_MIB, Step, Tenant

_ENTER = 'echo 0 > "$0/cgroup.procs" && exec "$@"'
_HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Programs:
    """What is run: agentcg's native client, and the program that stands for every command."""

    acg: Path
    toucher: Path


class Agent:
    """Replays one tenant's trace in a thread."""

    def __init__(self, tenant: Tenant, cgroup: Path, programs: Programs) -> None:
        self.tenant = tenant
        self.steps = tenant.steps()
        self.step: Step | None = None
        self._cgroup = cgroup
        self._programs = programs
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._replay, daemon=True)
        self._begin = self._step_began = time.monotonic()
        # The harness itself: it holds its memory from beginning to end, and must survive.
        self._harness = self._inside(str(programs.toucher), text=f"0 {AGENT_MIB} 0\n{_HOUR_MS} 0 0")
        self._call: subprocess.Popen[str] | None = None

    @property
    def alive(self) -> bool:
        """Whether the harness lives."""
        return self._harness.poll() is None

    @property
    def busy(self) -> bool:
        """Whether there is something left to replay."""
        return self._thread.is_alive()

    @property
    def progress(self) -> float:
        """How much of the trace is done, from 0 to 1."""
        if not self.busy:
            return 1.0
        end = self.steps[-1].start + self.steps[-1].seconds
        step = self.step
        if step is None:
            return min(0.99, (time.monotonic() - self._begin) / end)
        inside = min(time.monotonic() - self._step_began, step.seconds)
        return min(0.99, (step.start + inside) / end)

    def key(self, step: Step) -> str:
        """The call's id in the daemon."""
        return f"{self.tenant.name}-{step.number}"

    def start(self) -> None:
        """Begin the replay."""
        self._begin = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """End it, and everything that it started."""
        self._stop.set()
        for process in (self._call, self._harness):
            if process is not None:
                process.kill()
                process.wait()

    def _replay(self) -> None:
        for step in self.steps:
            # A call that took longer than in the trace delays the next one, like a real agent's.
            if self._stop.wait(max(0.0, self._begin + step.start - time.monotonic())):
                return
            self._step_began = time.monotonic()
            self.step = step
            self._call = self._inside(*self._command(step), text=step.schedule)
            self._call.wait()
            self.step = None

    def _command(self, step: Step) -> list[str]:
        command = [str(self._programs.acg), "run", "--call-id", self.key(step)]
        command += ["--tool", step.tool, "--class", step.cpu_class, "--memory", f"{step.limit}MiB"]
        if self.tenant.guarantee:
            command += ["--guarantee", f"{min(self.tenant.guarantee, step.limit // 2)}MiB"]
        return [*command, "--", str(self._programs.toucher)]

    def _inside(self, *argv: str, text: str) -> subprocess.Popen[str]:
        """Start a process as the session's agent would, from its cgroup."""
        process = subprocess.Popen(
            ["sh", "-c", _ENTER, str(self._cgroup), *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert process.stdin is not None
        # A schedule is shorter than what a pipe takes at once: this never waits for the reader.
        process.stdin.write(text)
        with contextlib.suppress(BrokenPipeError):  # it ended before it read
            process.stdin.close()
        return process
