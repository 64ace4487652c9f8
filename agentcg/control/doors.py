"""The two sockets: from systemd, or bound here without ever unlinking one that lives.

And the web view's, on loopback alone, which the configuration opens.
"""

import contextlib
import grp
import os
import socket
from pathlib import Path

from agentcg.api.controller import Door
from agentcg.errors import UnavailableError
from agentcg.settings_parts import Web

_NAMES = {Door.ADMIN: "admin.sock", Door.AGENT: "agent/sock"}
_MODES = {Door.ADMIN: 0o660, Door.AGENT: 0o666}
_BACKLOG = 512
_FIRST_FD = 3


def sockets(run: Path) -> dict[Door, socket.socket]:
    """Take the listening sockets from systemd, else bind them below `run`.

    Raises:
        UnavailableError: another daemon listens there.
    """
    passed = _from_systemd()
    return {door: passed.get(door) or _bind(run / name, _MODES[door], door)
            for door, name in _NAMES.items()}  # fmt: skip


def web(wanted: Web) -> dict[Door, socket.socket]:
    """Bind the web view's socket, if it is wanted.

    Raises:
        UnavailableError: the port is not to be had.
    """
    if not wanted.enabled:
        return {}
    try:
        sock = _listening(wanted.port)
    except OSError as e:
        raise UnavailableError(
            f"web.port {wanted.port}: {e.strerror}; no web view is served. Free the port, or "
            f"choose another (0: any), and restart the daemon"
        ) from e
    return {Door.WEB: sock}


def _listening(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        # Else connections of the daemon before keep the port for a minute.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def down_file(run: Path) -> Path:
    """The file whose presence tells `acg` not to wait for the daemon."""
    return run / "agent" / "down"


def alive_file(run: Path) -> Path:
    """The file whose lock tells `acg` that the daemon lives, whoever holds its sockets."""
    return run / "agent" / "alive"


def _from_systemd() -> dict[Door, socket.socket]:
    """sd_listen_fds(3): descriptors from 3 on, named by FileDescriptorName=."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    found: dict[Door, socket.socket] = {}
    for offset, name in enumerate(names[: int(os.environ.get("LISTEN_FDS", "0"))]):
        fd = _FIRST_FD + offset
        os.set_inheritable(fd, False)
        for door in _NAMES:
            if name == door.value:
                found[door] = socket.socket(fileno=fd)
                found[door].setblocking(False)
    return found


def _bind(path: Path, mode: int, door: Door) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    if path.exists() and _answers(path):
        raise UnavailableError(f"{path}: another daemon listens there; stop it first")
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    # Made with no access at all and opened up after, so that nobody gets in between.
    before = os.umask(0o777)
    try:
        sock.bind(str(path))
    finally:
        os.umask(before)
    if door is Door.ADMIN:
        with contextlib.suppress(KeyError, PermissionError):
            os.chown(path, 0, grp.getgrnam("agentcg").gr_gid)
    path.chmod(mode)
    sock.listen(_BACKLOG)
    sock.setblocking(False)
    return sock


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            # A full backlog or a missing right tells nothing, so it counts as living.
            return True
    return True
