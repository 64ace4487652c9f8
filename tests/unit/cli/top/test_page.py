"""Data to lines: what fits, what is sorted, marked and told, and that foreign text is harmless."""

import re
from dataclasses import replace

import pytest

from agentcg.cli import plot
from agentcg.cli.plot import ASCII, UNICODE, Glyphs
from agentcg.cli.top.board import GONE, PAST, Board, Mark
from agentcg.cli.top.screen import Screen, Sort, View
from agentcg.model.event import Kind
from agentcg.model.intent import Intent
from tests.unit.cli.top import fleet
from tests.unit.cli.top.boards import CALLS, board, fleet_of, framed, full, reading, shown
from tests.unit.cli.top.fleet import AT, MIB

SIZES = [(1, 1), (20, 5), (40, 10), (80, 24), (81, 25), (132, 43), (250, 70)]
SCREENS = [
    Screen(),
    CALLS,
    Screen(View.SESSION, "s-1"),
    Screen(View.SESSION, "s-none"),
    Screen(View.CALL, "c-00000003"),
    Screen(View.CALL, "c-none"),
    Screen(help=True),
    replace(CALLS, typing=True, words=fleet.NASTY),
    replace(CALLS, words="測", paused=True),
]


@pytest.mark.parametrize("screen", SCREENS, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_it_fits_and_is_harmless(screen: Screen, size: tuple[int, int], glyphs: Glyphs) -> None:
    for known in (full(), Board()):
        lines = framed(known, screen, size=size, glyphs=glyphs).lines
        assert len(lines) == size[1]
        assert max(line.cell_len for line in lines) <= size[0]
        text = "".join(line.plain for line in lines)
        assert text.isprintable()
        assert text.isascii() or glyphs is UNICODE


@pytest.mark.parametrize("screen", SCREENS, ids=str)
def test_what_befell_each_is_looked_up_once_a_frame(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []
    look = Board.marks

    def marks(known: Board, session: str, call: str | None, at: float) -> set[Mark]:
        asked.append((session, call))
        return look(known, session, call, at)

    known = full()
    monkeypatch.setattr(Board, "marks", marks)
    lines = framed(known, screen, size=(120, 24)).lines
    assert len(asked) == len(set(asked))
    if screen.view in {View.SESSIONS, View.CALLS} and not (screen.help or screen.words):
        assert "40 calls; in the last minute 1 killed, 1 stalled, 1 held" in lines[2].plain


def test_the_nasty_command_is_shown_escaped() -> None:
    lines = shown(full(), size=(160, 50))
    assert any("echo \\x1b]0;x\\x07<script>\\u202e" in line for line in lines)


def test_wide_characters_take_two_cells() -> None:
    lines = framed(full(), size=(79, 60)).lines
    wide = [line for line in lines if "測" in line.plain]
    assert wide
    assert {line.cell_len for line in wide} == {79}


@pytest.mark.parametrize("char", ["\u6e2c", "\x1b", "\u0301", "x"], ids=ascii)
@pytest.mark.parametrize(
    "screen", [CALLS, Screen(), Screen(View.CALL, "c-00000000")], ids=lambda one: one.view.value
)
def test_of_a_long_text_no_more_is_written_than_fits(char: str, screen: Screen) -> None:
    long = "a" + char * 4095
    calls = fleet_of(60, 9)
    for n, view in enumerate(calls):
        calls[n] = replace(view, call=replace(view.call, intent=Intent(command=long)))
    known = Board()
    known.take(reading(9, calls))
    for n in range(5):
        known.hear(replace(fleet.event(n, AT, Kind.CALL_OOM, "s-1", "c-1"), text=long))
    for line in framed(known, screen, size=(200, 60)).lines:
        assert len(line.plain.encode()) <= 4 * 200 * len(char.encode())


def test_the_time_for_long_commands_is_that_of_what_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = fleet_of(60, 9)
    for n, view in enumerate(calls):
        intent = Intent(command="\u6e2c" * 4096)
        calls[n] = replace(view, call=replace(view.call, intent=intent))
    known = Board()
    known.take(reading(9, calls))
    looked = []

    def escape(text: str) -> str:
        looked.append(len(text))
        return text

    monkeypatch.setattr(plot, "escape", escape)
    framed(known, size=(200, 60))
    assert sum(looked) < 60 * 200 * 4


def test_whose_a_call_is_is_seen_in_80_columns() -> None:
    known = Board()
    known.take(reading(0, fleet_of(6, 0), names={"s-1": "web-shop"}))
    assert column(shown(known), "WHOSE", rows=6).count("web-shop") == 2
    assert "s-2" in column(shown(known), "WHOSE", rows=6)
    assert {"CALL", "LIMIT", "MINUTE", "MARKS", "COMMAND"} <= set(shown(known)[3].split())
    assert "NAME" in shown(known, Screen())[3]
    assert any("web-shop" in line for line in shown(known, Screen()))
    assert shown(known, Screen(View.SESSION, "s-1"))[2] == "host > s-1 (web-shop)"
    assert shown(known, Screen(View.CALL, "c-00000001"))[2] == "host > s-1 (web-shop) > c-00000001"
    known.hear(fleet.event(1, AT, Kind.CALL_OOM, "s-1", "c-00000001"))
    assert "call.oom web-shop/c-00000001" in "".join(shown(known))
    known.take(reading(1, fleet_of(6, 1), homes=1))
    assert known.whose("s-1") == "web-shop"  # its calls are there still
    known.take(reading(2 + GONE, [], homes=0))
    known.take(reading(3 + 2 * GONE, [], homes=0))
    assert known.names == {}


def test_what_is_sorted_by_is_always_seen() -> None:
    for name in framed(board(), size=(60, 24)).columns:
        by = replace(CALLS, sorts=(Sort("MEMORY"), Sort(name)))
        assert f"{name}\u25bc" in shown(board(), by, size=(60, 24))[3]


def test_an_old_event_has_its_date() -> None:
    known = board()
    known.hear(fleet.event(1, AT - 90_000, Kind.CALL_OOM, "s-1"))
    known.hear(fleet.event(2, AT, Kind.CALL_OOM, "s-1"))
    old, new = (line for line in shown(known) if "call.oom" in line)
    assert re.match(r" \d{4}-\d\d-\d\d \d\d:\d\d call.oom", old)
    assert re.match(r" \d\d:\d\d:\d\d call.oom", new)


def column(lines: list[str], name: str, *, rows: int) -> list[str]:
    """What is in a column, by where its name ends."""
    head = next(line for line in lines if "COMMAND" in line or "SESSION" in line)
    number = head.replace("CPU MINUTE", "CPUMINUTE").split().index(name)
    top = lines.index(head) + 1
    return [line[1:].split()[number] for line in lines[top : top + rows]]


def test_rows_are_sorted_and_the_cursor_is_kept_in_sight() -> None:
    known = board(30)
    memories = {v.call.id: v.usage.memory or 0 for v in fleet_of(30, 9)}
    down = sorted(memories, key=lambda name: -memories[name])
    assert list(framed(known).rows) == down
    assert column(shown(known), "CALL", rows=5) == down[:5]
    up = replace(CALLS, sorts=(Sort("MEMORY"), Sort("MEMORY", down=False)))
    assert list(framed(known, up).rows) == down[::-1]
    text = replace(CALLS, sorts=(Sort("MEMORY"), Sort("COMMAND")))
    assert framed(known, text).rows[0] == "c-00000002"  # cargo
    assert "MEMORY▼" in shown(known)[3]
    assert "MEMORY▲" in shown(known, up)[3]
    far = replace(CALLS, cursor=down[25])
    assert sum(line.startswith(">") for line in shown(known, far)) == 1
    assert f">{down[25]}" in {line[:11] for line in shown(known, far)}


def test_what_is_not_known_comes_last_both_ways() -> None:
    calls = fleet_of(4, 0)
    calls[1] = replace(calls[1], usage=replace(calls[1].usage, memory=None))
    known = Board()
    known.take(reading(0, calls))
    for down in (True, False):
        screen = replace(CALLS, sorts=(Sort("MEMORY"), Sort("MEMORY", down=down)))
        assert framed(known, screen).rows[-1] == "c-00000001"


def test_a_filter_takes_every_word_anywhere() -> None:
    known = full()
    assert len(framed(known, replace(CALLS, words="pytest")).rows) == 6
    assert len(framed(known, replace(CALLS, words="PYTEST s-1")).rows) == 2
    assert list(framed(known, replace(CALLS, words="killed")).rows) == ["c-00000000"]
    nothing = replace(CALLS, words="no such thing")
    assert " nothing matches" in shown(known, nothing)
    assert list(framed(known, Screen(words="s-2")).rows) == ["s-2"]
    calls = [fleet.call(0, "s-0"), fleet.call(1, "s-1")]
    liar = replace(calls[1].call, intent=Intent(command="echo killed"))
    known.take(reading(10, [calls[0], replace(calls[1], call=liar)]))
    assert list(framed(known, replace(CALLS, words="echo killed")).rows) == []
    assert list(framed(known, replace(CALLS, words="echo kill")).rows) == ["c-00000001"]
    assert "filter: killed" in shown(known, replace(CALLS, words="killed"))[2]


def test_narrow_screens_lose_what_is_worth_least() -> None:
    def names(width: int) -> list[str]:
        return shown(board(), size=(width, 24))[3].split()

    assert {"MEMORY▼", "MINUTE", "MARKS", "COMMAND"} <= set(names(80))
    assert "STATE" not in names(80)
    assert "MEMORY▼" in names(30)
    assert "MINUTE" not in names(30)
    assert {"WHOSE", "STATE", "PSI", "LIMIT"} <= set(names(132))


def test_rates_are_of_the_time_between_readings() -> None:
    known = Board()
    for second in (0.0, 2.0, 2.1):  # the last one asked for early
        known.take(reading(second, fleet_of(3, second)))
    assert known.call_courses["c-00000002"].cpu == pytest.approx(2 / 5)
    assert known.session_courses["s-2"].cpu == pytest.approx(2 / 5)
    assert column(shown(known, size=(160, 24)), "CPU", rows=3) == ["40%", "20%", "0%"]


def test_marks_of_events_stay_for_a_minute() -> None:
    known = full()
    at = AT + 9
    assert known.marks("s-0", "c-00000000", at) == {Mark.KILLED}
    assert known.marks("s-1", "c-00000001", at) == {Mark.HELD}
    assert known.marks("s-1", "c-00000004", at) == {Mark.QUOTA}
    assert known.marks("s-0", "c-00000000", AT + PAST + 1) == set()
    lines = shown(known, Screen(), size=(100, 30))
    row = next(line for line in lines if line[1:].startswith("s-0"))
    assert row.endswith("1 killed 2 quota")
    assert "1 killed, 1 stalled, 1 held, 6 quota" in lines[2]
    known.hear(fleet.event(9, AT + 9, Kind.AGENT_OOM, "s-2"))
    assert known.marks("s-2", None, at) == {Mark.KILLED}
    for second in range(60, 75):
        known.take(reading(second, fleet_of(3, second)))
    assert known.marks("s-2", None, AT + 5) == set()


def test_an_end_is_a_mark_only_if_it_was_forced() -> None:
    known = board()
    for n, cause in enumerate(("exited", "deadline")):
        end = fleet.event(n, AT + 9, Kind.CALL_ENDED, "s-0", f"c-{n:08x}")
        known.hear(replace(end, data={"cause": cause}))
    assert known.marks("s-0", "c-00000000", AT + 9) == set()
    assert known.marks("s-0", "c-00000001", AT + 9) == {Mark.KILLED}
    assert [event.call for event in known.events] == ["c-00000001"]


def test_a_call_that_is_over_is_seen_for_a_while() -> None:
    known = board(5)
    known.take(reading(10, fleet_of(4, 10)))
    line = next(line for line in shown(known, size=(160, 24)) if line[1:].startswith("c-00000004"))
    assert " over " in line
    assert "4 calls" in shown(known)[2]
    known.take(reading(10 + GONE, fleet_of(4, 10)))
    assert "c-00000004" in known.calls
    known.take(reading(11 + GONE, fleet_of(4, 10)))
    assert "c-00000004" not in known.calls
    assert "c-00000004" not in known.call_courses


def test_a_daemon_that_is_away_is_told_with_the_time_since() -> None:
    known = board()
    assert "no answer" not in shown(known)[2]
    assert "no answer for 4.5s" in shown(known, late=4.5)[2]
    assert "no answer" not in shown(known, replace(CALLS, paused=True), late=4.5)[2]
    slow = board()
    slow.every = 10.0
    assert "no answer" not in shown(slow, late=12.5)[2]
    assert "no answer for 13s" in shown(slow, late=13.5)[2]
    known.fail("refused \x1b", 120.0)
    known.fail("refused \x1b", 121.0)
    assert "no answer for 12s: refused \\x1b" in shown(known, late=12)[2]
    assert "c-00000003" in "".join(shown(known))  # what was known stays
    known.take(reading(30, fleet_of(3, 30)))
    assert "no answer" not in shown(known)[2]
    never = Board()
    never.fail("refused", 100.0)
    assert "no answer for 7.0s: refused" in shown(never, late=7)[2]


def test_the_course_of_a_minute_is_against_its_limit() -> None:
    known = Board()
    one = fleet.call(0, "s-0")  # 256 MiB
    for second in range(60):
        used = replace(one.usage, memory=(255 if second > 29 else 64) * MIB)
        known.take(reading(second, [replace(one, usage=used)]))
    line = next(line for line in framed(known).lines if line.plain[1:].startswith("c-0"))
    shape = "".join(char for char in line.plain if char in UNICODE.bars)
    assert shape in {"▂▂▂▂▂█████", " ▂▂▂▂▂█████"}
    styles = {line.plain[s.start]: str(s.style) for s in line.spans if s.end > s.start}
    assert styles["▂"] == "cyan"
    assert styles["█"] == "red"


def test_glyphs_are_what_the_encoding_can_say() -> None:
    assert plot.glyphs_of("utf-8") is UNICODE
    assert plot.glyphs_of("latin-1") is ASCII
    assert plot.glyphs_of("no-such") is ASCII
    assert plot.glyphs_of(None) is ASCII
