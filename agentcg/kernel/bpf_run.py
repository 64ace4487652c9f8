"""BPF programs that user space runs itself (SEC("syscall")), with an argument that they read."""

import ctypes
import os
from pathlib import Path
from typing import Self

from agentcg.errors import BpfError
from agentcg.kernel import libbpf


class _Options(ctypes.Structure):
    """struct bpf_test_run_opts; the kernel refuses a repeat or data for this kind of program."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_void_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_int32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


class Command:
    """A loaded program; it owns the descriptor, which keeps the program alive."""

    def __init__(self, fd: int, name: str) -> None:
        """Take over the descriptor."""
        self._fd = fd
        self.name = name

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a pinned program."""
        fd = libbpf.lib().bpf_obj_get(os.fsencode(path))
        return cls(libbpf.checked(fd, f"opening {path}"), path.name)

    def run(self, argument: bytes) -> None:
        """Run it once.

        Raises:
            BpfError: the kernel did not run it, or it answered with an errno, as a negative number.
        """
        given = ctypes.create_string_buffer(argument, len(argument))
        options = _Options(
            sz=ctypes.sizeof(_Options),
            ctx_in=ctypes.addressof(given),
            ctx_size_in=len(argument),
        )
        answer = libbpf.lib().bpf_prog_test_run_opts(self._fd, ctypes.byref(options))
        libbpf.checked(answer, f"running {self.name}")
        if options.retval:
            raise BpfError(f"program {self.name}", -options.retval)

    def pin(self, path: Path) -> None:
        """Give it a name in a bpf file system, which keeps it alive."""
        libbpf.pin(self._fd, path)

    def close(self) -> None:
        """Close the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
