"""BPF maps by descriptor, raw bytes in and out, and the reading end of a ring buffer."""

import ctypes
import errno
import fcntl
import math
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from agentcg.errors import BadValueError, BpfError
from agentcg.kernel import libbpf
from agentcg.kernel.bpf_handle import Handle

# enum bpf_map_type: hash, array, LRU hash and cgroup storage with a value for each possible CPU.
_PER_CPU = {5, 6, 10, 21}
# struct bpf_map_info: type, id, key_size, value_size, max_entries, map_flags, name
_INFO = struct.Struct("=6I16s")


class Map(Handle):
    """A map."""

    def __init__(self, fd: int) -> None:
        """Take over the descriptor of a map."""
        super().__init__(fd, f"the map with descriptor {fd}")
        raw, size = ctypes.create_string_buffer(_INFO.size), ctypes.c_uint32(_INFO.size)
        answer = libbpf.lib().bpf_obj_get_info_by_fd(fd, raw, ctypes.byref(size))
        try:
            libbpf.checked(answer, f"asking about {self.name}")
        except BpfError:
            self.close()
            raise
        kind, number, key, value, entries, _, name = _INFO.unpack(raw.raw)
        self.name = name.rstrip(b"\0").decode()
        self.type: int = kind
        self.id: int = number
        self.key_size: int = key
        self.value_size: int = value
        self.max_entries: int = entries
        # The kernel rounds a value up to 8 bytes when there is one for each CPU.
        self._cpus: int = libbpf.lib().libbpf_num_possible_cpus() if self.type in _PER_CPU else 0
        self._stride = -(-self.value_size // 8) * 8

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a pinned map."""
        return cls(libbpf.opened(path))

    def clone(self) -> Self:
        """Another descriptor of the same map, with a life of its own."""
        return type(self)(fcntl.fcntl(self.fd, fcntl.F_DUPFD_CLOEXEC, 0))

    def lookup(self, key: bytes) -> bytes | None:
        """Return the value, None if there is none; of a per-CPU map all CPUs' in one."""
        value = ctypes.create_string_buffer(self._raw_size)
        answer = libbpf.lib().bpf_map_lookup_elem(self.fd, self._key(key), value)
        if answer == -errno.ENOENT:
            return None
        libbpf.checked(answer, f"map {self.name}: looking up {key.hex()}")
        return value.raw

    def lookup_cpus(self, key: bytes) -> list[bytes] | None:
        """Return the value of each possible CPU of a per-CPU map, None if there is none."""
        if not self._cpus:
            raise BadValueError(f"map {self.name} has one value for all CPUs: use lookup")
        raw = self.lookup(key)
        if raw is None:
            return None
        starts = range(0, len(raw), self._stride)
        return [raw[start : start + self.value_size] for start in starts]

    def update(self, key: bytes, value: bytes) -> None:
        """Set the value; a per-CPU map takes what `lookup` gives."""
        if len(value) != self._raw_size:
            raise BadValueError(
                f"map {self.name}: a value has {self._raw_size} bytes, not {len(value)}"
            )
        answer = libbpf.lib().bpf_map_update_elem(self.fd, self._key(key), value, 0)
        libbpf.checked(answer, f"map {self.name}: setting {key.hex()}")

    def delete(self, key: bytes) -> bool:
        """Remove the entry; whether there was one."""
        answer = libbpf.lib().bpf_map_delete_elem(self.fd, self._key(key))
        if answer == -errno.ENOENT:
            return False
        libbpf.checked(answer, f"map {self.name}: deleting {key.hex()}")
        return True

    def keys(self) -> list[bytes]:
        """Return the keys of now.

        While others add and remove entries some may be missing: the kernel starts over when the
        key that it is at goes away, and nobody waits for it to get through.
        """
        found: dict[bytes, None] = {}
        key: bytes | None = None
        following = ctypes.create_string_buffer(self.key_size)
        for _ in range(self.max_entries):
            answer = libbpf.lib().bpf_map_get_next_key(self.fd, key, following)
            if answer == -errno.ENOENT:
                break
            libbpf.checked(answer, f"map {self.name}: walking the keys")
            key = following.raw
            found[key] = None
        return list(found)

    @property
    def _raw_size(self) -> int:
        return self._stride * self._cpus if self._cpus else self.value_size

    def _key(self, key: bytes) -> bytes:
        # The kernel reads as much as it wants, whatever the length given.
        if len(key) != self.key_size:
            raise BadValueError(f"map {self.name}: a key has {self.key_size} bytes, not {len(key)}")
        return key


class RingBuffer:
    """The reading end of a ring buffer; `fd` is for loop.add_reader, then call `consume`."""

    def __init__(self, source: Map, take: Callable[[bytes], None]) -> None:
        """Hand each record to `take`, which runs inside `consume`."""
        self._take = take
        self._error: Exception | None = None
        self._until = math.inf
        self._callback = libbpf.SAMPLE(self._sample)  # libbpf holds no reference to it
        made = libbpf.lib().ring_buffer__new(source.fd, self._callback, None, None)
        self._pointer: int | None = libbpf.pointer(made, f"reading ring buffer {source.name}")
        self.fd: int = libbpf.lib().ring_buffer__epoll_fd(self._pointer)

    def consume(self) -> int:
        """Take all that is there, without waiting; how many records.

        What `take` raises ends it and is raised here; the record that it was given is gone.
        """
        if self._pointer is None:
            raise BpfError("the ring buffer is closed", None)
        count: int = libbpf.lib().ring_buffer__consume(self._pointer)
        error, self._error = self._error, None
        if error is not None:
            raise error
        return libbpf.checked(count, "reading a ring buffer")

    def turn(self, seconds: float) -> bool:
        """Take what is there for so long, one record at least; whether that cut it short."""
        self._until = time.monotonic() + seconds
        try:
            self.consume()
        except _CutError:
            return True
        finally:
            self._until = math.inf
        return False

    def close(self) -> None:
        """Let go of it; not inside `take`."""
        pointer, self._pointer = self._pointer, None
        libbpf.lib().ring_buffer__free(pointer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _sample(self, _context: int, data: int, size: int) -> int:
        try:
            self._take(ctypes.string_at(data, size))
        except Exception as error:  # noqa: BLE001 - C code cannot pass it on; consume does
            self._error = error
        else:
            if time.monotonic() < self._until:
                return 0
            self._error = _CutError()
        return -errno.ECANCELED  # which counts the record as taken all the same


class _CutError(Exception):
    """The turn is over."""
