"""A scripted harness as a process of a session of a daemon under test."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from agentcg.harness.wiring import wired
from tests.root.daemon import REPO, Daemon

Json = Any
PACE = 0.3


def play(
    daemon: Daemon, acg: Path, harness: str, scenario: str, *, count: int = 0
) -> subprocess.Popen[str]:
    """Start the harness with what the installer writes for it; its files go to `acg`'s folder."""
    words = ("-m", "tests.players", harness, scenario, str(acg.parent), str(count), str(PACE))
    player = daemon.inside(
        *(sys.executable, *words), cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert player.stdin is not None
    player.stdin.write(json.dumps(wired({}, harness, str(acg))))
    player.stdin.close()
    player.stdin = None
    return player


def finish(player: subprocess.Popen[str]) -> Json:
    """Wait for its end; returns what it saw."""
    out, _ = player.communicate(timeout=500)
    assert player.returncode == 0
    return json.loads(out)
