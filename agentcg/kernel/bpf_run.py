"""BPF programs that user space runs itself (SEC("syscall")), with an argument that they read."""

import ctypes
import re
from pathlib import Path
from typing import Self

from agentcg.errors import BpfError
from agentcg.kernel import libbpf
from agentcg.kernel.bpf_handle import Handle


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


class Command(Handle):
    """A loaded program."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a pinned program."""
        return cls(libbpf.opened(path), path.name)

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
        answer = libbpf.lib().bpf_prog_test_run_opts(self.fd, ctypes.byref(options))
        libbpf.checked(answer, f"running {self.name}")
        if options.retval:
            raise BpfError(f"program {self.name}", -options.retval)

    def left_out(self) -> int:
        """How many of its runs the kernel left out, as one was under way on that CPU."""
        text = Path(f"/proc/self/fdinfo/{self.fd}").read_text()
        found = re.search(r"^recursion_misses:\s*(\d+)$", text, re.MULTILINE)
        return int(found[1]) if found else 0
