"""Where a shared library's functions are in its file, from its dynamic symbols (ELF64, elf(5)).

The file may be an agent's own: what it says of itself is bounded, and never given to libelf.
"""

import os
import struct
from collections.abc import Iterator

from agentcg.errors import BadValueError

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_LOAD, _EXECUTABLE = 1, 1
_DYNSYM = 11
_FUNCTION = 2
_MOST = 16 << 20  # bytes of one table; libcuda's symbols have 0.1 MB
_SEGMENTS = 64  # libcuda has about ten
_SYMBOLS = 20_000  # libcuda has some thousands


def functions(fd: int, wanted: frozenset[str]) -> dict[str, int]:
    """Name to offset in the file, of those of `wanted` that it exports.

    Raises:
        BadValueError: it is no such file, or not to be understood.
    """
    try:
        return dict(_functions(fd, {name.encode(): name for name in wanted}))
    except (struct.error, IndexError, ValueError) as error:
        raise BadValueError(f"descriptor {fd} is no ELF64 shared library: {error}") from error


def _functions(fd: int, wanted: dict[bytes, str]) -> Iterator[tuple[str, int]]:
    header = _HEADER.unpack(os.pread(fd, _HEADER.size, 0))
    if not header[0].startswith(_MAGIC):
        raise ValueError("another format")
    _, _, _, _, _, segments_at, sections_at, _, _, _, segments, _, sections, _ = header
    code = [
        (start, start + size, at - start)
        for kind, flags, at, start, _, size, _, _ in _table(fd, segments_at, segments, _SEGMENT)
        if kind == _LOAD and flags & _EXECUTABLE
    ]
    headers = _table(fd, sections_at, sections, _SECTION)
    tables = [one for one in headers if one[1] == _DYNSYM]
    if len(tables) != 1:
        raise ValueError(f"{len(tables)} tables of dynamic symbols")
    _, _, _, _, at, size, link, *_ = tables[0]
    if segments > _SEGMENTS or size // _SYMBOL.size > _SYMBOLS:
        raise ValueError(f"{segments} segments, {size // _SYMBOL.size} symbols")
    names = _part(fd, headers[link][4], headers[link][5])
    for label, info, _, section, value, _ in _table(fd, at, size // _SYMBOL.size, _SYMBOL):
        if info & 15 != _FUNCTION or section == 0 or label >= len(names):
            continue
        # Names are short: a missing end costs no long search.
        name = wanted.get(names[label : label + 64].partition(b"\0")[0])
        if name is None:
            continue
        where = [value + move for start, end, move in code if start <= value < end]
        if where:
            yield name, where[0]


def _table(fd: int, at: int, count: int, row: struct.Struct) -> list[tuple[int, ...]]:
    return list(row.iter_unpack(_part(fd, at, count * row.size)))


def _part(fd: int, at: int, size: int) -> bytes:
    if size > _MOST or at > 1 << 40:
        raise ValueError(f"a table of {size} bytes at {at}")
    found = os.pread(fd, size, at)
    if len(found) != size:
        raise ValueError("it is cut short")
    return found
