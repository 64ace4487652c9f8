"""Changes of cgroup files by inotify: memory.events, memory.events.local, cgroup.events.

The kernel raises IN_MODIFY on them (cgroup-v2.rst: "a file modified event is generated").
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from asyncinotify import Event, Inotify, Mask
from asyncinotify import Watch as _Registration

from agentcg.errors import CgroupError, CgroupGoneError, KnobMissingError
from agentcg.kernel.cgroupfs import CgroupDir


@dataclass(slots=True)
class _Watched:
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
        # With a timeout of 0 a read that would block returns instead: the library opens the
        # descriptor without O_NONBLOCK (its InitFlags.NONBLOCK has the value of O_CLOEXEC).
        self._inotify = Inotify(sync_timeout=0)
        self._watched: dict[int, _Watched] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, cgroup: CgroupDir, knob: str, callback: Callable[[], None]) -> None:
        """Call `callback` after each change of `knob`; a second add of the same file replaces it.

        Read the file once after this: a change before it is not reported.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._inotify.fd, self._ready)
        # Through the descriptor, so that a cgroup made anew under this name is not watched instead.
        path = f"/proc/self/fd/{cgroup.fileno()}/{knob}"
        try:
            registration = self._inotify.add_watch(path, Mask.MODIFY)
        except OSError as error:
            kind: type[CgroupError] = CgroupError
            if isinstance(error, FileNotFoundError):
                kind = KnobMissingError if cgroup.exists() else CgroupGoneError
            # ENOSPC here is fs.inotify.max_user_watches, not a cgroup limit.
            reason = error.strerror if error.errno != 28 else "no inotify watches left"
            raise kind(cgroup.path / knob, None, reason) from error
        self._watched[registration.wd] = _Watched(registration, cgroup.id, knob, callback)

    def remove(self, cgroup: CgroupDir, knob: str | None = None) -> None:
        """Stop watching `knob`, or all of the cgroup's; it may be removed or closed already."""
        for wd, watched in list(self._watched.items()):
            if watched.cgroup == cgroup.id and knob in {None, watched.knob}:
                del self._watched[wd]
                try:
                    self._inotify.rm_watch(watched.registration)
                except OSError:
                    # EINVAL: the file went away, and the watch with it.
                    continue

    def close(self) -> None:
        """Stop watching everything. Harmless when repeated."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._inotify.fd)
        self._loop = None
        self._watched.clear()
        self._inotify.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ready(self) -> None:
        changed: dict[int, _Watched] = {}
        for event in self._inotify:
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
