"""How soon `agentcg top` is done with 500 calls: `make bench-top`.

A server in a process of its own answers by the daemon's own API; asked for calls it reads as many
cgroups as a daemon would (files in memory, so without the kernel's part). One refresh is: ask for
host, sessions and calls, read the answers, remember, make lines, draw what changed on a terminal.
CPU time is counted at both ends: on a busy machine that alone can be compared.
Then the program itself in a terminal, refreshing five times a second: from a key to the first
byte that it changes.
"""

import asyncio
import contextlib
import gc
import os
import pty
import resource
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from typing_extensions import override

from agentcg.api.controller import Caller
from agentcg.cli import plot
from agentcg.cli.top import loop, page
from agentcg.cli.top.board import Board
from agentcg.cli.top.feed import Feed, client
from agentcg.cli.top.screen import Screen, View
from agentcg.cli.top.terminal import Terminal
from agentcg.client import AsyncClient
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.event import Kind
from agentcg.model.session import Session
from agentcg.model.view import CallView
from agentcg.telemetry import counters
from tests.bench.figures import figure
from tests.unit.api import fake
from tests.unit.cli.top import fleet
from tests.unit.cli.top.driven import Driven, driven
from tests.unit.control.recorded import fill

CALLS = int(os.environ.get("CALLS", "500"))
RUNS = int(os.environ.get("RUNS", "100"))
SIZES = ((80, 24), (200, 60))


def main() -> None:
    """Measure, with a server beside it."""
    if sys.argv[1:]:
        serve(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        command = [sys.executable, "-m", "tests.bench.top", folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            socket = Path(server.stdout.readline().decode().strip())
            os.environ["AGENTCG_SOCKET"] = str(socket)
            loop.settle()
            for size in SIZES:
                asyncio.run(_asking(size, server.pid))
                _keys(socket, size)
            server.terminate()


def serve(folder: Path) -> None:
    """Answer until stdin ends."""
    began = time.time()
    homes = [fleet.session(f"agent-{n}", priority=n % 3) for n in range(12)]
    made = _Reading(homes, _leaves(folder / "leaves"), began)
    made.past = [
        fleet.event(n, began, Kind.CALL_THROTTLED, homes[n % 12].id, f"c-{n:08x}")
        for n in range(1, 200)
    ]
    fake.FakeController = lambda: made  # type: ignore[assignment,misc]
    with fake.running(folder) as running:
        gc.collect()  # as the daemon does
        gc.freeze()
        print(running.admin, flush=True)
        while not select.select([sys.stdin], [], [], 0.1)[0]:
            made.age = time.time() - began


class _Reading(fleet.Fleet):
    """Reads a cgroup for each call that it shows; as in a daemon the records are there already."""

    def __init__(self, homes: Sequence[Session], leaves: Sequence[CgroupDir], began: float) -> None:
        super().__init__(len(leaves), homes, began=began)
        self.leaves = leaves
        self.records = [view.call for view in super()._all()]

    @override
    async def calls(self, caller: Caller, *, everything: bool) -> Sequence[CallView]:
        await asyncio.to_thread(lambda: [counters.read(leaf) for leaf in self.leaves])
        return await super().calls(caller, everything=everything)

    @override
    def _all(self) -> list[CallView]:
        return [CallView(one, fleet.usage(n, self.age)) for n, one in enumerate(self.records)]


def _leaves(top: Path) -> list[CgroupDir]:
    made = []
    for n in range(CALLS):
        folder = top / f"c-{n}"
        folder.mkdir(parents=True)
        fill(folder)
        (folder / "memory.peak").write_text("1048576\n")
        (folder / "pids.events").write_text("max 0\n")
        made.append(CgroupDir.open(folder))
    return made


async def _asking(size: tuple[int, int], server: int) -> None:
    async with client() as daemon:
        await _refreshes(daemon, size, server)


async def _refreshes(daemon: AsyncClient, size: tuple[int, int], server: int) -> None:
    master, slave = pty.openpty()
    board, screen = Board(), Screen(View.CALLS)
    drained: list[int] = []
    threading.Thread(target=_drain, args=(master, drained), daemon=True).start()
    feed = Feed(board, 1.0, lambda: screen, lambda: None)
    console = Console(force_terminal=True, color_system="256", width=size[0])
    terminal = Terminal(console, slave, slave)
    wall: list[float] = []
    cpu: list[float] = []
    served: list[float] = []
    drawing: list[float] = []
    written: list[float] = []
    await feed.once(daemon)  # the first question has the server make its routes
    for _ in range(RUNS):
        begun, used, serving = time.perf_counter(), time.process_time(), _used(server)
        await feed.once(daemon)
        drawn = time.perf_counter()
        frame = page.frame(
            screen,
            board,
            width=size[0],
            height=size[1],
            clock=time.monotonic(),
            at=time.time(),
            glyphs=plot.UNICODE,
        )
        terminal.draw(frame.lines)
        end = time.perf_counter()
        wall.append(1e3 * (end - begun))
        cpu.append(1e3 * (time.process_time() - used))
        served.append(1e3 * (_used(server) - serving))
        drawing.append(1e3 * (end - drawn))
        await asyncio.sleep(0.1)
        written.append(sum(drained) / 1024)
        drained.clear()
    os.close(slave)
    name = f"{CALLS} calls, {size[0]}x{size[1]}"
    figure(f"{name}: refresh", wall)
    figure(f"{name}: CPU of it", cpu)
    figure(f"{name}: CPU of the server for it", served)
    figure(f"{name}: of it lines and drawing", drawing)
    figure(f"{name}: written to the terminal", written, "KiB")


def _used(pid: int) -> float:
    """Seconds of CPU that all threads of a process used: MAKE_PROCESS_CPUCLOCK of the kernel."""
    return time.clock_gettime((~pid << 3) | 2)


def _drain(master: int, drained: list[int]) -> None:
    """Take what is written, as a terminal does, until the other end is closed."""
    with os.fdopen(master, "rb", buffering=0) as read, contextlib.suppress(OSError):
        while data := read.read(65536):
            drained.append(len(data))


def _keys(socket: Path, size: tuple[int, int]) -> None:
    with driven(socket, "-d", "0.2", size=size) as top:
        top.until("agent-1")
        top.press("\t")
        top.until("c-0000")
        spans = [_pressed(top) for _ in range(RUNS)]
        rss = int(Path(f"/proc/{top.program.pid}/statm").read_text().split()[1])
        top.press("q")
        top.ended()
    name = f"{CALLS} calls, {size[0]}x{size[1]}"
    figure(f"{name}: from a key to the screen, refreshing 5 times a second", spans)
    figure(f"{name}: RSS", [rss * resource.getpagesize() / (1 << 20)], "MiB")


def _pressed(top: Driven) -> float:
    time.sleep(0.037)  # not in step with what refreshes
    top.pump(0)
    at = _cursor(top)
    begun = time.perf_counter()
    top.press("j")
    while _cursor(top) == at:
        top.pump(0.5)
    return 1e3 * (time.perf_counter() - begun)


def _cursor(top: Driven) -> str:
    return next((line[1:11] for line in top.lines() if line.startswith(">")), "")


if __name__ == "__main__":
    main()
