"""Whose limit it was, in `explain`; and what the engine then says of the container.

A call's own limit and that of all calls are in test_memory.
"""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from agentcg.cli.explain import sentences
from agentcg.client import Client
from agentcg.kernel import procfs
from agentcg.model.outcome import Cause, Level
from agentcg.model.session import Session
from vm_tests.guest.containers import (
    ACG,
    LABEL,
    POOL,
    PYTHON,
    Box,
    container,
    outcome_of,
    session_of,
    systemctl,
)
from vm_tests.guest.sandbox import BURST, EAT, GATE, MIB, field, number, sandbox, until
from vm_tests.guest.test_platform import docker

pytestmark = pytest.mark.vm


@pytest.fixture
def box(client: Client) -> Iterator[tuple[Box, Session]]:
    options = (*LABEL, *PYTHON, "-v", f"{GATE}:{GATE}")
    with container(*options, "-m", "400m", "--memory-swap", "400m") as made:
        yield made, session_of(client, made)


def _eat(box: Box, mib: int, *options: str) -> int:
    words = (ACG, "run", *options, "--", "/usr/bin/python3", "-c", EAT.format(mib=mib, hold=0))
    return box.exec(*words).returncode


def test_a_deadline_leaves_no_trace_and_a_leafs_oom_marks_the_container(
    client: Client, box: tuple[Box, Session]
) -> None:
    made, session = box
    made.exec(ACG, "run", "--call-id", "late", "--deadline", "1s", "--", "/bin/sleep", "1000")
    assert outcome_of(client, session, "late").cause is Cause.DEADLINE
    assert not made.oom_killed
    _eat(made, 100, "--call-id", "hog", "--memory", "50MiB")
    assert outcome_of(client, session, "hog").level is Level.CALL
    until(lambda: made.oom_killed, "the engine to notice")
    assert made.pid


def test_an_oom_of_all_calls_together_marks_the_container(
    client: Client, box: tuple[Box, Session]
) -> None:
    made, session = box
    hold = EAT.format(mib=200, hold=1000)
    # Each alone is inside its limit.
    pair = 'for i in a b; do "$0" run --call-id $i -- /usr/bin/python3 -c "$1" & done; wait'
    run = made.start("/bin/sh", "-c", pair, ACG, hold)
    calls = made.home / "agentcg.calls"
    until(lambda: field(calls / "memory.events.local", "oom") > 0, "the OOM", 60)
    levels = {outcome_of(client, session, key).level for key in _gone(client, session)}
    assert levels == {Level.CALLS}
    until(lambda: made.oom_killed, "the engine to notice")
    run.kill()
    run.wait()


def _gone(client: Client, session: Session) -> list[str]:
    """The keys of the calls that do not run any more."""

    def keys() -> list[str]:
        running = {v.call.intent.key for v in client.calls() if v.call.session == session.id}
        return [key for key in ("a", "b") if key not in running]

    return until(keys, "a call to be gone", 60)


def test_an_oom_of_undeclared_work_marks_the_container(box: tuple[Box, Session]) -> None:
    made, _ = box
    hog = made.exec("/usr/bin/python3", "-c", BURST.format(mib=390))
    assert hog.returncode == 137
    assert field(made.home / "agentcg.agent/memory.events.local", "oom_kill") == 1
    assert field(made.home / "memory.events.local", "oom") == 0
    until(lambda: made.oom_killed, "the engine to notice")
    assert made.pid


# Holds some memory, waits, and then wants more than there is.
TWICE = f"""
b = b'x' * (100 << 20)
open('{GATE}/fifo').read()
c = b'x' * (300 << 20)
"""


@contextlib.contextmanager
def _daemon_asleep() -> Iterator[None]:
    """It adapts to changed limits within a second; a call may be faster than that."""
    systemctl("kill", "-s", "STOP", "agentcg.service")
    try:
        yield
    finally:
        systemctl("kill", "-s", "CONT", "agentcg.service")


def test_the_containers_own_limit_is_named_as_the_sessions(
    client: Client, box: tuple[Box, Session], gate: Callable[[], object]
) -> None:
    """The engine lowers it underneath."""
    made, session = box
    run = made.start(ACG, "run", "--call-id", "victim", "--", "/usr/bin/python3", "-c", TWICE)
    until(lambda: number(made.home / "memory.current") > 100 * MIB, "the call to hold it", 60)
    with _daemon_asleep():
        docker("update", "-m", "200m", "--memory-swap", "200m", made.id)
        gate()
        assert run.wait(60) == 137
    outcome = outcome_of(client, session, "victim")
    assert (outcome.cause, outcome.level) == (Cause.OOM, Level.SESSION)
    assert outcome.level_limit == 200 * MIB
    until(lambda: made.oom_killed, "the engine to notice")
    assert made.pid


@contextlib.contextmanager
def _pool_of(size: int) -> Iterator[None]:
    systemctl("set-property", "--runtime", "agentcg.slice", f"MemoryMax={size}")
    try:
        yield
    finally:
        systemctl("set-property", "--runtime", "agentcg.slice", "MemoryMax=infinity")


def test_an_oom_above_every_session_is_named_as_the_hosts(gate: Callable[[], object]) -> None:
    """By a limit on the slice, because a global OOM would take the machine's own services too.

    It is faithful: the kernel chooses among all below by the same scores, kills the same way, and
    counts `oom` where the limit was, at none of ours. All that the daemon can know of a host's OOM
    is that no level of the session says so.
    """
    with sandbox("below", budget={"memory": "600MiB"}) as box:
        agent = box.inside("sleep", "10000")
        call = box.run("--", "python3", "-c", TWICE)
        until(lambda: number(box.path / "memory.current") > 100 * MIB, "the call to hold it", 60)
        with _daemon_asleep(), _pool_of(number(POOL / "memory.current") + 100 * MIB):
            gate()
            until(lambda: procfs.state(call.pid) == "Z", "the kill", 60)
        view = box.ended(call)
        outcome = view.call.outcome
        assert outcome is not None
        assert (outcome.cause, outcome.level) == (Cause.OOM, Level.HOST)
        assert outcome.peak is not None
        assert outcome.peak > 100 * MIB
        assert "the host itself was out of memory" in " ".join(sentences(view))
        assert agent.poll() is None
        agent.kill()
        agent.wait()
