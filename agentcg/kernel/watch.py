"""Changes of cgroup files by inotify: memory.events, memory.events.local, cgroup.events.

The kernel raises IN_MODIFY on them (cgroup-v2.rst: "a file modified event is generated").
"""

import asyncio
import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from asyncinotify import Event, Inotify, Mask
from asyncinotify import Watch as _Registration

from agentcg.errors import CgroupError, CgroupGoneError, KnobMissingError
from agentcg.kernel.cgroupfs import CgroupDir

_RAISE = "raise the sysctl fs.inotify."


@dataclass(slots=True)
class _Watched:
    inotify: Inotify
    registration: _Registration
    cgroup: int
    knob: str
    callback: Callable[[], None]


class Watch:
    """Calls back on the event loop when a watched file changed; a context manager.

    One inotify instance for all cgroups; use it from the loop's thread only. Changes that come
    together are reported once.
    """

    def __init__(self) -> None:
        self._inotify: Inotify | None = None
        self._watched: dict[int, _Watched] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, cgroup: CgroupDir, knob: str, callback: Callable[[], None]) -> None:
        """Call `callback` after each change of `knob`; a second add of the same file replaces it.

        Read the file once after this: a change before it is not reported.
        """
        inotify = self._inotify or self._open(cgroup.path / knob)
        # Through the descriptor, so that a cgroup made anew under this name is not watched instead.
        path = f"/proc/self/fd/{cgroup.fileno()}/{knob}"
        try:
            registration = inotify.add_watch(path, Mask.MODIFY)
        except OSError as error:
            kind: type[CgroupError] = CgroupError
            if isinstance(error, FileNotFoundError):
                kind = KnobMissingError if cgroup.exists() else CgroupGoneError
            # Not a cgroup limit.
            full = error.errno == errno.ENOSPC
            reason = f"no watch left: {_RAISE}max_user_watches" if full else error.strerror
            raise kind(cgroup.path / knob, None, reason) from error
        self._watched[registration.wd] = _Watched(inotify, registration, cgroup.id, knob, callback)

    def remove(self, cgroup: CgroupDir, knob: str | None = None) -> None:
        """Stop watching `knob`, or all of the cgroup's; it may be removed or closed already."""
        for wd, watched in list(self._watched.items()):
            if watched.cgroup == cgroup.id and knob in {None, watched.knob}:
                del self._watched[wd]
                try:
                    watched.inotify.rm_watch(watched.registration)
                except OSError:
                    # EINVAL: the file went away, and the watch with it.
                    continue

    def close(self) -> None:
        """Stop watching everything. Harmless when repeated."""
        inotify, self._inotify = self._inotify, None
        self._watched.clear()
        if inotify is None:
            return
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(inotify.fd)
        inotify.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, path: Path) -> Inotify:
        """Open the instance; where none is left the next `add` tries again."""
        try:
            # With a timeout of 0 a read that would block returns instead: the library opens the
            # descriptor without O_NONBLOCK (its InitFlags.NONBLOCK has the value of O_CLOEXEC).
            inotify = Inotify(sync_timeout=0)
        except OSError as error:
            full = error.errno == errno.EMFILE
            reason = f"no instance left: {_RAISE}max_user_instances" if full else error.strerror
            raise CgroupError(path, None, reason) from error
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(inotify.fd, self._ready)
        self._inotify = inotify
        return inotify

    def _ready(self) -> None:
        changed: dict[int, _Watched] = {}
        for event in self._inotify or ():
            changed.update(self._meant(event))
        for wd, watched in changed.items():
            # An earlier callback of this round may have removed it.
            if self._watched.get(wd) is watched:
                watched.callback()

    def _meant(self, event: Event) -> dict[int, _Watched]:
        if Mask.Q_OVERFLOW in event.mask:
            # Changes were lost, no telling whose: everybody has to look.
            return dict(self._watched)
        wd = event.watch.wd if event.watch is not None else None
        if wd is None or wd not in self._watched:
            return {}
        if Mask.IGNORED in event.mask:
            del self._watched[wd]
            return {}
        return {wd: self._watched[wd]}
