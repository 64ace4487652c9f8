"""Probes outside the cgroup tree: pidfds, netlink, services, block and CPU schedulers."""

import contextlib
import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from agentcg.errors import AgentcgError
from agentcg.kernel import pidfd, procfs
from agentcg.model.host import Mechanism

DOCKER_SOCKET = Path("/var/run/docker.sock")
SYSTEMD = Path("/run/systemd/system")


def mechanisms(root: Path, proc: Path, sys: Path) -> Iterator[Mechanism]:
    """Try each in turn; none raises."""
    yield _tried("pidfd_peer", _pidfd_peer)
    yield _tried("pidfd_info", _pidfd_info)
    exit_info = _tried("pidfd_exit", _pidfd_exit)
    yield exit_info
    yield _proc_events(exit_info)
    yield _swap(proc)
    yield _present("systemd", SYSTEMD, "systemd is PID 1", "PID 1 is not systemd")
    yield _tried("dockerd", _dockerd)
    yield _io_weight(root, sys)


def foreign_scheduler(sys: Path) -> str | None:
    """The name of a sched_ext scheduler that runs and is not ours, else None."""
    base = sys / "kernel/sched_ext"
    # While none runs, root/ops does not exist.
    if _text(base / "state") not in {"enabled", "enabling"}:
        return None
    name = _text(base / "root/ops") or "unknown"
    return None if name.startswith("agentcg") else name


def _tried(name: str, attempt: Callable[[], str]) -> Mechanism:
    try:
        return Mechanism(name, works=True, detail=attempt())
    except AgentcgError as error:
        return Mechanism(name, works=False, detail=error.message)
    except OSError as error:
        return Mechanism(name, works=False, detail=error.strerror or str(error))


def _present(name: str, path: Path, yes: str, no: str) -> Mechanism:
    works = path.exists()
    return Mechanism(name, works=works, detail=yes if works else no)


def _pidfd_peer() -> str:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        os.close(pidfd.peer_pidfd(ours))
    return "SO_PEERPIDFD gave a pidfd"


def _pidfd_info() -> str:
    fd = os.pidfd_open(os.getpid())
    try:
        cgroup = pidfd.info(fd).cgroup_id
    finally:
        os.close(fd)
    return f"PIDFD_GET_INFO, {'with' if cgroup is not None else 'without'} the cgroup id"


def _pidfd_exit() -> str:
    # Only a reaped child shows whether the kernel keeps the status. Not os.fork: the daemon may
    # have threads, whose locks a forked child inherits for ever.
    child = os.posix_spawnp("true", ["true"], os.environ)
    try:
        fd = os.pidfd_open(child)
    finally:
        os.waitpid(child, 0)
    try:
        status = pidfd.info(fd).exit_code
    finally:
        os.close(fd)
    if status is None:
        raise OSError(0, "no PIDFD_INFO_EXIT: a kernel with it (Linux 6.15) is needed")
    return "PIDFD_INFO_EXIT gave a reaped child's status"


def _proc_events(exit_info: Mechanism) -> Mechanism:
    name = "proc_events"
    if exit_info.works:
        return Mechanism(name, works=False, detail="not tried: pidfd_exit works, which is better")

    def attempt() -> str:
        # pyroute2 takes 0.3 s to import, for what newer kernels do not need.
        from agentcg.kernel import cn_proc

        cn_proc.check()
        return "the process connector answers"

    return _tried(name, attempt)


def _swap(proc: Path) -> Mechanism:
    total = 0
    with contextlib.suppress(OSError):
        total = procfs.meminfo(proc).get("SwapTotal", 0)
    detail = f"{total} bytes of swap" if total else "no swap is configured"
    return Mechanism("swap", works=total > 0, detail=detail)


def _dockerd() -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(1.0)
        try:
            sock.connect(str(DOCKER_SOCKET))
        except OSError as error:
            raise OSError(error.errno, f"{DOCKER_SOCKET}: {error.strerror or error}") from error
    return f"{DOCKER_SOCKET} accepts connections"


def _io_weight(root: Path, sys: Path) -> Mechanism:
    # The file exists wherever the io controller does, but only these two act on it.
    if re.search(r"\benable=1\b", _text(root / "io.cost.qos")):
        return Mechanism("io.weight", works=True, detail="blk-iocost is enabled")
    for queue in sorted((sys / "block").glob("*/queue/scheduler")):
        if "[bfq]" in _text(queue):
            device = queue.parent.parent.name
            return Mechanism("io.weight", works=True, detail=f"BFQ schedules {device}")
    return Mechanism(
        "io.weight", works=False, detail="no effect: neither blk-iocost nor BFQ is in use"
    )


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
