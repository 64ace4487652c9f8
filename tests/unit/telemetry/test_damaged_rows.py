"""Rows that are damaged cost themselves alone: no page ends early, no sound one is skipped."""

import sqlite3

import pytest

from agentcg.model.event import Event, Kind
from agentcg.model.ids import CallId, SessionId
from agentcg.model.outcome import Cause
from agentcg.model.trace import Account
from agentcg.telemetry import recall, shelf
from agentcg.telemetry.store import Store
from tests.unit.telemetry.stores import DAY, EVER, Bench, written


def account(n: int, wall: float = 1.0) -> Account:
    return Account(CallId(f"c-{n}"), SessionId("s-1"), "ls", float(n), Cause.EXITED, wall)


def day(bench: Bench, ahead: int, *rows: Account | Event) -> None:
    """Write a file of its own."""
    bench.ahead = ahead * DAY
    one = bench.open()
    for row in rows:
        one.note(row)
    written(one)
    one.close()


def damage(bench: Bench, number: int, sql: str) -> None:
    with sqlite3.connect(shelf.kept(bench.folder)[number].path) as db:
        assert db.execute(sql).rowcount > 0
    db.close()


def newest(one: Store, most: int) -> list[str]:
    return [call.call for call in recall.accounts(one, None, None, EVER, most)]


def test_a_page_is_full_though_rows_are_damaged(bench: Bench) -> None:
    day(bench, 0, *map(account, range(1, 7)))
    damage(bench, 0, "UPDATE account SET cause = '?' WHERE call IN ('c-5', 'c-6')")
    assert newest(bench.open(), 3) == ["c-4", "c-3", "c-2"]


def test_no_sound_call_is_skipped_for_one_of_an_older_file(bench: Bench) -> None:
    day(bench, -1, *map(account, range(1, 4)))
    day(bench, 0, *map(account, range(4, 7)))
    damage(bench, -1, "UPDATE account SET cause = '?' WHERE call = 'c-5'")
    assert newest(bench.open(), 2) == ["c-6", "c-4"]


def test_of_a_call_in_two_files_the_newer_holds(bench: Bench) -> None:
    day(bench, -1, account(1, wall=1.0))
    day(bench, 0, account(1, wall=2.0))
    assert [one.wall for one in recall.accounts(bench.open(), None, None, EVER)] == [2.0]


def test_there_are_as_many_events_as_are_sound(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "EVENTS", 3)
    told = [Event(n, float(n), Kind.SESSION_OPENED, "s-1") for n in range(1, 7)]
    day(bench, -1, *told[:1])
    day(bench, 0, *told[1:])
    damage(bench, -1, "UPDATE event SET kind = '?' WHERE seq = 6")
    assert [one.seq for one in recall.events(bench.open(), "s-1", None, EVER)] == [3, 4, 5]
