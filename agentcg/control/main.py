"""agentcgd: read the configuration, take up what lives, open the doors, stop in order."""

import argparse
import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agentcg import __version__
from agentcg.api.controller import Door
from agentcg.api.server import serve
from agentcg.control import (
    containers,
    doors,
    escalating,
    governing,
    gpu,
    guarantees,
    notify,
    observing,
    pressure,
    recover,
    stepping,
    tick,
    tracing,
)
from agentcg.control.controller import Daemon
from agentcg.control.core import Core
from agentcg.control.journal import Journal
from agentcg.control.state import State
from agentcg.errors import AgentcgError, UnavailableError
from agentcg.kernel import lifeline
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.mountinfo import set_favordynmods
from agentcg.kernel.probe import probe
from agentcg.kernel.watch import Watch
from agentcg.model.event import Kind
from agentcg.model.host import Host
from agentcg.sandbox import bare
from agentcg.settings import DEFAULT_PATH, Settings, load
from agentcg.telemetry.bus import Bus

if TYPE_CHECKING:
    from agentcg.kernel.cn_proc import ExitEvents

log = logging.getLogger("agentcg")


def main() -> None:
    """Run the daemon until SIGTERM or SIGINT. Exit status 1 and one clear line if it cannot."""
    arguments = parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        asyncio.run(_run(load(arguments.config)))
    except AgentcgError as e:
        log.error("%s", e.message)  # noqa: TRY400 - a traceback tells an operator nothing more
        sys.exit(1)


def parser() -> argparse.ArgumentParser:
    """The daemon's own options; everything else is in the configuration."""
    made = argparse.ArgumentParser("agentcgd", description="The daemon; systemd starts it.")
    made.add_argument(
        "--config", type=Path, default=DEFAULT_PATH, help=f"the configuration ({DEFAULT_PATH})"
    )
    made.add_argument("--version", action="version", version=__version__, help="print the version")
    return made


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    core = _core(settings)
    tracing.start(core)
    try:
        sockets = doors.sockets(settings.paths.run) | _web(core)
        bare.parent(core.root, settings.cgroup.bare_parent).close()
        await governing.start(core)
        await observing.start(core)
        await recover.recover(core)
        await gpu.start(core)
        await escalating.resume(core)
        await guarantees.start(core)
        await stepping.start(core)
        observing.listen(core)
        core.recorder.begin()
        down = doors.down_file(settings.paths.run)
        core.tell(Kind.DAEMON, f"agentcg {__version__} is ready{_away(down, core.now())}")
        down.unlink(missing_ok=True)
        _follow_pool(core)
        with lifeline.held(doors.alive_file(settings.paths.run)):
            await _serve(core, sockets, stop, down)
    finally:
        await _close(core)


def _web(core: Core) -> dict[Door, socket.socket]:
    """The web view's door. Anybody can take its port: that must not keep the daemon away."""
    try:
        return doors.web(core.settings.web)
    except UnavailableError as e:
        core.tell(Kind.DAEMON, e.message)
        return {}


async def _serve(
    core: Core, sockets: Mapping[Door, socket.socket], stop: asyncio.Event, down: Path
) -> None:
    """All that runs while the daemon does; returns once it was told to stop."""
    async with asyncio.TaskGroup() as tasks:
        ticking = tasks.create_task(tick.forever(core))
        background = [tasks.create_task(_watchdog())]
        if core.settings.docker.enabled:
            background.append(tasks.create_task(containers.forever(core)))
        serving = tasks.create_task(serve(Daemon(core), sockets, stop))
        _settle()
        notify.notify("READY=1")
        await stop.wait()
        notify.notify("STOPPING=1")
        core.bus.close()
        with contextlib.suppress(OSError):
            down.touch()
        await serving
        ticking.cancel()
        for task in background:
            task.cancel()


def _settle() -> None:
    """What is loaded stays: to look it through now and then held the loop up for 60 ms."""
    gc.collect()
    gc.freeze()


async def _close(core: Core) -> None:
    """Leave the host as it was found, as far as nothing lives on."""
    await gpu.stop(core)
    await guarantees.undo(core)
    await stepping.undo(core)
    await governing.stop(core)
    observing.stop(core)
    await core.stop()
    core.recorder.close()
    if not core.host.has("systemd"):
        bare.leave(core.root, core.settings.cgroup.bare_parent)
    core.watch.close()
    if core.exits is not None:
        core.exits.close()
    core.journal.close()
    await gpu.leave(core)
    core.root.close()


def _away(down: Path, now: float) -> str:
    """How long clients were told not to wait: what they ran meanwhile nobody can count."""
    try:
        since = now - down.stat().st_mtime
    except FileNotFoundError:
        return ""
    return f"; for {max(0.0, since):.0f} s commands of sessions ran without calls"


def _follow_pool(core: Core) -> None:
    if core.host.has("psi"):
        pool = core.root.open_path(core.settings.cgroup.pool)
        core.spawn(pressure.follow(core, pool, None))


def _core(settings: Settings) -> Core:
    """The composition root: settings and host to objects."""
    if settings.host.favordynmods:
        _favor_dynmods(settings.cgroup.root)
    host = probe(settings.cgroup.root)
    return Core(
        settings=settings,
        host=host,
        root=CgroupDir.open(settings.cgroup.root),
        journal=Journal(settings.paths.state / "journal.sqlite", keep=settings.journal.keep),
        bus=Bus(),
        state=State(),
        watch=Watch(),
        exits=_exits(host),
    )


def _favor_dynmods(root: Path) -> None:
    try:
        set_favordynmods(root)
    except AgentcgError as e:
        # A wish about speed; that it does not come true keeps no daemon from its work.
        log.warning("host.favordynmods: %s", e.message)


def _exits(host: Host) -> "ExitEvents | None":
    """Where a reaped process's pidfd does not keep its exit status (before Linux 6.15)."""
    if host.has("pidfd_exit") or not host.has("proc_events"):
        return None
    # pyroute2 takes a third of a second to import, and most hosts never need it.
    from agentcg.kernel.cn_proc import ExitEvents

    return ExitEvents()


async def _watchdog() -> None:
    """Signs of life from the loop itself: a loop that hangs is a daemon that hangs."""
    interval = notify.watchdog_interval()
    while interval is not None:
        notify.notify("WATCHDOG=1")
        await asyncio.sleep(interval)


if __name__ == "__main__":
    main()
