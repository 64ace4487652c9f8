"""vLLM or SGLang whose KV cache is kvcached's: it shrinks by bytes, while it serves.

Its control is a file in /dev/shm: limit, used and preallocated bytes, three little-endian int64,
under flock(2). kvcached maps it. Here it is read and written instead, which is the same memory:
whoever may cut a file short kills with SIGBUS who has it mapped.

A new limit is taken over within 0.1 s, but obeyed in the engine's next allocation only: an idle one
has to be poked, by a request for one token. Whole free pages are unmapped, of 2 MiB times twice the
number of layers each; what is in use or in the prefix cache defers that, and some pages stay
preallocated. KVCACHED_MAX_CACHED_TOKENS bounds the prefix cache, 16000 by default, which is
little for agents; revisions are not in the file, so they are kept here.
"""

import errno
import fcntl
import os
import stat
import struct
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from agentcg.errors import DeniedError, UnavailableError
from agentcg.gpu.poke import Poke
from agentcg.kernel.openat2 import open_beneath, valid_name
from agentcg.model.gpu import (
    EngineCaps,
    EngineStats,
    ProgramId,
    Shrink,
    ShrinkResult,
    ShrinkStatus,
)

_FIELDS = struct.Struct("<3q")
_LIMIT = struct.Struct("<q")
_PAUSE = 0.02
_TAKEN_OVER = 0.25  # it looks each 0.1 s, if it gets to that
_READING = 1.0


class _Control(NamedTuple):
    limit: int
    used: int
    preallocated: int

    @property
    def mapped(self) -> int:
        return self.used + self.preallocated


class Kvcached:
    """An Engine."""

    def __init__(
        self,
        name: str,
        *,
        owners: Collection[int] = (0,),
        poke: Poke | None = None,
        folder: Path = Path("/dev/shm"),  # noqa: S108 - where kvcached has it
    ) -> None:
        """`name` is KVCACHED_IPC_NAME, `owners` the uids that the file may belong to."""
        self._path = folder / valid_name(name)
        self._owners = frozenset(owners)
        self._poke = poke
        self._revision = 0

    def probe(self) -> EngineCaps:
        """Read the file. That the engine obeys it shows with the first shrink only.

        Raises:
            UnavailableError: there is none, or it is not kvcached's.
            DeniedError: it is not the engine's.
        """
        self.stats()
        return EngineCaps(Shrink.BYTES, shrink_live=True, evict=False)

    def warnings(self) -> tuple[str, ...]:
        """What whoever runs the engine should put right."""
        found = []
        with self._open(os.O_RDONLY) as fd:
            if os.fstat(fd).st_mode & stat.S_IWOTH:
                found.append(
                    f"{self._path} may be written by anybody, and so may the engine's KV limit: "
                    f"`chmod o-w {self._path}`"
                )
        if self._poke is None:
            found.append("an idle engine shrinks with its next request only: gpu.engine.poke")
        return tuple(found)

    def stats(self) -> EngineStats:
        """Read the file; of its queue it tells nothing."""
        now = self._read(time.monotonic() + _READING)
        return EngineStats(
            kv_limit=now.limit,
            kv_used=now.mapped,
            kv_reclaimable=None,
            running=None,
            waiting=None,
            pids=(),
            at=time.time(),
        )

    def limit(self, kv_bytes: int, *, revision: int, timeout: float) -> ShrinkResult:
        """Write the limit, and wait until no more is in use."""
        until = time.monotonic() + timeout
        if revision < self._revision:
            reason = f"revision {self._revision} was told already"
            return ShrinkResult(ShrinkStatus.STALE, self._revision, kv_bytes, 0, reason)
        before = self._write(kv_bytes, until)
        self._revision = revision
        reason = self._follow(kv_bytes, until) if kv_bytes <= before.limit else ""
        now = self._read(time.monotonic() + _READING)
        status = ShrinkStatus.APPLIED if now.used <= kv_bytes else ShrinkStatus.DEFERRED
        freed = max(0, before.mapped - now.mapped)
        return ShrinkResult(
            status, revision, kv_bytes, freed, "" if status is ShrinkStatus.APPLIED else reason
        )

    def evict(self, program: ProgramId) -> bool:
        """It knows of no programs."""
        del program
        return False

    def _follow(self, kv_bytes: int, until: float) -> str:
        """Wait, poke if it does not obey by itself; why it did not, if it did not."""
        # Until it has looked it may map more by the old limit, however little it uses now.
        time.sleep(_TAKEN_OVER)
        if self._obeyed(kv_bytes, time.monotonic()):
            return ""
        if self._poke is None:
            self._obeyed(kv_bytes, until)
            return "it obeys with its next request, and nothing is configured to poke it"
        failed = self._poke(max(_PAUSE, until - time.monotonic()))
        self._obeyed(kv_bytes, until)
        return failed or "what is in use, or cached as a prefix, has to be freed first"

    def _obeyed(self, kv_bytes: int, until: float) -> bool:
        while self._read(until + _READING).used > kv_bytes:
            if time.monotonic() >= until:
                return False
            time.sleep(_PAUSE)
        return True

    def _read(self, until: float) -> _Control:
        with self._open(os.O_RDONLY) as fd, _locked(fd, fcntl.LOCK_SH, until, self._path):
            return self._fields(fd)

    def _write(self, kv_bytes: int, until: float) -> _Control:
        """Returns what was there."""
        with self._open(os.O_RDWR) as fd, _locked(fd, fcntl.LOCK_EX, until, self._path):
            before = self._fields(fd)
            os.pwrite(fd, _LIMIT.pack(kv_bytes), 0)
            return before

    def _fields(self, fd: int) -> _Control:
        data = os.pread(fd, _FIELDS.size + 1, 0)
        if len(data) != _FIELDS.size or min(_FIELDS.unpack(data)) < 0:
            raise UnavailableError(
                f"{self._path} is not 24 bytes of three sizes: is this kvcached's control file?"
            )
        return _Control(*_FIELDS.unpack(data))

    @contextmanager
    def _open(self, flags: int) -> Iterator[int]:
        """Open the engine's own file: /dev/shm is anybody's to put a name into."""
        try:
            folder = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # Not waiting: it might be a FIFO.
                fd = open_beneath(folder, self._path.name, flags | os.O_NONBLOCK)
            finally:
                os.close(folder)
        except OSError as e:
            if e.errno == errno.ELOOP:
                raise DeniedError(f"{self._path} is a link: remove it") from e
            raise UnavailableError(
                f"{self._path}: {e.strerror}; start the engine with ENABLE_KVCACHED=true and "
                f"KVCACHED_IPC_NAME={self._path.name}"
            ) from e
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                raise DeniedError(f"{self._path} is a link, or no plain file: remove it")
            if found.st_uid not in self._owners:
                raise DeniedError(
                    f"{self._path} belongs to uid {found.st_uid}, which the engine does not run "
                    f"as: remove it, or name that user in gpu.engine.users"
                )
            yield fd
        finally:
            os.close(fd)


@contextmanager
def _locked(fd: int, how: int, until: float, path: Path) -> Iterator[None]:
    while True:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            # Anybody who may read the file may keep it locked.
            if time.monotonic() >= until:
                raise UnavailableError(f"{path} is kept locked by another: see `lslocks`") from None
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)
