"""The terminal: its second screen, its keys one by one, and how it was found."""

import contextlib
import fcntl
import os
import select
import struct
import sys
import termios
import time
import tty
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rich.console import COLOR_SYSTEMS, Console
from rich.segment import Segment
from rich.text import Text

from agentcg.errors import BadValueError

# The alternate screen, the cursor hidden, lines not wrapped; and all of it back.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
_LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
# A terminal that takes nothing for so long is not waited for: keys and signals are heard.
_PATIENCE = 0.2


@dataclass
class Terminal:
    """A context manager: within, `enter` makes the terminal ours; after, it is as it was.

    Only lines that changed are written: over a slow line that is what counts. What it does not
    take is kept, and nothing new is drawn before that is out.
    """

    console: Console
    inlet: int = 0
    outlet: int = 1
    _found: list[Any] = field(default_factory=list)
    _shown: list[str] = field(default_factory=list)
    _left: bytes = b""

    def __enter__(self) -> Self:
        self._found = termios.tcgetattr(self.inlet)
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError, termios.error):  # it may be gone
            self.leave()

    def enter(self) -> None:
        """Take the terminal; Ctrl-Z and Ctrl-C stay signals, Ctrl-S holds nothing up."""
        tty.setcbreak(self.inlet, termios.TCSANOW)
        mode = termios.tcgetattr(self.inlet)
        mode[tty.IFLAG] &= ~termios.IXON
        termios.tcsetattr(self.inlet, termios.TCSANOW, mode)
        self._write(_ENTER)
        self._shown = []

    def leave(self) -> None:
        """Give it back, also where it takes nothing: what it was to show is dropped then."""
        try:
            self._left = b""
            self._write(_LEAVE)
            if self._left:
                termios.tcflush(self.outlet, termios.TCOFLUSH)
                self._left = b""
                self._write(_LEAVE)
        finally:
            # Not TCSADRAIN, which waits for what is not taken.
            termios.tcsetattr(self.inlet, termios.TCSANOW, self._found)

    def size(self) -> tuple[int, int]:
        """Columns and lines, as they are now."""
        packed = fcntl.ioctl(self.outlet, termios.TIOCGWINSZ, b"\0" * 8)
        lines, columns, _, _ = struct.unpack("4H", packed)
        return columns or 80, lines or 24

    def redraw(self) -> None:
        """Draw all of it the next time: it has another size, or somebody wrote on it."""
        self._shown = []

    def draw(self, lines: Sequence[Text]) -> None:
        """Show these lines, unless the last ones are still on their way."""
        if self._left:
            self._write("")
        if self._left:
            return
        drawn = [self._ansi(line) for line in lines]
        whole = len(drawn) != len(self._shown)
        parts = ["\x1b[2J"] if whole else []
        for number, line in enumerate(drawn):
            if whole or line != self._shown[number]:
                # Erased first: behind a full line the cursor stands on its last character.
                parts.append(f"\x1b[{number + 1};1H\x1b[K{line}\x1b[0m")
        self._shown = drawn
        if parts:
            self._write("".join(parts))

    def _ansi(self, line: Text) -> str:
        segments = list(line.render(self.console))
        if self.console.no_color:
            segments = list(Segment.remove_color(segments))
        system = COLOR_SYSTEMS.get(self.console.color_system or "")
        return "".join(
            style.render(text, color_system=system) if style else text
            for text, style, _ in segments
        )

    def _write(self, text: str) -> None:
        self._left += text.encode(sys.stdout.encoding or "ascii", "replace")
        end = time.monotonic() + _PATIENCE
        while self._left and (patience := end - time.monotonic()) > 0:
            if select.select([], [self.outlet], [], patience)[1]:
                self._left = self._left[self._take() :]

    def _take(self) -> int:
        # Others have this terminal open too, by the same open file: they are to find it as it was.
        os.set_blocking(self.outlet, False)
        try:
            return os.write(self.outlet, self._left)
        except BlockingIOError:
            return 0
        finally:
            os.set_blocking(self.outlet, True)


def check(what: str, hint: str) -> None:
    """Whether there is a terminal that can do that, for the command of this name.

    `hint` is what goes anywhere.

    Raises:
        BadValueError: there is none.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadValueError(f"{what} needs a terminal for stdin and stdout: {hint}")
    name = os.environ.get("TERM", "")
    if name in {"", "dumb", "unknown"}:
        raise BadValueError(
            f"TERM={name}: {what} needs a terminal that can move its cursor: {hint}"
        )
