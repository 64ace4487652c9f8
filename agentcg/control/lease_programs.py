"""What agents' programs told of themselves: who is in a tool call, since when, with how much KV."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from agentcg.errors import LimitError
from agentcg.model.gpu import Program, ProgramId, ProgramPhase
from agentcg.model.ids import SessionId
from agentcg.policy import kv_ttl
from agentcg.policy.kv_ttl import Durations
from agentcg.policy.lease_plan import Idle

_OF_A_SESSION = 256
_SILENT = 3600.0  # seconds after which one that says nothing is forgotten, if others need its place


@dataclass(slots=True)
class Programs:
    """Programs by their session and their id there.

    The engine knows no sessions: an id that two of them use is nobody's to give up KV by. How long
    tools take is what the daemon saw of calls; what a program says of it counts for itself only.
    """

    now: Callable[[], float]
    durations: Durations = field(default_factory=Durations)
    known: OrderedDict[tuple[SessionId, ProgramId], Program] = field(default_factory=OrderedDict)

    def heard(
        self,
        session: SessionId,
        program: ProgramId,
        phase: ProgramPhase,
        *,
        kv_bytes: int | None,
        tool: str | None,
        eta: float | None,
    ) -> Program:
        """Take in what a program told."""
        at = self.now()
        before = self.known.get((session, program))
        if before is None:
            self._make_room(session, at)
        starts = phase is ProgramPhase.TOOL_START
        if kv_bytes is None and before is not None:
            kv_bytes = before.kv_bytes
        told = Program(
            program,
            session,
            phase,
            at,
            kv_bytes,
            tool=tool if starts else None,
            tool_since=at if starts else None,
            tool_eta=eta if starts else None,
        )
        self.known[session, program] = told
        self.known.move_to_end((session, program))
        if phase is ProgramPhase.END:
            del self.known[session, program]
        return told

    def dropped(self, programs: Iterable[ProgramId]) -> None:
        """Their KV goes: it cannot be taken once more."""
        gone = set(programs)
        for key, one in self.known.items():
            if one.id in gone:
                self.known[key] = replace(one, kv_bytes=0)

    def forget(self, session: SessionId) -> None:
        """Drop those of a session."""
        for key in [key for key in self.known if key[0] == session]:
            del self.known[key]

    def idle(self, prefill: float) -> list[Idle]:
        """Those whose KV is not worth keeping, the smallest first."""
        users = Counter(one.id for one in self.known.values())
        mine = [one for one in self.known.values() if users[one.id] == 1]
        return kv_ttl.idle(mine, self.durations, self.now(), prefill)

    def _make_room(self, session: SessionId, at: float) -> None:
        mine = [one for one in self.known.values() if one.session == session]
        if len(mine) < _OF_A_SESSION:
            return
        if at - mine[0].at < _SILENT:
            raise LimitError(
                f"session {session}: {_OF_A_SESSION} programs at most; tell the `end` of some"
            )
        del self.known[session, mine[0].id]
