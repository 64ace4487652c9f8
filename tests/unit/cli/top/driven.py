"""The program in a terminal of its own: keys go in, and what would be on the screen comes out.

It understands what the program writes, and fails on anything else: a sequence that it does not
know is a defect of one of both. As on a real one whose lines are not wrapped, what is written
beyond the last column goes into it, and from there the rest of the line is that column.
"""

import codecs
import fcntl
import itertools
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.text import Text

_PART = re.compile(r"\x1b\[(\?\d+[hl]|\d+;1H|2J|K|[\d;]*m)|([^\x1b]+)")
_MODES = {"?1049h", "?1049l", "?25h", "?25l", "?7h", "?7l"}
PATIENCE = 40.0


class Driven:
    """`agentcg top`, or what looks like it, at work."""

    def __init__(
        self, master: int, program: "subprocess.Popen[bytes]", size: tuple[int, int]
    ) -> None:
        self.master, self.program = master, program
        self.size = size
        self.found: list[Any] = []  # the terminal's settings before
        self.modes: set[str] = set()
        self.rows: dict[int, list[tuple[str, str]]] = {}  # cells: style and character
        self.raw = b""
        self.after = ""  # what was written when the second screen was left
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._rest = ""
        self._row, self._column, self._style = 0, 0, ""

    def press(self, keys: str | bytes) -> None:
        os.write(self.master, keys.encode() if isinstance(keys, str) else keys)

    def resize(self, columns: int, lines: int) -> None:
        self.size = columns, lines
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))

    def hang_up(self) -> None:
        """Close our end, as a terminal's window or a lost line does."""
        other = os.open("/dev/null", os.O_RDWR)
        os.dup2(other, self.master)
        os.close(other)

    def lines(self) -> list[str]:
        """The screen in plain text."""
        return [text.plain for text in self.texts()]

    def texts(self) -> list[Text]:
        """The screen, with its colours."""
        rows = (self.rows.get(row, []) for row in range(1, self.size[1] + 1))
        return [Text.from_ansi("".join(_drawn(row))) for row in rows]

    def until(self, *words: str | re.Pattern[str], without: str = "\0") -> list[str]:
        """Wait until all of that is on the screen; what is read may end within a line."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.pump(0.1)
            page = "\n".join(self.lines())
            if all(_holds(page, word) for word in words) and without not in page:
                return self.lines()
        shown = "\n".join(self.lines())
        raise AssertionError(f"no {words} (or {without!r} stays) on:\n{shown}\n{self.after}")

    def ended(self) -> int:
        """Wait for its end; its exit status."""
        end = time.monotonic() + PATIENCE
        while self.program.poll() is None and time.monotonic() < end:
            self.pump(0.1)
        self.pump(0.1)
        return self.program.wait(1)

    def pump(self, seconds: float) -> None:
        """Read what comes within that time."""
        while select.select([self.master], [], [], seconds)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # its end is closed
                return
            if not data:
                return
            self.raw += data
            self._take(self._decode(data))
            seconds = 0.0

    def _take(self, text: str) -> None:
        text = self._rest + text
        done = 0
        while found := _PART.match(text, done):
            done = found.end()
            if found[1] is not None:
                self._control(found[1])
            elif "?1049h" in self.modes:
                self._put(found[2])
            else:
                self.after += found[2]
        self._rest = text[done:]
        assert re.fullmatch(r"(\x1b(\[[?\d;]*)?)?", self._rest), repr(self._rest[:40])

    def _control(self, what: str) -> None:
        if what in _MODES:
            self.modes -= {what[:-1] + "h", what[:-1] + "l"}
            self.modes.add(what)
        elif what.endswith("H"):
            self._row, self._column = int(what.partition(";")[0]), 0
            assert 1 <= self._row <= self.size[1] or self.size[1] < 24
        elif what == "2J":
            self.rows = {}
        elif what == "K":
            del self.rows.get(self._row, [])[self._column :]
        elif what.endswith("m"):
            self._style = "" if what == "0m" else f"{self._style}\x1b[{what}"

    def _put(self, text: str) -> None:
        row = self.rows.setdefault(self._row, [])
        for char in text:
            at = min(self._column, self.size[0] - 1)
            width = cell_len(char)
            # A mark above a letter takes no cell, a wide character a second one, which stays empty.
            cells = [(self._style, char), *[(self._style, "")] * (width - 1)]
            row[at : at + width] = cells
            self._column = min(at + width, self.size[0] - 1)


def _holds(page: str, word: str | re.Pattern[str]) -> bool:
    return word in page if isinstance(word, str) else word.match(page) is not None


def _drawn(row: list[tuple[str, str]]) -> Iterator[str]:
    for style, cells in itertools.groupby(row, key=lambda cell: cell[0]):
        text = "".join(char for _, char in cells)
        yield f"{style}{text}\x1b[0m" if style else text


def settings(descriptor: int) -> list[Any]:
    """The terminal's modes."""
    return termios.tcgetattr(descriptor)


@contextmanager
def driven(
    socket: Path,
    *words: str,
    what: str = "top",
    size: tuple[int, int] = (80, 24),
    env: Mapping[str, str] = {},
) -> Iterator[Driven]:
    """Start it; what is left of it at the end is killed."""
    master, slave = pty.openpty()
    usual = {"TERM": "xterm-256color", "AGENTCG_SOCKET": str(socket), "LC_ALL": "C.UTF-8"}
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [sys.executable, "-m", "agentcg", what, *words]
    try:
        found = Driven(master, None, size)  # type: ignore[arg-type]
        found.resize(*size)
        found.found = settings(master)
        with subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**kept, **usual, **env},
            start_new_session=True,
            # Only a terminal that is its own tells it of sizes and of Ctrl-C.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        ) as program:
            found.program = program
            try:
                yield found
            finally:
                if program.poll() is None:
                    program.send_signal(signal.SIGKILL)
    finally:
        os.close(slave)
        os.close(master)
