"""The program itself: in a terminal, with keys, against a daemon that comes and goes."""

import os
import re
import select
import signal
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentcg.model.event import Kind
from tests.unit.api import fake
from tests.unit.cli.conftest import Run
from tests.unit.cli.courses import course
from tests.unit.cli.top import fleet
from tests.unit.cli.top.driven import PATIENCE, Driven, driven, settings

HOMES = [fleet.session(f"demo-{n}", priority=n, label=f"agent {n}") for n in range(3)]


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fake.Running]:
    began = time.time()
    monkeypatch.setattr(fake, "FakeController", lambda: fleet.Fleet(12, HOMES, began=began))
    with fake.running(tmp_path) as it:
        it.controller.past = [
            fleet.event(1, began, Kind.CALL_OOM, "demo-1", "c-00000001"),
            fleet.event(2, began, Kind.CALL_STALLED, "demo-1", "c-00000002"),
        ]
        it.controller.traces["c-00000001"] = course(command=fleet.NASTY)
        yield it


@pytest.fixture
def top(daemon: fake.Running) -> Iterator[Driven]:
    with driven(daemon.admin, "-d", "0.2") as it:
        it.until("demo-2")
        yield it


def left_as_found(top: Driven) -> None:
    assert {"?1049l", "?25h", "?7h"} <= top.modes
    assert settings(top.master) == top.found
    assert b"\x1b]" not in top.raw
    assert b"\x07" not in top.raw


def test_keys_go_from_the_host_into_a_call_and_out(top: Driven) -> None:
    # Up to the last column, and no less.
    clock = re.compile(r"agentcg.{64} \d\d:\d\d:\d\d\n")
    assert len(top.until("demo-1", "1 killed", "CALLS", "call.oom", clock)) == 24
    top.press("SSSS")
    top.until("MARKS▼", ">demo-1")
    top.press("\r")
    top.until("host > demo-1 (agent 1)", "COMMAND", "budget: memory 4G", "killed  git status")
    top.press("/git\r")
    top.until("filter: git", ">c-00000001", without="c-0000000a")
    top.press("\x1b[C")
    nasty = "\\x1b]0;x\\x07<script>\\u202e"
    top.until("host > demo-1 (agent 1) > c-00000001", "guarantee 512 MiB", nasty)
    top.press("\x1b[F")
    top.until("Granted: memory")
    top.press("\x1b")
    top.until("filter: git")
    top.press("\x1b\x1b\x1b")
    top.until("Tab all calls")
    top.press("\t")
    top.until("c-00000003", "Tab sessions")
    top.press("?")
    top.until("any key: go on")
    top.press("x q")
    assert top.ended() == 0
    left_as_found(top)


def test_keys_that_come_at_once_are_about_what_they_made(top: Driven) -> None:
    top.press("\t")
    top.until("c-00000003")
    top.press("/npm\r\r")
    top.until("> c-00000005")
    top.press("\x1b")
    top.until("filter: npm")


@pytest.mark.parametrize(
    "leave",
    [
        lambda top: top.press(b"\x03"),
        lambda top: top.program.send_signal(signal.SIGTERM),
    ],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_an_interrupt_leaves_the_terminal_as_it_was(top: Driven, leave: Any) -> None:
    leave(top)
    assert top.ended() == 130
    left_as_found(top)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_it_ends_while_its_terminal_takes_nothing(top: Driven, number: signal.Signals) -> None:
    top.resize(400, 100)
    for _ in range(40):  # each is a screen that nobody reads
        top.program.send_signal(signal.SIGWINCH)
        time.sleep(0.05)
    top.program.send_signal(number)
    assert top.program.wait(PATIENCE) == 130
    assert settings(top.master) == top.found
    assert unread(top).endswith(b"\x1b[?1049l")


def unread(top: Driven) -> bytes:
    found = b""
    while select.select([top.master], [], [], 0.2)[0]:
        found += os.read(top.master, 65536)
    return found


def test_a_signal_right_after_the_start_leaves_the_terminal_as_it_was(
    daemon: fake.Running,
) -> None:
    with driven(daemon.admin) as top:
        end = time.monotonic() + PATIENCE
        while "?1049h" not in top.modes and time.monotonic() < end:
            top.pump(0.01)
        top.program.send_signal(signal.SIGTERM)
        assert top.ended() == 130
        left_as_found(top)


def test_it_ends_with_its_terminal(top: Driven) -> None:
    top.hang_up()
    assert top.program.wait(30) == 130


def test_another_size_is_drawn_at_once(top: Driven) -> None:
    top.press("\t")
    top.until("c-00000001", without="STATE")
    top.resize(150, 40)
    lines = top.until("STATE", "CPU MINUTE", "q quit")  # the last line, too
    assert len(lines) == 40
    assert "help" in lines[39]
    top.resize(30, 8)
    lines = top.until("MEMORY", "Enter look", without="MINUTE")
    assert len(lines) == 8
    assert max(map(len, lines)) <= 30
    top.press("q")
    assert top.ended() == 0


def test_ctrl_z_gives_the_terminal_back_and_takes_it_again(top: Driven) -> None:
    top.press(b"\x1a")
    stopped(top)
    left_as_found(top)
    top.rows.clear()
    os.kill(top.program.pid, signal.SIGCONT)
    top.until("demo-2", "quit")
    assert "?1049h" in top.modes
    top.press("q")
    assert top.ended() == 0


def test_who_is_stopped_by_force_takes_the_terminal_again(top: Driven) -> None:
    ours = settings(top.master)
    os.kill(top.program.pid, signal.SIGSTOP)
    stopped(top)
    termios.tcsetattr(top.master, termios.TCSANOW, top.found)  # as the shell does
    top.rows.clear()
    os.kill(top.program.pid, signal.SIGCONT)
    top.until("demo-2", "quit")
    assert settings(top.master) == ours
    top.press("q")
    assert top.ended() == 0
    left_as_found(top)


def stopped(top: Driven) -> None:
    """Wait until it is."""
    end = time.monotonic() + PATIENCE
    state = Path(f"/proc/{top.program.pid}/stat")
    while state.read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < end
        top.pump(0.1)
    top.pump(0.2)  # what it wrote before


def test_a_daemon_that_hangs_is_told_and_keys_do_not_wait(daemon: fake.Running) -> None:
    assert isinstance(daemon.controller, fleet.Fleet)
    with driven(daemon.admin, "-d", "0.2") as top:
        top.until("demo-2")
        daemon.controller.hung = True
        top.press("\t")
        top.until("no answer for", "Tab sessions")
        top.press("s")
        top.until("LIMIT\u25bc")
        daemon.controller.hung = False
        top.until("c-00000003", without="no answer")


def test_a_dead_daemon_is_told_and_found_again(
    daemon: fake.Running, tmp_path: Path, top: Driven
) -> None:
    top.press("\t")
    top.until("c-00000003")
    daemon.finish()
    for path in (daemon.admin, daemon.agent):
        path.unlink()
    top.until("no answer for")
    top.press("s")
    top.until("LIMIT▼", "c-00000003")  # keys do not wait for it
    with fake.running(tmp_path):
        top.until("c-00000003", without="no answer")
        top.press("q")
        assert top.ended() == 0


def test_without_colours_signs_remain(daemon: fake.Running) -> None:
    with driven(daemon.admin, env={"NO_COLOR": "1", "LC_ALL": "C", "PYTHONUTF8": "0"}) as top:
        lines = top.until("demo-1", "killed", ">demo")
        assert "".join(lines).isascii()
        styles = {
            int(n) for code in re.findall(rb"\x1b\[([\d;]*)m", top.raw) for n in code.split(b";")
        }
        assert {1, 2, 7} < styles <= set(range(10))  # bold, dim, reverse; 30 and more are colours
        top.press("q")
        assert top.ended() == 0


def test_it_refuses_where_there_is_no_such_terminal(daemon: fake.Running, cli: Run) -> None:
    with driven(daemon.admin, env={"TERM": "dumb"}) as top:
        assert top.ended() == 2
        assert "agentcg ps" in top.after
        assert "TERM=dumb" in top.after
        assert top.modes == set()
    code, _, err = cli("top")
    assert code == 2
    assert "agentcg ps" in err


def test_a_daemon_that_was_never_there_is_an_error_to_read(tmp_path: Path) -> None:
    with driven(tmp_path / "none") as top:
        assert top.ended() == 3
        assert "no daemon answers" in top.after
        assert top.modes == set()
