"""Guard by a library that stands before libcuda in programs that load it (daemon/shim).

To them an allocation beyond the lease fails as on a smaller GPU, and the lease is all the memory
there is. It binds nobody who does not want it, so the others stand beside it. The folder has a file
for each call, that says what its leases have together; agents do not list it, and open there what
they can name. The account is the call's own, in /dev/shm; the daemon does not read it.
"""

import fcntl
import os
import shutil
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from agentcg.errors import UnavailableError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.gpu import GuardKind, Lease, LeaseId
from agentcg.model.ids import CallId

LIBRARY = "libcuda.so.1"
INSTALLED = Path("/usr/local/lib/agentcg/shim")  # by `agentcg install`; what LD_LIBRARY_PATH names
_ACCOUNTS = Path("/dev/shm")  # noqa: S108 - where daemon/shim/slots.c has them
_ACCOUNT = "agentcg-gpu-"
_LOCK = struct.Struct("hhqqi4x")  # struct flock
# What the driver behind it has, asked of the bridge to it. All that the shim has is in drivers that
# have this one; in older ones programs would find functions that are not there.
_TRY = (
    "import ctypes, sys; ctypes.CDLL(sys.argv[1]);"
    "ctypes.CDLL('libagentcg-cuda.so').cuGetProcAddress_v2"
)
_WITHIN = 5.0  # seconds for that; all guards together have control/gpu.py's
_DYING = 1.0
_SWEEPING = 0.5  # for /dev/shm, where agents may put any number of files


class Shim:
    """A GpuGuard."""

    kind = GuardKind.SHIM

    def __init__(self, folder: Path, context: int, libraries: Path = INSTALLED) -> None:
        """`context`: bytes that are charged to each process, beside what it allocates."""
        self.folder = folder
        self._context = context
        self._libraries = libraries
        self._leases: dict[CallId, dict[LeaseId, int]] = {}
        self._over: dict[CallId, Path] = {}  # and their leaves

    def probe(self) -> str | None:
        """Load it, and clear away what an earlier daemon left."""
        library = self._libraries / LIBRARY
        if not library.exists():
            return f"{library} is not there: run `agentcg install`"
        try:
            clear(self.folder)
            self.folder.mkdir(parents=True)
            self.folder.chmod(0o711)  # a lease is told to its own call
            words = [sys.executable, "-I", "-c", _TRY, str(library)]
            child = subprocess.Popen(words, stderr=subprocess.PIPE)  # noqa: S603 - our own words
        except OSError as error:
            return str(error)
        try:
            _, heard = child.communicate(timeout=_WITHIN)
        except subprocess.TimeoutExpired:
            child.kill()
            with suppress(subprocess.TimeoutExpired):  # where the kernel hangs it does not die
                child.communicate(timeout=_DYING)
            return f"{library} was not loaded within {_WITHIN:g} s"
        if child.returncode == 0:
            return None
        said = heard.decode(errors="replace").strip().rpartition("\n")[2]
        if "undefined symbol" in said:
            return f"no {LIBRARY} of CUDA 12 is behind it: install the NVIDIA driver, 525 or newer"
        return f"{library} cannot be loaded: {said}"

    def hold(self, lease: Lease, leaf: CgroupDir) -> None:
        """Programs of the call that ask from now on have so much; again when the bytes change."""
        del leaf
        self._over.pop(lease.call, None)
        self._leases.setdefault(lease.call, {})[lease.id] = lease.bytes
        self._write(lease.call)

    def release(self, lease: Lease, leaf: CgroupDir) -> None:
        """What still runs in the leaf has nothing from now on.

        Its file goes now, if its leaf has gone; else with the first lease that ends after that.
        """
        left = self._leases.get(lease.call, {})
        left.pop(lease.id, None)
        if not left:
            self._leases.pop(lease.call, None)
            self._over[lease.call] = leaf.path
        if leaf.path.exists():
            self._write(lease.call)
        gone = [one for one, path in self._over.items() if not path.exists()]
        for call in gone:
            del self._over[call]
            (self.folder / call).unlink(missing_ok=True)
        if gone:
            _sweep(*gone)

    def close(self) -> None:
        """Tell nobody any more; programs go on with what they were told last."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, call: CallId) -> None:
        path = self.folder / call
        fresh = path.with_suffix(".new")
        try:
            fresh.write_text(f"{sum(self._leases.get(call, {}).values())} {self._context}\n")
            fresh.chmod(0o644)
            fresh.replace(path)
        except OSError as error:
            raise UnavailableError(f"{path}: {error.strerror}: call {call} is not told") from error


def clear(folder: Path) -> None:
    """Take away what an earlier daemon told, and accounts that nobody is charged in."""
    shutil.rmtree(folder, ignore_errors=True)
    _sweep()


def _sweep(*calls: str) -> None:
    """Remove accounts, of these calls or of all, that no process has a slot in; not for long."""
    names = tuple(f"{_ACCOUNT}{one}-" for one in calls) or _ACCOUNT
    end = time.monotonic() + _SWEEPING
    with suppress(OSError), os.scandir(_ACCOUNTS) as found:
        for one in found:
            if time.monotonic() >= end:
                return
            if one.name.startswith(names):
                _remove(Path(one.path))


def _remove(account: Path) -> None:
    # An agent may have put anything there.
    with suppress(OSError):
        fd = os.open(account, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, *_ = _LOCK.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))
        finally:
            os.close(fd)
        if kind == fcntl.F_UNLCK:
            account.unlink()
