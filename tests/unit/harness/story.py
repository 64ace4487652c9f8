"""A story is a list of steps, one process each; the agent's first process is number 1."""

from dataclasses import dataclass, field, replace

from agentcg.harness.announced import Announced
from agentcg.harness.attribute import Command, Lineage, Reason, announced
from agentcg.harness.lookup import looks
from agentcg.harness.told import Moment, Told
from agentcg.model.ids import CallId
from agentcg.model.process import Seen, What

OPEN = CallId("c-open")
NOW = 1000.0


@dataclass
class Judged:
    """A verdict, and which announcement it is."""

    command: Command | None
    new: bool
    call: CallId | None
    key: str | None
    reason: Reason | None


@dataclass
class Story:
    """What happens in one agent's cgroup."""

    lineage: Lineage = field(default_factory=Lineage)
    waiting: list[Announced] = field(default_factory=list)
    calls: tuple[CallId, ...] = (OPEN,)

    def fork(self, pid: int, parent: int) -> None:
        self.lineage.forked(Seen(What.FORK, 9, pid, parent, start=pid))

    def exec(self, pid: int, *words: str, parent: int = 0, **env: str) -> "Judged":
        seen = Seen(What.EXEC, 9, pid, parent, pid, words, env)
        verdict = self.lineage.executed(seen, self.calls.__contains__)
        key, reason = announced(seen, verdict, self.waiting, NOW) if verdict.new else (None, None)
        return Judged(verdict.command, verdict.new, verdict.call, key, reason)

    def run(self, pid: int, parent: int, *words: str, **env: str) -> "Judged":
        self.fork(pid, parent)
        return self.exec(pid, *words, parent=parent, **env)

    def found(self, *processes: tuple[int, int, tuple[str, ...]], **env: str) -> None:
        """Those that were there before: number, parent, words."""
        seen = [
            Seen(What.EXEC, 9, pid, parent, pid, words, env) for pid, parent, words in processes
        ]
        for one in seen:
            self.lineage.there(replace(one, what=What.FORK, words=(), env={}))
        for one in seen:
            self.lineage.found(one)

    def announce(self, key: str, command: str, *, ago: float = 0.1, session: str = "s") -> None:
        told = Told(Moment.BEFORE, "e", session, "", "Bash", command, key)
        self.waiting.insert(0, Announced(key, told, command, looks(command), at=NOW - ago))
