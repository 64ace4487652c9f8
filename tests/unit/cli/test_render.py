import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.cli.render import escape, size, span

BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("make -j4 'a b'", "make -j4 'a b'"),
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("a\nb\r\tc\x7f\x9b", r"a\x0ab\x0d\x09c\x7f\x9b"),
        ("x\u202ey", r"x\u202ey"),
        ("\u2028\ufeff\u200d", r"\u2028\ufeff\u200d"),
        ("\udcff\U000e0041", r"\udcff\U000e0041"),
        ("naïve 日本 🙂", "naïve 日本 🙂"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(st.text(st.characters(codec=None), max_size=200) | st.text(BIDI + "\x1b\x00ab"))
def test_nothing_invisible_gets_through(text: str) -> None:
    shown = escape(text)
    assert not any(char in BIDI for char in shown)
    assert not any(unicodedata.category(char)[0] == "C" for char in shown)
    assert len(shown.splitlines()) <= 1
    shown.encode()  # no lone surrogate is left to break the terminal's encoder


@given(st.text(max_size=100))
def test_escaping_again_changes_nothing(text: str) -> None:
    assert escape(escape(text)) == escape(text)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=100))
def test_what_can_be_seen_stays(text: str) -> None:
    assert escape(text) == text


def test_what_is_not_known_is_a_dash() -> None:
    assert (size(None), span(None), size(0), span(0.0)) == ("-", "-", "0 B", "0 s")
