"""The docker CLI that waits for a `docker exec`, found by its own command line.

An engine that was told to exec goes on when its client is gone, and tells nobody: its event stream
has nothing, and the exec's own record still says that it is attached. What can be known is the
process that asked, if it was the CLI on this host: it has the container and the command in its
arguments. Two that look the same are none.
"""

import contextlib
import os
from collections.abc import Sequence

from agentcg.errors import AgentcgError, ProcessGoneError
from agentcg.kernel import pidfd, procfs
from agentcg.kernel.patience import Patience
from agentcg.model.container import Container
from agentcg.model.process import words_of

_NAME = "docker"
_TICKS = os.sysconf("SC_CLK_TCK")
# More than the kernel passes on in one argument, and all that `acg runc` sends of a process.
_MOST = 256 * 1024


def find(
    patience: Patience, container: Container, command: Sequence[str], since: float
) -> int | None:
    """Open a pidfd, which the caller closes, of the one CLI that waits for this, if known.

    It was started `since` this CLOCK_BOOTTIME: an older one waits for another exec. It blocks.
    """

    def waits(pid: int) -> bool:
        with contextlib.suppress(AgentcgError, OSError):
            if procfs.comm(pid) == _NAME and procfs.start_time(pid) >= since * _TICKS:
                # By its cgroup: anybody may call itself so, and keep the reader waiting.
                whose = procfs.cgroup_path(pid)
                said = patience.ask(whose, lambda: procfs.arguments(pid, _MOST + 1)) or b""
                return len(said) <= _MOST and asks(words_of(said), container, command)
        return False

    waiting = [pid for pid in procfs.pids() if waits(pid)]
    if len(waiting) != 1:
        return None
    try:
        found = pidfd.open(waiting[0])
    except ProcessGoneError:
        return None
    # Read again with the descriptor open: the number was not a stranger's.
    if waits(waiting[0]) and pidfd.alive(found):
        return found
    os.close(found)
    return None


def asks(argv: Sequence[str], container: Container, command: Sequence[str]) -> bool:
    """Whether these arguments are `docker … exec … CONTAINER COMMAND`."""
    whose = len(argv) - len(command) - 1
    if not command or whose < 2 or list(argv[whose + 1 :]) != list(command):
        return False
    name = argv[whose]
    return "exec" in argv[1:whose] and (name == container.name or _is_id(name, container.id))


def _is_id(name: str, container: str) -> bool:
    return len(name) >= 4 and container.startswith(name)
