"""What the demo plans from the traces, and how it shows what it is told."""

from itertools import pairwise
from pathlib import Path

import pytest

from vm_tests.demo import picture, show, state
from vm_tests.demo.plan import TENANTS, Step

MIB = 1 << 20
CALL = state.CallNow(3, "Bash test", "running", 150 * MIB, 272 * MIB)
AGENT = state.TenantNow("sqlglot", 0, 0.57, True, 0.31, 184 * MIB, 480 * MIB, CALL)
KILLED = "Killed for memory: ask for a limit of 544 MiB."
ROW = state.Row(
    "sqlglot", 3, "Bash test", "batch", 0, 544 * MIB, 272 * MIB, 272 * MIB, 0.0, 16.6, "oom", None,
    KILLED, ["a note \x1b[2J"],
)  # fmt: skip
TOTAL = state.Total("sqlglot", 0, 100, 0, 77, 103, 37, 32, 336 * MIB, 58 * MIB, alive=True)
STREAM: tuple[state.Message, ...] = (
    state.Now(1.0, 400 * MIB, 544 * MIB, [AGENT]),
    state.Told(2.0, "sqlglot", "call.oom", "took 2 of its processes"),
    state.Told(2.0, "sqlglot", "call.ended", KILLED),
    state.Now(2.0, 200 * MIB, 544 * MIB, [AGENT]),
    state.Result(103.0, "Linux 7.2", [ROW], [TOTAL]),
)


def steps() -> list[tuple[str, Step]]:
    return [(tenant.name, step) for tenant in TENANTS for step in tenant.steps()]


def test_one_call_declares_less_than_it_needs() -> None:
    assert [(n, s.number) for n, s in steps() if s.limit < s.peak] == [("sqlglot", 3)]


def test_only_tests_hold_memory_that_cannot_be_taken_back() -> None:
    assert {s.command_class for _, s in steps() if s.holds == "own"} == {"test"}


def test_a_schedule_uses_the_cpu_that_the_step_says() -> None:
    for _, step in steps():
        lines = [[int(word) for word in line.split()] for line in step.schedule.splitlines()]
        used = sum((b[0] - a[0]) * a[2] / 1e5 for a, b in pairwise(lines))
        assert used == pytest.approx(step.cpu, abs=0.01)


def test_a_pipe_gets_plain_lines_in_any_chunks(capsys: pytest.CaptureFixture[str]) -> None:
    with show.Display() as display:
        for byte in b"".join(map(state.encode, STREAM)) + b"docker: \x1b[31mno\n":
            display.feed(bytes([byte]))
    out = capsys.readouterr().out
    assert "1 s  sqlglot   57%  CPU  31%  184 MiB of 480 MiB  3 Bash test, running" in out
    assert f"2 s  sqlglot  call.ended: {KILLED}" in out
    assert r"docker: \x1b[31mno" in out
    assert display.result == STREAM[-1]


def test_a_recording_becomes_pictures(tmp_path: Path) -> None:
    recording = tmp_path / "demo.jsonl"
    recording.write_bytes(b"".join(map(state.encode, STREAM)))
    picture.replay(recording, tmp_path)
    live = (tmp_path / "demo-live.svg").read_text(encoding="utf-8").replace("&#160;", " ")
    result = (tmp_path / "demo-result.svg").read_text(encoding="utf-8").replace("&#160;", " ")
    assert "400 of 544 MiB" in live
    assert KILLED in live
    assert "272 of 544" in result
    assert r"a note \x1b[2J" in result
    assert "\x1b" not in result
    assert "url(http" not in live + result
