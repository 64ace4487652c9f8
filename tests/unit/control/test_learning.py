"""The learned class in the life of the daemon: fed by closed calls, asked for each new one."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from agentcg.control import calls, guarantees, learning
from agentcg.enforce import limits
from agentcg.model.call import Call, CallState
from agentcg.model.event import Kind
from agentcg.model.grant import Grant
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import CpuWish, Intent, MemoryWish
from agentcg.model.outcome import Cause, Outcome
from agentcg.model.session import Budget
from agentcg.model.wire import CallPatchBody
from agentcg.settings_parts import Learned
from tests.unit.control.recorded import Fleet, fleet

MIB = 1 << 20
GIB = 1 << 30
PYTEST = Intent(command="pytest -q tests/x.py")


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet(tmp_path / "cgroup", tmp_path / "state") as made:
        budget(made)
        yield made


def budget(fake: Fleet) -> None:
    live = fake.session
    live.record = replace(live.record, budget=Budget(guarantee=4 * GIB))


def learns(fake: Fleet, scope: Literal["none", "session", "host"]) -> None:
    settings = fake.core.settings
    fake.core.settings = settings.model_copy(update={"learned": Learned(scope=scope)})


def close(
    fake: Fleet, count: int, intent: Intent = PYTEST, session: str = "s-1", at: float = 1e9
) -> None:
    """Have the recorder told of closed calls."""
    for number in range(count):
        name = CallId(f"c-{session}-{at:g}-{number}")
        record = Call(name, SessionId(session), intent, Grant(), CallState.CLOSED, declared_at=at)
        result = Outcome(Cause.EXITED, 0, wall=2.0, peak=512 * MIB)
        fake.core.recorder.closed(replace(record, outcome=result))


async def got(fake: Fleet, intent: Intent = PYTEST, *, observed: bool = False) -> int:
    found = learning.of(fake.core, fake.session, intent, observed=observed)
    return 0 if found is None else found.peak


async def test_the_twentieth_call_of_a_class_makes_the_next_one_a_guarantee(fake: Fleet) -> None:
    close(fake, 19)
    live = await calls.declare(fake.core, fake.session, PYTEST, None)
    assert (live.record.grant.memory_guarantee, live.record.grant.source) == (0, {})
    close(fake, 1, at=2e9)
    live = await calls.declare(fake.core, fake.session, PYTEST, None)
    words = "learned: the median peak of 20 calls of 'pytest' in this session"
    assert live.record.grant.memory_guarantee == 512 * MIB
    assert live.record.grant.source == {"memory.guarantee": words}
    assert live.record.intent.memory == MemoryWish()
    await calls.patch(fake.core, live, CallPatchBody.model_validate({"pids": 99}))
    assert live.record.grant.memory_guarantee == 512 * MIB
    body = CallPatchBody.model_validate({"memory": {"guarantee": "1GiB"}})
    await calls.patch(fake.core, live, body)
    assert (live.record.grant.memory_guarantee, live.record.grant.source) == (GIB, {})


async def test_who_declares_a_limit_has_no_less_than_who_is_silent(fake: Fleet) -> None:
    close(fake, 20)
    asks = replace(PYTEST, memory=MemoryWish(limit=300 * MIB))
    live = await calls.declare(fake.core, fake.session, asks, None)
    assert live.record.grant.memory_guarantee == 300 * MIB
    assert live.record.grant.source["memory.guarantee"].endswith(", cut to its limit")
    body = CallPatchBody.model_validate({"memory": {"limit": "6GiB"}})
    await calls.patch(fake.core, live, body)
    assert live.record.grant.memory_guarantee == 512 * MIB


async def test_no_call_waits_for_what_is_learned_and_it_is_told_later(
    fake: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    come = asyncio.Event()

    async def settled(*_: object) -> str:
        await come.wait()
        return "systemd is slow"

    monkeypatch.setattr(guarantees, "_settled", settled)
    monkeypatch.setattr(limits, "apply", lambda *_: {"memory.guarantee": "ok"})
    close(fake, 20)
    async with asyncio.timeout(30):
        live = await calls.declare(fake.core, fake.session, PYTEST, None)
        assert live.record.grant.enforced["memory.guarantee"] == "ok"
        come.set()
        while live.record.grant.enforced["memory.guarantee"] == "ok":
            await asyncio.sleep(0.01)
    assert live.record.grant.enforced["memory.guarantee"] == "unsupported: systemd is slow"


async def test_who_declares_more_at_once_finds_what_is_not_learned(fake: Fleet) -> None:
    close(fake, 20)
    for _ in range(6):
        await calls.declare(fake.core, fake.session, PYTEST, None)
    asks = replace(PYTEST, memory=MemoryWish(2 * GIB))
    live = await calls.declare(fake.core, fake.session, asks, None)
    assert live.record.grant.memory_guarantee == 2 * GIB
    assert live.record.grant.notes == ()


@pytest.mark.parametrize(
    ("intent", "observed", "learned"),
    [
        (replace(PYTEST, cpu=CpuWish(cores=2.0)), False, True),
        (Intent(command="cd src && python3.13 -m pytest"), False, True),
        (replace(PYTEST, memory=MemoryWish(limit=GIB)), False, True),
        (replace(PYTEST, memory=MemoryWish(guarantee=0)), False, False),
        (Intent(command="make"), False, False),
        (Intent(), False, False),
        # Nobody spoke of it.
        (PYTEST, True, False),
        (replace(PYTEST, key="toolu_1"), True, True),
    ],
)
async def test_whose_call_it_counts_for(
    fake: Fleet, intent: Intent, observed: bool, learned: bool
) -> None:
    close(fake, 20)
    assert await got(fake, intent, observed=observed) == (512 * MIB if learned else 0)


async def test_a_line_of_no_class_is_not_of_its_tools(fake: Fleet) -> None:
    odd = Intent("Bash", "$CC x.c")
    close(fake, 20, odd)
    assert await got(fake, odd) == 0
    # A tool of a harness that runs no line has a class by its name.
    close(fake, 20, Intent("analyze"))
    assert await got(fake, Intent("analyze")) == 512 * MIB


async def test_where_commands_are_not_kept_nothing_is_learned(fake: Fleet) -> None:
    settings = fake.core.settings
    fake.core.settings = settings.model_copy(update={"store_commands": "hash"})
    close(fake, 20, Intent("pytest"))
    assert await got(fake, Intent("pytest")) == 0


async def test_a_session_learns_of_itself_unless_all_are_to(fake: Fleet) -> None:
    close(fake, 20, session="s-2")
    assert await got(fake) == 0
    learns(fake, "host")
    assert await got(fake) == 0
    close(fake, 20, session="s-2", at=2e9)
    assert await got(fake) == 512 * MIB
    learns(fake, "none")
    assert await got(fake) == 0


async def test_what_is_learned_of_a_session_goes_with_it(fake: Fleet) -> None:
    close(fake, 20)
    fake.core.tell(Kind.SESSION_CLOSED, "", session="s-1")
    assert await got(fake) == 0
    # Nor does what is closed of one that is not open here, after a restart.
    close(fake, 20, session="s-9")
    assert fake.core.learned.known == {}


@pytest.mark.parametrize("scope", ["session", "host"])
async def test_a_restart_forgets_nothing_and_counts_nothing_twice(
    tmp_path: Path, scope: Literal["session", "host"]
) -> None:
    async with fleet(tmp_path / "1", tmp_path / "state") as fake:
        close(fake, 12)
        # Of one that had the name before.
        close(fake, 30, replace(PYTEST, command="make"), at=5.0)
    async with fleet(tmp_path / "2", tmp_path / "state") as fake:
        learns(fake, scope)
        fake.session.record = replace(fake.session.record, created_at=100.0)
        close(fake, 7, at=2e9)
        fake.core.recorder.begin()
        await asyncio.sleep(0)  # it has begun to read
        close(fake, 1, at=3e9)
        async with asyncio.timeout(30):
            while not await got(fake):
                await asyncio.sleep(0.02)
        scope_name = "" if scope == "host" else "s-1"
        assert len(fake.core.learned.known[scope_name]["pytest"]) == 20
        assert fake.core.learned.meanwhile is None
        assert ("make" in fake.core.learned.known[scope_name]) == (scope == "host")
