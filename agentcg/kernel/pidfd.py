"""Processes by descriptor, free of pid reuse: pidfd_open(2), include/uapi/linux/pidfd.h.

A pidfd is readable (poll) once the process has exited, whether or not it has been reaped.
"""

import asyncio
import errno
import fcntl
import os
import select
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from agentcg.errors import BadValueError, ProcessGoneError, UnsupportedError
from agentcg.kernel import procfs
from agentcg.kernel.cgroupfs import CgroupDir

SO_PEERPIDFD = 77

# _IOWR(0xFF, 11, struct pidfd_info) at its first published size; later kernels append fields only.
_PIDFD_GET_INFO = 0xC040FF0B
_INFO = struct.Struct("=QQ11Ii")
_PID, _CREDS, _CGROUPID, _EXIT = 1, 2, 4, 8


@dataclass(frozen=True, slots=True)
class PidfdInfo:
    """PIDFD_GET_INFO; `cgroup_id`, `exit_code` (a wait status) are None where the kernel gave none.

    Of a reaped process only these two are known, the ids are 0.
    """

    pid: int
    tgid: int
    ppid: int
    ruid: int
    euid: int
    cgroup_id: int | None
    exit_code: int | None


def open(pid: int, starttime: int | None = None) -> int:
    """Open a pidfd of `pid`, which the caller closes.

    With `starttime` (procfs.start_time) it is that process or ProcessGoneError: the pid alone may
    have passed to another since it was learnt.
    """
    try:
        fd = os.pidfd_open(pid)
    except OSError as error:
        # EINVAL: no such thread-group leader, or not a positive number.
        if error.errno in {errno.ESRCH, errno.EINVAL}:
            raise ProcessGoneError(pid, error.strerror or "no such process") from error
        raise
    if starttime is None:
        return fd
    try:
        # Read with the pidfd open; if that process is unreaped afterwards the pid was its own
        # all along.
        same = procfs.start_time(pid) == starttime and not _reaped(fd)
    except BaseException:
        os.close(fd)
        raise
    if not same:
        os.close(fd)
        raise ProcessGoneError(pid, "its pid belongs to another process now")
    return fd


def peer_pidfd(sock: socket.socket) -> int:
    """Open a pidfd of the process that connected this Unix stream socket; the caller closes it.

    UnsupportedError before Linux 6.5; ProcessGoneError if the peer was reaped before the accept.
    """
    try:
        fd = sock.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError as error:
        if error.errno == errno.ENOPROTOOPT:
            raise UnsupportedError(
                "no SO_PEERPIDFD: a kernel with it (Linux 6.5) is needed"
            ) from error
        # ENODATA: no peer credentials. Before 6.16 a reaped peer gave ESRCH or EINVAL.
        if error.errno in {errno.ESRCH, errno.EINVAL, errno.ENODATA}:
            raise ProcessGoneError(peer_cred(sock)[0], error.strerror or "no peer") from error
        raise
    return fd


def peer_cred(sock: socket.socket) -> tuple[int, int, int]:
    """Return (pid, uid, gid) of the peer when it connected; the pid may be another's by now."""
    size = struct.calcsize("=iII")
    pid, uid, gid = struct.unpack(
        "=iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    return pid, uid, gid


def info(pidfd: int) -> PidfdInfo:
    """Return ids, credentials, cgroup and, once reaped, exit status of the process.

    UnsupportedError before Linux 6.13; ProcessGoneError if it was reaped and the kernel keeps
    nothing of it (before 6.15, or the pidfd was opened after the exit).
    """
    buffer = bytearray(_INFO.pack(_PID | _CREDS | _CGROUPID | _EXIT, *[0] * 13))
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, buffer)
    except OSError as error:
        if error.errno == errno.ESRCH:
            raise ProcessGoneError(0, "it was reaped and its kernel record is gone") from error
        if error.errno in {errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP}:
            raise UnsupportedError(
                f"no PIDFD_GET_INFO ({error.strerror}): a kernel with it (Linux 6.13) is needed"
            ) from error
        raise
    mask, cgroup, pid, tgid, ppid, ruid, _, euid, *_, code = _INFO.unpack(buffer)
    return PidfdInfo(
        pid=pid,
        tgid=tgid,
        ppid=ppid,
        ruid=ruid,
        euid=euid,
        cgroup_id=cgroup if mask & _CGROUPID else None,
        exit_code=code if mask & _EXIT else None,
    )


def alive(pidfd: int) -> bool:
    """Whether the process has not exited; a zombie is not alive."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return not poll.poll(0)


def pid_of(pidfd: int) -> int:
    """Return the pid in this pid namespace; ProcessGoneError once it is reaped."""
    text = Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    for line in text.splitlines():
        if line.startswith("Pid:"):
            pid = int(line[4:])
            if pid > 0:
                return pid
            # 0: a process outside our pid namespace, which nothing here could name either.
            raise ProcessGoneError(pid, "it was reaped, or lives outside this pid namespace")
    raise BadValueError(f"descriptor {pidfd} is not a pidfd: open it with pidfd.open")


def cgroup_id(pidfd: int) -> int:
    """Return the id of the cgroup v2 that the living process is in. It does not block.

    UnsupportedError before Linux 6.13; ProcessGoneError if it is dead by the time of the answer: a
    dead process has no say.
    """
    found = info(pidfd).cgroup_id
    if found is None:
        raise UnsupportedError("PIDFD_GET_INFO told no cgroup: this kernel has no cgroup v2")
    return _of_living(pidfd, found)


def cgroup_id_by_path(pidfd: int, root: Path) -> int:
    """Return the same on any kernel; it waits for whoever moves a process meanwhile.

    `root` is the cgroup2 mount.
    """
    path = procfs.cgroup_path(pid_of(pidfd))
    # " (deleted)" and "/.." parts fail as a missing or an invalid name, as they should.
    with CgroupDir.open(root) as top, top.open_path(path.strip("/")) as cgroup:
        return _of_living(pidfd, cgroup.id)


def exit_status(pidfd: int, pid: int) -> int | None:
    """Return the wait status (see os.waitstatus_to_exitcode); None if alive or not to be known.

    Reaped: PIDFD_INFO_EXIT, Linux >= 6.15. Zombie: /proc/PID/stat, which needs to be root over it.
    """
    if alive(pidfd):
        return None
    try:
        code = info(pidfd).exit_code
    except (UnsupportedError, ProcessGoneError):
        code = None
    if code is not None:
        return code
    try:
        # X: whoever reaps it has said so, and the kernel has not yet let go of it.
        code = procfs.exit_code(pid) if procfs.state(pid) in {"Z", "X"} else None
        # Unreaped after the reading, hence the pid was still its own.
        if code is not None and not _reaped(pidfd):
            return code
    except ProcessGoneError:
        pass
    # It may have been reaped between the two attempts.
    try:
        return info(pidfd).exit_code
    except (UnsupportedError, ProcessGoneError):
        return None


async def wait(pidfd: int) -> None:
    """Return when the process has exited; cancelling is harmless, the descriptor stays open."""
    loop = asyncio.get_running_loop()
    # add_reader keeps one callback per descriptor; a duplicate lets two tasks wait for one process.
    fd = os.dup(pidfd)
    done = loop.create_future()

    def fired() -> None:
        # A pidfd stays readable for ever: left in place, this would spin the loop.
        loop.remove_reader(fd)
        if not done.done():
            done.set_result(None)

    try:
        loop.add_reader(fd, fired)
        await done
    finally:
        loop.remove_reader(fd)
        os.close(fd)


def _reaped(pidfd: int) -> bool:
    try:
        pid_of(pidfd)
    except ProcessGoneError:
        return True
    return False


def _of_living(pidfd: int, found: int) -> int:
    # Asked last: for a living process neither the pid nor the answer was a stranger's.
    if not alive(pidfd):
        raise ProcessGoneError(0, "it exited while its cgroup was looked up")
    return found
