"""Tell systemd that the daemon is ready, alive, stopping (sd_notify(3)); silent without it."""

import os
import socket


def notify(message: str) -> None:
    """Send one datagram to $NOTIFY_SOCKET; a supervisor that is gone is no error."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(message.encode(), address)
        except OSError:
            return


def watchdog_interval() -> float | None:
    """Half of the time systemd allows between two signs of life, in seconds; None without.

    $WATCHDOG_PID names the process that is meant; to its children the variables mean nothing.
    """
    limit = os.environ.get("WATCHDOG_USEC", "")
    meant = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not limit.isdecimal() or int(limit) == 0 or meant != str(os.getpid()):
        return None
    return int(limit) / 2e6
