"""What a server in a test is looked at with."""

import os
import socket
from pathlib import Path

from agentcg.api.controller import Door


def exception_of(context: dict[str, object]) -> BaseException:
    """What an event loop was told of."""
    found = context.get("exception")
    return found if isinstance(found, BaseException) else RuntimeError(str(context))


def is_open(fd: int) -> bool:
    """Whether a descriptor is open."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def listening(folder: Path) -> dict[Door, socket.socket]:
    """A socket for each door, which listens: no client comes too early."""
    made = {Door.WEB: socket.create_server(("127.0.0.1", 0), backlog=256)}
    for door in (Door.ADMIN, Door.AGENT):
        made[door] = socket.socket(socket.AF_UNIX)
        made[door].bind(str(folder / f"{door.value}.sock"))
        made[door].listen(256)
    return made
