"""A process as it is in /proc, for whoever did not see it start, or has nothing but its number."""

from agentcg.errors import AgentcgError
from agentcg.kernel import procfs
from agentcg.kernel.patience import Patience
from agentcg.model.process import ARGUMENTS, Seen, What, env_of, words_of

_ENVIRON = 65536


def born(agent: int, pid: int) -> Seen | None:
    """It as if it had just been started; None if it is gone."""
    try:
        return Seen(What.FORK, agent, pid, procfs.parent(pid), procfs.start_time(pid))
    except AgentcgError:
        return None


def look(patience: Patience, agent: int, pid: int) -> Seen | None:
    """It as if it had just become its program; None if it is gone.

    Without arguments and environment where it does not let them be read.
    """
    try:
        parent, start = procfs.parent(pid), procfs.start_time(pid)
        said = patience.ask(agent, lambda: _said(pid))
    except AgentcgError:
        return None
    words, env = said or (b"", b"")
    return Seen(What.EXEC, agent, pid, parent, start, words_of(words), env_of(env))


def _said(pid: int) -> tuple[bytes, bytes]:
    return procfs.arguments(pid, ARGUMENTS), procfs.environment(pid, _ENVIRON)
