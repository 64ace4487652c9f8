"""What there was at a moment of a recording, and moving through it."""

from dataclasses import replace

import pytest

from agentcg.cli.recording.lines import Course
from agentcg.cli.replay import past
from agentcg.cli.replay.past import Past, load
from agentcg.cli.replay.player import FASTEST, Player
from agentcg.cli.replay.track import track_of
from agentcg.cli.top.board import Mark
from agentcg.cli.top.screen import Screen, View
from agentcg.errors import BadValueError
from agentcg.model.call import CallState
from tests.unit.cli.replay.recordings import HEAD, records, samples
from tests.unit.cli.top.fleet import AT, MIB


@pytest.fixture
def hour() -> Past:
    return load("x", records())


def states(past: Past, after: float) -> dict[str, str]:
    return {v.call.id: v.call.state.value for v in past.reading(AT + after).calls}


def test_a_call_is_as_it_was_then_and_does_not_know_its_end(hour: Past) -> None:
    assert states(hour, 0) == {"c-goes": "running"}
    assert states(hour, 1.5)["c-dies"] == "declared"
    assert states(hour, 5)["c-dies"] == "running"
    assert states(hour, 15)["c-dies"] == "frozen"
    assert states(hour, 25)["c-dies"] == "running"
    assert states(hour, 40.5)["c-dies"] == "exited"
    assert states(hour, 41) == {"c-goes": "running"}
    for after in (1.5, 15, 39):
        trace = hour.trace("s-1", "c-dies", AT + after)
        assert trace.call is not None
        assert (trace.call.outcome, trace.call.ended_at) == (None, None)
        assert all(s.at <= AT + after for s in trace.samples)
        assert all(e.at <= AT + after for e in trace.events)
    ended = hour.trace("s-1", "c-dies", AT + 60).call
    assert ended is not None
    assert ended.state is CallState.CLOSED
    assert ended.outcome is not None


def test_figures_are_those_of_the_last_reading(hour: Past) -> None:
    reading = hour.reading(AT + 30.5)
    view = next(v for v in reading.calls if v.call.id == "c-goes")
    assert (view.usage.memory, view.usage.cpu) == (300 * MIB, 30.5)
    assert view.usage.pressure == pytest.approx(50)
    assert reading.machine.memory == 300 * MIB
    assert reading.machine.cpu == pytest.approx(2.0)
    assert {v.session.id: v.open_calls for v in reading.sessions} == {"s-1": 2, "s-gone": 1}


def test_a_session_has_its_limit_though_it_was_closed_before() -> None:
    hour = load("x", [*records(), Course("s-gone", None, samples(), 800 * MIB)])
    for name, limit in (("s-1", 700 * MIB), ("s-gone", 800 * MIB)):
        assert hour.trace(name, None, AT + 30).limit == limit
    gone = [v for v in hour.reading(AT + 30).sessions if v.session.id == "s-gone"]
    assert [view.limit for view in gone] == [800 * MIB]


def test_a_clock_that_was_put_back_is_no_trouble() -> None:
    mixed = samples()[30:] + samples()[:30]
    track = track_of(mixed)
    assert track.counters(AT + 12).memory == 120 * MIB
    assert track.counters(AT - 1).memory is None
    assert track_of(()).cpu(AT) == 0.0


def test_too_much_and_what_is_no_time_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Course("s-1", None, tuple(samples()[:1]))
    object.__setattr__(wrong.samples[0], "at", 1 << 62)
    with pytest.raises(BadValueError, match="x: a time in it is none"):
        load("x", [HEAD, wrong])
    for wrong_head in (replace(HEAD, until=9e18), replace(HEAD, since=-1.0)):
        with pytest.raises(BadValueError, match="x: a time in it is none"):
            load("x", [wrong_head])
    with pytest.raises(BadValueError, match="of no time"):
        load("x", [])
    monkeypatch.setattr(past, "MOST", 50)
    with pytest.raises(BadValueError, match="more than 50 samples; record a shorter time"):
        load("x", records())


def test_keys_move_and_stay_within_it(hour: Past) -> None:
    screen = Screen(View.CALL, "c-dies")
    player = Player(hour, "x", AT + 30, 1.0, lambda: screen, lambda: None)
    for key, after in (
        ("right", 35),
        ("left", 30),
        ("shift right", 60),
        ("shift left", 0),
        ("left", 0),
    ):
        assert player.take(key)
        assert player.now == AT + after
        assert player.board.reading is not None
        assert player.board.reading.at == player.now
    assert not player.take("enter")
    for _ in range(30):
        player.take("+")
    assert player.speed == FASTEST
    player.take("-")
    assert f"speed {FASTEST / 2:g}" in player.board.note


def test_time_goes_on_with_marks_and_traces_to_the_end(hour: Past) -> None:
    screen = Screen(View.CALL, "c-dies")
    player = Player(hour, "x", AT + 35, 1.0, lambda: screen, lambda: None)
    assert player.board.marks("s-1", "c-dies", player.now) == set()
    for _ in range(8):
        player.go_on(1)
    assert Mark.KILLED in player.board.marks("s-1", "c-dies", player.now)
    assert "c-dies" in player.board.gone
    assert player.board.trace is not None
    assert player.board.trace.samples[-1].at == AT + 40
    player.go_on(1000)
    assert player.now == AT + 60
    assert "the end" in player.board.note
    player.seek(AT + 5)
    assert player.board.marks("s-1", "c-dies", player.now) == set()
    assert player.board.gone == {}
