"""The pages of one session and of one call."""

from dataclasses import replace

from agentcg.cli.top.screen import Screen, View
from agentcg.model.sample import Sample, Usage
from agentcg.model.trace import Trace
from tests.unit.cli.courses import course
from tests.unit.cli.top.boards import board, shown
from tests.unit.cli.top.fleet import AT, MIB


def test_a_session_has_its_budget_and_its_pressure() -> None:
    known = board()
    screen = Screen(View.SESSION, "s-1")
    assert "PSI unknown" in shown(known, screen)[3]
    samples = tuple(
        Sample(AT + n, n, n % 2 == 0, Usage(MIB, MIB, n, memory_some=n / 10, cpu_some=n / 2))
        for n in range(21)
    )
    known.follow("s-1", Trace("s-1", None, None, 0, samples, ()))  # type: ignore[arg-type]
    lines = shown(known, screen)
    assert lines[2:5] == [
        "host > s-1",
        "memory 2G of 4G, calls to 3.6G, agent to 600M  PSI % memory 10 CPU 50",
        "budget: memory 4G, guarantee 1G, 7 of 256 calls",
    ]
    assert {row[1:11] for row in lines if row[3:9] == "000000"} == {
        f"c-{n:08x}" for n in range(1, 20, 3)
    }
    known.follow("s-1", None, "nothing is recorded here")
    assert "nothing is recorded here" in shown(known, screen, size=(100, 24))[3]
    assert shown(known, Screen(View.SESSION, "s-9"))[3] == "it is closed"


def test_a_call_has_its_plot_and_its_words() -> None:
    known = board()
    screen = Screen(View.CALL, "c-00000003")
    assert "asking for its trace" in shown(known, screen)
    known.follow("c-00000003", course())
    lines = shown(known, screen, size=(80, 60))
    assert "memory 1.3 GiB, peak 1.9 GiB, limit 2 GiB, guarantee 512 MiB" in lines
    assert any("call.oom" in line for line in lines)
    assert any(line.startswith("Granted: memory guarantee 512 MiB") for line in lines)
    known.follow("c-00000003", None, "refused")
    assert "refused" in shown(known, screen, size=(80, 60))
    scrolled = replace(screen, scroll=5)
    assert shown(known, scrolled)[3] == lines[8]
    assert shown(known, replace(screen, scroll=999))[-2].startswith("  process limit")
