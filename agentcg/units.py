"""Quantities as people and models write them: bytes, durations, cores.

Sizes are binary throughout (K = KB = KiB = 1024), as in docker and in cgroup files.
"""

import math
import re
from decimal import Decimal

from agentcg.errors import BadValueError

MAX_BYTES = 2**60
MAX_SECONDS = 10 * 365 * 86400.0
MAX_CORES = 65536.0

# Bounded digits: int() of a megabyte of them would take the daemon's loop for seconds.
_NUMBER = r"[0-9]{1,20}(?:\.[0-9]{1,20})?|\.[0-9]{1,20}"
_BYTES = re.compile(rf"({_NUMBER})\s*([kmgtp]?)(i?b)?", re.IGNORECASE | re.ASCII)
_BYTE_FACTOR = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}

_TIME_FACTOR = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "sec": Decimal(1),
    "m": Decimal(60),
    "min": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_TIME_PART = re.compile(rf"({_NUMBER})\s*(ns|us|µs|ms|sec|s|min|m|h|d)\s*", re.IGNORECASE)
_CORES = re.compile(rf"({_NUMBER})(m?)", re.ASCII)
_PLAIN = re.compile(_NUMBER, re.ASCII)


def parse_bytes(value: str | int) -> int:
    """Return the bytes of "512MiB", "1.5g", "2G" or a plain integer; fractions of a byte are cut.

    Raises BadValueError for anything else, negative, or above 2**60.
    """
    hint = 'write an integer of bytes or a string such as "512MiB" or "1.5G"'
    if isinstance(value, str):
        match = _BYTES.fullmatch(value.strip())
        if match is None:
            raise _bad("size", value, hint)
        number, prefix, suffix = match.groups()
        if suffix and suffix.lower() == "ib" and not prefix:
            raise _bad("size", value, hint)
        if "." in number and not prefix:
            raise _bad("size", value, f"a fraction of a byte cannot be; {hint}")
        size = int(Decimal(number) * _BYTE_FACTOR[prefix.lower()])
    elif isinstance(value, bool) or not isinstance(value, int):
        raise _bad("size", value, hint)
    else:
        size = value
    if not 0 <= size <= MAX_BYTES:
        raise _bad("size", value, "it must lie between 0 and 1024 PiB")
    return size


def format_bytes(size: int) -> str:
    """Write a number of bytes as "1.8 GiB": at most one decimal, none when exact."""
    for prefix, factor in (("P", 2**50), ("T", 2**40), ("G", 2**30), ("M", 2**20), ("K", 2**10)):
        # 1023.97 MiB would print as "1024 MiB": step to the next unit a little early.
        if abs(size) >= factor * 0.99995:
            return f"{_short(size / factor)} {prefix}iB"
    return f"{size} B"


def format_bytes_within(size: int) -> str:
    """Write a size so that what is read back is never above it: 1.97 GiB becomes "1.9 GiB"."""
    step = min(max(0, size.bit_length() - 1) // 10 * 10, 50)
    tenths = (size * 10) >> step
    return format_bytes(-(-(tenths << step) // 10))


def parse_duration(value: str | int | float) -> float:
    """Return the seconds of "250ms", "2s", "5m", "1h30m"; a bare number is seconds.

    Raises BadValueError for anything else, negative, not finite, or above ten years.
    """
    hint = 'write seconds or a string such as "250ms", "2s", "5m" or "1h"'
    if isinstance(value, str):
        seconds = _duration_of(value.strip())
        if seconds is None:
            raise _bad("duration", value, hint)
    elif not _is_finite_number(value):
        raise _bad("duration", value, hint)
    else:
        seconds = float(value)
    if not 0 <= seconds <= MAX_SECONDS:
        raise _bad("duration", value, "it must lie between 0 and ten years")
    return seconds


def format_duration(seconds: float) -> str:
    """Write seconds as "250 ms", "2.5 s", "5 min 3 s" or "1 h 5 min"."""
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if seconds >= 59.95:
        return _long(seconds)
    if seconds >= 0.9995:
        return f"{_short(seconds)} s"
    if seconds >= 0.0009995:
        return f"{_short(seconds * 1e3) if seconds < 0.01 else round(seconds * 1e3)} ms"
    return f"{seconds * 1e6:.0f} µs" if seconds else "0 s"


def parse_cores(value: str | int | float) -> float:
    """Return the cores of "2.5", 2 or "500m" (thousandths of a core).

    Raises BadValueError for anything else, zero, negative, or above 65536.
    """
    hint = 'write a number of cores such as 2, "2.5" or "500m"'
    if isinstance(value, str):
        match = _CORES.fullmatch(value.strip())
        if match is None:
            raise _bad("number of cores", value, hint)
        cores = float(match[1]) / (1000 if match[2] else 1)
    elif not _is_finite_number(value):
        raise _bad("number of cores", value, hint)
    else:
        cores = float(value)
    if not 0 < cores <= MAX_CORES:
        raise _bad("number of cores", value, "it must be above 0 and at most 65536")
    return cores


def _is_finite_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an int too large for a float
        return False


def _duration_of(text: str) -> float | None:
    if _PLAIN.fullmatch(text):
        return float(text)
    total, position = Decimal(0), 0
    while position < len(text):
        match = _TIME_PART.match(text, position)
        if match is None:
            return None
        total += Decimal(match[1]) * _TIME_FACTOR[match[2].lower()]
        position = match.end()
    return float(total) if position else None


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _long(seconds: float) -> str:
    whole = round(seconds)
    if whole < 3600:
        return _two(whole // 60, "min", whole % 60, "s")
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return _two(minutes // 60, "h", minutes % 60, "min")
    hours = round(seconds / 3600)
    return _two(hours // 24, "d", hours % 24, "h")


def _two(major: int, major_unit: str, minor: int, minor_unit: str) -> str:
    return f"{major} {major_unit}" + (f" {minor} {minor_unit}" if minor else "")


def _bad(what: str, value: object, hint: str) -> BadValueError:
    # An int of more than 4300 digits cannot even be printed (CVE-2020-10735).
    shown = (
        "a very large integer"
        if isinstance(value, int) and value.bit_length() > 256
        else repr(value)
    )
    if len(shown) > 80:
        shown = shown[:77] + "..."
    return BadValueError(f"{shown} is not a usable {what}: {hint}")
