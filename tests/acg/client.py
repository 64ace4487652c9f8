"""Builds and runs the client."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).parents[2]
SOURCES = REPO / "daemon" / "acg"


@dataclass(frozen=True)
class Client:
    root: Path

    @property
    def agent(self) -> Path:
        """What the client has compiled in as its directory."""
        return self.root / "agent"

    @property
    def sock(self) -> Path:
        return self.agent / "sock"

    @property
    def admin(self) -> Path:
        return self.root / "admin.sock"

    @property
    def runtime(self) -> Path:
        """The file that names the real runtime."""
        return self.root / "real"

    @property
    def program(self) -> Path:
        return self.root / "acg"

    @property
    def hasty(self) -> Path:
        """The same with a deadline of 300 ms."""
        return self.root / "acg-hasty"

    @property
    def asan(self) -> Path:
        return self.root / "acg-hasty-asan"

    def run(
        self,
        *args: str | bytes,
        program: Path | None = None,
        env: dict[str, str] | dict[bytes, bytes] | None = None,
        cwd: Path | None = None,
        user: int | None = None,
        said: bytes = b"",
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [program or self.program, *args],
            input=said,
            env=env,
            cwd=cwd,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            capture_output=True,
            check=False,
            timeout=30,
        )


def make(client: Client, target: str, out: Path, deadline_ms: int) -> None:
    subprocess.run(
        [
            *("make", "-s", "-C", SOURCES, target),
            *(f"OUT={out}", f"ACG_DIR={client.agent}", f"DEADLINE_MS={deadline_ms}"),
            *(f"ACG_ADMIN={client.admin}", f"ACG_RUNTIME={client.runtime}"),
            f"HOOK_DEADLINE_MS={min(deadline_ms, 900)}",
            f"RUNC_DEADLINE_MS={min(deadline_ms, 5000)}",
        ],
        check=True,
        timeout=50,
    )


def build(client: Client) -> None:
    make(client, "all", client.program, 10_000)
    make(client, "all", client.hasty, 300)
