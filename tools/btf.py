"""The structs of a compiled BPF object, from its type information, beside their Python copies.

A struct that a program shares with Python is declared twice, in C and as a ctypes.Structure;
`differences` says where the two disagree. Formats: ELF64, and BTF as in
Documentation/bpf/btf.rst.
"""

import ctypes
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM, _ENUM64 = 1, 2, 3, 4, 5, 6, 19
_SAME_AS = {8, 9, 10, 11, 18}  # typedef, volatile, const, restrict, type tag
# What follows a type's three words: some bytes, and some for each member.
_FIXED = {_INT: 4, _ARRAY: 12, 14: 4, 17: 4}
_EACH = {_STRUCT: 12, _UNION: 12, _ENUM: 8, 13: 8, 15: 12, _ENUM64: 12}
_INT_KINDS = {0: "unsigned", 1: "signed", 2: "unsigned", 3: "signed", 4: "bool"}

# A member's path, with dots, to its place and kind in words.
Layout = dict[str, str]


@dataclass(frozen=True, slots=True)
class _Type:
    kind: int
    name: str
    flag: bool
    value: int  # a size, or another type's number
    rest: bytes


class Btf:
    """All types of an object file."""

    def __init__(self, path: Path) -> None:
        """Read its section .BTF."""
        data = _section(path.read_bytes(), b".BTF")
        start, types, length, strings, _ = struct.unpack_from("=5I", data, 4)
        self._strings = data[start + strings :]
        # Number 0 is void.
        self._types = [_Type(0, "void", flag=False, value=0, rest=b"")]
        self._types += self._parsed(data[start + types : start + types + length])

    def layout(self, name: str) -> Layout:
        """The struct's size, under "", and its members.

        Raises:
            KeyError: the object has no struct of this name.
        """
        for one in self._types:
            if one.kind == _STRUCT and one.name == name:
                return {"": f"{one.value} bytes", **dict(self._members(one, "", 0))}
        raise KeyError(name)

    def _parsed(self, data: bytes) -> Iterator[_Type]:
        at = 0
        while at < len(data):
            name, info, value = struct.unpack_from("=3I", data, at)
            kind, count = info >> 24 & 31, info & 0xFFFF
            end = at + 12 + _FIXED.get(kind, 0) + _EACH.get(kind, 0) * count
            yield _Type(kind, self._string(name), bool(info >> 31), value, data[at + 12 : end])
            at = end

    def _string(self, at: int) -> str:
        return self._strings[at : self._strings.index(0, at)].decode()

    def _members(self, whole: _Type, prefix: str, base: int) -> Iterator[tuple[str, str]]:
        for name, number, place in struct.iter_unpack("=3I", whole.rest):
            # With the flag the place has a bit field's width in its upper byte.
            bits = place & 0xFFFFFF if whole.flag else place
            label = prefix + self._string(name)
            yield from self._member(number, label, base + bits // 8, 1)

    def _member(self, number: int, label: str, at: int, count: int) -> Iterator[tuple[str, str]]:
        one = self._types[number]
        if one.kind in _SAME_AS:
            yield from self._member(one.value, label, at, count)
        elif one.kind == _ARRAY:
            element, _, length = struct.unpack("=3I", one.rest)
            yield from self._member(element, label, at, count * length)
        elif one.kind == _STRUCT and count == 1:
            yield from self._members(one, f"{label}.", at)
        else:
            yield label, _words(at, self._kind(one), 8 if one.kind == _PTR else one.value, count)

    @staticmethod
    def _kind(one: _Type) -> str:
        if one.kind == _INT:
            return _INT_KINDS[one.rest[3] & 15]
        if one.kind in {_ENUM, _ENUM64}:
            return "signed" if one.flag else "unsigned"
        return "unsigned" if one.kind == _PTR else one.name


def differences(btf: Btf, name: str, copy: type[ctypes.Structure]) -> list[str]:
    """What is not the same in the C struct and its Python copy, a line each."""
    theirs = btf.layout(name)
    ours = {"": f"{ctypes.sizeof(copy)} bytes", **dict(_fields(copy, "", 0))}
    return [
        f"{name} {label}: {theirs.get(label)} in C, {ours.get(label)} in Python"
        for label in sorted(theirs.keys() | ours.keys())
        if theirs.get(label) != ours.get(label)
    ]


def _fields(copy: type[ctypes.Structure], prefix: str, base: int) -> Iterator[tuple[str, str]]:
    for label, kind, *_ in copy._fields_:
        at = base + getattr(copy, label).offset
        if issubclass(kind, ctypes.Structure):
            yield from _fields(kind, f"{prefix}{label}.", at)
            continue
        count, element = 1, cast("Any", kind)
        while issubclass(element, ctypes.Array):
            count, element = count * element._length_, element._type_
        yield prefix + label, _words(at, _python_kind(element), ctypes.sizeof(element), count)


def _python_kind(kind: Any) -> str:  # noqa: ANN401 - ctypes has no public name for its kinds
    if kind is ctypes.c_bool:
        return "bool"
    if issubclass(kind, ctypes.Structure):
        return str(kind.__name__)
    # clang's char is signed for BPF.
    return "signed" if kind is ctypes.c_char or kind(-1).value < 0 else "unsigned"


def _words(at: int, kind: str, size: int, count: int) -> str:
    return f"{count} {kind} of {size} bytes at {at}"


def _section(elf: bytes, name: bytes) -> bytes:
    (table,) = struct.unpack_from("=Q", elf, 40)
    width, count, names = struct.unpack_from("=3H", elf, 58)
    headers = [struct.unpack_from("=IIQQQQ", elf, table + width * n) for n in range(count)]
    labels = headers[names][4]
    for label, _, _, _, offset, size in headers:
        if elf.startswith(name + b"\0", labels + label):
            return elf[offset : offset + size]
    raise KeyError(name.decode())
