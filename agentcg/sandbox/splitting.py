"""Split a cgroup in which others start processes: a container's, a scope's."""

import contextlib

from agentcg.errors import AgentcgError, CgroupError
from agentcg.kernel.cgroupfs import CgroupDir
from agentcg.sandbox import tree

_ROUNDS = 20


def split(session: CgroupDir) -> tree.Tree:
    """Split a live session; takes over `session`. Idempotent.

    A `docker exec` that lands between moving the processes and enabling the controllers makes the
    kernel refuse these, so it is done again until all that exist are enabled. A host may refuse
    one for good (cpu while realtime tasks run), and then the session goes without it.
    """
    made = _split(session)
    for _ in range(_ROUNDS):
        if tree.CONTROLLERS & session.controllers() <= session.subtree_control():
            break
        made.agent.close()
        made.calls.close()
        made = _split(session)
    return made


def _split(session: CgroupDir) -> tree.Tree:
    try:
        return tree.split(session)
    except CgroupError:
        undo(session)
        raise


def undo(session: CgroupDir) -> None:
    """Take back as much of a split as there is."""
    with (
        contextlib.suppress(AgentcgError),
        session.make(tree.AGENT, exist_ok=True) as agent,
        session.make(tree.CALLS, exist_ok=True) as calls,
    ):
        tree.join(tree.Tree(session, agent, calls))


def whole(session: CgroupDir) -> tree.Tree:
    """A tree for a session that is only looked at: nothing is made, all three are one cgroup.

    Who asks from right inside it speaks for the session. Takes over `session`.
    """
    return tree.Tree(session, session.open_path(""), session.open_path(""))
