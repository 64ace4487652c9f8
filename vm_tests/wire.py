"""Frames of the byte stream between host and guest.

Both ends import this file, so that they cannot disagree. One virtio-serial port carries everything:
each frame names the command (`channel`) it belongs to, and several commands may run at once.
"""

import enum
import struct
from typing import NamedTuple, Protocol

PORT_NAME = "vm.agent"

# A frame's payload is bounded, so that one busy command cannot starve the others' output.
MAX_PAYLOAD = 32 * 1024

_HEADER = struct.Struct("!IBI")


class Kind(enum.IntEnum):
    """What a frame says."""

    HELLO = 0  # guest: the agent is up, the port works
    EXEC = 1  # host: JSON of argv, env, cwd
    STDIN = 2  # host: bytes; an empty frame closes it
    STDOUT = 3  # guest
    STDERR = 4  # guest
    EXIT = 5  # guest: the exit status as decimal text, negative for a signal
    KILL = 6  # host: SIGKILL to the command's process group


class Frame(NamedTuple):
    """One message."""

    channel: int
    kind: Kind
    payload: bytes = b""


class Reader(Protocol):
    """The part of a binary file that reading frames needs."""

    def read(self, n: int, /) -> bytes | None:
        """Return up to n bytes; none at the end."""


def encode(frame: Frame) -> bytes:
    """Return the frame's bytes."""
    return _HEADER.pack(frame.channel, frame.kind, len(frame.payload)) + frame.payload


def read_frame(stream: Reader) -> Frame:
    """Read one frame; EOFError when the other side is gone."""
    channel, kind, size = _HEADER.unpack(_read_exactly(stream, _HEADER.size))
    return Frame(channel, Kind(kind), _read_exactly(stream, size))


def _read_exactly(stream: Reader, size: int) -> bytes:
    chunks = []
    while size:
        chunk = stream.read(size)
        if not chunk:
            raise EOFError
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)
