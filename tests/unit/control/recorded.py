"""A fake tree with calls whose figures a test writes, and a core that records them."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from agentcg.control import tracing
from agentcg.control.core import Core
from agentcg.control.journal import Journal
from agentcg.control.state import LiveCall, LiveSession, State
from agentcg.control.tracing import Traces
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.kernel.watch import Watch
from agentcg.model.call import Call, CallState
from agentcg.model.grant import Grant
from agentcg.model.host import Host
from agentcg.model.ids import CallId, SessionId
from agentcg.model.intent import Intent
from agentcg.model.session import Runtime, Session
from agentcg.sandbox.tree import Tree
from agentcg.settings import Paths, Settings
from agentcg.telemetry.bus import Bus

PSI = (
    "some avg10=0.00 avg60=0.00 avg300=0.00 total=12345\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=2345\n"
)
FILES = {
    "memory.current": "1048576\n",
    "cpu.stat": "usage_usec 1000\nuser_usec 500\nsystem_usec 500\nthrottled_usec 0\n",
    "pids.current": "3\n",
    "memory.stat": "".join(f"key{n} {n * 4096}\n" for n in range(60)) + "pgsteal 5\n",
    "memory.events.local": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n",
    "memory.pressure": PSI,
    "cpu.pressure": PSI,
    "io.pressure": PSI,
    "io.stat": "259:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n",
}


@dataclass
class Fleet:
    """One session, and calls in it."""

    top: Path
    core: Core
    session: LiveSession

    @property
    def traces(self) -> Traces:
        recorder = self.core.recorder
        assert isinstance(recorder, Traces)
        return recorder

    def call(self, name: str) -> LiveCall:
        """A call that runs."""
        leaf = self.top / "pool/s-1/agentcg.calls" / name
        leaf.mkdir()
        fill(leaf)
        call = Call(CallId(name), SessionId("s-1"), Intent(), Grant(), CallState.RUNNING)
        live = LiveCall(call, self.session)
        self.core.state.add_call(live)
        self.core.state.add_leaf(live, self.session.tree.calls.child(name))
        return live

    def put(self, name: str, knob: str, text: str) -> None:
        """What a file of a call says from now on; a reader never finds it empty in between."""
        path = self.top / "pool/s-1/agentcg.calls" / name / knob
        path.touch()
        with path.open("r+b", buffering=0) as file:
            file.write(text.encode().ljust(path.stat().st_size))


def fill(folder: Path) -> None:
    """The files of one cgroup; without memory.peak, which only the kernel can play."""
    for knob, text in FILES.items():
        (folder / knob).write_text(text)


@contextlib.asynccontextmanager
async def fleet(top: Path, state: Path) -> AsyncIterator[Fleet]:
    """Record what is in the tree below `top`."""
    home = top / "pool/s-1"
    for part in ("agentcg.agent", "agentcg.calls"):
        (home / part).mkdir(parents=True)
        fill(home / part)
    fill(home)
    core = Core(
        Settings(paths=Paths(state=state)),
        Host("6.18", frozenset({0}), 1 << 34, {}, str(top)),
        CgroupDir.open(top),
        Journal(state / "journal.sqlite", keep=10),
        Bus(),
        State(),
        Watch(),
    )
    cgroup = core.root.open_path("pool/s-1")
    tree = Tree(cgroup, cgroup.child("agentcg.agent"), cgroup.child("agentcg.calls"))
    record = Session(SessionId("s-1"), Runtime.BARE, "pool/s-1", cgroup.id)
    live = LiveSession(record, tree, cpus=frozenset())
    core.state.add_session(live)
    tracing.start(core)
    try:
        yield Fleet(top, core, live)
    finally:
        await core.stop()
        core.recorder.close()
        core.journal.close()
        core.watch.close()
