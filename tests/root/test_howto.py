"""The how-to's Python examples, run as they stand in a session of a real daemon."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.root.daemon import ACG, REPO, Daemon

pytestmark = pytest.mark.root

SYNC, ASYNC = re.findall(
    r"^```python\n(.*?)^```", (REPO / "docs/howto/harness.md").read_text(), re.MULTILINE | re.DOTALL
)


def _run(daemon: Daemon, example: str) -> str:
    path = f"{ACG.parent}:{os.environ['PATH']}"
    process = daemon.inside(
        sys.executable, "-c", example, stdout=subprocess.PIPE, env={**os.environ, "PATH": path}
    )
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return out


def test_the_example_gives_the_model_its_words(daemon: Daemon) -> None:
    assert _run(daemon, SYNC).startswith("Ended with exit code 3 after")
    (call,) = daemon.history()
    assert call["intent"]["key"] == "toolu_01"
    assert call["intent"]["memory"]["limit"] == 256 << 20
    assert call["started_at"] is not None


def test_the_example_runs_without_a_daemon(daemon: Daemon, tmp_path: Path) -> None:
    agent = daemon.home / "agentcg.agent"
    assert agent.exists()
    daemon.stop()
    assert _run(daemon, SYNC) == "\n"


def test_the_asyncio_example_runs_several_at_once(daemon: Daemon) -> None:
    assert _run(daemon, ASYNC) == "[0, 1, 2]\n"
    assert {call["intent"]["cpu"]["cpu_class"] for call in daemon.history()} == {"batch"}
