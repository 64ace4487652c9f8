"""Ids are names of directories."""

import contextlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcg.errors import BadValueError
from agentcg.model import ids


@pytest.mark.parametrize("text", ["a", "0", "s-1_x", "A" * 63])
def test_an_id_of_letters_digits_dash_and_underscore_is_taken(text: str) -> None:
    assert ids.session_id(text) == text
    assert ids.call_id(text) == text


@pytest.mark.parametrize(
    "text", ["", "-a", "_a", "a.b", "..", "memory.max", "a/b", "a\n", "a\0", "ä", "٣", "A" * 64]
)
def test_an_id_that_could_be_a_knob_a_path_or_an_option_is_refused(text: str) -> None:
    with pytest.raises(BadValueError, match="use 1 to 63 letters"):
        ids.session_id(text)
    with pytest.raises(BadValueError, match="call id"):
        ids.call_id(text)


def test_what_is_minted_passes_the_check_and_differs() -> None:
    calls = {ids.mint_call_id() for _ in range(100)}
    assert len(calls) == 100
    assert all(ids.call_id(call) == call for call in calls)
    assert ids.session_id(ids.mint_session_id()).startswith("s-")


@given(st.text())
def test_whatever_the_text_it_is_an_id_or_a_deliberate_error(text: str) -> None:
    with contextlib.suppress(BadValueError):
        assert set(ids.call_id(text)) <= set(string.ascii_letters + string.digits + "_-")


def test_a_refusal_does_not_repeat_an_id_of_any_length() -> None:
    with pytest.raises(BadValueError) as caught:
        ids.call_id("." * 60_000)
    assert len(caught.value.message) < 500
