"""Ties keys, the daemon's answers and the terminal together, in one event loop."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
import termios
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Protocol

from agentcg.cli import output, plot
from agentcg.cli.top import page
from agentcg.cli.top.board import Board
from agentcg.cli.top.keys import Decoder
from agentcg.cli.top.page import Frame
from agentcg.cli.top.screen import Screen, press
from agentcg.cli.top.terminal import Terminal

# The rest of a key's bytes comes within that, or it was the Escape key.
_KEY = 0.05
# What is new is drawn so often at most: a storm of events makes no storm of screens.
_DRAW = 0.1
_TICK = 1.0
# Objects that came to be before they are collected: several answers of 500 calls, 5 000 each.
_LIVING = 50_000


class Source(Protocol):
    """Where what is shown comes from: the daemon, or a recording."""

    board: Board

    def works(self) -> Sequence[Coroutine[object, object, None]]:
        """What goes on beside keys, until it is cancelled."""
        ...

    def clock(self) -> float:
        """The clock that readings are told by, now."""
        ...

    def at(self) -> float:
        """The time of day that is shown."""
        ...

    def take(self, key: str) -> bool:
        """A key, which may be the source's own; whether it is."""
        ...

    def hurry(self) -> None:
        """The user looks at something else."""
        ...


# Made with who tells what is looked at, and what is to be called after each change.
Making = Callable[[Callable[[], Screen], Callable[[], None]], Source]


def run(source: Making) -> bool:
    """Show it until the user leaves; whether that was by an interrupt."""
    settle()
    return asyncio.run(Loop(Terminal(output.console()), source).run())


def settle() -> None:
    """Collect seldom, and look at little: nothing of what is read and drawn is in a cycle."""
    gc.freeze()  # what is there by now stays
    gc.set_threshold(_LIVING)


class Loop:
    """The program while it runs."""

    def __init__(self, terminal: Terminal, source: Making) -> None:
        self.terminal = terminal
        self.screen = Screen()
        self.frame = Frame((), (), (), 1)
        self._new = asyncio.Event()
        self._source = source(lambda: self.screen, self._new.set)
        self._keys = Decoder()
        self._flush: asyncio.TimerHandle | None = None

    async def run(self) -> bool:
        """Until the user leaves; whether that was by an interrupt."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._press, ["interrupt"])
        loop.add_signal_handler(signal.SIGTSTP, self._stop)
        loop.add_signal_handler(signal.SIGCONT, self._go_on)
        loop.add_signal_handler(signal.SIGWINCH, self._redraw)
        # Within what hears signals, first and last: none leaves the terminal as it should not be.
        with self.terminal:
            self.terminal.enter()
            await self._turn(loop)
        return self.screen.interrupted

    async def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_reader(self.terminal.inlet, self._read)
        tasks = [asyncio.create_task(work) for work in self._source.works()]
        try:
            while not self.screen.over:
                self._new.clear()
                self._show()
                for task in tasks:
                    if task.done():
                        task.result()  # a defect of ours is not to pass for a daemon that is away
                await asyncio.sleep(_DRAW)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._new.wait(), _TICK - _DRAW)
        finally:
            loop.remove_reader(self.terminal.inlet)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _show(self) -> None:
        try:
            self._look()
            self.terminal.draw(self.frame.lines)
        except OSError:  # the terminal is gone
            self.screen = replace(self.screen, over=True, interrupted=True)

    def _look(self) -> None:
        width, height = self.terminal.size()
        self.frame = page.frame(
            self.screen,
            self._source.board,
            width=width,
            height=height,
            clock=self._source.clock(),
            at=self._source.at(),
            glyphs=plot.glyphs_of(sys.stdout.encoding),
        )

    def _read(self) -> None:
        try:
            data = os.read(self.terminal.inlet, 4096)
        except BlockingIOError:  # another program of this terminal was faster
            return
        except OSError:
            data = b""
        if self._flush is not None:
            self._flush.cancel()
        # At the end of its input there is no terminal any more.
        self._press(self._keys.feed(data) if data else ["interrupt"])
        if self._keys.waits:
            loop = asyncio.get_running_loop()
            self._flush = loop.call_later(_KEY, lambda: self._press(self._keys.flush()))

    def _press(self, keys: Sequence[str]) -> None:
        for key in keys:
            old, frame = self.screen, self.frame
            if not (old.typing or old.help) and self._source.take(key):
                continue
            if key == "redraw":
                self.terminal.redraw()
            self.screen = press(old, key, rows=frame.rows, columns=frame.columns, height=frame.room)
            if (self.screen.view, self.screen.name) != (old.view, old.name):
                self._source.hurry()
            if not self.screen.typing and _table(self.screen) != _table(old):
                self._look()  # the next key is about these rows
        if self.screen.over:
            self._new.set()
        else:
            self._show()

    def _redraw(self) -> None:
        self.terminal.redraw()
        self._show()

    def _stop(self) -> None:
        """Ctrl-Z: give the terminal back."""
        self.terminal.leave()
        os.kill(os.getpid(), signal.SIGSTOP)

    def _go_on(self) -> None:
        """The shell lets us go on, whoever stopped us: it had the terminal meanwhile."""
        with contextlib.suppress(OSError, termios.error):  # a hang-up says so, too
            self.terminal.enter()
        self._redraw()


def _table(screen: Screen) -> tuple[object, ...]:
    """What rows, and in which order."""
    return screen.view, screen.name, screen.words, screen.sorts, screen.typing
