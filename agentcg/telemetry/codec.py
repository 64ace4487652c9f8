"""Samples as bytes: differences from sample to sample, as numbers of variable length.

    chunk   := crc32 of the rest (4 bytes), sample*
    sample  := varint(milliseconds since the one before * 2 + full), figures
    figures := a brief one: memory, peak; a full one: a bit for each of FIGURES that changed since
               the last full one (memory and peak: since the last), then those

A figure that is not there is 0, one that is there itself + 1; written is the difference, zig-zag.
The peak is told against the memory of its own sample, from which it seldom differs. Losing a sample
of a chunk loses all behind it, so the checksum is over the chunk.
"""

import zlib
from collections.abc import Iterator, Sequence
from operator import attrgetter

from agentcg.model.sample import Sample, Usage

# (name, what one unit of it is stored as). The order is the format: add at the end only.
FIGURES: tuple[tuple[str, int], ...] = (
    ("memory", 1),
    ("peak", 1),
    ("cpu", 1_000_000),
    ("throttled", 1_000_000),
    ("pids", 1),
    ("reclaimed", 1),
    ("read", 1),
    ("written", 1),
    ("memory_some", 1_000_000),
    ("memory_full", 1_000_000),
    ("cpu_some", 1_000_000),
    ("io_some", 1_000_000),
    ("max_hits", 1),
    ("oom_kills", 1),
)
_SCALES = tuple(scale for _, scale in FIGURES)
_GET = attrgetter(*(name for name, _ in FIGURES))
_BRIEF = 2


def encode(samples: Sequence[Sample]) -> bytes:
    """Pack samples, which are in the order of their clock."""
    out = bytearray(4)
    base, elapsed = samples[0].clock, 0
    last = [0] * len(FIGURES)
    for sample in samples:
        when = max(elapsed, round((sample.clock - base) * 1000))
        _put(out, (when - elapsed) << 1 | sample.full)
        elapsed = when
        figures = _GET(sample.usage)
        new = [
            0 if value is None else round(value * scale) + 1
            for value, scale in zip(figures, _SCALES, strict=True)
        ]
        _figures(out, last, new, full=sample.full)
    out[:4] = zlib.crc32(memoryview(out)[4:]).to_bytes(4, "little")
    return bytes(out)


def _figures(out: bytearray, last: list[int], new: list[int], *, full: bool) -> None:
    changed: list[int] = []
    if full:
        changed = [n for n in range(_BRIEF, len(FIGURES)) if new[n] != last[n]]
        _put(out, sum(1 << n - _BRIEF for n in changed))
    _put_signed(out, new[0] - last[0])
    _put_signed(out, new[1] - new[0])
    last[:_BRIEF] = new[:_BRIEF]
    for n in changed:
        _put_signed(out, new[n] - last[n])
        last[n] = new[n]


def decode(data: bytes, *, at: float, clock: float) -> Iterator[Sample]:
    """Unpack a chunk whose first sample was taken then.

    Raises:
        ValueError: it is damaged.
    """
    if len(data) < 4 or zlib.crc32(memoryview(data)[4:]) != int.from_bytes(data[:4], "little"):
        raise ValueError("the checksum is wrong")
    position, elapsed = 4, 0
    last = [0] * len(FIGURES)
    while position < len(data):
        head, position = _get(data, position)
        elapsed += head >> 1
        full = bool(head & 1)
        mask = 0
        if full:
            mask, position = _get(data, position)
        step, position = _get_signed(data, position)
        last[0] += step
        step, position = _get_signed(data, position)
        last[1] = last[0] + step
        while mask:
            lowest = mask & -mask
            step, position = _get_signed(data, position)
            last[lowest.bit_length() - 1 + _BRIEF] += step
            mask ^= lowest
        shown = last if full else last[:_BRIEF]
        seconds = elapsed / 1000
        yield Sample(at + seconds, clock + seconds, full, Usage(*map(_value, shown, _SCALES)))  # type: ignore[arg-type]


def _value(stored: int, scale: int) -> int | float | None:
    if stored == 0:
        return None
    return stored - 1 if scale == 1 else (stored - 1) / scale


def _put(out: bytearray, number: int) -> None:
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _put_signed(out: bytearray, number: int) -> None:
    _put(out, number << 1 if number >= 0 else (-number << 1) - 1)


def _get(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        try:
            byte = data[position]
        except IndexError:
            raise ValueError("it ends too early") from None
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7


def _get_signed(data: bytes, position: int) -> tuple[int, int]:
    number, position = _get(data, position)
    return (number >> 1) if not number & 1 else -((number + 1) >> 1), position
