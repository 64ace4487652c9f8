"""A real daemon on a private cgroup2 mount, and what a test does with it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import yaml

REPO = Path(__file__).parents[2]
ACG = REPO / "build" / "acg"
RUN = Path("/run/agentcg")
ENTER = 'echo 0 > "$0/cgroup.procs" && exec "$@"'

Json = Any
T = TypeVar("T")
_MODULE = "agentcg.control.main"


@dataclass
class Daemon:
    """One daemon that may be started, killed and started again on the same state."""

    root: Path
    pool: str
    scratch: Path
    config: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    module: str = _MODULE

    @property
    def calls(self) -> Path:
        return self.home / "agentcg.calls"

    @property
    def home(self) -> Path:
        return self.session("one")

    def session(self, name: str) -> Path:
        return self.root / self.pool / "keeper" / name

    @property
    def log(self) -> str:
        return (self.scratch / "daemon.log").read_text()

    def start(self) -> None:
        settings = {
            "paths": {"run": str(RUN), "state": str(self.scratch / "state")},
            "cgroup": {
                "root": str(self.root),
                "pool": self.pool,
                "bare_parent": f"{self.pool}/keeper",
            },
            "docker": {"enabled": False},
            **self.config,
        }
        config = self.scratch / "agentcg.yaml"
        config.write_text(yaml.safe_dump(settings))
        with (self.scratch / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, "--config", str(config)],
                stdout=log,
                stderr=log,
                cwd=REPO,
            )
        until(self._answers, "the daemon to answer")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        # httpx2 leaks the socket of a refused connection, so knock first.
        with socket.socket(socket.AF_UNIX) as knock:
            try:
                knock.connect(str(RUN / "admin.sock"))
            except OSError:
                return False
        return bool(self.ask("GET", "/healthz").status_code == 200)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.process = None
        return code

    def ask(self, method: str, path: str, body: Json = None, door: str = "admin") -> Any:
        path_of = RUN / ("admin.sock" if door == "admin" else "agent/sock")
        transport = httpx2.HTTPTransport(uds=str(path_of))
        with httpx2.Client(transport=transport, base_url="http://agentcg", timeout=60) as client:
            return client.request(method, path, json=body)

    def open(self, name: str = "one", **body: Json) -> Json:
        answer = self.ask("POST", "/v1/sessions", {"runtime": "bare", "id": name, **body})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def history(self) -> list[Json]:
        return [v["call"] for v in self.ask("GET", "/v1/calls?all=true").json()]

    def call(self, call_id: str) -> Json:
        return self.ask("GET", f"/v1/calls/{call_id}").json()["call"]

    def inside(self, *argv: str, name: str = "one", **kwargs: Any) -> subprocess.Popen[str]:
        """Start a process in the session's agent."""
        agent = self.session(name) / "agentcg.agent"
        return subprocess.Popen(["sh", "-c", ENTER, str(agent), *argv], text=True, **kwargs)

    def acg(self, *argv: str, name: str = "one", **kwargs: Any) -> subprocess.Popen[str]:
        """Start `acg run OPTIONS -- COMMAND` in the session's agent."""
        return self.inside(str(ACG), "run", *argv, name=name, **kwargs)

    def hook(self, harness: str, said: bytes) -> "subprocess.CompletedProcess[bytes]":
        """Run `acg hook` in the session's agent."""
        agent = self.session("one") / "agentcg.agent"
        words = ["sh", "-c", ENTER, str(agent), str(ACG), "hook", harness]
        return subprocess.run(words, input=said, capture_output=True, check=False, timeout=20)

    def leaves(self, name: str = "one") -> list[str]:
        calls = self.session(name) / "agentcg.calls"
        return [p.name for p in calls.iterdir() if p.is_dir()] if calls.exists() else []


@contextlib.contextmanager
def running(
    root: Path, pool: str, scratch: Path, *, module: str = _MODULE, **config: Any
) -> Iterator[Daemon]:
    """A daemon that is stopped at the end, however the test went."""
    daemon = Daemon(root, pool, scratch, config, module=module)
    daemon.start()
    try:
        yield daemon
    finally:
        if daemon.process is not None:
            daemon.stop()
        for name in ("admin.sock", "agent/sock"):
            (RUN / name).unlink(missing_ok=True)


def until(check: Callable[[], object], what: str, seconds: float = 30) -> None:
    """Wait for something that the kernel or the daemon is about to do."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)


def cgroup_of(pid: int) -> str:
    """Where a process is, or "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/cgroup").read_text().rpartition("0::")[2].strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def events(text: str) -> list[Json]:
    """The data of a server-sent event stream."""
    return [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:")]


def scale(small: T, full: T) -> T:
    """The size of a test: `make soak` sets AGENTCG_SOAK."""
    return full if os.environ.get("AGENTCG_SOAK") else small
