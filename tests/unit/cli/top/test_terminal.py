"""The terminal where it takes nothing, is held, or is gone: it is left as it was found."""

import os
import pty
import select
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from agentcg.cli.top import terminal
from agentcg.cli.top.terminal import Terminal


@pytest.fixture
def line() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal, ours first."""
    master, slave = pty.openpty()
    yield master, slave
    os.close(master)
    os.close(slave)


def made(inlet: int, outlet: int) -> Terminal:
    return Terminal(Console(force_terminal=True, color_system="256", width=80), inlet, outlet)


def read(master: int) -> bytes:
    found = b""
    while select.select([master], [], [], 0.2)[0]:
        found += os.read(master, 65536)
    return found


def test_what_it_does_not_take_is_not_waited_for(
    line: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    master, slave = line
    monkeypatch.setattr(terminal, "_PATIENCE", 0.02)
    found = termios.tcgetattr(slave)
    with made(slave, slave) as ours:
        ours.enter()
        for number in range(50):
            ours.draw([Text(f"{number:04}" * 250)] * 20)
            assert os.get_blocking(slave)
        begun = read(master)
        ours.draw([Text("skipped, for it brings the rest of the one before")] * 20)
        ours.draw([Text("the end")] * 20)
        text = (begun + read(master)).decode()
        assert text.count("the end") == 20
        assert text.count("\x1b[20;1H") == text.count("\x1b[1;1H")  # none is half a screen
        for number in range(50):
            ours.draw([Text(f"{number:04}" * 250)] * 20)
    assert termios.tcgetattr(slave) == found
    assert read(master).endswith(b"\x1b[?1049l")


def test_it_cannot_be_held_by_a_key(line: tuple[int, int]) -> None:
    master, slave = line
    with made(slave, slave) as ours:
        ours.enter()
        os.write(master, b"\x13")  # Ctrl-S
        ours.draw([Text("goes on")])
        assert b"goes on" in read(master)


def test_where_the_screen_cannot_be_taken_the_keys_are_given_back(
    line: tuple[int, int],
) -> None:
    slave = line[1]
    found = termios.tcgetattr(slave)
    with (
        Path("/dev/full").open("wb") as full,
        pytest.raises(OSError, match="No space"),
        made(slave, full.fileno()) as ours,
    ):
        ours.enter()
    assert termios.tcgetattr(slave) == found


def test_a_line_is_erased_before_it_is_written(line: tuple[int, int]) -> None:
    """After it, the cursor stands on its last character."""
    master, slave = line
    ours = made(slave, slave)
    ours.draw([Text("x" * 80)])
    assert read(master).index(b"\x1b[K") < 20
