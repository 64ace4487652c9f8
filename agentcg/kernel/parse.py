"""The text formats of cgroup v2 files (Documentation/admin-guide/cgroup-v2.rst, "Format").

Pressure files: Documentation/accounting/psi.rst.
"""

from dataclasses import dataclass

from agentcg.errors import BadValueError


@dataclass(frozen=True, slots=True)
class PressureLine:
    """One line of a pressure file: shares of time in percent, `total` in microseconds."""

    avg10: float
    avg60: float
    avg300: float
    total: int


@dataclass(frozen=True, slots=True)
class Pressure:
    """A pressure file; `full` is None where the kernel does not report it (cpu before 5.13)."""

    some: PressureLine
    full: PressureLine | None


def number(text: str) -> int | None:
    """Parse the value of a single-value file; "max" is None."""
    text = text.strip()
    if text == "max":
        return None
    try:
        return int(text)
    except ValueError:
        raise _bad(text, "an integer or max") from None


def flat_keyed(text: str) -> dict[str, int]:
    """`memory.events`, `cpu.stat`: one "key number" a line; lines without a number are skipped."""
    values: dict[str, int] = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        # Later kernels may add lines of another kind; one of them must not blind us to the rest.
        try:
            values[key] = int(value)
        except ValueError:
            continue
    return values


def id_list(text: str) -> frozenset[int]:
    """`cpuset.cpus`: "0-3,7" as a set; empty text is the empty set."""
    found: set[int] = set()
    text = text.strip()
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        try:
            low = int(first)
            high = int(last) if dash else low
        except ValueError:
            raise _bad(text, "a list such as 0-3,7") from None
        # The bound keeps "0-999999999999" from filling the daemon's memory.
        if not 0 <= low <= high < 65536:
            raise _bad(text, "rising numbers below 65536, such as 0-3,7")
        found.update(range(low, high + 1))
    return frozenset(found)


def pressure(text: str) -> Pressure:
    """Parse a `*.pressure` file or one of /proc/pressure."""
    lines: dict[str, PressureLine] = {}
    for line in text.splitlines():
        kind, *pairs = line.split()
        fields = dict(pair.partition("=")[::2] for pair in pairs)
        try:
            lines[kind] = PressureLine(
                avg10=float(fields["avg10"]),
                avg60=float(fields["avg60"]),
                avg300=float(fields["avg300"]),
                total=int(fields["total"]),
            )
        except (KeyError, ValueError):
            raise _bad(line, "a pressure line with avg10, avg60, avg300 and total") from None
    if "some" not in lines:
        raise _bad(text, "a pressure file with a 'some' line")
    return Pressure(some=lines["some"], full=lines.get("full"))


def _bad(text: str, wanted: str) -> BadValueError:
    return BadValueError(f"{text[:80]!r} is not {wanted}; check which file it was read from")
