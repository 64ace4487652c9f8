"""Draws `agentcg top` at work: `python -m tests.bench.top_picture docs/img/top.svg`.

The program runs in a terminal for a minute and a half, against a daemon of the tests with sessions
that do not exist; the picture has its screens of the host, of a session, and of a call.
"""

import sys
import tempfile
import threading
import time
from pathlib import Path

from agentcg.model.event import Event, Kind
from agentcg.model.session import Session
from tests.unit.api import fake
from tests.unit.cli.top import fleet
from tests.unit.cli.top.driven import Driven, driven
from vm_tests.demo.picture import console, draw

SIZE = (100, 22)
SECONDS = 80
HOMES = ("web-shop", "compiler", "data-tools", "docs-site", "nightly")
_MARKS = (
    (20, Kind.CALL_THROTTLED, 1),
    (60, Kind.CALL_THROTTLED, 7),
    (66, Kind.CALL_STALLED, 3),
    (70, Kind.CALL_OOM, 5),
    (75, Kind.CALL_THROTTLED, 11),
)


def main() -> None:
    """Run it and write the picture."""
    began = time.time()
    homes = [fleet.session(name, priority=-n, label=name) for n, name in enumerate(HOMES)]
    made = fleet.Fleet(28, homes, began=began)
    made.past = [
        _event(seq, began + at, kind, which, homes)
        for seq, (at, kind, which) in enumerate(_MARKS, 1)
    ]
    fake.FakeController = lambda: made  # type: ignore[assignment,misc]
    over = threading.Event()
    with tempfile.TemporaryDirectory() as folder, fake.running(Path(folder)) as running:
        threading.Thread(target=_age, args=(made, over)).start()
        shown = console(SIZE[0])
        with driven(running.admin, size=SIZE) as top:
            top.until("web-shop")
            while time.time() < began + SECONDS:
                top.pump(1)
            for keys, word in (("SSSS", "MARKS▼"), ("\r", "budget"), ("\x1b[B\r", "limit ")):
                top.press(keys)
                top.until(word)
                _settle(top)
                for line in top.texts():
                    shown.print(line, soft_wrap=True)
            top.press("q")
            top.ended()
        over.set()
    draw(shown, Path(sys.argv[1]), "agentcg top")


def _event(seq: int, at: float, kind: Kind, which: int, homes: list[Session]) -> Event:
    return fleet.event(seq, at, kind, homes[(which + which // 5) % len(homes)].id, f"c-{which:08x}")


def _age(made: fleet.Fleet, over: threading.Event) -> None:
    while not over.wait(0.1):
        made.age = time.time() - made.began


def _settle(top: Driven) -> None:
    """A round more: the first one has no rates."""
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        top.pump(0.2)


if __name__ == "__main__":
    main()
