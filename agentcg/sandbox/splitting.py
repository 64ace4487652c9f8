"""Split a cgroup in which others start processes: a container's, a scope's."""

from agentcg.enforce import tree
from agentcg.kernel.cgroupfs import CgroupDir

_ROUNDS = 20


def split(session: CgroupDir) -> tree.Tree:
    """Split a live session; takes over `session`. Idempotent.

    A `docker exec` that lands between moving the processes and enabling the controllers makes the
    kernel refuse these, so it is done again until all that exist are enabled. A host may refuse
    one for good (cpu while realtime tasks run), and then the session goes without it.
    """
    made = tree.split(session)
    for _ in range(_ROUNDS):
        wanted = tree.CONTROLLERS & session.controllers()
        if wanted <= session.subtree_control():
            break
        made.agent.close()
        made.calls.close()
        made = tree.split(session)
    return made


def whole(session: CgroupDir) -> tree.Tree:
    """A tree for a session that is only looked at: nothing is made, all three are one cgroup.

    Who asks from right inside it speaks for the session. Takes over `session`.
    """
    return tree.Tree(session, session.open_path(""), session.open_path(""))
