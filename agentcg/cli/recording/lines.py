"""The format of a recording: lines of JSON in gzip, each an object with one member, its kind.

The first is `head`, the last `end` with the number of lines before it: without one, the rest is
missing. See docs/recording.md.
"""

import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from gzip import BadGzipFile, GzipFile
from typing import IO, Any

from pydantic import TypeAdapter, ValidationError

from agentcg.errors import BadValueError
from agentcg.model.call import Call
from agentcg.model.event import Event
from agentcg.model.sample import Sample
from agentcg.model.view import HostView, SessionView

FORMAT = 1
LONGEST = 4 << 20  # bytes of a line
LARGEST = 1 << 30  # bytes unpacked
MOST_WHOLE = 1 << 63
MOST_SECONDS = 1e11  # also of a time, as Unix seconds
STRETCH = 500  # samples of a line


@dataclass(frozen=True, slots=True)
class Head:
    """What it is a recording of; times are Unix seconds."""

    format: int
    since: float
    until: float
    host: HostView


@dataclass(frozen=True, slots=True)
class Course:
    """Samples of a call or, where `call` is None, of a session; in order.

    `limit` is the session's, bytes; a call's is in its grant.
    """

    session: str
    call: str | None
    samples: tuple[Sample, ...]
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class _End:
    lines: int


Record = Head | SessionView | Call | Course | Event
_KINDS: dict[str, type] = {
    "head": Head,
    "session": SessionView,
    "call": Call,
    "samples": Course,
    "event": Event,
    "end": _End,
}
_NAMES = {made: name for name, made in _KINDS.items()}
_ADAPTERS: dict[str, TypeAdapter[Any]] = {name: TypeAdapter(made) for name, made in _KINDS.items()}


def write(records: Iterable[Record], to: IO[bytes]) -> int:
    """Write a recording; the number of its lines."""
    count = 0
    # No name and no time in it: the same records make the same file.
    with GzipFile(filename="", fileobj=to, mode="wb", mtime=0) as packed:
        for record in records:
            packed.write(_line(record))
            count += 1
        packed.write(_line(_End(count)))
    return count


def _line(record: Record | _End) -> bytes:
    name = _NAMES[type(record)]
    shown = _ADAPTERS[name].dump_python(record, mode="json", exclude_defaults=True)
    return json.dumps({name: shown}, separators=(",", ":")).encode() + b"\n"


def read(name: str, file: IO[bytes]) -> Iterator[Record]:
    """The records of a recording, one by one; `name` is for errors.

    Raises:
        BadValueError: it is none, damaged, cut off, too large, or of a newer version.
    """
    total = count = 0
    try:
        with GzipFile(fileobj=file, mode="rb") as packed:
            while line := packed.readline(LONGEST + 1):
                count += 1
                total += len(line)
                if len(line) > LONGEST:
                    raise _bad(name, count, f"longer than {LONGEST} bytes; record it again")
                if total > LARGEST:
                    raise _bad(name, count, f"beyond {LARGEST} bytes; record a shorter time")
                record = _record(name, count, line)
                if isinstance(record, _End):
                    if record.lines != count - 1:
                        raise _bad(name, count, "lines before it are missing; record it again")
                    if packed.readline(1):  # which also looks at the checksum
                        raise _bad(name, count + 1, "behind its end; record it again")
                    return
                yield record
    except (EOFError, BadGzipFile, zlib.error) as e:
        why = f"cannot be unpacked ({e}); name a file of `agentcg record`, or copy it again"
        raise _bad(name, count + 1, why) from e
    raise _bad(name, count + 1, "the rest is missing; copy the file again, or record it again")


def _record(name: str, number: int, line: bytes) -> Record | _End:
    try:
        found = json.loads(line, parse_float=_number, parse_int=_number, parse_constant=_number)
        ((kind, value),) = found.items()
        adapter = _ADAPTERS[kind]
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        why = "no line of a recording; name a file of `agentcg record`"
        raise _bad(name, number, why) from None
    if (number == 1) is not (kind == "head"):
        raise _bad(name, number, f"a {kind} where there must be none; record it again")
    if kind == "head":
        _check_format(name, value)
    try:
        record: Record | _End = adapter.validate_python(value)
    except (ValidationError, RecursionError) as e:
        what = e.errors(include_url=False)[0]["msg"] if isinstance(e, ValidationError) else e
        raise _bad(name, number, f"{kind}: {what}; record it again") from None
    return record


def _number(text: str) -> int | float:
    """A number that can be a time, a size or a count; what is beyond breaks who reckons with it."""
    made = int(text) if text.lstrip("-").isdigit() else float(text)
    if not abs(made) <= (MOST_WHOLE if isinstance(made, int) else MOST_SECONDS):
        raise ValueError(f"{text[:20]}: too large")
    return made


def _check_format(name: str, head: object) -> None:
    found = head.get("format") if isinstance(head, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise _bad(name, 1, f"format {found}, this agentcg reads {FORMAT}; install a newer one")


def _bad(name: str, line: int, why: str) -> BadValueError:
    return BadValueError(f"{name}, line {line}: {why}")
