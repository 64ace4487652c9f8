"""What agents' programs told of themselves: who is in a tool call, since when, with how much KV."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from agentcg.errors import ConflictError, LimitError
from agentcg.model.gpu import Program, ProgramId, ProgramPhase
from agentcg.model.ids import SessionId
from agentcg.policy import kv_ttl
from agentcg.policy.kv_ttl import Durations
from agentcg.policy.lease_plan import Idle

_OF_A_SESSION = 256
_SILENT = 3600.0  # seconds after which one that says nothing is forgotten, if others need its place


@dataclass(slots=True)
class Programs:
    """Programs by their id, which is its session's alone: the engine knows no sessions."""

    now: Callable[[], float]
    durations: Durations = field(default_factory=Durations)
    known: OrderedDict[ProgramId, Program] = field(default_factory=OrderedDict)

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
        before = self.known.get(program)
        if before is not None and before.session != session:
            raise ConflictError(
                f"program {program[:80]!a} is another session's; use an id of your own"
            )
        if before is None:
            self._make_room(session, at)
        starts = phase is ProgramPhase.TOOL_START
        if before is not None and before.tool_since is not None and before.tool and not starts:
            self.durations.add(before.tool, at - before.tool_since)
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
        self.known[program] = told
        self.known.move_to_end(program)
        if phase is ProgramPhase.END:
            del self.known[program]
        return told

    def dropped(self, programs: Iterable[ProgramId]) -> None:
        """Their KV goes: it cannot be taken once more."""
        for one in programs:
            if one in self.known:
                self.known[one] = replace(self.known[one], kv_bytes=0)

    def forget(self, session: SessionId) -> None:
        """Drop those of a session."""
        for one in [one.id for one in self.known.values() if one.session == session]:
            del self.known[one]

    def idle(self, prefill: float) -> list[Idle]:
        """Those whose KV is not worth keeping, the smallest first."""
        return kv_ttl.idle(self.known.values(), self.durations, self.now(), prefill)

    def _make_room(self, session: SessionId, at: float) -> None:
        mine = [one for one in self.known.values() if one.session == session]
        if len(mine) < _OF_A_SESSION:
            return
        if at - mine[0].at < _SILENT:
            raise LimitError(
                f"session {session}: {_OF_A_SESSION} programs at most; tell the `end` of some"
            )
        del self.known[mine[0].id]
