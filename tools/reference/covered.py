"""docs/harness/coverage.md: what is shown of each harness, as the marks of tests say it.

`@pytest.mark.covers("placement", …)` on a test whose parameter `harness` names the harness, or
with `harness=`. Tests are collected, not run: that they pass is what CI is for.
"""

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from agentcg.harness.dialects import DIALECTS
from tools.reference.markdown import page, table

REPO = Path(__file__).parents[2]
ASPECTS = {
    "placement": "each process of a call was in the call's own cgroup",
    "intent": "what the command or its environment asks for became the call's",
    "feedback": "the model was told why a call was killed, once",
    "background": "calls outlived the wait for them, and the harness itself",
    "nested": "calls of a conversation and of agents inside it at once each had a cgroup",
    "clean-up": "nothing that a call had started was left in the end",
}
_PLACES = {"tests/root": "kernel", "vm_tests": "VM", "tests/unit": "unit"}
_MARK = "mark.covers("


def coverage() -> str:
    """The table, and the tests behind it."""
    cells: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line in _collected():
        harness, aspect, test = line.split()
        cells[harness, aspect].add(test)
    harnesses = sorted({harness for harness, _ in cells} | set(DIALECTS))
    rows = [(f"`{one}`", *(_cell(cells[one, aspect]) for aspect in ASPECTS)) for one in harnesses]
    return page(
        [
            "# What is shown of each harness",
            "Generated from the tests: a cell says where a test shows it, *unit* without a daemon, "
            "*kernel* a daemon on a private mount of the real kernel, *VM* the installed service "
            "with all controllers; a dash is no test. The harnesses are scripted players "
            "(`tests/players`), which behave as their makers document it, and not the programs "
            "themselves.",
            table(("harness", *ASPECTS), rows),
            table(("aspect", "means"), ASPECTS.items()),
        ]
    )


def _cell(tests: set[str]) -> str:
    places = {place for test in tests for path, place in _PLACES.items() if test.startswith(path)}
    return ", ".join(sorted(places)) or "-"


def _collected() -> list[str]:
    """Lines of harness, aspect and test, from the files that have such marks."""
    homes = [REPO / home for home in _PLACES]
    files = [f for home in homes for f in sorted(home.rglob("test_*.py")) if _MARK in f.read_text()]
    words = [
        "-q",
        "--collect-only",
        "-p",
        "tools.reference.covers_plugin",
        "-p",
        "no:cacheprovider",
    ]
    env = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, *files],
        cwd=REPO, capture_output=True, text=True, check=False, env=env,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the tests cannot be collected:\n{done.stdout[-2000:]}")
    return [line[8:] for line in done.stdout.splitlines() if line.startswith("COVERS: ")]
