"""Pins: names in a bpf file system that keep links and maps alive when the daemon is not.

    <base>/<set>/<digest of the object>/links/<link>
                                       /commands/<program that the daemon runs>
                                       /maps/<map>

A map needs its pin as much as a link: a map that no process holds loses its timers and task works,
while all else still looks enabled. A set is complete or not there: it is made under another name.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from agentcg.errors import BpfError, UnsupportedError
from agentcg.kernel import statfs
from agentcg.kernel.bpf_link import Link
from agentcg.kernel.bpf_map import Map
from agentcg.kernel.bpf_run import Command

BASE = Path("/sys/fs/bpf/agentcg")
_BPF_FS_MAGIC = 0xCAFE4A11
_UNFINISHED = "unfinished"
_KINDS = ("links", "commands", "maps")


def digest(path: Path) -> str:
    """What names an object's version: SHA-256 of its file, as much as one reads."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Adopted:
    """What is in a pinned set, open."""

    links: Mapping[str, Link]
    maps: Mapping[str, Map]
    commands: Mapping[str, Command]

    def close(self) -> None:
        """Let go of all; they stay pinned."""
        for kind in (self.links, self.commands, self.maps):
            for one in kind.values():
                one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Pins:
    """The sets below a directory of a bpf file system, which is made when something is pinned."""

    def __init__(self, base: Path = BASE) -> None:
        """Check that there is one; it is never mounted here.

        Raises:
            UnsupportedError: there is none.
        """
        existing = next(path for path in (base, *base.parents) if path.exists())
        fd = os.open(existing, os.O_PATH | os.O_CLOEXEC)
        try:
            kind = statfs.filesystem_type(fd)
        finally:
            os.close(fd)
        if kind != _BPF_FS_MAGIC:
            raise UnsupportedError(
                f"{base}: no bpf file system there; mount one: mount -t bpf bpf /sys/fs/bpf"
            )
        self.base = base

    def sets(self) -> dict[str, str]:
        """The complete sets: name to digest."""
        with _words("listing", self.base):
            versions = self.base.glob("*/*")
            return {one.parent.name: one.name for one in versions if one.name != _UNFINISHED}

    def pin(
        self,
        name: str,
        version: str,
        *,
        links: Mapping[str, Link],
        maps: Mapping[str, Map],
        commands: Mapping[str, Command],
    ) -> None:
        """Pin a set that is not there yet: all of it, or nothing."""
        folder = self.base / name
        making = folder / _UNFINISHED
        _drop(making)
        try:
            with _words("making", making):
                for kind in _KINDS:
                    (making / kind).mkdir(mode=0o700, parents=True)
            for kind, those in (("maps", maps), ("commands", commands), ("links", links)):
                for label, one in those.items():
                    one.pin(making / kind / _file_name(label))
            with _words("naming", folder / version):
                making.rename(folder / version)
        except BaseException:
            _drop(making)
            raise

    def adopt(self, name: str, version: str) -> Adopted | None:
        """Open the set if it is there in this version."""
        folder = self.base / name / version
        if not folder.is_dir():
            return None
        with contextlib.ExitStack() as undo, _words("opening", folder):
            links, maps, commands = {}, {}, {}
            for path in sorted((folder / "maps").iterdir()):
                maps[path.name] = undo.enter_context(Map.open(path))
            for path in sorted((folder / "commands").iterdir()):
                commands[path.name] = undo.enter_context(Command.open(path))
            for path in sorted((folder / "links").iterdir()):
                links[path.name] = undo.enter_context(Link.open(path))
            undo.pop_all()
            return Adopted(links, maps, commands)

    def remove(self, name: str) -> None:
        """Remove the set in every version, links first; nothing of it may be there."""
        folder = self.base / name
        for version in _entries(folder):
            _drop(version)
        with _words("removing", folder), contextlib.suppress(FileNotFoundError):
            folder.rmdir()


def _drop(version: Path) -> None:
    # Links before maps: no program ever runs without its maps' user.
    for kind in _KINDS:
        for one in _entries(version / kind):
            with _words("removing", one):
                one.unlink()
    with _words("removing", version), contextlib.suppress(FileNotFoundError):
        shutil.rmtree(version)


def _entries(folder: Path) -> list[Path]:
    with _words("listing", folder):
        return list(folder.iterdir()) if folder.is_dir() else []


def _file_name(label: str) -> str:
    # bpffs keeps names with dots for itself.
    return label.replace(".", "_")


@contextlib.contextmanager
def _words(doing: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BpfError(f"{doing} {path}", error.errno) from error
