"""Keys: bytes to names, and what each does."""

from dataclasses import replace

import pytest

from agentcg.cli.top.keys import Decoder
from agentcg.cli.top.screen import Screen, Sort, View, place, press

ROWS = tuple(f"c-{n}" for n in range(30))
COLUMNS = ("CALL", "MEMORY", "CPU")


def pressed(screen: Screen, *keys: str, rows: tuple[str, ...] = ROWS) -> Screen:
    for key in keys:
        screen = press(screen, key, rows=rows, columns=COLUMNS, height=10)
    return screen


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"\x1b[A\x1bOB\x1b[5~", ["up", "down", "page up"]),
        (b"j\r\t\x7f\x03", ["j", "enter", "tab", "backspace", "interrupt"]),
        ("ä測".encode(), ["ä", "測"]),
        (b"\x1b[1;5Ax", ["x"]),  # Ctrl-Up is not known, and none of its bytes is a key
        (b"\x1b[200~q", ["q"]),
        (b"\x1bx", ["escape", "x"]),
        (b"\xff\x00\x1f", ["\ufffd"]),
        (b"\x1b[" + b"9" * 40, ["escape", "[", *"9" * 40]),
    ],
)
def test_bytes_become_keys(data: bytes, keys: list[str]) -> None:
    assert Decoder().feed(data) == keys
    slowly = Decoder()
    found = [key for byte in data for key in slowly.feed(bytes([byte]))]
    assert found == keys or data.startswith(b"\x1b[99")
    assert not slowly.waits


def test_an_escape_is_one_when_nothing_follows() -> None:
    keys = Decoder()
    assert keys.feed(b"\x1b") == []
    assert keys.waits
    assert keys.flush() == ["escape"]
    assert keys.flush() == []
    assert keys.feed(b"\x1b[") == []
    assert keys.feed(b"B") == ["down"]


def test_the_cursor_stays_with_its_row() -> None:
    screen = pressed(Screen(), "down", "down", "j", "k")
    assert screen.cursor == "c-2"
    assert place(screen, tuple(reversed(ROWS))) == 27
    assert place(screen, ROWS[5:]) == 0  # it is gone
    assert pressed(screen, "end").cursor == "c-29"
    assert pressed(screen, "page down").cursor == "c-11"
    assert pressed(screen, "page up").cursor == "c-0"
    assert pressed(screen, "G", "down").cursor == "c-29"
    assert pressed(Screen(), "down", "enter", rows=()) == Screen()


def test_in_and_out_again() -> None:
    host = pressed(Screen(), "down")
    session = pressed(host, "enter")
    assert (session.view, session.name, session.cursor) == (View.SESSION, "c-1", None)
    call = pressed(session, "down", "right")
    assert (call.view, call.name) == (View.CALL, "c-1")
    assert pressed(call, "enter") == call
    back = pressed(call, "escape")
    assert (back.view, back.cursor) == (View.SESSION, "c-1")
    assert pressed(back, "left") == host
    assert pressed(host, "escape") == host
    every = pressed(host, "tab")
    assert every.view is View.CALLS
    assert pressed(every, "enter").view is View.CALL
    assert pressed(every, "escape").view is View.SESSIONS
    assert pressed(call, "tab").view is View.SESSIONS


def test_each_table_is_sorted_for_itself() -> None:
    screen = pressed(Screen(), "s")
    assert screen.sort == Sort("CPU")
    assert pressed(screen, "s").sort == Sort("CALL")
    assert pressed(screen, "S").sort == Sort("MEMORY")
    assert pressed(screen, "r").sort == Sort("CPU", down=False)
    calls = pressed(screen, "tab")
    assert calls.sort == Sort("MEMORY")
    inside = pressed(calls, "S", "enter", "escape")
    assert inside.sort == Sort("CALL")
    assert pressed(inside, "tab").sort == Sort("CPU")


def test_a_filter_is_typed() -> None:
    screen = pressed(Screen(cursor="c-3"), "/", "q", "s", " ", "x", "backspace")
    assert (screen.words, screen.typing, screen.over) == ("qs ", True, False)
    assert screen.cursor is None
    assert pressed(screen, "enter").words == "qs "
    assert not pressed(screen, "enter").typing
    assert pressed(screen, "escape").words == ""
    assert pressed(screen, "clear").words == ""
    assert pressed(screen, "enter", "escape").words == ""
    assert len(pressed(screen, *"y" * 200).words) == 80
    assert pressed(screen, "home") == screen
    assert pressed(screen, "interrupt").over
    # Outside, the filter that was left there holds again.
    kept = pressed(screen, "enter")
    assert pressed(kept, "enter", "left").words == "qs "


def test_a_page_scrolls_to_its_end_and_no_further() -> None:
    call = Screen(View.CALL, "c-1")
    assert pressed(call, "up").scroll == 0
    assert pressed(call, "down", "down").scroll == 2
    assert pressed(call, "end").scroll == 20
    assert pressed(call, "end", "down", "page up").scroll == 11
    assert pressed(replace(call, scroll=900), "up").scroll == 19
    assert pressed(call, "s", "/") == call


def test_help_pause_and_the_end() -> None:
    assert pressed(Screen(), "?").help
    assert pressed(Screen(), "?", "q") == Screen()
    assert pressed(Screen(), " ").paused
    assert pressed(Screen(), " ", " ") == Screen()
    assert pressed(Screen(), "q").over
    assert not pressed(Screen(), "q").interrupted
    assert pressed(Screen(), "?", "interrupt").interrupted
    assert pressed(Screen(), "z") == Screen()
