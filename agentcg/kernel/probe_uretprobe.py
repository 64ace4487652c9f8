"""Whether a probe at a function's return kills programs that have a seccomp filter, by trying.

On x86-64 such a probe may make a system call in the program's name, which the program's filter has
never heard of. A child of ours calls a function that nobody else has, with a filter that kills on
that call, and what becomes of it is looked at.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentcg.kernel.bpf_object import Object, shipped

NAME = "probe_uretprobe"
URETPROBE = 335  # the system call, of x86-64 only
WITHIN = 10.0  # seconds: that a Python takes to start on a busy machine
FUNCTION = bytes.fromhex("f3 0f 1e fa 31 c0 c3")  # endbr64; xor %eax, %eax; ret
_CHILD = Path(__file__).with_name("uretprobe_child.py")
_UNKNOWN = "whether probes at returns kill programs with a seccomp filter is not known: "


def trouble(kills: int = URETPROBE) -> str | None:
    """Why probes at returns would do harm here; None if they would not. It blocks.

    `kills` is the system call that the child may not make.

    Raises:
        BpfError: the kernel refuses the program, or to attach it.
        OSError: there is no child.
    """
    if os.uname().machine != "x86_64":
        return None  # elsewhere it is a breakpoint, and no system call
    with Object.open(shipped(NAME)) as one, function() as fd:
        one.load()
        path = Path(f"/proc/self/fd/{fd}")
        with (
            one.map("returns") as returns,
            one.program(NAME).attach_function(path, 0, entry=False),
        ):
            status, said = called(fd, kills)
            ran = any(returns.lookup(bytes(4)) or b"")
    return judged(status, said, ran=ran)


@contextmanager
def function(code: bytes = FUNCTION) -> Iterator[int]:
    """A file without a name that is a function's code, for as long as the block."""
    fd = os.memfd_create("agentcg-probe")
    try:
        os.write(fd, code)
        yield fd
    finally:
        os.close(fd)


def called(fd: int, kills: int, within: float = WITHIN) -> tuple[int | None, str]:
    """How a child ended that calls it, as a return code, None if not in time; what it said."""
    # Not a fork of ours: the daemon has threads, whose locks a forked child inherits for ever.
    argv = [sys.executable, "-I", "-S", str(_CHILD), str(fd), str(kills)]
    try:
        done = subprocess.run(  # noqa: S603 - of our own words
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(fd,),
            timeout=within,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stderr.decode(errors="replace").strip().rpartition("\n")[2]


def judged(status: int | None, said: str, *, ran: bool) -> str | None:
    """What the child's end means; `ran`: the probe was there."""
    if status is None:
        return f"{_UNKNOWN}the child that tries it did not end in time; try again"
    if status == -signal.SIGSYS:
        return (
            "this kernel's probes at returns kill programs with a seccomp filter; "
            "Linux 6.14, 6.13.3 and 6.12.14 have the mend"
        )
    if status < 0:
        return f"{_UNKNOWN}the child that tries it was killed by signal {-status}"
    if status:
        return f"{_UNKNOWN}the child that tries it failed: {said or f'status {status}'}"
    return None if ran else f"{_UNKNOWN}the function returned, and the probe did not run"
