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
    for _, kind, _, _, at, size, link, _, _, _ in headers:
        if kind != _DYNSYM:
            continue
        names = _part(fd, headers[link][4], headers[link][5])
        symbols = _table(fd, at, size // _SYMBOL.size, _SYMBOL)
        for label, info, _, section, value, _ in symbols:
            if info & 15 != _FUNCTION or section == 0 or label >= len(names):
                continue
            # Names are short: a missing end costs no long search.
            name = wanted.get(names[label : label + 64].partition(b"\0")[0])
            where = [value + move for start, end, move in code if start <= value < end]
            if name is not None and where:
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
