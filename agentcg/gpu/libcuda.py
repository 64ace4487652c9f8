"""The files that are libcuda, and the programs of bpf/cuda.bpf.c on their functions."""

import os
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from agentcg.errors import AgentcgError, LimitError, UnsupportedError
from agentcg.kernel import elf
from agentcg.kernel.bpf_link import Link
from agentcg.kernel.bpf_object import Object
from agentcg.kernel.statfs import filesystem_type

_File = tuple[int, int]  # device and inode

RETURN = "returned"
_STREAMS = ("", "_ptsz")  # of the legacy default stream, and of each thread's own

PLAIN = "cuMemAlloc_v2"

# Function to the program at its entry. Aliases are functions each, and may share an address.
FUNCTIONS: Mapping[str, str] = {
    PLAIN: "alloc_entry",
    "cuMemAllocManaged": "managed_entry",
    **{f"cuMemAllocAsync{end}": "alloc_entry" for end in _STREAMS},
    **{f"cuMemAllocFromPoolAsync{end}": "alloc_entry" for end in _STREAMS},
    "cuMemAllocPitch_v2": "pitch_entry",
    "cuMemCreate": "create_entry",
    "cuArrayCreate_v2": "array_entry",
    "cuArray3DCreate_v2": "array3d_entry",
    "cuMemFree_v2": "free_entry",
    **{f"cuMemFreeAsync{end}": "free_entry" for end in _STREAMS},
    "cuMemRelease": "release_entry",
    "cuArrayDestroy": "destroy_entry",
    "cuMemMap": "map_entry",
    "cuMemUnmap": "unmap_entry",
    "cuMemRetainAllocationHandle": "retain_entry",
}
_SHIM = "agentcg_shim"  # a function of daemon/shim alone
_NAME = "libcuda.so"
_MOST = 8  # files of a leaf: an agent could bring any number of copies
# Magic numbers (include/uapi/linux/magic.h) of ext4, XFS, Btrfs, tmpfs, SquashFS, EROFS: attaching
# reads the function's page while every fork of the host waits, so its file system may not be one
# that answers when it likes (FUSE, a network). Overlay neither: an agent mounts one above a FUSE.
_PROMPT = {0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x73717368, 0xE0F5E1E2}
_PLACES = ("/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/lib/wsl/lib")


def installed(root: Path = Path("/")) -> list[Path]:
    """Where this host, or what is mounted at `root`, has it."""
    found = [one for place in _PLACES for one in root.glob(f"{place[1:]}/{_NAME}.1")]
    return sorted(found)


class Probed:
    """Files that were found, each once, by what they are and not by name."""

    def __init__(self, programs: Object, functions: Iterable[str] = FUNCTIONS) -> None:
        """Attach the programs of this object, which stays open, to these functions."""
        self._functions = frozenset(functions)
        self._programs = programs.programs()
        self._links: dict[_File, list[Link]] = {}
        self._seen: dict[_File, int | None] = {}
        self._lock = threading.Lock()
        self._closed = False

    def add(self, path: Path, whose: int | None = None) -> bool:
        """Attach to a file, whatever its name; False if it was, or has none of the functions.

        `whose` is the leaf that has it. The host's own, nobody's, are trusted: an agent's lies
        where it can keep no reader waiting.

        Raises:
            BadValueError: it is no library of 64 bits.
            BpfError: the kernel refuses.
            LimitError: there are too many of them.
            UnsupportedError: its file system could let the whole host wait.
        """
        with _open(path, hosts=whose is None) as fd:
            about = os.fstat(fd)
            file = (about.st_dev, about.st_ino)
            with self._lock:
                if file in self._seen or self._closed:
                    return False
                if whose is not None and list(self._seen.values()).count(whose) == _MOST:
                    raise LimitError(f"{path}: {_MOST} copies of libcuda are watched, and no more")
                self._seen[file] = whose
            try:
                return self._attach(fd, file)
            except BaseException:
                with self._lock:
                    del self._seen[file]
                raise

    def forget(self, whose: int) -> None:
        """Detach from the copies of a leaf, beside: another that has one is found again."""
        with self._lock:
            # One that is only being attached to stays.
            files = [one for one in self._links if self._seen.get(one) == whose]
            those = {file: self._links.pop(file) for file in files}
        if those:
            threading.Thread(target=self._forget, args=(those,), name="detach", daemon=True).start()

    def _forget(self, those: Mapping[_File, list[Link]]) -> None:
        for file, links in those.items():
            _detach(links)
            with self._lock:  # it was not attached to twice meanwhile
                self._seen.pop(file, None)

    def close(self) -> None:
        """Detach from all."""
        with self._lock:
            self._closed = True
            links = [one for each in self._links.values() for one in each]
            self._links.clear()
        _detach(links)

    def _attach(self, fd: int, path: _File) -> bool:
        offsets = elf.functions(fd, self._functions | {_SHIM})
        if _SHIM in offsets:  # each call of it is one of the driver's behind it, which counts
            return False
        links: list[Link] = []
        try:
            # The return first: what has an entry alone would be charged for ever.
            for program in (RETURN, None):
                for name, offset in _once(offsets):
                    one = self._programs[program or FUNCTIONS[name]]
                    file = Path(f"/proc/self/fd/{fd}")
                    links.append(one.attach_function(file, offset, entry=program is None))
            with self._lock:
                if not self._closed:
                    self._links[path] = links
                    links = []
        finally:
            _detach(links)
        return bool(offsets)


def mapped(pid: int, proc: Path = Path("/proc")) -> list[Path]:
    """The files named libcuda that a process has mapped, by paths that mean them and no other."""
    try:
        lines = (proc / str(pid) / "maps").read_bytes().splitlines()
    except OSError:
        return []
    found = {}
    for line in lines:
        part, *_, name = line.split(maxsplit=5)  # anonymous memory has no name
        if name.rpartition(b"/")[2].startswith(_NAME.encode()):
            found[name] = proc / str(pid) / "map_files" / part.decode()
    return list(found.values())


def problem(paths: Sequence[Path]) -> str | None:
    """Why none of these can be watched; None if one can."""
    reasons = []
    for path in paths:
        try:
            with _open(path, hosts=True) as fd:
                if elf.functions(fd, frozenset(FUNCTIONS)):
                    return None
            reasons.append(f"{path} has none of the functions that take memory")
        except (AgentcgError, OSError) as error:
            reasons.append(str(error))
    return "; ".join(reasons) or f"no {_NAME}.1 here: install the NVIDIA driver"


def _detach(links: list[Link]) -> None:
    """The kernel waits at each until no CPU is in it: 0.1 s (seen), together hardly less."""
    for one in links:
        one.close()
    links.clear()


def _once(offsets: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Each address once: two aliases there would count twice."""
    return iter({offset: (name, offset) for name, offset in offsets.items()}.values())


@contextmanager
def _open(path: Path, *, hosts: bool) -> Iterator[int]:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)  # which asks no file system of an agent's
    try:
        kind = filesystem_type(handle)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise UnsupportedError(f"{path} is no regular file")
        if not hosts and kind not in _PROMPT:
            raise UnsupportedError(f"{path} is on a file system (0x{kind:x}) that is not probed")
        fd = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(handle)
    try:
        yield fd
    finally:
        os.close(fd)
