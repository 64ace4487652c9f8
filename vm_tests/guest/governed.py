"""What tests of the governor do: growing calls, and a look into its maps."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from agentcg.client import Client
from agentcg.errors import AgentcgError
from agentcg.kernel.bpf_map import Map
from agentcg.kernel.bpf_records import PAGE, Policy, Tally
from vm_tests.guest.containers import POOL
from vm_tests.guest.sandbox import MIB, Sandbox, field, number, until

CONFIG = Path("/etc/agentcg/agentcg.yaml")
SCHEDULER = Path("/sys/kernel/sched_ext/root/ops")
ENABLED = Path("/sys/kernel/sched_ext/enable_seq")
PINS = Path("/sys/fs/bpf/agentcg/governor")
# Touches so many MiB, waits for a line if it is to, touches as many more as that says, and ends.
GROW = (
    "import sys\n"
    "b = []\n"
    "def grow(n):\n"
    "    for _ in range(n): b.append(bytearray(b'x' * 1048576))\n"
    "grow(int(sys.argv[1])); print('grown', flush=True)\n"
    "grow(int(sys.stdin.readline() or 0)); print('grown', flush=True)\n"
    "sys.stdin.read()"
)
POOL_SIZE = 480 * MIB


def restart() -> None:
    subprocess.run(["systemctl", "restart", "agentcg.service"], check=True, timeout=180)


def tier_of(client: Client) -> str:
    try:
        return client.host().tier
    except AgentcgError:
        return ""


@contextlib.contextmanager
def grow(box: Sandbox, mib: int, *options: str) -> "Iterator[subprocess.Popen[str]]":
    words = ("--", "python3", "-c", GROW, str(mib))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with box.run(*options, *words, **pipes) as process:
        yield process


def standing(box: Sandbox) -> int:
    """Wait until what its calls use has stopped growing; that much."""
    used = [0]

    def still() -> bool:
        time.sleep(1)
        used.append(number(box.calls / "memory.current"))
        return used[-1] > 100 * MIB and used[-1] - used[-2] < MIB

    until(still, "the hog to stand still", 60)
    return used[-1]


def shared(name: str) -> Map:
    (version,) = PINS.iterdir()
    return Map.open(version / "maps" / name)


def id_of(cgroup: Path) -> bytes:
    return cgroup.stat().st_ino.to_bytes(8, "little")


def kept() -> int:
    """Bytes of the pool that are kept free for guarantees."""
    with shared("reserved") as sums:
        found = sums.lookup(id_of(POOL))
    return 0 if found is None else int.from_bytes(found, "little") * PAGE


def policy_of(cgroup: Path) -> Policy | None:
    with shared("policies") as policies:
        found = policies.lookup(id_of(cgroup))
    return None if found is None else Policy.from_buffer_copy(found)


def tally(cgroup: Path) -> Tally:
    with shared("tallies") as tallies:
        found = tallies.lookup(id_of(cgroup))
    assert found is not None
    return Tally.from_buffer_copy(found)


def killed_for_memory() -> int:
    return field(POOL / "memory.events", "oom_kill")
