"""A daemon that follows a made-up engine, and containers whose processes and cgroups are real."""

import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.root.daemon import ENTER, Daemon, until
from tests.unit.sandbox.dockerd import Dockerd

LABELS = {"agentcg.session": ""}


@dataclass
class Host:
    """A daemon that follows an engine, and the containers that a test runs."""

    daemon: Daemon
    engine: Dockerd
    inits: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def home(self, cid: str) -> Path:
        return self.daemon.root / self.daemon.pool / cid

    def run(self, cid: str | None = None, **facts: Any) -> str:
        """Make what an engine with cgroupfs as its driver makes."""
        cid = cid or secrets.token_hex(32)
        self.home(cid).mkdir(parents=True, exist_ok=True)
        words = ["sh", "-c", ENTER, str(self.home(cid)), "sh", "-c", "sleep 1000 & wait"]
        init = self.inits[cid] = subprocess.Popen(words)
        until(lambda: len(self.pids(cid)) == 2, "the container's processes")
        facts = {"name": f"n-{cid[:6]}", "labels": LABELS, **facts}
        self.engine.run(cid, pid=init.pid, started=str(init.pid), **facts)
        return cid

    def die(self, cid: str) -> None:
        """Kill all that is in it and remove its cgroup, as a runtime does."""
        (self.home(cid) / "cgroup.kill").write_text("1")
        self.inits.pop(cid).wait()
        for path in [*sorted(self.home(cid).rglob("*"), reverse=True), self.home(cid)]:
            if path.is_dir():
                until(lambda path=path: _rmdir(path), f"{path} to be empty")  # type: ignore[misc]
        self.engine.die(cid)

    def pids(self, cid: str, below: str = "") -> list[int]:
        path = self.home(cid) / below / "cgroup.procs"
        return [int(p) for p in path.read_text().split()]

    def session(self, cid: str) -> dict[str, Any] | None:
        views = self.daemon.ask("GET", "/v1/sessions").json()
        return next((v["session"] for v in views if v["session"]["container"] == cid), None)

    def opened(self, cid: str) -> dict[str, Any]:
        until(lambda: self.session(cid), "the session")
        found = self.session(cid)
        assert found is not None
        return found

    def inside(
        self, cid: str, *argv: str, below: str = "agentcg.agent", **kwargs: Any
    ) -> subprocess.Popen[str]:
        words = ["sh", "-c", ENTER, str(self.home(cid) / below), *argv]
        return subprocess.Popen(words, text=True, **kwargs)

    def events(self) -> list[str]:
        lines = self.daemon.log.splitlines()
        return [line.partition(" ")[2] for line in lines if line.startswith("INFO daemon ")]


def _rmdir(path: Path) -> bool:
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
