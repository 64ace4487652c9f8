"""Draws `agentcg top` and `agentcg trace` at work: `python -m vm_tests.demo.screens FOLDER`.

It runs in the machine beside the demo, waits until a call is killed, and goes from the host into
its session and into the call, as a person would.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.unit.cli.top.driven import Driven, driven
from vm_tests.demo.picture import console, draw

_SOCKET = Path("/run/agentcg/admin.sock")
_SIZE = (100, 22)
_SECONDS = 300
_ROUNDS = 2.5  # seconds; the first round has no rates
_CALL = re.compile(r".*host > \S+ > (c-\w+)", re.DOTALL)
_COLOURS = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}


def main() -> None:
    """Look, and draw what was seen."""
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    shown = console(_SIZE[0])
    with driven(_SOCKET, size=_SIZE) as top:
        _wait_for_a_kill(top)
        _take(top, shown)
        top.press("\r")
        top.until("budget")
        shown.rule(Text("Enter: the session"), style="dim")
        _take(top, shown)
        # Only what was killed is left, under the cursor.
        top.press("/killed\r\r")
        top.until(_CALL)
        shown.rule(Text("/killed, Enter: the call"), style="dim")
        _take(top, shown)
        found = _CALL.match("\n".join(top.lines()))
        top.press("q")
        top.ended()
    draw(shown, folder / "top.svg", "agentcg top")
    assert found
    _trace(found[1], folder)


def _wait_for_a_kill(top: Driven) -> None:
    """The row of the session with a kill comes first: it is what Enter goes into."""
    _wait(top, "SESSION")  # while the sessions are opened the machine is slow
    top.press("SSSS")
    _wait(top, "1 killed")


def _wait(top: Driven, words: str) -> None:
    end = time.monotonic() + _SECONDS
    while not any(words in line for line in top.lines()):
        if time.monotonic() > end:
            raise SystemExit(f"no {words!r} in {_SECONDS} s")
        top.pump(0.2)


def _take(top: Driven, shown: Console) -> None:
    end = time.monotonic() + _ROUNDS
    while time.monotonic() < end:
        top.pump(0.2)
    for line in top.texts():
        shown.print(line, soft_wrap=True)


def _trace(call: str, folder: Path) -> None:
    shown = console(_SIZE[0])
    words = ["agentcg", "trace", call]
    env = {**os.environ, **_COLOURS, "COLUMNS": str(_SIZE[0])}
    plot = subprocess.run(
        [sys.executable, "-m", *words], env=env, check=True, capture_output=True, encoding="utf-8"
    )
    shown.print(Text(f"$ {' '.join(words)}"), Text.from_ansi(plot.stdout.rstrip()), sep="\n")
    draw(shown, folder / "trace.svg", "agentcg trace")


if __name__ == "__main__":
    main()
