"""A process enters a call's leaf, whichever way; a scheduler that has calls alone is told."""

import contextlib
from collections.abc import Iterator, Mapping

from agentcg.api.controller import Peer
from agentcg.control import granting
from agentcg.control.core import Core
from agentcg.enforce import place as places
from agentcg.kernel.cgroupfs import CgroupDir


def place(
    core: Core, leaf: CgroupDir, agent: CgroupDir, peer: Peer, *, joins: bool = False
) -> float:
    """Move a waiting client, which `joins` others there; returns the seconds it took.

    Blocks.
    """
    took = places.place(leaf, agent, pid=peer.pid, pidfd=peer.pidfd, joins=joins)
    granting.hand_over(core, leaf)
    return took


def take(core: Core, leaf: CgroupDir, agent: CgroupDir, peer: Peer) -> float:
    """Move what was seen to run in `agent`; returns the seconds it took.

    Blocks.
    """
    took = places.take(leaf, agent, pid=peer.pid, pidfd=peer.pidfd)
    granting.hand_over(core, leaf)
    return took


def gather(core: Core, leaf: CgroupDir, agent: CgroupDir, known: Mapping[int, int]) -> bool:
    """Move what else of an undeclared command is in the agent's cgroup; True: do it again.

    Blocks.
    """
    more = places.gather(leaf, agent, known)
    granting.hand_over(core, leaf)
    return more


@contextlib.contextmanager
def expected(core: Core, peer: Peer | None) -> Iterator[None]:
    """Have the exit of who is placed here seen: it may come before the placement's answer."""
    if core.exits is None or peer is None:
        yield
        return
    core.exits.watch(peer.pid)
    try:
        yield
    except BaseException:
        core.exits.take(peer.pid)
        raise
