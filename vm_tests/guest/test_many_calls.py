"""Many calls, one after the other and at once: each has its own leaf, and none of them stays."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcg.client import Client
from vm_tests.guest.containers import ACG, LABEL, Box, children, container, session_of
from vm_tests.guest.sandbox import LEAF, sandbox, scale, until

pytestmark = pytest.mark.vm

BY_EXEC = scale(3, 50)
SEQUENTIAL = scale(20, 500) - BY_EXEC
WORKERS, EACH = scale(8, 16), scale(2, 10)
LOOP = "i=0; while [ $i -lt {count} ]; do {acg} run -- cat /proc/self/cgroup; i=$((i+1)); done"


@pytest.fixture(scope="module")
def box(client: Client) -> Iterator[Box]:
    with container(*LABEL) as made:
        session_of(client, made)
        yield made


def _all_different(lines: list[str], count: int) -> None:
    leaves = {found[1] for line in lines if (found := LEAF.search(line))}
    assert (len(lines), len(leaves)) == (count, count)


def test_calls_one_after_the_other() -> None:
    with sandbox("many") as host:
        run = host.inside(
            "sh", "-c", LOOP.format(count=SEQUENTIAL, acg="acg"), stdout=subprocess.PIPE
        )
        out, _ = run.communicate(timeout=1200)
        _all_different(out.splitlines(), SEQUENTIAL)
        until(lambda: not children(host.calls), "the last leaf to go", 5)


def test_calls_by_docker_exec_pass_on_exit_codes_and_signals(box: Box) -> None:
    """Every second one exits with a code of its own; the others die of a signal."""
    lines = []
    for n in range(BY_EXEC):
        how, code = (f"exit {n}", n) if n % 2 else ("kill -TERM $$", 128 + signal.SIGTERM)
        done = box.exec(ACG, "run", "--", "/bin/sh", "-c", f"cat /proc/self/cgroup; {how}")
        assert done.returncode == code
        lines.append(done.stdout)
    _all_different(lines, BY_EXEC)
    until(lambda: not children(box.home / "agentcg.calls"), "the last leaf to go", 5)


def test_concurrent_calls_in_a_container(box: Box) -> None:
    loop = LOOP.format(count=EACH, acg=ACG)
    script = f"w=0; while [ $w -lt {WORKERS} ]; do ({loop}) & w=$((w+1)); done; wait"
    done = box.exec("/bin/sh", "-c", script, timeout=1200)
    _all_different(done.stdout.splitlines(), WORKERS * EACH)
    until(lambda: not children(box.home / "agentcg.calls"), "the last leaf to go", 5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_to_the_client_is_one_to_the_command(number: signal.Signals) -> None:
    with sandbox("signals") as host:
        run = host.run("--", "sleep", "1000")
        # It may die of it before: its call is then undone, for no command ever ran.
        comm = Path(f"/proc/{run.pid}/comm")
        until(lambda: comm.read_text() == "sleep\n", "the command")
        run.send_signal(number)
        outcome = host.ended(run).call.outcome
        assert outcome is not None
        assert (run.returncode, outcome.signal) == (-number, number)
