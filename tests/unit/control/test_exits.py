"""How a call's main process ended, on a kernel whose pidfds do not keep that."""

import asyncio
import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agentcg.api.controller import Peer
from agentcg.control import calls, closing, running
from agentcg.control.core import Core
from agentcg.control.journal import Journal
from agentcg.control.state import LiveCall, LiveSession, State
from agentcg.enforce import place
from agentcg.errors import ProcessGoneError
from agentcg.kernel import pidfd as pidfds
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.model.call import Call
from agentcg.model.grant import Grant
from agentcg.model.host import Host
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.session import Runtime, Session
from agentcg.sandbox.tree import Tree
from agentcg.settings import Settings
from agentcg.telemetry.bus import Bus


class Exits:
    """The process connector: it remembers the exit of a process that was watched before it."""

    def __init__(self) -> None:
        self.watched: set[int] = set()
        self.statuses: dict[int, int] = {}

    def watch(self, pid: int) -> None:
        self.watched.add(pid)

    def exited(self, pid: int, status: int) -> None:
        if pid in self.watched:
            self.statuses[pid] = status

    def take(self, pid: int) -> int | None:
        self.watched.discard(pid)
        return self.statuses.pop(pid, None)


@pytest.mark.parametrize("placed", [True, False], ids=["placed", "gone before"])
async def test_a_client_that_dies_while_it_is_placed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, placed: bool
) -> None:
    nothing: Any = None
    exits: Any = Exits()
    with (
        contextlib.closing(Journal(tmp_path / "journal", keep=10)) as journal,
        CgroupDir.open(tmp_path) as leaf,
    ):
        host = Host("test", frozenset(), 0, {}, str(tmp_path))
        core = Core(Settings(), host, leaf, journal, Bus(), State(), nothing, exits=exits)
        record = Session(SessionId("s"), Runtime.BARE, "s", 1)
        session = LiveSession(record, Tree(leaf, leaf, leaf), cpus=frozenset())
        intent = Intent(key="k")
        call = LiveCall(Call(CallId("c-1"), record.id, intent, Grant()), session, leaf=leaf)
        core.state.add_call(call)

        def dies(*_: CgroupDir, pid: int, **more: object) -> float:
            assert more["pidfd"] == pidfd
            child.send_signal(signal.SIGTERM)
            exits.exited(*os.waitpid(pid, 0))
            if not placed:
                raise ProcessGoneError(pid)
            return 0.0

        async def unfollowed(*_: object) -> None:
            pass

        monkeypatch.setattr(place, "place", dies)
        monkeypatch.setattr(pidfds, "exit_status", lambda *_: None)
        monkeypatch.setattr(running, "follow", unfollowed)
        with subprocess.Popen(["sleep", "60"]) as child:
            pidfd = os.pidfd_open(child.pid)
            peer = Peer(pidfd, child.pid, 0)
            try:
                if placed:
                    assert await calls.declare(core, session, intent, peer) is call
                    closing.learn_status(core, call)
                    assert call.status == signal.SIGTERM
                    os.close(call.pidfd or -1)
                else:
                    with pytest.raises(ProcessGoneError):
                        await calls.declare(core, session, intent, peer)
            finally:
                os.close(pidfd)
                child.returncode = -signal.SIGTERM
        # Nothing of it is remembered for ever.
        assert (exits.watched, exits.statuses) == (set(), {})
        call.cancel_timers()
        await asyncio.sleep(0)
        await core.stop()
