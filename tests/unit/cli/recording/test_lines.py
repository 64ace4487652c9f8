"""The format of recordings: what is written is read, and what is broken is told with its line."""

import gzip
import io
import json

import pytest

from agentcg.cli.recording import lines
from agentcg.cli.recording.lines import Course, Head, Record
from agentcg.errors import BadValueError
from agentcg.model.event import Event, Kind
from agentcg.model.view import HostView
from tests.unit.cli.courses import AT, NASTY, course

TRACE = course(command=NASTY)
assert TRACE.call is not None
HEAD = Head(1, AT, AT + 60, HostView("0.1.0", "T1", "7.2", 1 << 34, 8, (), {}))
RECORDS: list[Record] = [
    HEAD,
    TRACE.call,
    Course(TRACE.session, TRACE.call.id, TRACE.samples),
    Course(TRACE.session, None, TRACE.samples[:3]),
    Event(7, AT, Kind.CALL_ENDED, data={"exit_code": None}),
    *TRACE.events,
]


def packed(text: bytes) -> io.BytesIO:
    return io.BytesIO(gzip.compress(text))


def written() -> bytes:
    out = io.BytesIO()
    assert lines.write(RECORDS, out) == len(RECORDS)
    return out.getvalue()


def refused(file: io.BytesIO) -> str:
    with pytest.raises(BadValueError) as error:
        list(lines.read("x.gz", file))
    return error.value.message


def test_what_is_written_is_read() -> None:
    assert list(lines.read("x", io.BytesIO(written()))) == RECORDS
    text = gzip.decompress(written())
    assert text.isascii()
    assert list(json.loads(text.splitlines()[0])) == ["head"]
    assert json.loads(text.splitlines()[-1]) == {"end": {"lines": len(RECORDS)}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "line 1: the rest is missing"),
        (b"[]\n", "line 1: no line of a recording"),
        (b'{"a": 1, "b": 2}\n', "line 1: no line of a recording"),
        (b"[" * 100_000 + b"\n", "line 1: no line of a recording"),
        (b'{"event": {}}\n', "line 1: a event where there must be none"),
        (b'{"head": {"format": 2}}\n', "line 1: format 2, this agentcg reads 1; install a newer"),
        (b'{"head": 7}\n', "line 1: head: "),
    ],
)
def test_what_is_broken_is_told_with_its_line(text: bytes, words: str) -> None:
    assert f"x.gz, {words}" in refused(packed(text))


def test_a_file_that_was_cut_off_is_told() -> None:
    whole = written()
    for length in (0, 5, len(whole) // 2, len(whole) - 1):
        assert "x.gz, line" in refused(io.BytesIO(whole[:length]))
    text = gzip.decompress(whole).splitlines(keepends=True)
    assert "the rest is missing" in refused(packed(b"".join(text[:-1])))
    assert "lines before it are missing" in refused(packed(b"".join([*text[:3], text[-1]])))
    assert "cannot be unpacked" in refused(io.BytesIO(b"no gzip at all"))


def test_no_file_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "longer than" in refused(packed(b"x" * (lines.LONGEST + 1)))
    monkeypatch.setattr(lines, "LARGEST", 3000)
    assert "beyond 3000 bytes; record a shorter time" in refused(io.BytesIO(written()))
