import json

import pytest

from agentcg.cli.explain import sentences
from agentcg.model.event import Event, Kind
from agentcg.model.explanation import Holding, Pressed, Whose
from agentcg.model.grant import Grant
from agentcg.model.intent import Intent
from agentcg.policy.explaining import Evidence
from tests.unit.api.fake import HOME, Running
from tests.unit.cli.conftest import Run
from tests.unit.cli.courses import NASTY


@pytest.fixture(autouse=True)
def two_calls(server: Running) -> None:
    grant = Grant(
        memory_limit=2 * 2**30,
        enforced={
            "memory.limit": "ok",
            "memory.throttle": "ok: by memory.high",
            "io.weight": "unsupported: no iocost",
        },
        notes=("less memory than asked for: the budget is 2 GiB",),
        source={"memory.guarantee": "learned: of 'pytest'"},
    )
    add = server.controller.add
    add("c-aaaa2222", Intent(command="pytest [red]tests[/red]"), grant, session=HOME)
    add("c-aabb3333", Intent(command="x\x1b[2J\u202e" + "y" * 200), grant, session=HOME)


def test_ps_fits_80_columns_and_shows_text_as_it_is(cli: Run) -> None:
    code, out, _ = cli("ps")
    assert code == 0
    lines = out.splitlines()
    assert " ".join(lines[0].split()) == "CALL SESSION STATE MEMORY LIMIT CPU TIME COMMAND"
    assert max(map(len, lines)) <= 80
    assert "c-aaaa2222 s-home  running  5 MiB 2 GiB 1.5 s" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_ps_in_a_pipe_cuts_nothing(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    _, out, _ = cli("ps")
    assert "pytest [red]tests[/red]" in out
    assert r"x\x1b[2J\u202e" + "y" * 200 in out


def test_json_is_ascii_and_complete(cli: Run, server: Running) -> None:
    server.controller.add("c-z", Intent(command="\x7f\u202e"), Grant(), session=HOME)
    code, out, _ = cli("ps", "-o", "json")
    assert code == 0
    assert out.isascii()
    assert "\x7f" not in out
    views = json.loads(out)
    assert views[2]["call"]["intent"]["command"] == "\x7f\u202e"
    assert views[0]["call"]["grant"]["memory_limit"] == 2**31


def test_a_beginning_is_enough_if_it_is_the_only_one(cli: Run) -> None:
    assert cli("freeze", "c-aaa") == (0, "c-aaaa2222 is frozen\n", "")
    assert cli("thaw", "c-aaa") == (0, "c-aaaa2222 is running\n", "")
    code, _, err = cli("kill", "c-aa")
    assert code == 1
    assert "could be c-aaaa2222, c-aabb3333" in err
    code, _, err = cli("kill", "c-q")
    assert code == 1
    assert "agentcg ps -a" in err


def test_closed_calls_are_listed_on_demand(cli: Run) -> None:
    cli("kill", "c-aab")
    assert "c-aabb3333" not in cli("ps")[1]
    assert "c-aabb3333" in cli("ps", "-a")[1]
    assert json.loads(cli("kill", "c-aaa", "-o", "json")[1])["call"]["state"] == "killed"


def test_explain_tells_how_a_call_ended(cli: Run) -> None:
    cli("kill", "c-aaa")
    code, out, _ = cli("explain", "c-aaa")
    assert code == 0
    assert out.splitlines()[:15] == [
        "c-aaaa2222 in s-home: pytest [red]tests[/red]",
        "It was killed for want of memory, signal 9.",
        "The limit that was hit is its own limit (2 GiB).",
        "Its memory peaked at 2 GiB.",
        "It took 4 s and used 3.5 s of CPU time.",
        "Its CPU limit held it back for 500 ms.",
        "The kernel killed 1 of its processes.",
        "Advice: ask for 4 GiB",
        "Granted: memory guarantee 0 B, limit 2 GiB;",
        "  CPU class normal, weight 100;",
        "  process limit none; deadline none; priority 0.",
        "Note: less memory than asked for: the budget is 2 GiB",
        "Not declared: memory.guarantee, learned: of 'pytest'",
        "Enforced: memory.limit, memory.throttle (by memory.high).",
        "Not enforced: io.weight, unsupported: no iocost",
    ]


def test_explain_tells_what_a_call_uses(cli: Run, server: Running) -> None:
    lines = list(sentences(next(iter(server.controller.views.values()))))
    assert lines[1] == (
        "It is running, using 5 MiB of memory (peak 9 MiB) after 1.5 s of CPU time."
    )
    assert r"\x1b[2J" in cli("explain", "c-aab")[1]
    assert json.loads(cli("explain", "c-aab", "-o", "json")[1])["call"]["id"] == "c-aabb3333"


def test_explain_is_evidence(cli: Run, server: Running) -> None:
    told = [
        Event(1, 0.0, Kind.CALL_DECLARED, HOME, "c-aaaa2222"),
        *(Event(n, 3.0, Kind.CALL_THROTTLED, HOME, "c-aaaa2222", NASTY) for n in (2, 3)),
    ]
    held = (
        Holding(Whose.CALL, 3 << 30, "s-9", "c-hog", f"train {NASTY}"),
        Holding(Whose.SESSIONS, 1 << 30, count=2),
        Holding(Whose.THIS, 1 << 20, HOME, "c-aaaa2222", "pytest"),
    )
    pressed = (Pressed(3.0, 3.0, "its memory growth was held up", held, cut=True),)
    server.controller.evidence = Evidence(told, (), pressed, 8 << 30, gaps=("3 samples",))
    code, out, _ = cli("explain", "c-aaaa2222")
    assert code == 0
    assert "\x1b" not in out
    assert "\u202e" not in out
    for words in (
        " call.throttled (2 times) \\x1b]0;x\\x07",
        "+3 s: its memory growth was held up; the pool has 8 GiB now",
        "3 GiB  c-hog in s-9: train \\x1b",
        "1 GiB  2 other sessions",
        "1 MiB  this call",
        "somebody may be missing",
        "3 samples",
    ):
        assert words in out, words
    found = json.loads(cli("explain", "c-aaaa", "-o", "json")[1])
    assert found["pressed"][0]["held"][0]["whose"] == "another call"
