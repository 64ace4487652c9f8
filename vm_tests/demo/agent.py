"""One agent of the demo: a shell in its session, and the calls that it makes there."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Sequence

from vm_tests.demo.homes import Home
from vm_tests.demo.plan import AGENT_MIB, Step, Tenant

_HOUR_MS = 3_600_000


class Agent:
    """Replays one tenant's trace in a thread, by commands to a shell that it keeps.

    Beside the shell there is a program that holds what a harness holds, from beginning to end.
    Both must survive whatever the calls do.
    """

    def __init__(self, tenant: Tenant, home: Home, shell: Sequence[str]) -> None:
        self.tenant = tenant
        self.steps = tenant.steps()
        self.step: Step | None = None
        self.seconds: float | None = None
        self._lives = True
        self._home = home
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._replay, daemon=True)
        self._begin = self._since = time.monotonic()
        self._done = 0.0  # seconds of the trace, at `_since`
        # A session of its own: the terminal's Ctrl-C is not for it.
        self._shell = subprocess.Popen(
            shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    @property
    def alive(self) -> bool:
        """Whether shell and harness live, the latter when it was last asked for."""
        return self._lives and self._shell.poll() is None

    @property
    def busy(self) -> bool:
        """Whether there is something left to replay."""
        return self._thread.is_alive()

    @property
    def planned(self) -> float:
        """How long the replay takes where nothing holds it up; seconds."""
        return self.steps[-1].start + self.steps[-1].seconds

    def progress(self, cpu: float | None) -> float:
        """How much of the trace is done, from 0 to 1, if the call has used so much CPU."""
        step, passed = self.step, time.monotonic() - self._since
        if not self.busy:
            return 1.0
        if step is None:
            return min(0.99, (self._done + passed) / self.planned)
        # Neither faster than in the trace, nor than it gets the CPU for its work.
        worked = step.seconds if cpu is None or not step.cpu else step.seconds * cpu / step.cpu
        return min(0.99, (step.start + min(passed, worked, step.seconds)) / self.planned)

    def key(self, step: Step) -> str:
        """The call's id in the daemon."""
        return f"{self.tenant.name}-{step.number}"

    def start(self) -> None:
        """Let the harness take its memory, and begin the replay."""
        hold = f"0 {AGENT_MIB} 0\n{_HOUR_MS} 0 0\n"
        # From here on its errors are the calls', which the daemon explains better.
        self._tell(f"exec 2>/dev/null\n{self._home.toucher} own >/dev/null <<E &\n{hold}E\nh=$!\n")
        self._begin = self._since = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """End it, if its home's end did not."""
        self._stop.set()
        self._shell.kill()
        self._shell.wait()

    def _replay(self) -> None:
        for step in self.steps:
            # It thinks as long as in the trace, however long the call before took.
            if self._stop.wait(step.start - self._done):
                return
            self._done, self._since, self.step = step.start, time.monotonic(), step
            self._tell(f"{self._command(step)} >/dev/null <<E\n{step.schedule}E\n")
            self._lives = self._hear('kill -0 "$h" && echo lives || echo died\n') == "lives\n"
            self._done, self._since, self.step = step.start + step.seconds, time.monotonic(), None
            if not self._lives:
                return
        self.seconds = time.monotonic() - self._begin

    def _command(self, step: Step) -> str:
        words = [self._home.acg, "run", "--call-id", self.key(step), "--tool", step.tool]
        words += ["--class", step.cpu_class, "--memory", f"{step.limit}MiB"]
        if self.tenant.guarantee:
            words += ["--guarantee", f"{min(self.tenant.guarantee, step.limit)}MiB"]
        return " ".join([*words, "--", self._home.toucher, step.holds])

    def _tell(self, text: str) -> None:
        assert self._shell.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is gone, and the next answer shows it
            self._shell.stdin.write(text)
            self._shell.stdin.flush()

    def _hear(self, question: str) -> str:
        assert self._shell.stdout is not None
        self._tell(question)
        return self._shell.stdout.readline()
