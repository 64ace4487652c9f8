"""BPF objects: a compiled file, opened, adjusted, loaded into the kernel, its programs attached.

    with Object.open(shipped("governor")) as governor:
        governor.set("page_size", (4096).to_bytes(8, "little"))
        governor.load()
        link = governor.program("tripwire").attach()

What is attached stays so while its Link lives or is pinned, whatever becomes of the object.
"""

import ctypes
import fcntl
import os
import struct
from pathlib import Path
from typing import Self

from agentcg.errors import BadValueError, BpfError, UnavailableError, UnsupportedError
from agentcg.kernel import libbpf
from agentcg.kernel.bpf_link import Link
from agentcg.kernel.bpf_map import Map
from agentcg.kernel.bpf_run import Command

_PACKAGE = Path(__file__).parents[1]
_KIND_VAR, _KIND_DATASEC = 14, 15
_ANY_PROCESS = -1


def shipped(name: str) -> Path:
    """Where the wheel, or a checkout, keeps the object that was made of `name`.bpf.c.

    Raises:
        UnavailableError: a checkout in which it was not built.
    """
    for folder in (_PACKAGE / "_native/bpf", _PACKAGE.parent / "build/bpf"):
        if (path := folder / f"{name}.bpf.o").is_file():
            return path
    raise UnavailableError(f"{name}.bpf.o was not built: run `make bpf`, or install the wheel")


class Object:
    """One .bpf.o file. Its programs are its own; maps and links live on without it."""

    def __init__(self, pointer: int, path: Path) -> None:
        """Take over libbpf's object."""
        self._pointer: int | None = pointer
        self._loaded = False
        self.path = path

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the file; the kernel learns nothing of it yet."""
        with libbpf.words() as heard:
            made = libbpf.lib().bpf_object__open_file(os.fsencode(path), None)
            code = ctypes.get_errno()
        if not made:
            raise BpfError(_because(f"{path}: reading it", heard), code, "".join(heard))
        opened = cls(made, path)
        # Where maps are pinned is the daemon's choice: libbpf's own would be the root of bpffs.
        for one in opened._maps().values():
            libbpf.lib().bpf_map__set_pin_path(one, None)
        return opened

    @property
    def handle(self) -> int:
        """Libbpf's object."""
        if self._pointer is None:
            raise BpfError(f"{self.path.name} is closed", None)
        return self._pointer

    def set(self, variable: str, value: bytes) -> None:
        """Set a global variable, constants included, before loading."""
        self._not_loaded(f"set {variable}")
        section, offset, size = self._variable(variable)
        if len(value) != size:
            raise BadValueError(f"{variable} has {size} bytes, not {len(value)}")
        whole = ctypes.c_size_t()
        start = libbpf.lib().bpf_map__initial_value(self._map(section), ctypes.byref(whole))
        ctypes.memmove(libbpf.pointer(start, f"{self.path.name}: {section}") + offset, value, size)

    def reuse(self, name: str, instead: Map) -> None:
        """Use this map and make none, before loading; it must be of the same kind."""
        self._not_loaded(f"reuse map {name}")
        answer = libbpf.lib().bpf_map__reuse_fd(self._map(name), instead.fd)
        libbpf.checked(answer, f"{self.path.name}: reusing map {name}")

    def resize(self, name: str, entries: int) -> None:
        """Make a map for so many entries, before loading."""
        self._not_loaded(f"resize map {name}")
        answer = libbpf.lib().bpf_map__set_max_entries(self._map(name), entries)
        libbpf.checked(answer, f"{self.path.name}: resizing map {name}")

    def load(self, log: Path | None = None) -> None:
        """Load programs and maps into the kernel; what it refuses is told in full in file `log`.

        Raises:
            BpfError: with libbpf's, or the verifier's, reason.
        """
        with libbpf.words() as heard:
            answer: int = libbpf.lib().bpf_object__load(self.handle)
        libbpf.trim()
        if answer < 0:
            text = "".join(heard)
            if log is not None:
                log.write_text(text)
            raise BpfError(_because(f"{self.path.name}: loading it", heard), -answer, text, log)
        self._loaded = True

    def program(self, name: str) -> "Program":
        """The program of this name."""
        try:
            return self.programs()[name]
        except KeyError:
            raise BpfError(f"{self.path.name} has no program {name}", None) from None

    def programs(self) -> dict[str, "Program"]:
        """All programs by name."""
        step, name = libbpf.lib().bpf_object__next_program, libbpf.lib().bpf_program__name
        found: dict[str, Program] = {}
        at = step(self.handle, None)
        while at:
            text = name(at).decode()
            found[text] = Program(self, at, text)
            at = step(self.handle, at)
        return found

    def map(self, name: str) -> Map:
        """The loaded map; the caller closes it."""
        fd: int = libbpf.lib().bpf_map__fd(self._map(name))
        if not self._loaded or fd < 0:
            raise BpfError(f"{self.path.name}: map {name} is not loaded", None)
        return Map(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0))

    def maps(self) -> dict[str, Map]:
        """All loaded maps, those of global variables included; the caller closes them."""
        return {name: self.map(name) for name in self.map_names()}

    def map_names(self) -> list[str]:
        """The names of all maps."""
        return list(self._maps())

    def attach_struct_ops(self, name: str) -> Link:
        """Attach the loaded struct_ops map, such as a scheduler.

        Raises:
            UnsupportedError: the library is too old for what can be pinned.
        """
        need_struct_ops()
        one = self._map(name)
        with libbpf.words() as heard:
            made = libbpf.lib().bpf_map__attach_struct_ops(one)
            code = ctypes.get_errno()
        if not made:
            raise BpfError(_because(f"{self.path.name}: attaching {name}", heard), code)
        return Link(made, name)

    def close(self) -> None:
        """Free it; what is neither attached, nor held by a Map or a pin, leaves the kernel."""
        pointer, self._pointer = self._pointer, None
        libbpf.lib().bpf_object__close(pointer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _not_loaded(self, doing: str) -> None:
        if self._loaded:
            raise BpfError(f"{self.path.name} is loaded: {doing} before", None)

    def _map(self, name: str) -> int:
        made = libbpf.lib().bpf_object__find_map_by_name(self.handle, name.encode())
        return libbpf.pointer(made, f"{self.path.name}: map {name}")

    def _maps(self) -> dict[str, int]:
        step, name = libbpf.lib().bpf_object__next_map, libbpf.lib().bpf_map__name
        found: dict[str, int] = {}
        at = step(self.handle, None)
        while at:
            found[name(at).decode()] = at
            at = step(self.handle, at)
        return found

    def _variable(self, name: str) -> tuple[str, int, int]:
        """Section, offset and size, from the object's type information."""
        lib = libbpf.lib()
        btf = libbpf.pointer(lib.bpf_object__btf(self.handle), f"{self.path.name}: its BTF")
        wanted: int = lib.btf__find_by_name_kind(btf, name.encode(), _KIND_VAR)
        for number in range(1, lib.btf__type_cnt(btf)):
            at: int = lib.btf__type_by_id(btf, number)
            # struct btf_type, then for a section one struct btf_var_secinfo for each variable
            label, info, _ = struct.unpack("=III", ctypes.string_at(at, 12))
            if info >> 24 & 31 != _KIND_DATASEC:
                continue
            entries = ctypes.string_at(at + 12, 12 * (info & 0xFFFF))
            for variable, offset, size in struct.iter_unpack("=III", entries):
                if variable == wanted:
                    section: bytes = lib.btf__name_by_offset(btf, label)
                    return section.decode(), offset, size
        raise BpfError(f"{self.path.name} has no variable {name}", None)


class Program:
    """A program of an object, for as long as that is open."""

    def __init__(self, parent: Object, pointer: int, name: str) -> None:
        """Not for callers: see Object.program."""
        self._parent = parent
        self._pointer = pointer
        self.name = name

    def autoload(self, *, on: bool) -> None:
        """Whether it is loaded with the object."""
        _ = self._parent.handle
        answer = libbpf.lib().bpf_program__set_autoload(self._pointer, on)
        libbpf.checked(answer, f"{self._parent.path.name}: {self.name} {on=}")

    def attach(self) -> Link:
        """Attach it where its section says."""
        _ = self._parent.handle
        with libbpf.words() as heard:
            made = libbpf.lib().bpf_program__attach(self._pointer)
            code = ctypes.get_errno()
        if not made:
            raise BpfError(_because(f"attaching {self.name}", heard), code)
        return Link(made, self.name)

    def attach_cgroup(self, cgroup: int) -> Link:
        """Attach it to the cgroup of this descriptor, beside the programs of others."""
        _ = self._parent.handle
        with libbpf.words() as heard:
            made = libbpf.lib().bpf_program__attach_cgroup(self._pointer, cgroup)
            code = ctypes.get_errno()
        if not made:
            raise BpfError(_because(f"attaching {self.name} to a cgroup", heard), code)
        return Link(made, self.name)

    def attach_function(self, file: Path, offset: int, *, entry: bool) -> Link:
        """Attach it where a function of that file is entered, or returns, whoever runs it."""
        _ = self._parent.handle
        with libbpf.words() as heard:
            made = libbpf.lib().bpf_program__attach_uprobe(
                self._pointer, not entry, _ANY_PROCESS, os.fsencode(file), offset
            )
            code = ctypes.get_errno()
        if not made:
            raise BpfError(_because(f"attaching {self.name} to {file}", heard), code)
        return Link(made, self.name)

    def command(self) -> Command:
        """The loaded program, to be run; the caller closes it."""
        _ = self._parent.handle
        fd: int = libbpf.lib().bpf_program__fd(self._pointer)
        libbpf.checked(fd, f"{self._parent.path.name}: {self.name} is not loaded")
        return Command(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0), self.name)


def need_struct_ops() -> None:
    """Raise UnsupportedError where libbpf cannot attach a scheduler by a link."""
    if not libbpf.links_struct_ops():
        raise UnsupportedError(
            f"libbpf {libbpf.version()} is too old: 1.2 or newer is needed (Debian 13's libbpf1)"
        )


def _because(what: str, heard: list[str]) -> str:
    """Add the most telling of libbpf's words: the verifier's verdict, else its first complaint."""
    lines = [line.removeprefix("libbpf: ") for line in "".join(heard).splitlines()]
    for end, line in enumerate(lines):
        if "END PROG LOAD LOG" in line:
            said = [one for one in lines[:end] if not one.startswith("processed ")]
            return f"{what}: {said[-1]}"
    return f"{what}: {lines[0]}" if lines else what
